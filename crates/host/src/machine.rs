use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::system;

/// The most that is read of a file of `/proc` or `/sys`, in bytes. `/proc/modules` has some 60 a line.
const FILE_BYTES: u64 = 1024 * 1024;

/// How modules come into the kernel and leave it.
pub trait Modules {
    /// Loads a module from its file.
    ///
    /// # Errors
    /// What the kernel says.
    fn load(&self, file: &File) -> io::Result<()>;

    /// Takes a module out, if nothing uses it.
    ///
    /// # Errors
    /// What the kernel says.
    fn unload(&self, name: &str) -> io::Result<()>;

    /// Whether this process may load modules.
    fn may_load(&self) -> bool;

    /// Waits.
    fn rest(&self, time: Duration);
}

/// The kernel that runs here.
#[derive(Debug, Clone, Copy)]
pub struct RunningModules;

impl Modules for RunningModules {
    fn load(&self, file: &File) -> io::Result<()> {
        Ok(system::finit_module(file, c"", 0)?)
    }

    fn unload(&self, name: &str) -> io::Result<()> {
        let name = CString::new(name)?;
        // Without O_NONBLOCK it would wait for whoever uses it, and nobody could end that.
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        Ok(system::delete_module(&name, i32::try_from(flags).unwrap_or_default())?)
    }

    fn may_load(&self) -> bool {
        rustix::process::geteuid().is_root()
    }

    fn rest(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A machine that is patched.
pub struct Machine {
    root: PathBuf,
    modules: Box<dyn Modules>,
}

impl Machine {
    /// This machine.
    pub fn this() -> Self {
        Self { root: PathBuf::from("/"), modules: Box::new(RunningModules) }
    }

    /// A machine whose `/proc` and `/sys` are below a directory.
    pub fn at(root: &Path, modules: impl Modules + 'static) -> Self {
        Self { root: root.to_owned(), modules: Box::new(modules) }
    }

    /// Where its files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How modules come and go.
    pub(crate) fn modules(&self) -> &dyn Modules {
        &*self.modules
    }

    /// The text of a file of `/proc` or `/sys`, named without the slash before it.
    pub(crate) fn text(&self, path: &str) -> io::Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(path)?).into_owned())
    }

    /// The bytes of such a file.
    pub(crate) fn bytes(&self, path: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.root.join(path))?.take(FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Writes to such a file, which must be there.
    pub(crate) fn write(&self, path: &str, text: &str) -> io::Result<()> {
        use std::io::Write as _;
        let mut file = fs::OpenOptions::new().write(true).open(self.root.join(path))?;
        file.write_all(text.as_bytes())
    }

    /// The names in such a directory; none when it is not there.
    pub(crate) fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.root.join(path)) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(error),
            };
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }
}

/// Whether something of `/proc` or `/sys` went while it was looked at: of an attribute the kernel says ENODEV, of
/// a task ESRCH.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.kind() == io::ErrorKind::NotFound
        || [Errno::NODEV, Errno::SRCH]
            .iter()
            .any(|gone| error.raw_os_error() == Some(gone.raw_os_error()))
}

//! A kernel that is none: it does to files what the kernel does to `/sys`. For tests, of this crate and of what uses
//! it; what the real one does is tried in QEMU.

use std::{
    cell::RefCell,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Command,
    rc::Rc,
    time::Duration,
};

use elivepatch_model::Manifest;
use rustix::io::Errno;

use crate::{Applying, Machine, ModuleFile, Modules, build_id};

/// The release of its kernel.
pub const RELEASE: &str = "6.1.0-50-cloud-amd64";
/// The build-id of its kernel's image.
pub const BUILD_ID: &str = "abababababababababababababababababababab";

/// What the next loading comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It becomes active.
    Works,
    /// The kernel is busy so many times.
    Busy(u32),
    /// The kernel says this.
    Refused(Errno),
    /// A task stays in the old function.
    Stalls,
    /// The kernel oopses when the function runs.
    Oopses,
}

#[derive(Debug)]
struct Kernel {
    root: PathBuf,
    fate: Fate,
    moving: Option<(String, bool)>,
    rests: u32,
}

/// The kernel of a test.
#[derive(Debug, Clone)]
pub struct FakeKernel(Rc<RefCell<Kernel>>);

/// A machine with that kernel, and a place for files.
pub struct World {
    /// Where its files are, and other files of the test.
    pub place: tempfile::TempDir,
    /// The kernel.
    pub kernel: FakeKernel,
    /// The machine.
    pub machine: Machine,
}

impl World {
    /// A machine that was started just now.
    #[allow(clippy::new_without_default, reason = "each is another machine")]
    pub fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join("root");
        for directory in ["sys/kernel/livepatch", "sys/module", "proc/sys/kernel/random"] {
            fs::create_dir_all(root.join(directory)).expect("own directory");
        }
        let kernel = FakeKernel(Rc::new(RefCell::new(Kernel {
            root: root.clone(),
            fate: Fate::Works,
            moving: None,
            rests: 0,
        })));
        let machine = Machine::at(&root, kernel.clone());
        let world = Self { place, kernel, machine };
        world.write("proc/sys/kernel/osrelease", RELEASE);
        world.write("proc/sys/kernel/tainted", "4096");
        world.write("proc/sys/kernel/random/boot_id", "boot-1".replace("boot", "b007").as_str());
        world.write("proc/uptime", "100.5 180.0\n");
        world.write("proc/cmdline", "quiet");
        fs::write(root.join("sys/kernel/notes"), note(&hex(BUILD_ID))).expect("own file");
        world
    }

    /// Writes a file of `/proc` or `/sys`.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.machine.root().join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs::write(path, text).expect("own file");
    }

    /// The kernel's image is another one.
    pub fn build_id(&self, id: &str) {
        fs::write(self.machine.root().join("sys/kernel/notes"), note(&hex(id))).expect("own file");
    }

    /// Where its state directory is.
    pub fn state(&self) -> PathBuf {
        self.place.path().join("state")
    }

    /// Says what the next loading comes to.
    pub fn fate(&self, fate: Fate) {
        self.kernel.0.borrow_mut().fate = fate;
    }

    /// The machine is started anew: nothing is loaded.
    pub fn reboot(&self, boot: &str) {
        let root = self.machine.root();
        for directory in ["sys/kernel/livepatch", "sys/module"] {
            fs::remove_dir_all(root.join(directory)).expect("own directory");
            fs::create_dir_all(root.join(directory)).expect("own directory");
        }
        self.write("proc/sys/kernel/random/boot_id", boot);
        self.write("proc/sys/kernel/tainted", "0");
        self.write("proc/uptime", "10.0 1.0\n");
    }

    /// The names of what is loaded and enabled.
    pub fn active(&self) -> Vec<String> {
        let found = crate::livepatches(&self.machine).expect("it can be read");
        found.into_iter().filter(crate::Livepatch::is_active).map(|one| one.name).collect()
    }

    /// The names of the modules that are in the kernel.
    pub fn modules(&self) -> Vec<String> {
        self.machine.names("sys/module").expect("it can be read")
    }

    /// A livepatch with a manifest that says that it was built for the running kernel.
    pub fn livepatch(&self, name: &str) -> Applying {
        let module = ModuleFile::read(&self.module(name, RELEASE)).expect("a module");
        let text = serde_json::json!({
            "manifest_version": 2,
            "build_key": "0".repeat(64),
            "built_at": "2026-11-26T12:00:00Z",
            "release": RELEASE,
            "architecture": "x86_64",
            "build_id": BUILD_ID,
            "config": "0".repeat(64),
            "fixes": [{"name": format!("{name}.patch"), "digest": "0".repeat(64)}],
            "source": {"kind": "debian", "version": "1", "packages": []},
            "toolchain": {"name": "none", "digest": "0".repeat(64), "compiler": "none"},
            "engine": "kpatch",
            "functions": [],
            "module": {"name": name, "file_name": format!("{name}.ko"), "digest": module.digest,
                "size_bytes": module.size, "vermagic": module.vermagic},
            "steps": [],
            "trial": {"guest_release": RELEASE, "kernel_image": "0".repeat(64), "accelerator": "tcg",
                "duration_seconds": 1.0, "transition_seconds": 1.0, "checks": [], "console_notes": []},
            "builder_version": "0.1.0",
        });
        let text = serde_json::to_vec(&text).expect("plain data");
        let manifest: Manifest = serde_json::from_slice(&text).expect("a manifest");
        Applying {
            module,
            manifest: Some(manifest),
            manifest_text: Some(text),
            manifest_signature: None,
            patches: Vec::new(),
        }
    }

    /// A livepatch module in a file: an object with what a module says of itself, and kpatch's entries left out.
    pub fn module(&self, name: &str, release: &str) -> PathBuf {
        let path = self.place.path().join(format!("{name}.ko"));
        // The build-id is made of the name.
        let id: String =
            name.bytes().cycle().take(20).map(|byte| format!("0x{byte:02x},")).collect();
        let source = format!(
            "__asm__(\".section .modinfo,\\\"a\\\"\\n\
             .asciz \\\"name={name}\\\"\\n.asciz \\\"vermagic={release} SMP \\\"\\n\
             .asciz \\\"livepatch=Y\\\"\\n.asciz \\\"license=GPL\\\"\\n\
             .section .note.gnu.build-id,\\\"a\\\",@note\\n.long 4,20,3\\n.asciz \\\"GNU\\\"\\n.byte {}\\n\
             .text\");",
            id.trim_end_matches(',')
        );
        let file = self.place.path().join("module.c");
        fs::write(&file, source).expect("own file");
        let ran =
            Command::new("gcc").args(["-c", "-o"]).arg(&path).arg(&file).output().expect("gcc");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        path
    }
}

/// The bytes of hexadecimal digits.
pub fn hex(text: &str) -> Vec<u8> {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("digits");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn note(id: &[u8]) -> Vec<u8> {
    let mut note = Vec::new();
    for word in [4, u32::try_from(id.len()).expect("it is short"), 3] {
        note.extend(word.to_ne_bytes());
    }
    note.extend(b"GNU\0");
    note.extend(id);
    note
}

impl Kernel {
    fn livepatch(&self, name: &str) -> PathBuf {
        self.root.join("sys/kernel/livepatch").join(name)
    }

    fn set(&self, name: &str, file: &str, value: &str) {
        fs::write(self.livepatch(name).join(file), value).expect("own file");
    }

    fn others(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.root.join("sys/kernel/livepatch")).expect("own directory");
        let names =
            entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
        names.filter(|other| other != name).collect()
    }

    /// Goes on with the transition.
    fn go_on(&mut self) {
        self.rests += 1;
        // Somebody wrote to a livepatch's `enabled`: it is disabled, or its transition reversed.
        for name in self.others("") {
            let is = |file: &str| {
                fs::read_to_string(self.livepatch(&name).join(file)).unwrap_or_default()
            };
            if is("enabled").trim() == "0" {
                fs::remove_dir_all(self.livepatch(&name)).expect("own directory");
                if self.moving.as_ref().is_some_and(|(moving, _)| *moving == name) {
                    self.moving = None;
                }
            }
        }
        let Some((name, ends)) = self.moving.clone() else { return };
        if !ends || self.rests < 3 {
            return;
        }
        self.set(&name, "transition", "0");
        for other in self.others(&name) {
            fs::remove_dir_all(self.livepatch(&other)).expect("own directory");
        }
        self.moving = None;
    }
}

impl Modules for FakeKernel {
    fn load(&self, mut file: &File) -> io::Result<()> {
        let mut kernel = self.0.borrow_mut();
        let fate = kernel.fate;
        match fate {
            Fate::Busy(0) => kernel.fate = Fate::Works,
            Fate::Busy(left) => {
                kernel.fate = Fate::Busy(left - 1);
                return Err(Errno::BUSY.into());
            }
            Fate::Refused(errno) => return Err(errno.into()),
            _ => {}
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let module = elivepatch_elf::Module::read(&bytes).expect("a module");
        let name = module.modinfo.name().expect("a name").to_owned();
        let place = kernel.root.join("sys/module").join(&name);
        if place.exists() {
            return Err(Errno::EXIST.into());
        }
        fs::create_dir_all(place.join("notes"))?;
        let id = module.build_id.expect("a build-id");
        fs::write(place.join("notes/.note.gnu.build-id"), note(&hex(id.as_str())))?;
        assert!(build_id(&note(&hex(id.as_str()))).is_some());
        fs::create_dir_all(kernel.livepatch(&name))?;
        kernel.set(&name, "enabled", "1");
        kernel.set(&name, "transition", "1");
        kernel.moving = Some((name, fate != Fate::Stalls));
        kernel.rests = 0;
        if fate == Fate::Oopses {
            fs::write(kernel.root.join("proc/sys/kernel/tainted"), "4224")?;
        }
        Ok(())
    }

    fn unload(&self, name: &str) -> io::Result<()> {
        let kernel = self.0.borrow();
        if kernel.livepatch(name).exists() {
            return Err(Errno::AGAIN.into());
        }
        let place = kernel.root.join("sys/module").join(name);
        if place.join("holders").exists() {
            return Err(Errno::AGAIN.into());
        }
        match fs::remove_dir_all(place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Errno::NOENT.into()),
            outcome => outcome,
        }
    }

    fn may_load(&self) -> bool {
        true
    }

    fn rest(&self, _time: Duration) {
        self.0.borrow_mut().go_on();
    }
}

/// A task that is in a state.
pub fn task(root: &Path, pid: u32, name: &str, state: &str) {
    let place = root.join(format!("proc/{pid}/task/{pid}"));
    fs::create_dir_all(&place).expect("own directory");
    fs::write(place.join("patch_state"), format!("{state}\n")).expect("own file");
    fs::write(place.join("comm"), format!("{name}\n")).expect("own file");
    let stack = "[<0>] msleep+0x2d/0x40\n[<0>] slow_read+0x11/0x30 [slow]\n";
    fs::write(place.join("stack"), stack).expect("own file");
}

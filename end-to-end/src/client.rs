use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use elivepatch_model::{BuildNumber, FailureClass, Manifest};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    programs::{bound_to_this_test, program},
    wait::{BUILD_LIMIT, wait_until},
};

/// A run of the client that is about to begin. It stores livepatches in a directory of its own.
#[derive(Debug)]
pub struct ClientCommand {
    command: Command,
    place: tempfile::TempDir,
}

/// A client at work.
#[derive(Debug)]
pub struct RunningClient {
    child: Child,
    place: tempfile::TempDir,
}

/// What a run of the client came to.
#[derive(Debug)]
pub struct ClientRun {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it gave as data.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    place: tempfile::TempDir,
}

impl ClientCommand {
    /// The client with a command, such as `cancel`.
    ///
    /// # Panics
    /// When there is no place for its output.
    pub fn new(command: &str) -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let mut process = bound_to_this_test(&program("elivepatch"));
        process.arg(command).current_dir(place.path()).stdin(Stdio::null());
        // In files: a pipe that nobody empties would stop the client.
        let file = |name| File::create(place.path().join(name)).expect("a file");
        process.stdout(file(".stdout")).stderr(file(".stderr"));
        Self { command: process, place }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Adds a patch.
    #[must_use]
    pub fn patch(self, path: &Path) -> Self {
        self.args([OsStr::new("--patch"), path.as_os_str()])
    }

    /// Adds a patch that a test has made up.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn patch_text(self, name: &str, text: &str) -> Self {
        let path = self.file(name, text);
        self.patch(&path)
    }

    /// Writes a file that the run may be given.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let directory = self.place.path().join(".given");
        std::fs::create_dir_all(&directory).expect("own directory");
        let path = directory.join(name);
        std::fs::write(&path, content).expect("own directory");
        path
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(mut self) -> RunningClient {
        let child = self.command.spawn().expect("the client starts");
        RunningClient { child, place: self.place }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it takes longer than any build does.
    pub fn run(self) -> ClientRun {
        self.start().wait()
    }
}

impl RunningClient {
    /// What it has said so far.
    pub fn stderr(&self) -> String {
        read(self.place.path(), ".stderr")
    }

    /// The number of its build, as soon as it says so.
    ///
    /// # Panics
    /// When it ends without.
    pub fn build_number(&mut self) -> BuildNumber {
        wait_until("the build's number", Duration::from_secs(30), || {
            if let Some(number) = number_in(&self.stderr()) {
                return Some(number);
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "no build: {}", self.stderr());
            None
        })
    }

    /// Presses Ctrl-C.
    ///
    /// # Panics
    /// When it is gone already.
    pub fn interrupt(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).expect("the client runs");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it takes longer than any build does.
    pub fn wait(mut self) -> ClientRun {
        let status =
            wait_until("the client's end", BUILD_LIMIT, || self.child.try_wait().expect("a child"));
        let (stdout, stderr) =
            (read(self.place.path(), ".stdout"), read(self.place.path(), ".stderr"));
        ClientRun { code: status.code(), stdout, stderr, place: self.place }
    }
}

impl ClientRun {
    /// Where it stored what it got.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// Makes sure that it ended well.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Makes sure that it failed with this code and class, and printed a hint; gives what it said.
    ///
    /// # Panics
    /// When it did not.
    pub fn fails_with(&self, code: i32, class: FailureClass) -> &str {
        let said = self.fails(code);
        assert!(said.contains(&format!("({class})")), "the class is not {class}:\n{said}");
        said
    }

    /// Makes sure that it failed with this code and stored nothing; gives what it said.
    ///
    /// # Panics
    /// When it did not.
    pub fn fails(&self, code: i32) -> &str {
        let said = &self.stderr;
        assert_eq!(self.code, Some(code), "{}\n{said}", self.stdout);
        assert!(said.contains("error: ") && said.contains("\nhint: "), "{said}");
        assert!(self.stored().is_empty(), "{:?}\n{said}", self.stored());
        said
    }

    /// The number of its build.
    ///
    /// # Panics
    /// When it had none.
    pub fn build_number(&self) -> BuildNumber {
        number_in(&self.stderr).unwrap_or_else(|| panic!("no build: {}", self.stderr))
    }

    /// The names of the files it stored, sorted.
    ///
    /// # Panics
    /// When its directory cannot be read.
    pub fn stored(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.place()).expect("own directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> =
            names.map(|name| name.into_string().expect("an ASCII name")).collect();
        names.retain(|name| ![".stdout", ".stderr", ".given"].contains(&name.as_str()));
        names.sort();
        names
    }

    /// The module and its manifest as they were stored.
    ///
    /// # Panics
    /// When they are not there, or there is more.
    pub fn livepatch(&self) -> (Vec<u8>, Manifest) {
        let stored = self.stored();
        let [module, manifest, signature] = stored.as_slice() else {
            panic!("not a module, its manifest and the signature: {stored:?}\n{}", self.stderr)
        };
        assert_eq!(*manifest, format!("{module}.manifest.json"));
        assert_eq!(*signature, format!("{manifest}.minisig"));
        let read = |name| std::fs::read(self.place().join(name)).expect("own directory");
        let manifest = serde_json::from_slice(&read(manifest)).expect("a manifest");
        (read(module), manifest)
    }
}

fn read(place: &Path, name: &str) -> String {
    std::fs::read_to_string(place.join(name)).expect("the client writes UTF-8")
}

/// Reads `build 7 on http://…`.
fn number_in(stderr: &str) -> Option<BuildNumber> {
    let mut lines = stderr.lines().filter_map(|line| line.strip_prefix("build "));
    lines.find_map(|line| line.split_once(" on ")?.0.parse().ok())
}

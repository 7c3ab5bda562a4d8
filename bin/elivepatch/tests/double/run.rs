//! Runs the real client in a directory of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use super::RELEASE;

/// A directory with a config and a patch, and an empty one to store results in.
pub struct Desk {
    directory: TempDir,
}

/// How the client ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let config = format!(
            "# Linux/x86 6.1.176 Kernel Configuration\nCONFIG_X86_64=y\n\
             CONFIG_BUILD_SALT=\"{RELEASE}\"\n"
        );
        fs::write(directory.path().join("config"), config).expect("a file");
        fs::write(directory.path().join("meminfo.patch"), super::PATCH).expect("a file");
        fs::create_dir(directory.path().join("out")).expect("a directory");
        Self { directory }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file, with the directories above it.
    pub fn write(&self, path: &str, content: &[u8]) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("own directory");
        fs::write(path, content).expect("own file");
    }

    pub fn module(&self) -> PathBuf {
        self.path().join("out").join(super::MODULE_NAME)
    }

    /// The names in the directory for results, hidden ones too.
    pub fn results(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("out")).expect("a directory");
        let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
        let mut names: Vec<String> = entries.map(|entry| name(entry.expect("an entry"))).collect();
        names.sort();
        names
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elivepatch"));
        command.args(arguments).current_dir(self.path()).env_remove("ELIVEPATCH_URL");
        command.env_remove("ELIVEPATCH_MANIFEST_KEY");
        command.env("ELIVEPATCH_STATE_DIRECTORY", self.path().join("state"));
        // A proxy that swallows everything: the client must not use it for a loopback address.
        for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env(variable, "http://127.0.0.1:9");
        }
        command.env_remove("no_proxy").env_remove("NO_PROXY");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Builds in the classic form, with more arguments behind it.
    pub fn build(&self, url: &str, more: &[&str]) -> Ended {
        let classic = ["--config", "config", "--patch", "meminfo.patch", "--url", url];
        let output = ["--output", "out"];
        self.run(&[&classic[..], &output, more].concat())
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().expect("the client runs");
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Starts a build and waits until the client has shown `text`.
    pub fn start_until(&self, url: &str, more: &[&str], text: &str) -> Running {
        let classic = ["--config", "config", "--patch", "meminfo.patch", "--output", "out"];
        self.start_line_until(&[&classic[..], &["--url", url], more].concat(), text)
    }

    /// Starts the client with these arguments and waits until it has shown `text`.
    pub fn start_line_until(&self, line: &[&str], text: &str) -> Running {
        let mut child = self.command(line).spawn().expect("the client starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let mut shown = Vec::new();
        while !String::from_utf8_lossy(&shown).contains(text) {
            let available = stderr.fill_buf().expect("readable");
            assert!(!available.is_empty(), "ended: {}", String::from_utf8_lossy(&shown));
            let count = available.len();
            shown.extend_from_slice(available);
            stderr.consume(count);
        }
        Running { child, stderr: Box::new(stderr), shown }
    }
}

/// A client that runs.
pub struct Running {
    pub child: Child,
    stderr: Box<dyn BufRead>,
    shown: Vec<u8>,
}

impl Running {
    /// Waits for its end.
    pub fn end(mut self) -> Ended {
        self.stderr.read_to_end(&mut self.shown).expect("readable");
        let mut stdout = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut stdout).expect("text");
        let status = self.child.wait().expect("it ends");
        let stderr = String::from_utf8(self.shown).expect("text");
        Ended { code: status.code(), stdout, stderr }
    }
}

impl Ended {
    /// The code and standard error are as they must be; shows everything when not.
    #[track_caller]
    pub fn expect(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is missing in {self:#?}");
        }
    }
}

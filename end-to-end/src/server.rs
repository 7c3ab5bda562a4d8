use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    Api, ClientCommand, ClientRun, ProcessTree,
    material::{cache_directory, stock_config_file},
    programs::{bound_to_this_test, program},
    wait::{SHORT_LIMIT, wait_until},
};

/// How a server is started.
#[derive(Debug, Default)]
pub struct ServerOptions {
    /// Its config file's text.
    pub config: String,
    /// Where its records are; a directory of its own when absent.
    pub data_directory: Option<PathBuf>,
    /// Where its builds work; a directory of its own when absent.
    pub work_directory: Option<PathBuf>,
    /// Where its packages, toolchain roots and bases are; those of all tests when absent.
    pub shared_cache: Option<PathBuf>,
    /// Whether workers of other machines are to build, and none here.
    pub without_workers: bool,
}

/// A real server with records of its own. It shares packages, toolchain root and base with all
/// others, and is killed with the test.
#[derive(Debug)]
pub struct TestServer {
    child: Option<Child>,
    /// `127.0.0.1:PORT`, the same after each start.
    address: String,
    data_directory: PathBuf,
    without_workers: bool,
    place: tempfile::TempDir,
}

impl TestServer {
    /// Starts one and returns when it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(options: ServerOptions) -> Self {
        let shared = options.shared_cache.unwrap_or_else(cache_directory);
        let servers = shared.join("test").join("servers");
        fs::create_dir_all(&servers).expect("the cache can be written");
        let place = tempfile::tempdir_in(&servers).expect("the cache can be written");
        lay_out_cache(&place.path().join("cache"), &shared, options.work_directory.as_deref());
        let overlay = std::env::var("ELIVEPATCH_TEST_NO_OVERLAY").is_ok_and(|value| value == "1");
        let config = match (overlay, options.config.contains("[builder]")) {
            (false, _) => options.config,
            (true, true) => options.config.replace("[builder]", "[builder]\noverlay = false"),
            (true, false) => format!("{}\n[builder]\noverlay = false\n", options.config),
        };
        fs::write(place.path().join("server.toml"), config).expect("own directory");
        let data_directory = options.data_directory.unwrap_or_else(|| place.path().join("data"));
        let mut server = Self {
            child: None,
            address: "127.0.0.1:0".to_owned(),
            data_directory,
            without_workers: options.without_workers,
            place,
        };
        server.restart();
        server
    }

    /// Starts it again, on the same records and at the same address.
    ///
    /// # Panics
    /// When it runs still, or does not start.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server runs still");
        let log = File::options().create(true).append(true).open(self.log_file());
        let log = log.expect("own directory");
        let begin = self.log().len();
        let mut command = bound_to_this_test(&program("elivepatch-server"));
        command
            .arg(if self.without_workers { "serve" } else { "all" })
            .arg("--config")
            .arg(self.place.path().join("server.toml"))
            .args(["--listen", &self.address, "--data-directory"])
            .arg(&self.data_directory)
            .arg("--cache-directory")
            .arg(self.place.path().join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let mut child = command.spawn().expect("setpriv is installed");
        self.address = wait_until("the server's address", SHORT_LIMIT, || {
            let log = self.log();
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "the server did not start:\n{log}");
            let address = log[begin..].split("listening on http://").nth(1)?.split_once('\n')?.0;
            Some(address.to_owned())
        });
        self.child = Some(child);
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs one of the server's own commands on its records, and gives what that prints.
    ///
    /// # Panics
    /// When it does not end with 0.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let config = self.place.path().join("command.toml");
        let data = self.data_directory.to_str().expect("UTF-8");
        // Before the first section of the server's own.
        let text = fs::read_to_string(self.place.path().join("server.toml")).expect("own file");
        fs::write(&config, format!("data_directory = {data:?}\n{text}")).expect("own directory");
        let mut command = bound_to_this_test(&program("elivepatch-server"));
        let ran = command.args(arguments).arg("--config").arg(&config).output();
        let ran = ran.expect("setpriv is installed");
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        assert!(ran.status.success(), "{said}");
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Where its records are.
    pub fn data_directory(&self) -> &Path {
        &self.data_directory
    }

    /// The API.
    pub fn api(&self) -> Api {
        Api::new(&self.url())
    }

    /// A client that is to order something for the stock kernel.
    pub fn build(&self) -> ClientCommand {
        self.build_for(&stock_config_file())
    }

    /// A client that is to order something for the kernel with this config.
    pub fn build_for(&self, config: &Path) -> ClientCommand {
        self.client("build").args(["--config".as_ref(), config.as_os_str()])
    }

    /// A client with another command.
    pub fn client(&self, command: &str) -> ClientCommand {
        ClientCommand::new(command).args(["--url", &self.url()])
    }

    /// Has a livepatch that another server made built again, from its manifest, the config and the
    /// patches, and makes sure that the bytes are the same.
    ///
    /// # Panics
    /// When they are not.
    pub fn rebuilds_to_the_same_bytes(&self, made: &ClientRun, config: &Path, patches: &[PathBuf]) {
        let manifest = format!("{}.manifest.json", made.livepatch().1.module.file_name);
        let rebuild = self.client("rebuild").args([made.place().join(manifest)]).args(patches);
        let run = rebuild.args(["--config".as_ref(), config.as_os_str()]).run().succeeds();
        assert!(run.stdout.contains("rebuild: identical\n"), "{}", run.stdout);
    }

    /// What runs below it now.
    ///
    /// # Panics
    /// When it does not run.
    pub fn processes(&self) -> ProcessTree {
        ProcessTree::below(self.child.as_ref().expect("the server runs").id())
    }

    /// Ends it as a power failure would: `kill -9`.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        child.kill().expect("the server runs");
        child.wait().expect("a child");
    }

    /// Ends it as an init system would: SIGTERM. Gives how it ended.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server runs");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("the server runs");
        wait_until("the server's end", SHORT_LIMIT, || child.try_wait().expect("a child"))
    }

    /// What it has printed since its first start.
    pub fn log(&self) -> String {
        fs::read(self.log_file())
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.place.path().join("log")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing left to do.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// A cache directory that has its own place for work, and shares all else.
pub(crate) fn lay_out_cache(cache: &Path, shared: &Path, work: Option<&Path>) {
    fs::create_dir_all(cache).expect("own directory");
    for name in ["apt", "packages", "toolchain-roots", "bases"] {
        let target = shared.join(name);
        fs::create_dir_all(&target).expect("the cache can be written");
        symlink(target, cache.join(name)).expect("own directory");
    }
    if let Some(work) = work {
        symlink(work, cache.join("work")).expect("own directory");
    }
}

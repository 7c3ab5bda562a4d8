use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    TestServer,
    programs::{bound_to_this_test, program},
    server::lay_out_cache,
    wait::{SHORT_LIMIT, wait_until},
};

/// A machine that builds for a server: the real program with a place of its own. It shares packages, toolchain root and
/// base with all others, and is killed with the test.
#[derive(Debug)]
pub struct TestWorker {
    child: Child,
    place: tempfile::TempDir,
}

impl TestWorker {
    /// Starts one that is called `name`, with a token that was made for it and this config. It may end by itself.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(server: &TestServer, name: &str, token: &str, config: &str) -> Self {
        let shared = crate::cache_directory();
        let workers = shared.join("test").join("servers");
        fs::create_dir_all(&workers).expect("the cache can be written");
        let place = tempfile::tempdir_in(&workers).expect("the cache can be written");
        lay_out_cache(&place.path().join("cache"), &shared, None);
        let file = |name: &str, text: &str| -> PathBuf {
            let path = place.path().join(name);
            fs::write(&path, text).expect("own directory");
            path
        };
        let (config, token) = (file("server.toml", config), file("token", token));
        let log = File::create(place.path().join("log")).expect("own directory");
        let child = bound_to_this_test(&program("elivepatch-server"))
            .args(["worker", "--url", &server.url(), "--name", name, "--config"])
            .arg(config)
            .arg("--token-file")
            .arg(token)
            .arg("--data-directory")
            .arg(place.path().join("data"))
            .arg("--cache-directory")
            .arg(place.path().join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("setpriv is installed");
        Self { child, place }
    }

    /// Waits until the server has taken it.
    ///
    /// # Panics
    /// When it ends, or the server does not.
    pub fn is_taken(&mut self) {
        wait_until("the server's yes", SHORT_LIMIT, || {
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none(), "the worker ended:\n{}", self.log());
            self.log().contains("the server takes this worker").then_some(())
        });
    }

    /// Waits until it has ended by itself, and gives its exit code and what it has printed.
    ///
    /// # Panics
    /// When it does not end.
    pub fn ends(&mut self) -> (Option<i32>, String) {
        let status =
            wait_until("the worker's end", SHORT_LIMIT, || self.child.try_wait().expect("a child"));
        (status.code(), self.log())
    }

    /// Ends it as an init system would: SIGTERM. Gives its exit code and what it has printed.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub fn terminate(&mut self) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("the worker runs");
        self.ends()
    }

    /// Where its config is.
    pub fn config(&self) -> PathBuf {
        self.place.path().join("server.toml")
    }

    /// Where what it keeps for a moment is.
    pub fn data_directory(&self) -> PathBuf {
        self.place.path().join("data")
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        read(&self.place.path().join("log"))
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the worker's log:\n{}", self.log());
        }
    }
}

//! A server beside which commands are run.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
};

/// A server that is ended when the test is over.
pub struct Running {
    /// Its process.
    pub child: Child,
    /// The other end of its standard error: what it says later has to go somewhere.
    pub said: BufReader<ChildStderr>,
    /// Where it listens.
    pub url: String,
}

impl Running {
    /// Starts one with a config and further options, and waits until it listens.
    pub fn start(config: &Path, options: &[&str]) -> Self {
        let mut server = Self::begin(config, options);
        server.wait_until_it_listens();
        server
    }

    /// Starts one, and does not wait.
    pub fn begin(config: &Path, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elivepatch-server"));
        command.args(options).arg("--config").arg(config).stderr(Stdio::piped());
        command.env_remove("RUST_LOG");
        let mut child = command.spawn().expect("the program");
        let said = BufReader::new(child.stderr.take().expect("it is piped"));
        Self { child, said, url: String::new() }
    }

    /// Waits until it listens.
    pub fn wait_until_it_listens(&mut self) {
        let mut lines = self.said.by_ref().lines().map_while(Result::ok);
        let url = lines.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        self.url = url.expect("it runs");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_api::client::Client;

use crate::{process_memory::peak_bytes, setting::Setting};

/// How long a server may take to listen. It tries the sandbox first.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long it gets to end when it is told to.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// What the server logs: its usual lines, and one for each tool that ran in the sandbox.
const LOG_FILTER: &str = "info,elivepatch_builder::sandbox=debug";

/// A real server with a data directory of its own. It is stopped with the value.
pub struct Server {
    process: Child,
    log: Utf8PathBuf,
    client: Client,
}

impl Server {
    /// Starts a server with this cache; `name` names its data directory and its log.
    ///
    /// # Errors
    /// When it does not start, with the end of its log.
    pub fn start(setting: &Setting, name: &str, cache: &Utf8Path) -> anyhow::Result<Self> {
        let log = setting.output.join(format!("server-{name}.log"));
        let data = setting.scratch.join(format!("data-{name}"));
        let mut command = Command::new(&setting.server);
        command
            .args(["--data-directory", data.as_str()])
            .args(["--cache-directory", cache.as_str()]);
        Self::spawn(command, log)
    }

    /// Starts a server with a config file; its log goes to `log`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn with_config(
        program: &Utf8Path,
        config: &Utf8Path,
        log: Utf8PathBuf,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(["--config", config.as_str()]);
        Self::spawn(command, log)
    }

    fn spawn(mut command: Command, log: Utf8PathBuf) -> anyhow::Result<Self> {
        let output = fs_err::File::create(&log).context("the server needs a log")?;
        let program = command.get_program().to_owned();
        let mut process = command
            .args(["--listen", "127.0.0.1:0"])
            .env("RUST_LOG", LOG_FILTER)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output.into_parts().0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        match address(&mut process, &log) {
            Ok(address) => {
                let url = address.parse().context("the server's address is no URL")?;
                let client = Client::over_http(url, "elivepatch-bench")?;
                Ok(Self { process, log, client })
            }
            Err(error) => {
                stop(&mut process);
                Err(error)
            }
        }
    }

    /// A client for it.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What it has logged so far.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        fs_err::read_to_string(&self.log).context("the server's log is gone")
    }

    /// The most memory that its process has had, without the tools that it ran, in bytes.
    ///
    /// # Errors
    /// When it is gone.
    pub fn peak_bytes(&self) -> anyhow::Result<u64> {
        peak_bytes(self.process.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.process);
    }
}

/// The address that the server writes to its log when it listens.
fn address(process: &mut Child, log: &Utf8Path) -> anyhow::Result<String> {
    let started = Instant::now();
    loop {
        let text = fs_err::read_to_string(log).context("the server's log is gone")?;
        let line = text.lines().find_map(|line| line.strip_prefix("listening on "));
        if let Some(address) = line {
            return Ok(address.trim().to_owned());
        }
        if let Some(status) = process.try_wait().context("cannot look after the server")? {
            bail!("the server ended with {status}: {}", text.trim());
        }
        if started.elapsed() > START_LIMIT {
            bail!("the server does not listen after {} s: {log}", START_LIMIT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn stop(process: &mut Child) {
    let id = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    let told = Instant::now();
    while matches!(process.try_wait(), Ok(None)) {
        if told.elapsed() > STOP_LIMIT {
            let _ = process.kill();
            let _ = process.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

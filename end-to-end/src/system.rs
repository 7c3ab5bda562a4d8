//! A machine with a whole system, on which the services of packaging/ run.

use std::{fs, path::PathBuf, time::Duration};

use crate::{
    Livepatches, RunningMachine, ServerOptions, ServiceManager, TargetMachine, TestServer,
    module_name, wait_until, way_to,
};

/// A whole system, under software emulation.
const PATIENCE: Duration = Duration::from_secs(1200);

/// A machine with services of packaging/, and a server that has two livepatches for it, hears of it each ten seconds, and
/// knows it as `web-17` when it has enrolled.
#[derive(Debug)]
pub struct RegisteredSystem {
    livepatches: Livepatches,
    machine: TargetMachine,
    token: String,
}

impl RegisteredSystem {
    /// One with these services, which nobody has enabled or started.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(manager: ServiceManager, services: &[&str]) -> Self {
        let (directory, place, variable) = match manager {
            ServiceManager::Systemd => {
                ("systemd", "etc/systemd/system", "ELIVEPATCH_TEST_SYSTEMD_ROOT")
            }
            ServiceManager::OpenRc => ("openrc", "etc/init.d", "ELIVEPATCH_TEST_OPENRC_ROOT"),
        };
        let archive = std::env::var_os(variable).map(PathBuf::from);
        let archive =
            archive.unwrap_or_else(|| panic!("{variable} names no archive: make test-full does"));
        let config = "[hosts]\nreport_seconds = 10\n".to_owned();
        let livepatches = Livepatches::of(ServerOptions { config, ..ServerOptions::default() });
        let token = livepatches.server.command(["token", "create", "--role", "host"]);
        let service = |name: &&str| {
            let root = env!("CARGO_MANIFEST_DIR");
            let from = format!("{root}/../packaging/{directory}/{name}");
            let content = fs::read(&from).unwrap_or_else(|error| panic!("{from}: {error}"));
            (format!("{place}/{name}"), content)
        };
        let services: Vec<(String, Vec<u8>)> = services.iter().map(service).collect();
        let mut files: Vec<(&str, &[u8])> =
            services.iter().map(|(path, content)| (&path[..], &content[..])).collect();
        files.push(("etc/elivepatch/agent.toml", b"jitter_seconds = 0\n"));
        let machine = TargetMachine::with_system(&archive, manager, &files);
        Self { livepatches, machine, token: token.trim().to_owned() }
    }

    /// The server.
    pub fn server(&self) -> &TestServer {
        &self.livepatches.server
    }

    /// The name of the first livepatch's module, of build 1.
    pub fn livepatch(&self) -> String {
        module_name(&self.livepatches.first)
    }

    /// The command that registers it.
    pub fn enrol(&self) -> String {
        let (url, token) = (self.server().url(), &self.token);
        format!("sh -c 'echo {token} | elivepatch enrol --url {url} --token-file - --name web-17'")
    }

    /// Boots it, and runs a script with the way to the server.
    ///
    /// # Panics
    /// When QEMU cannot be started.
    pub fn start(&self, script: &str) -> RunningMachine<'_> {
        let script = format!("{}\n{script}", way_to(&self.server().url()));
        self.machine.start(&script, "net.ifnames=0").with_patience(PATIENCE)
    }

    /// Waits until the server has heard that nothing is loaded on it any more.
    ///
    /// # Panics
    /// When it does not hear that soon.
    pub fn server_hears_of_its_end(&self) {
        wait_until("the server to hear of it", Duration::from_secs(5), || {
            let shown = self.server().command(["host", "show", "web-17", "--json"]);
            let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            (shown["report"]["state"] == "not-patched").then_some(())
        });
    }
}

//! The arguments of `elivepatch-server worker`.

use camino::Utf8PathBuf;
use clap::Args;
use elivepatch_server::config::WorkerSection;

/// What a worker takes.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// The server to build for: its address with scheme and port, whatever the config says.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The SHA-256 of its certificate: it must have this one, whoever has signed it.
    #[arg(long, value_name = "SHA256")]
    server_certificate: Option<String>,
    /// A file with a token of the role worker.
    #[arg(long, value_name = "FILE")]
    token_file: Option<Utf8PathBuf>,
    /// What this machine is called on the server [default: its host name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Keep nothing but a lock and what is needed for a moment here, whatever the config says.
    #[arg(long, value_name = "DIRECTORY")]
    pub data_directory: Option<Utf8PathBuf>,
    /// Keep packages, toolchain roots and bases here, whatever the config says.
    #[arg(long, value_name = "DIRECTORY")]
    pub cache_directory: Option<Utf8PathBuf>,
}

impl WorkerArguments {
    /// Puts what is given in the place of what the config says.
    pub fn apply(&self, section: &mut WorkerSection) {
        let absolute =
            |path: &Utf8PathBuf| camino::absolute_utf8(path).unwrap_or_else(|_| path.clone());
        let over = |given: &Option<String>, own: &mut Option<String>| {
            if given.is_some() {
                own.clone_from(given);
            }
        };
        // Those are the other server's.
        if section.server.is_some() && self.url.is_some() && self.url != section.server {
            section.certificate = None;
            section.token_file = None;
        }
        over(&self.url, &mut section.server);
        over(&self.server_certificate, &mut section.certificate);
        over(&self.name, &mut section.name);
        if let Some(path) = &self.token_file {
            section.token_file = Some(absolute(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    #[test]
    fn certificate_and_token_of_the_config_go_with_its_server_only() {
        let of = |config: Option<&str>, line: &[&str]| {
            let all = ["elivepatch-server", "worker"].into_iter().chain(line.iter().copied());
            let Some(Command::Worker(worker)) =
                Arguments::try_parse_from(all).expect("a command line").command
            else {
                panic!("another command");
            };
            let mut section = WorkerSection {
                server: config.map(str::to_owned),
                certificate: Some("pin".to_owned()),
                token_file: Some("/token".into()),
                name: None,
            };
            worker.apply(&mut section);
            (section.certificate.is_some(), section.token_file.is_some())
        };
        assert_eq!(of(Some("https://a"), &[]), (true, true));
        assert_eq!(of(Some("https://a"), &["--url", "https://a"]), (true, true));
        assert_eq!(of(None, &["--url", "https://a"]), (true, true));
        assert_eq!(of(Some("https://a"), &["--url", "https://b"]), (false, false));
        let own = ["--url", "https://b", "--token-file", "/other"];
        assert_eq!(of(Some("https://a"), &own), (false, true));
    }
}

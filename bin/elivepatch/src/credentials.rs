//! With which token a server is asked, and by which certificate it is known.

use std::{
    fs::File,
    io::{Read, stdin},
    path::{Path, PathBuf},
};

use clap::Args;
use elivepatch_api::client::CertificatePin;
use elivepatch_host::Enrolment;
use elivepatch_model::AccessToken;

use crate::{
    commands::host::{StateArgs, host_problem},
    problem::Problem,
    text::shell_word,
};

/// The largest file that a token is read from, in bytes: a token and some white space.
const TOKEN_FILE_BYTES: u64 = 4096;

/// The variable that holds a token. There is no option for it: other users see a command line.
const TOKEN_VARIABLE: &str = "ELIVEPATCH_TOKEN";

/// The token, and the server's certificate.
#[derive(Debug, Default, Args)]
pub struct CredentialArgs {
    /// A file with the token that the server wants; -: standard input [default: ELIVEPATCH_TOKEN, or for root the
    /// token of the host where this machine is enrolled]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The SHA-256 of the server's certificate: it must have this one, whoever has signed it
    #[arg(
        long,
        value_name = "SHA256",
        env = "ELIVEPATCH_SERVER_CERTIFICATE",
        hide_env_values = true
    )]
    server_certificate: Option<String>,
}

impl CredentialArgs {
    /// The token that is given.
    pub fn token(&self) -> Result<Option<AccessToken>, Problem> {
        if let Some(path) = &self.token_file {
            return read_token(path).map(Some);
        }
        match std::env::var(TOKEN_VARIABLE) {
            Ok(text) if !text.trim().is_empty() => {
                let token = text.trim().parse().map_err(|error| {
                    Problem::input(format!("{TOKEN_VARIABLE} holds no token"))
                        .caused_by(&error)
                        .hint(HOW_TO_GET_ONE)
                });
                token.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The only certificate that the server may have.
    pub fn certificate(&self) -> Result<Option<CertificatePin>, Problem> {
        let given = self.server_certificate.as_deref().filter(|text| !text.trim().is_empty());
        let pin = given.map(|text| {
            text.parse().map_err(|error| {
                Problem::usage("--server-certificate is not the fingerprint of a certificate")
                    .caused_by(&error)
                    .hint("give what this prints on the server: elivepatch-server certificate")
            })
        });
        pin.transpose()
    }

    /// The options again, for commands that are suggested.
    pub fn options(&self) -> String {
        let mut options = String::new();
        if let Some(path) = &self.token_file {
            options.push_str(&format!(" --token-file {}", shell_word(&path.display().to_string())));
        }
        if let Some(pin) = self.server_certificate.as_ref().filter(|pin| !pin.is_empty()) {
            options.push_str(&format!(" --server-certificate {}", shell_word(pin)));
        }
        options
    }
}

/// What to do for a token.
const HOW_TO_GET_ONE: &str =
    "it is what elivepatch-server token create printed, the whole line that begins with elp_";

fn read_token(path: &Path) -> Result<AccessToken, Problem> {
    let is_stdin = path == Path::new("-");
    let shown = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    let mut text = Vec::new();
    let read = match is_stdin {
        true => stdin().take(TOKEN_FILE_BYTES).read_to_end(&mut text),
        false => {
            File::open(path).and_then(|file| file.take(TOKEN_FILE_BYTES).read_to_end(&mut text))
        }
    };
    read.map_err(|error| {
        Problem::input(format!("cannot read the token in {shown}"))
            .caused_by(&error)
            .hint("name a file that holds nothing but the token with --token-file FILE")
    })?;
    let text = String::from_utf8_lossy(&text);
    text.trim().parse().map_err(|error| {
        Problem::input(format!("there is no token in {shown}"))
            .caused_by(&error)
            .hint(HOW_TO_GET_ONE)
    })
}

/// Where this machine is enrolled; only root may use that.
pub fn enrolment() -> Result<Option<Enrolment>, Problem> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let directory = StateArgs::of_environment().directory();
    directory.enrolment().map_err(|problem| host_problem(&problem))
}

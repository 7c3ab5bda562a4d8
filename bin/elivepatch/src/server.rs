use std::{future::Future, path::Path, time::Duration};

use clap::Args;
use elivepatch_api::client::{CertificatePin, Client, ClientError, ServerAccess, ServerUrl};
use elivepatch_host::Enrolment;
use elivepatch_model::{AccessToken, BuildNumber, RunNumber};

use crate::{
    credentials::{self, CredentialArgs},
    problem::{Problem, warn},
    text::shell_word,
};

/// The pause between two tries of a call.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// What this program calls itself to servers.
pub const USER_AGENT: &str = concat!("elivepatch/", env!("CARGO_PKG_VERSION"));

/// The address of a server.
#[derive(Debug, Default, Args)]
pub struct UrlArgs {
    /// The server; without a scheme it is https, or http on this machine's loopback address
    #[arg(short, long, value_name = "URL", env = "ELIVEPATCH_URL", hide_env_values = true)]
    url: Option<String>,
}

/// Which server, and how it is asked.
#[derive(Debug, Default, Args)]
pub struct ServerArgs {
    #[command(flatten)]
    url: UrlArgs,
    #[command(flatten)]
    credentials: CredentialArgs,
}

/// The server that a command speaks to.
pub struct Server {
    /// Its address.
    pub url: ServerUrl,
    /// The client for it.
    pub client: Client,
    /// The options that lead to it, for commands that are suggested; with a space at the end, or empty.
    options: String,
}

impl UrlArgs {
    /// Reads the address.
    pub fn read(&self) -> Result<ServerUrl, Problem> {
        match self.given() {
            Some(text) => parse(text),
            None => Err(Problem::usage("no server is given")
                .hint("give it with --url HOST:PORT, or set ELIVEPATCH_URL")),
        }
    }

    fn given(&self) -> Option<&str> {
        self.url.as_deref().filter(|text| !text.is_empty())
    }
}

fn parse(text: &str) -> Result<ServerUrl, Problem> {
    text.parse().map_err(|error| {
        Problem::usage("--url is not the address of a server")
            .caused_by(&error)
            .hint("write it as --url HOST:PORT or --url https://HOST")
    })
}

/// An enrolment that says what this program would not write.
fn damaged(error: &dyn std::error::Error) -> Problem {
    Problem::input("what is written down of this machine's enrolment cannot be used")
        .caused_by(error)
        .hint("enrol it anew: elivepatch enrol --again")
}

/// The token with which this machine asks its own server.
fn token_of(enrolment: &Enrolment) -> Result<AccessToken, Problem> {
    enrolment.token.parse().map_err(|error| damaged(&error))
}

/// The certificate by which its own server is known; `None`: by one that the system trusts.
fn certificate_of(enrolment: &Enrolment) -> Result<Option<CertificatePin>, Problem> {
    let pin = enrolment.server_certificate.as_ref().map(|pin| pin.parse());
    pin.transpose().map_err(|error| damaged(&error))
}

impl ServerArgs {
    /// Reads what is given, and for root on an enrolled machine adds what is not. Nothing is sent yet.
    pub fn open(&self) -> Result<Server, Problem> {
        let given = self.url.given().map(parse).transpose()?;
        let (url, access) = self.access(given)?;
        let is_private = url.is_encrypted() || url.is_loopback();
        if access.token.is_some() && !is_private {
            let error = ClientError::Unencrypted { url: url.to_string() };
            return Err(Problem::from_client(&error, &url));
        }
        if access.certificate.is_some() && !url.is_encrypted() {
            return Err(Problem::usage(format!("{url} has no certificate: it is not encrypted"))
                .hint("write its address with https://, or leave --server-certificate out"));
        }
        if !is_private {
            warn(&format!(
                "{url} is not encrypted: whoever is on the way can change the module that you load"
            ));
        }
        let client = Client::over_http_as(url.clone(), USER_AGENT, &access)
            .map_err(|error| Problem::from_client(&error, &url))?;
        let options = match self.url.given() {
            Some(_) => {
                format!("--url {}{} ", shell_word(url.as_str()), self.credentials.options())
            }
            None => format!("{} ", self.credentials.options()).trim_start().to_owned(),
        };
        Ok(Server { url, client, options })
    }

    /// The server's address, token and certificate: those that are given, and for what is not given those of the
    /// enrolment, when the server is the same.
    fn access(&self, given: Option<ServerUrl>) -> Result<(ServerUrl, ServerAccess), Problem> {
        let mut access = ServerAccess {
            token: self.credentials.token()?,
            certificate: self.credentials.certificate()?,
        };
        let enrolment = match (credentials::enrolment(), &given) {
            // Another server may be asked whatever is wrong with it.
            (Err(problem), Some(_)) => {
                warn(&format!(
                    "where this machine is enrolled cannot be read: {}",
                    problem.message()
                ));
                None
            }
            (enrolment, _) => enrolment?,
        };
        let Some(enrolment) = enrolment else {
            return Ok((given.map_or_else(|| self.url.read(), Ok)?, access));
        };
        let own: ServerUrl = parse(&enrolment.url)?;
        let url = given.unwrap_or_else(|| own.clone());
        // A host's token is for its own server only.
        if url == own {
            if access.token.is_none() {
                access.token = Some(token_of(&enrolment)?);
            }
            if access.certificate.is_none() {
                access.certificate = certificate_of(&enrolment)?;
            }
        }
        Ok((url, access))
    }
}

impl Server {
    /// The server at which this machine is registered.
    pub fn of_enrolment(enrolment: &Enrolment) -> Result<Self, Problem> {
        let url: ServerUrl = parse(&enrolment.url)?;
        let (token, certificate) = (token_of(enrolment)?, certificate_of(enrolment)?);
        let access = ServerAccess { token: Some(token), certificate };
        let client = Client::over_http_as(url.clone(), USER_AGENT, &access)
            .map_err(|error| Problem::from_client(&error, &url))?;
        Ok(Self { url, client, options: String::new() })
    }

    /// What a failed call to this server means.
    pub fn problem(&self, error: &ClientError) -> Problem {
        Problem::from_client(error, &self.url)
    }

    /// The command that goes on with a build.
    pub fn follow_command(&self, number: BuildNumber) -> String {
        format!("elivepatch build {}--follow {number}", self.options)
    }

    /// The command that goes on with the rebuild of a manifest's livepatch.
    pub fn follow_rebuild_command(&self, number: BuildNumber, manifest: &Path) -> String {
        format!(
            "elivepatch rebuild {}--follow {number} {}",
            self.options,
            shell_word(&manifest.display().to_string())
        )
    }

    /// The command that cancels a build.
    pub fn cancel_command(&self, number: BuildNumber) -> String {
        format!("elivepatch cancel {}{number}", self.options)
    }

    /// The command that goes on with a CVE run, or shows it.
    pub fn run_command(&self, number: RunNumber) -> String {
        format!("elivepatch cve {}--run {number}", self.options)
    }

    /// The command that cancels a CVE run.
    pub fn cancel_run_command(&self, number: RunNumber) -> String {
        format!("elivepatch cve {}--cancel {number}", self.options)
    }

    /// The command that lists the builds.
    pub fn list_command(&self) -> String {
        format!("elivepatch builds {}", self.options).trim_end().to_owned()
    }

    /// Makes a call, again and again for as long as `patience` while the server is away. Only for
    /// calls that change nothing.
    pub async fn patiently<T, Answer>(
        &self,
        patience: Duration,
        mut call: impl FnMut() -> Answer,
    ) -> Result<T, ClientError>
    where
        Answer: Future<Output = Result<T, ClientError>>,
    {
        let begin = tokio::time::Instant::now();
        loop {
            match call().await {
                Err(error) if error.is_passing() && begin.elapsed() < patience => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }
}

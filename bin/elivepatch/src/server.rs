use std::{future::Future, path::Path, time::Duration};

use clap::Args;
use elivepatch_api::client::{Client, ClientError, ServerUrl};
use elivepatch_host::Enrolment;
use elivepatch_model::{BuildNumber, RunNumber};

use crate::{
    problem::{Problem, warn},
    text::shell_word,
};

/// The pause between two tries of a call.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Which server.
#[derive(Debug, Default, Args)]
pub struct ServerArgs {
    /// The server; without a scheme it is https, or http on this machine's loopback address
    #[arg(short, long, value_name = "URL", env = "ELIVEPATCH_URL", hide_env_values = true)]
    url: Option<String>,
}

/// The server that a command speaks to.
pub struct Server {
    /// Its address.
    pub url: ServerUrl,
    /// The client for it.
    pub client: Client,
}

impl ServerArgs {
    /// Reads the address. Nothing is sent yet.
    pub fn open(&self) -> Result<Server, Problem> {
        let Some(text) = self.url.as_ref().filter(|text| !text.is_empty()) else {
            return Err(Problem::usage("no server is given")
                .hint("give it with --url HOST:PORT, or set ELIVEPATCH_URL"));
        };
        let url: ServerUrl = text.parse().map_err(|error| {
            Problem::usage("--url is not the address of a server")
                .caused_by(&error)
                .hint("write it as --url HOST:PORT or --url https://HOST")
        })?;
        if !url.is_encrypted() && !url.is_loopback() {
            warn(&format!(
                "{url} is not encrypted: whoever is on the way can change the module that you load"
            ));
        }
        let user_agent = concat!("elivepatch/", env!("CARGO_PKG_VERSION"));
        let client = Client::over_http(url.clone(), user_agent)
            .map_err(|error| Problem::from_client(&error, &url))?;
        Ok(Server { url, client })
    }
}

impl Server {
    /// The server at which this machine is registered.
    pub fn of_enrolment(enrolment: &Enrolment) -> Result<Self, Problem> {
        ServerArgs { url: Some(enrolment.url.clone()) }.open()
    }

    /// What a failed call to this server means.
    pub fn problem(&self, error: &ClientError) -> Problem {
        Problem::from_client(error, &self.url)
    }

    /// The command that goes on with a build.
    pub fn follow_command(&self, number: BuildNumber) -> String {
        format!("elivepatch build --url {} --follow {number}", shell_word(self.url.as_str()))
    }

    /// The command that goes on with the rebuild of a manifest's livepatch.
    pub fn follow_rebuild_command(&self, number: BuildNumber, manifest: &Path) -> String {
        format!(
            "elivepatch rebuild --url {} --follow {number} {}",
            shell_word(self.url.as_str()),
            shell_word(&manifest.display().to_string())
        )
    }

    /// The command that cancels a build.
    pub fn cancel_command(&self, number: BuildNumber) -> String {
        format!("elivepatch cancel --url {} {number}", shell_word(self.url.as_str()))
    }

    /// The command that goes on with a CVE run, or shows it.
    pub fn run_command(&self, number: RunNumber) -> String {
        format!("elivepatch cve --url {} --run {number}", shell_word(self.url.as_str()))
    }

    /// The command that cancels a CVE run.
    pub fn cancel_run_command(&self, number: RunNumber) -> String {
        format!("elivepatch cve --url {} --cancel {number}", shell_word(self.url.as_str()))
    }

    /// The command that lists the builds.
    pub fn list_command(&self) -> String {
        format!("elivepatch builds --url {}", shell_word(self.url.as_str()))
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

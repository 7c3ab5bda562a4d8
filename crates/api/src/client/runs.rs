use elivepatch_model::RunNumber;

use super::{
    Client, ClientError,
    builds::{RequestTexts, upload},
    call::Call,
};
use crate::{RunRequest, RunResource, RunSubmission, RunSummary, paths};

impl Client {
    /// Asks for the fixes of the CVEs that matter on a kernel as one livepatch. It holds the patches of `texts` as
    /// well.
    ///
    /// # Errors
    /// As [`Client::submit`].
    pub async fn start_run(
        &self,
        request: &RunRequest,
        texts: &RequestTexts<'_>,
    ) -> Result<RunSubmission, ClientError> {
        let request = serde_json::to_vec(request).expect("a run request has a JSON form");
        self.send_for_json(upload(paths::RUNS, &request, texts)).await
    }

    /// Gets a run with all its CVEs.
    ///
    /// # Errors
    /// As for any call; an unknown number is [`crate::ErrorCode::NotFound`].
    pub async fn run(&self, number: RunNumber) -> Result<RunResource, ClientError> {
        self.send_for_json(Call::get(run_path(number, ""))).await
    }

    /// Gets a run without its CVEs: where it stands, and how many CVEs there are with each verdict.
    ///
    /// # Errors
    /// As [`Client::run`].
    pub async fn run_in_short(&self, number: RunNumber) -> Result<RunResource, ClientError> {
        self.send_for_json(Call::get(run_path(number, "?cves=false"))).await
    }

    /// Lists the newest runs, newest first.
    ///
    /// # Errors
    /// As for any call.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, ClientError> {
        self.send_for_json(Call::get(paths::RUNS)).await
    }

    /// Cancels a run, and gives it as it is then.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::Conflict`] when the run is finished already.
    pub async fn cancel_run(&self, number: RunNumber) -> Result<RunResource, ClientError> {
        self.send_for_json(Call::post(run_path(number, "/cancel"))).await
    }
}

fn run_path(number: RunNumber, rest: &str) -> String {
    format!("{}/{number}{rest}", paths::RUNS)
}

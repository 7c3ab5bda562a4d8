use elivepatch_api::{
    BuildRequest, BuildResource, BuildSubmission, BuildSummary, HealthResource, ListBuildsQuery,
    client::{Client, ClientError, NamedPatch, ServerUrl},
};
use elivepatch_model::{BuildNumber, StepName, StepState};

use crate::{BUILD_LIMIT, wait_until};

/// The API, for what the command line does not offer or does not show.
pub struct Api {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Api {
    /// The API at `url`.
    ///
    /// # Panics
    /// When `url` is no address of a server.
    pub fn new(url: &str) -> Self {
        let url: ServerUrl = url.parse().expect("the address that the server printed");
        let client = Client::over_http(url, "elivepatch-end-to-end").expect("a client");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { client, runtime: runtime.expect("a runtime") }
    }

    /// Submits a build.
    ///
    /// # Errors
    /// What the server answers, when it does not take it.
    pub fn submit(
        &self,
        request: &BuildRequest,
        config: &[u8],
        patches: &[NamedPatch],
    ) -> Result<BuildSubmission, ClientError> {
        self.runtime.block_on(self.client.submit(request, config, patches))
    }

    /// A build.
    ///
    /// # Panics
    /// When the server does not give it.
    pub fn build(&self, number: BuildNumber) -> BuildResource {
        self.runtime.block_on(self.client.build(number)).expect("the server gives the build")
    }

    /// All builds, newest first.
    ///
    /// # Panics
    /// When the server does not give them.
    pub fn builds(&self) -> Vec<BuildSummary> {
        let query = ListBuildsQuery { limit: Some(200), ..ListBuildsQuery::default() };
        self.runtime.block_on(self.client.list(&query)).expect("the server lists builds").builds
    }

    /// How the server is.
    ///
    /// # Panics
    /// When it does not say.
    pub fn health(&self) -> HealthResource {
        self.runtime.block_on(self.client.health()).expect("the server says how it is")
    }

    /// Waits until a step of a build is under way.
    ///
    /// # Panics
    /// When the build ends before that.
    pub fn wait_for_step(&self, number: BuildNumber, name: StepName) {
        wait_until(&format!("step {name} of build {number}"), BUILD_LIMIT, || {
            let build = self.build(number);
            let step = build.steps.iter().find(|step| step.name == name);
            if step.is_some_and(|step| step.state == StepState::Running) {
                return Some(());
            }
            assert!(!build.state.is_finished(), "it ended before: {build:#?}");
            None
        });
    }

    /// Waits until a build is finished, and gives it.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn wait_for_end(&self, number: BuildNumber) -> BuildResource {
        wait_until(&format!("the end of build {number}"), BUILD_LIMIT, || {
            Some(self.build(number)).filter(|build| build.state.is_finished())
        })
    }
}

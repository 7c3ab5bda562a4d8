use elivepatch_model::{BuildNumber, BuildState, FailureClass, SessionId};
use elivepatch_store::{BuildRecord, StoreError};

use crate::app::{App, AppError, ModuleFile};

/// What an old client is told whose kernel is built here: it can prove nothing itself.
const HOW_TO_PROVE: &str = "order with today's client, which sends the proof along (sudo elivepatch build); or the \
    server's administrator has orders by the REST API v1.0 taken without one, by two keys in its config: allow_unproven = \
    true under [policy] and accept_unproven = true under [compat]";

impl App {
    /// Returns when a build has ended and there is a module.
    ///
    /// # Errors
    /// When there is none: the build has failed or was cancelled, its livepatch was withdrawn, or the server stops.
    pub(super) async fn end_of(&self, number: BuildNumber) -> Result<(), AppError> {
        let mut waiter = self.wakeups().event_waiter(number);
        while !self.store().build_state(number).await?.is_finished() {
            if !waiter.wait().await {
                break;
            }
        }
        let build = self.store().build(number).await?;
        self.has_module(&build)?;
        self.is_not_withdrawn(&build).await
    }

    /// The module that a session ordered.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] in the words of the first elivepatch when there is none, or not yet, with the reason
    /// as the hint.
    pub async fn module_of_session(&self, session: &SessionId) -> Result<ModuleFile, AppError> {
        let Some(number) = self.store().build_of_session(session).await? else {
            return Err(AppError::not_the_patches(
                "no build was ordered with this UUID: POST get_files orders one",
            ));
        };
        let build = self.store().build(number).await?;
        self.has_module(&build).map_err(|error| {
            AppError::not_the_patches(format!("{}; {}", error.message(), error.hint()))
        })?;
        self.is_not_withdrawn(&build).await?;
        match self.module(number).await {
            Err(AppError::Store(StoreError::NoSuchBlob(_))) => {
                let gone = AppError::ModuleGone { number };
                Err(AppError::not_the_patches(format!("{gone}; order it again")))
            }
            module => module,
        }
    }

    /// Whether a build has ended with a module.
    fn has_module(&self, build: &BuildRecord) -> Result<(), AppError> {
        let number = build.number;
        match (build.state, &build.failure) {
            (BuildState::Succeeded, _) => Ok(()),
            (BuildState::Failed, Some(failure))
                if failure.class == FailureClass::ReleaseUnknown =>
            {
                Err(AppError::no_gentoo_sources(format!(
                    "build {number} gave no livepatch: {}; {}",
                    failure.message, failure.hint
                )))
            }
            (BuildState::Failed, Some(failure)) => {
                let mut failure = failure.clone();
                failure.message = format!("build {number} gave no livepatch: {}", failure.message);
                let identity = &self.inner.options.builder_identity;
                if failure.class == FailureClass::FitUnproven
                    && identity.builds_kernels_of(&build.target.release)
                {
                    // What the builder says is for clients that can send more.
                    failure.hint = HOW_TO_PROVE.to_owned();
                }
                Err(AppError::Refused(Box::new(failure)))
            }
            (state, _) => Err(AppError::NoLivepatchOfSession { number, state }),
        }
    }

    /// Whether the livepatch of a build may be given out, when there is one.
    async fn is_not_withdrawn(&self, build: &BuildRecord) -> Result<(), AppError> {
        let Some(manifest) = &build.manifest else { return Ok(()) };
        let Some(withdrawal) = self.store().withdrawal(manifest.module.digest).await? else {
            return Ok(());
        };
        let reason = match withdrawal.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        Err(AppError::not_the_patches(format!(
            "the livepatch of build {} was withdrawn{reason}",
            build.number
        )))
    }
}

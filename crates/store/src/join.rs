//! Which build an equal request joins. It is decided when the request comes: a rule that changes
//! with a version of the server holds for old builds as well.

use elivepatch_model::{BuildKey, BuildState, FailureClass, Fault};

use crate::{
    BuildRecord, Store, StoreError,
    row::{BuildRow, build_columns},
};

/// The newest build with a key: an older one was not joined when the newer one came.
const NEWEST_EQUAL: &str = concat!(
    "SELECT ",
    build_columns!(),
    ", manifest FROM builds WHERE build_key = ? AND rebuild IS NULL \
     ORDER BY number DESC LIMIT 1"
);

impl Store {
    /// The build that a request with this key would join.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn equal_build(&self, key: BuildKey) -> Result<Option<BuildRecord>, StoreError> {
        self.find_equal(&self.readers, key).await
    }

    /// The same, as `executor` sees it.
    pub(crate) async fn find_equal<'c>(
        &self,
        executor: impl sqlx::SqliteExecutor<'c>,
        key: BuildKey,
    ) -> Result<Option<BuildRecord>, StoreError> {
        let row: Option<BuildRow> =
            sqlx::query_as(NEWEST_EQUAL).bind(key.to_string()).fetch_optional(executor).await?;
        let Some(build) = row.map(BuildRecord::try_from).transpose()? else { return Ok(None) };
        Ok(self.is_joinable(&build).await.then_some(build))
    }

    async fn is_joinable(&self, build: &BuildRecord) -> bool {
        match build.state {
            BuildState::Queued | BuildState::Running => true,
            BuildState::Cancelled => false,
            BuildState::Failed => {
                build.failure.as_ref().is_some_and(|failure| is_final(failure.class))
            }
            // A module that was deleted or cut from outside is built anew.
            BuildState::Succeeded if build.options.probe => build.probe.is_some(),
            BuildState::Succeeded => match &build.manifest {
                Some(manifest) => {
                    let module = &manifest.module;
                    self.blobs.has(module.digest, module.size_bytes).await
                }
                None => false,
            },
        }
    }
}

/// Whether an equal request joins a build that failed with this class, or is tried anew. What the
/// machine did may pass next time: a full disk, a limit hit under load, a trial on emulated
/// hardware. What the archive lacked today it may have tomorrow. What hangs on a source, a base or a
/// toolchain root an administrator can mend without any change that the key would show.
fn is_final(class: FailureClass) -> bool {
    class.fault() != Fault::Infrastructure
        && !matches!(
            class,
            FailureClass::LimitExceeded
                | FailureClass::ReleaseUnknown
                | FailureClass::ConfigMismatch
                | FailureClass::BuildIdMismatch
                | FailureClass::ToolchainUnknown
                | FailureClass::BaselineDoesNotApply
                | FailureClass::KernelDoesNotBuild
                | FailureClass::BaseDoesNotFit
                | FailureClass::FitUnproven
                | FailureClass::TrialLoadFailed
                | FailureClass::TrialTransitionStalled
                | FailureClass::TrialCheckFailed
                | FailureClass::TrialCheckUnusable
                | FailureClass::TrialKernelFault
                | FailureClass::TrialEarlierFailed
                | FailureClass::TrialBootFailed
        )
}

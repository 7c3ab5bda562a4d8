//! CVE runs for a kernel that is named by its version of Linux alone, such as `6.1.176`. That is no release of a
//! stock kernel, and says nothing of the config.

use elivepatch_api::RunRequest;
use elivepatch_model::{Failure, FailureClass, KernelRelease, TargetFacts};

use super::{App, AppError};

impl App {
    /// The request with a release that livepatches can be built for: of a bare version that of the stock kernel
    /// which has it. Any other request stays as it is, also one for a kernel that a source of the config builds
    /// when the config came with it.
    ///
    /// # Errors
    /// When several stock kernels have the version, or none and nothing else can be built; when the
    /// archive cannot be asked.
    pub(super) async fn with_release(
        &self,
        request: RunRequest,
        has_config: bool,
    ) -> Result<RunRequest, AppError> {
        let version = request.target.release.clone();
        // Without a feed there is nothing to build, and who asks is told so first.
        if !version.suffix().is_empty() || self.feed().await?.is_none() {
            return Ok(request);
        }
        let is_built_here = self.inner.options.builder_identity.builds_kernels_of(&version);
        if has_config && is_built_here {
            return Ok(request);
        }
        // A machine that runs says itself what its release is: it is no stock kernel.
        if is_of_a_machine(&request.target) {
            return Err(refused(no_source(&version)));
        }
        let stock = self.stock_releases(&version).await?;
        match stock.as_slice() {
            [release] => {
                let linux_version = request.linux_version.or(Some(version.upstream_version()));
                let target = TargetFacts { release: release.clone(), ..request.target };
                Ok(RunRequest { target, linux_version, ..request })
            }
            [] if has_config => Err(refused(no_source(&version))),
            [] => Err(refused(no_config(&version, is_built_here))),
            several => Err(refused(several_kernels(&version, several))),
        }
    }

    async fn stock_releases(
        &self,
        version: &KernelRelease,
    ) -> Result<Vec<KernelRelease>, AppError> {
        let Some(inventories) = self.inner.options.inventories.clone() else {
            return Ok(Vec::new());
        };
        let version = version.clone();
        let asked = tokio::task::spawn_blocking(move || inventories.stock_releases(&version)).await;
        let found = asked.map_err(|error| AppError::Panicked(error.to_string()))?;
        found.map_err(refused)
    }
}

/// Whether the facts are those of a machine that runs, and not what somebody has named.
fn is_of_a_machine(target: &TargetFacts) -> bool {
    target.kernel_version.is_some() || target.build_id.is_some()
}

/// What can be had in any case.
const DRY_RUN: &str = "--dry-run says which CVEs matter on it without building anything";

fn several_kernels(version: &KernelRelease, releases: &[KernelRelease]) -> Failure {
    let names: Vec<&str> = releases.iter().map(KernelRelease::as_str).collect();
    let first = names.first().copied().unwrap_or_default();
    failure(
        format!("{version} is the version of several stock kernels: {}", names.join(", ")),
        format!(
            "name one by its release, as uname -r prints it on the machine: --kernel {first}; {DRY_RUN}"
        ),
    )
}

/// There is a config, and nothing that it could be built from.
fn no_source(version: &KernelRelease) -> Failure {
    failure(
        format!("no source of this server builds kernels with the release {version}"),
        format!(
            "have its administrator add a [[source]] for it to the server's config, or name a stock kernel \
             as uname -r prints it on the machine: --kernel RELEASE; {DRY_RUN}"
        ),
    )
}

fn no_config(version: &KernelRelease, is_built_here: bool) -> Failure {
    let own = match is_built_here {
        true => "send the config of the kernel, which this server builds: --config FILE",
        false => {
            "for a kernel that a [[source]] of the server's config builds, send its config: \
             --config FILE"
        }
    };
    failure(
        format!("no stock kernel has the version {version}"),
        format!(
            "name the kernel as uname -r prints it on the machine: --kernel RELEASE; {own}; {DRY_RUN}"
        ),
    )
}

fn failure(message: String, hint: String) -> Failure {
    Failure::new(FailureClass::ReleaseUnknown, message, hint)
}

fn refused(failure: Failure) -> AppError {
    AppError::Refused(Box::new(failure))
}

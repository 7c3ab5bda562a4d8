//! The refusals that need no build: they answer while the request is still coming in.

use elivepatch_api::{BuildRequest, RebuildRequest};
use elivepatch_model::{
    BehaviourCheck, ConfigError, Engine, Failure, FailureClass, KernelConfig, Sha256Digest,
    TargetFacts, config_refusals, limits,
};
use elivepatch_patch::SourcePatch;

use super::AppError;

/// The longest `uname -v` that is accepted, in bytes: `__NEW_UTS_LEN` in the kernel's `utsname.h`.
const KERNEL_VERSION_BYTES: usize = 64;

fn refused(class: FailureClass, message: impl Into<String>, hint: impl Into<String>) -> AppError {
    AppError::Refused(Box::new(Failure::new(class, message, hint)))
}

/// Reads and checks the JSON part.
pub(super) fn request(bytes: &[u8]) -> Result<BuildRequest, AppError> {
    let request: BuildRequest = serde_json::from_slice(bytes).map_err(|error| {
        AppError::bad_request(
            format!("the part \"request\" is not a build request: {error}"),
            "GET /api/v2/openapi.json describes it as BuildRequest",
        )
    })?;
    asked(&request.target, &request.checks)?;
    Ok(request)
}

/// Reads and checks the JSON part of a rebuild.
pub(super) fn rebuild(bytes: &[u8]) -> Result<RebuildRequest, AppError> {
    let rebuild: RebuildRequest = serde_json::from_slice(bytes).map_err(|error| {
        AppError::bad_request(
            format!("the part \"request\" is not a rebuild request: {error}"),
            "GET /api/v2/openapi.json describes it as RebuildRequest",
        )
    })?;
    asked(&rebuild.request.target, &rebuild.request.checks)?;
    if !(1..=limits::PATCHES).contains(&rebuild.fixes.len()) {
        return Err(AppError::bad_request(
            format!("the manifest names {} fixes", rebuild.fixes.len()),
            format!("a livepatch holds 1 to {} fixes", limits::PATCHES),
        ));
    }
    Ok(rebuild)
}

fn asked(target: &TargetFacts, checks: &[BehaviourCheck]) -> Result<(), AppError> {
    if let Some(version) = &target.kernel_version
        && (version.len() > KERNEL_VERSION_BYTES || version.chars().any(char::is_control))
    {
        return Err(AppError::bad_request(
            format!("target.kernel_version is not what uname -v prints: {version:.80?}"),
            "send the output of uname -v, or leave it out",
        ));
    }
    if checks.len() > limits::BEHAVIOUR_CHECKS {
        return Err(AppError::bad_request(
            format!("the request has more than {} checks", limits::BEHAVIOUR_CHECKS),
            "join commands into one check",
        ));
    }
    for (index, check) in checks.iter().enumerate() {
        behaviour_check(index + 1, check)?;
    }
    Ok(())
}

fn behaviour_check(position: usize, check: &BehaviourCheck) -> Result<(), AppError> {
    let texts = [("command", &check.command), ("before", &check.before), ("after", &check.after)];
    for (name, text) in texts {
        let problem = if text.trim().is_empty() {
            "is empty".to_owned()
        } else if text.len() > limits::BEHAVIOUR_CHECK_BYTES {
            format!("has more than {} bytes", limits::BEHAVIOUR_CHECK_BYTES)
        } else if text.contains('\0') {
            "holds a zero byte".to_owned()
        } else {
            continue;
        };
        return Err(AppError::bad_request(
            format!("{name} of check {position} {problem}"),
            "a check is a shell command with a text to expect before, and one to expect after",
        ));
    }
    Ok(())
}

/// Checks the config against the target and the engine that is asked for. Gives the digest of what the config says.
pub(super) fn config(
    bytes: &[u8],
    target: &TargetFacts,
    engine: Option<Engine>,
) -> Result<Sha256Digest, AppError> {
    let config = KernelConfig::parse(bytes).map_err(config_unreadable)?;
    let architecture = config.architecture().map_err(config_unreadable)?;
    if architecture != target.architecture {
        return Err(refused(
            FailureClass::ArchitectureUnsupported,
            format!("the config is for {architecture}, the target is {}", target.architecture),
            "send the config of the target itself",
        ));
    }
    let refusals = config_refusals(&config, engine);
    if let Some(first) = refusals.first() {
        let mut failure = Failure::new(
            FailureClass::ConfigUnsupported,
            format!("this kernel cannot be live-patched: {first}"),
            "only a kernel that is built with another config can be live-patched",
        );
        failure.details = refusals.iter().map(ToString::to_string).collect();
        return Err(AppError::Refused(Box::new(failure)));
    }
    if let Some(version) = config.header_version()
        && version.series() != target.release.series()
    {
        return Err(refused(
            FailureClass::ConfigMismatch,
            format!("the config is for Linux {version}, the release is {}", target.release),
            "send the config of this release, or name its release with --kernel",
        ));
    }
    Ok(config.digest())
}

fn config_unreadable(error: ConfigError) -> AppError {
    let (class, hint) = match &error {
        ConfigError::Architecture(_) => (
            FailureClass::ArchitectureUnsupported,
            "this server builds livepatches for x86_64 kernels only",
        ),
        ConfigError::TooLarge
        | ConfigError::NotText
        | ConfigError::Line { .. }
        | ConfigError::Empty => (
            FailureClass::ConfigUnreadable,
            "send the uncompressed /proc/config.gz or /boot/config-RELEASE of the target",
        ),
    };
    refused(class, error.to_string(), hint)
}

pub(super) fn config_too_large() -> AppError {
    config_unreadable(ConfigError::TooLarge)
}

/// Checks that a patch can be read and that its files can be live-patched by their places. What
/// hangs on whether the target is built with a file, only the builder can tell.
pub(super) fn patch(bytes: &[u8], name: &str) -> Result<(), AppError> {
    let planned = SourcePatch::parse(bytes).and_then(|patch| patch.plan().map(drop));
    planned.map_err(|error| {
        let mut failure = error.failure();
        failure.message = format!("{name}: {}", failure.message);
        AppError::Refused(Box::new(failure))
    })
}

pub(super) fn patch_too_large(name: &str) -> AppError {
    refused(
        FailureClass::PatchTooLarge,
        format!("{name} has more than {} bytes", limits::PATCH_BYTES),
        "send only the changes that the fix needs; a whole stable release is no livepatch",
    )
}

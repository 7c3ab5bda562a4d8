//! The refusals that need no build: they answer while the request is still coming in.

use std::io::Read;

use elivepatch_api::{BuildRequest, RebuildRequest, RunCheck, RunRequest};
use elivepatch_model::{
    BehaviourCheck, BuildOptions, ConfigError, Engine, Failure, FailureClass, Kallsyms,
    KernelConfig, Sha256Digest, TargetFacts, config_refusals, limits,
};
use elivepatch_patch::{PatchError, SourcePatch};
use flate2::read::MultiGzDecoder;

use super::{AppError, target_checks};

pub(super) fn refused(
    class: FailureClass,
    message: impl Into<String>,
    hint: impl Into<String>,
) -> AppError {
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

/// Reads and checks the JSON part of a CVE run.
pub(super) fn run(bytes: &[u8]) -> Result<RunRequest, AppError> {
    let request: RunRequest = serde_json::from_slice(bytes).map_err(|error| {
        AppError::bad_request(
            format!("the part \"request\" is not a request for a CVE run: {error}"),
            "GET /api/v2/openapi.json describes it as RunRequest",
        )
    })?;
    let checks: Vec<BehaviourCheck> = request.checks.iter().map(RunCheck::check).collect();
    asked(&request.target, &checks)?;
    replaces_nothing(&request.options)?;
    Ok(request)
}

/// What a CVE run replaces, the server knows itself.
fn replaces_nothing(options: &BuildOptions) -> Result<(), AppError> {
    if options.stack {
        return Err(AppError::bad_request(
            "stack is not for CVE runs",
            "leave it out: the livepatch of a CVE run has all fixes, and replaces the one before",
        ));
    }
    match options.replaces {
        None => Ok(()),
        Some(_) => Err(AppError::bad_request(
            "replaces is not for CVE runs",
            "leave it out: the server names the livepatch of a CVE run that the next one replaces",
        )),
    }
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
    if rebuild.request.baseline.len() > limits::BASELINE_PATCHES {
        return Err(AppError::bad_request(
            format!("the manifest names {} baseline patches", rebuild.request.baseline.len()),
            format!("a request holds at most {}", limits::BASELINE_PATCHES),
        ));
    }
    Ok(rebuild)
}

fn asked(target: &TargetFacts, checks: &[BehaviourCheck]) -> Result<(), AppError> {
    target_checks::facts(target)?;
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

/// Reads a config, whatever its target.
pub(super) fn read_config(bytes: &[u8]) -> Result<KernelConfig, AppError> {
    KernelConfig::parse(bytes).map_err(config_unreadable)
}

/// Checks the config against the target and the engine that is asked for. Gives the digest of what the config says.
pub(super) fn config(
    bytes: &[u8],
    target: &TargetFacts,
    engine: Option<Engine>,
) -> Result<Sha256Digest, AppError> {
    let config = read_config(bytes)?;
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
    target_checks::compiler(&config, target)?;
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
    let read = SourcePatch::parse(bytes).map_err(|error| patch_refused(&error, name))?;
    plan(&read, name)
}

/// The same of a patch that was read.
pub(super) fn plan(patch: &SourcePatch, name: &str) -> Result<(), AppError> {
    patch.plan().map(drop).map_err(|error| patch_refused(&error, name))
}

fn patch_refused(error: &PatchError, name: &str) -> AppError {
    let mut failure = error.failure();
    failure.message = format!("{name}: {}", failure.message);
    AppError::Refused(Box::new(failure))
}

/// Checks that a patch which is compiled into the running kernel can be read, and that its paths stay
/// in the source tree. It may touch anything there.
pub(super) fn baseline(bytes: &[u8], name: &str) -> Result<(), AppError> {
    SourcePatch::parse_baseline(bytes).map(drop).map_err(|error| {
        let mut failure = error.failure();
        failure.message = format!("baseline patch {name}: {}", failure.message);
        AppError::Refused(Box::new(failure))
    })
}

/// Refuses what the server's policy does not allow.
pub(super) fn policy(options: &BuildOptions, allow_unproven: bool) -> Result<(), AppError> {
    if options.probe {
        return Err(AppError::bad_request(
            "probe is not for requests",
            "leave it out: the server orders probes for CVE runs",
        ));
    }
    if options.stack && options.replaces.is_some() {
        return Err(AppError::bad_request(
            "stack and replaces exclude each other",
            "leave one of them out: a livepatch either replaces the others or loads beside them",
        ));
    }
    if options.accept_unproven && !allow_unproven {
        return Err(refused(
            FailureClass::UnprovenNotAllowed,
            "this server builds no livepatch without proof that its base fits the target",
            "leave --accept-unproven out, or have the server's administrator set allow_unproven = \
             true in [policy]",
        ));
    }
    Ok(())
}

/// Unpacks and reads the running kernel's symbols.
pub(super) fn packed_kallsyms(bytes: &[u8]) -> Result<Kallsyms, AppError> {
    let mut text = Vec::new();
    // One byte more than the limit, so that the reader can tell. Whatever it unpacks to, no more is
    // held.
    let mut unpacked = MultiGzDecoder::new(bytes).take(limits::KALLSYMS_BYTES + 1);
    unpacked.read_to_end(&mut text).map_err(|error| {
        kallsyms_unreadable(format!("the list of the kernel's symbols cannot be unpacked: {error}"))
    })?;
    Kallsyms::read(&text, |_| true).map_err(|error| kallsyms_unreadable(error.to_string()))
}

/// Checks symbols in their normal form.
pub(super) fn kallsyms(bytes: &[u8]) -> Result<(), AppError> {
    let list = Kallsyms::read(bytes, |_| true);
    match list.map_err(|error| kallsyms_unreadable(error.to_string()))? {
        list if list.text().as_bytes() == bytes => Ok(()),
        _ => Err(kallsyms_unreadable("this is no list of a kernel's symbols".to_owned())),
    }
}

fn kallsyms_unreadable(message: String) -> AppError {
    let hint =
        "send /proc/kallsyms of the target as elivepatch facts collects it, compressed by gzip";
    refused(FailureClass::KallsymsUnreadable, message, hint)
}

pub(super) fn kallsyms_too_large() -> AppError {
    kallsyms_unreadable(format!(
        "the compressed list of the kernel's symbols has more than {} bytes",
        limits::KALLSYMS_PACKED_BYTES
    ))
}

pub(super) fn patch_too_large(name: &str, limit_bytes: u64) -> AppError {
    refused(
        FailureClass::PatchTooLarge,
        format!("{name} has more than {limit_bytes} bytes"),
        "send only the changes that the fix needs; a whole stable release is no livepatch",
    )
}

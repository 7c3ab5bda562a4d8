//! The checks of what a client says of the target, beside its config.

use elivepatch_model::{FailureClass, KernelConfig, MachineFacts, TargetFacts, limits};

use super::{AppError, checks::refused};

/// The longest `uname -v` that is accepted, in bytes: `__NEW_UTS_LEN` in the kernel's `utsname.h`.
const KERNEL_VERSION_BYTES: usize = 64;

/// Checks the form of the facts.
pub(super) fn facts(target: &TargetFacts) -> Result<(), AppError> {
    if let Some(version) = &target.kernel_version
        && (version.len() > KERNEL_VERSION_BYTES || version.chars().any(char::is_control))
    {
        return Err(AppError::bad_request(
            format!("target.kernel_version is not what uname -v prints: {version:.80?}"),
            "send the output of uname -v, or leave it out",
        ));
    }
    let texts = [("compiler", &target.compiler), ("linker", &target.linker)];
    for (name, text) in texts {
        line(&format!("target.{name}"), text.as_deref())?;
    }
    target.machine.as_ref().map_or(Ok(()), machine)
}

fn machine(machine: &MachineFacts) -> Result<(), AppError> {
    if let Some(distribution) = &machine.distribution {
        line("target.machine.distribution.id", Some(&distribution.id))?;
        line("target.machine.distribution.version", distribution.version.as_deref())?;
        line("target.machine.distribution.name", distribution.name.as_deref())?;
    }
    let modules = machine.loaded_modules.as_deref().unwrap_or_default();
    let is_name = |name: &String| {
        (1..=limits::MODULE_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if modules.len() > limits::LOADED_MODULES {
        return Err(AppError::bad_request(
            format!("target.machine.loaded_modules has more than {} names", limits::LOADED_MODULES),
            "leave it out",
        ));
    }
    match modules.iter().find(|name| !is_name(name)) {
        None => Ok(()),
        Some(name) => Err(AppError::bad_request(
            format!("target.machine.loaded_modules has what is no module's name: {name:.80?}"),
            "send the names of /proc/modules, or leave them out",
        )),
    }
}

fn line(name: &str, text: Option<&str>) -> Result<(), AppError> {
    match text {
        Some(text) if text.len() > limits::FACT_BYTES || text.chars().any(char::is_control) => {
            Err(AppError::bad_request(
                format!("{name} is not one line of at most {} bytes", limits::FACT_BYTES),
                "send what elivepatch facts finds, or leave it out",
            ))
        }
        _ => Ok(()),
    }
}

/// Refuses a config of a kernel that another compiler built than the running one.
pub(super) fn compiler(config: &KernelConfig, target: &TargetFacts) -> Result<(), AppError> {
    let (Some(named), Some(running)) = (config.compiler_text(), target.compiler.as_deref()) else {
        return Ok(());
    };
    // Before Linux 5.8 /proc/version had the last line of gcc -v, which says it in other words.
    let is_comparable = !running.starts_with("gcc version ");
    if !is_comparable || named.trim() == running.trim() {
        return Ok(());
    }
    Err(refused(
        FailureClass::CompilerMismatch,
        format!(
            "the config is of a kernel built by {named:?} (CONFIG_CC_VERSION_TEXT), and the running \
             kernel was built by {running:?} (/proc/version)"
        ),
        "send the config of the kernel that runs, and not of one that was configured or built since",
    ))
}

//! The checks of what a client says of the target, beside its config.

use elivepatch_model::{FailureClass, KernelConfig, TargetFacts};

use super::{AppError, checks::refused};

/// Checks the form of the facts.
pub(super) fn facts(target: &TargetFacts) -> Result<(), AppError> {
    target.check_form().map_err(|error| AppError::bad_request(error.message, error.hint))
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

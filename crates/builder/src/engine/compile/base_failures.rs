//! What it means when the target's own source does not compile: the base is wrong, and no patch.

use std::io;

use elivepatch_model::{Failure, FailureClass};

use crate::process::Finished;

const HINT: &str = "this is not the patch's fault: please report it with the build's log";

/// Takes what a tool leaves that compiles the source as it is.
///
/// # Errors
/// `base-compile-failed` with the tool's last lines, when it failed.
pub(super) fn check_base(finished: &Finished) -> Result<(), Failure> {
    if finished.succeeded() {
        return Ok(());
    }
    let message = "the target's own source does not compile on this base";
    Err(Failure::new(FailureClass::BaseCompileFailed, message, HINT)
        .with_details(finished.last_lines(20)))
}

/// The failure of an object that is not there after the tool ended well.
pub(super) fn not_made(object: &str, error: &io::Error) -> Failure {
    Failure::new(FailureClass::BaseCompileFailed, format!("{object} was not made: {error}"), HINT)
}

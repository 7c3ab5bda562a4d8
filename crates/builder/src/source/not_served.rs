//! Why a source does not serve a kernel, and what is told when none does.

use elivepatch_model::{Failure, FailureClass};

use super::Wanted;

/// Whether the search goes on behind a source that fails so.
pub(super) fn is_passed(failure: &Failure) -> bool {
    matches!(failure.class, FailureClass::ReleaseUnknown | FailureClass::BaselineDoesNotApply)
}

/// The failure of a kernel that no source has, with the reason of each by its name.
pub(super) fn nobody_serves(wanted: &Wanted, mut passed: Vec<(&str, Failure)>) -> Failure {
    if passed.len() == 1 {
        return passed.remove(0).1;
    }
    let takes_none =
        |(_, failure): &&(&str, Failure)| failure.class == FailureClass::BaselineDoesNotApply;
    let (class, hint) = match passed.iter().find(takes_none) {
        Some((_, failure)) => (failure.class, failure.hint.clone()),
        None => (
            FailureClass::ReleaseUnknown,
            "name the release as `uname -r` on the target prints it: --kernel RELEASE; or have the \
             server's administrator add a [[source]] that has it"
                .to_owned(),
        ),
    };
    let mut details = Vec::new();
    for (name, failure) in passed {
        details.push(format!("{name}: {}", failure.message));
        details.extend(failure.details);
    }
    let with = if wanted.baseline.is_empty() { "" } else { " with baseline patches" };
    let message = format!("no source of this server has {}{with}", wanted.release);
    Failure::new(class, message, hint).with_details(details)
}

/// The failure of a source that does not have a kernel.
pub(super) fn not_here(message: String) -> Failure {
    Failure::new(
        FailureClass::ReleaseUnknown,
        message,
        "name the release as `uname -r` on the target prints it: --kernel RELEASE; or have the \
         server's administrator look at the [[source]]s of the server's config",
    )
}

/// The failure of a source of stock kernels when there are patches.
pub(super) fn takes_no_patches() -> Failure {
    Failure::new(
        FailureClass::BaselineDoesNotApply,
        "it has stock kernels only, and those hold no patches but Debian's own",
        "leave --baseline out when the target runs Debian's own kernel; for a kernel of your own, its \
         source belongs into a [[source]] of the server's config",
    )
}

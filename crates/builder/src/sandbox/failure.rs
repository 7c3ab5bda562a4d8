//! Why a tool did not do its work, when that is not its own fault.

use elivepatch_model::{Failure, FailureClass};

use super::{DiskUse, layers};
use crate::{
    failures::{cancelled, internal},
    process::{Ended, Finished},
};

/// The failure of a tool that did not end by its own fault, or that never ran; `None` when its exit
/// code is its own.
pub(super) fn limit_failure(name: &str, finished: &Finished, disk: &DiskUse) -> Option<Failure> {
    let ended = match &finished.ended {
        Ended::Exited(_) if layers::setup_failed(finished) => {
            let failure = Failure::new(
                FailureClass::SandboxFailed,
                format!("the sandbox for {name} could not be set up"),
                "restart elivepatch-server: it tries the sandbox at its start and says what is missing",
            );
            return Some(failure.with_details(finished.last_lines(5)));
        }
        // A compiler that finds no room tells so in its own words and exits like for any error.
        Ended::Exited(_) => disk.over().or_else(|| complaint(finished))?,
        ended => ended.clone(),
    };
    Some(match ended {
        Ended::Exited(_) => return None,
        Ended::Cancelled => cancelled(),
        Ended::DiskFull(reason) => Failure::new(
            FailureClass::DiskFull,
            format!("{name} was stopped: {reason}"),
            "free space there and submit the build again",
        ),
        Ended::LimitExceeded(reason) => Failure::new(
            FailureClass::LimitExceeded,
            format!("{name} was stopped: it {reason}"),
            "if the patch is sound, raise the limit in the [builder] section of the server's config",
        )
        .with_details(finished.last_lines(5)),
    })
}

/// What compilers and linkers print when an rlimit or the sandbox's own `/tmp` ends them.
fn complaint(finished: &Finished) -> Option<Ended> {
    const COMPLAINTS: [(&str, &str); 6] = [
        ("out of memory", "used more memory than it may"),
        ("Cannot allocate memory", "used more memory than it may"),
        ("virtual memory exhausted", "used more memory than it may"),
        ("Resource temporarily unavailable", "started more processes than it may"),
        ("File size limit exceeded", "wrote a larger file than it may"),
        ("No space left on device", "wrote more to /tmp than it may"),
    ];
    let text = finished.text();
    let found = COMPLAINTS.iter().find(|(complaint, _)| text.contains(complaint));
    found.map(|(_, reason)| Ended::LimitExceeded((*reason).to_owned()))
}

pub(super) fn cannot_start(error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Failure::new(
            FailureClass::SandboxFailed,
            "bwrap (bubblewrap) or unshare (util-linux) is not installed",
            "apt-get install bubblewrap util-linux",
        );
    }
    internal(format!("cannot start a sandbox: {error}"))
}

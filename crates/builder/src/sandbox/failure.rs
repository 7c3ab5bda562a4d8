//! Why a tool did not do its work, when that is not its own fault.

use elivepatch_model::{Failure, FailureClass};

use super::DiskUse;
use crate::{
    failures::{cancelled, internal},
    process::{Ended, Finished},
};

/// The failure of a tool that did not end by its own fault, or that never ran; `None` when its exit
/// code is its own. `was_ready`: the sandbox was set up, and the tool began.
pub(super) fn limit_failure(
    name: &str,
    finished: &Finished,
    was_ready: bool,
    disk: &DiskUse,
) -> Option<Failure> {
    let ended = match &finished.ended {
        Ended::Exited(_) if !was_ready => {
            let failure = Failure::new(
                FailureClass::SandboxFailed,
                format!("the sandbox for {name} could not be set up"),
                "restart elivepatch-server: it tries the sandbox at its start and says what is missing",
            );
            return Some(failure.with_details(finished.last_lines(5)));
        }
        // A compiler that finds no room tells so in its own words and exits like for any error.
        Ended::Exited(_) => disk.over().or_else(|| complaint(finished, disk))?,
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

/// What compilers, linkers and make print of a full disk, and when an rlimit or the sandbox's own
/// `/tmp` ends them.
fn complaint(finished: &Finished, disk: &DiskUse) -> Option<Ended> {
    let text = finished.text();
    let (line, reason) = text.lines().find_map(|line| Some((line, complaint_of(line)?)))?;
    // `/tmp` is never on the disk.
    let full = (line.contains(NO_SPACE) && !line.contains("/tmp/")).then(|| disk.found_full());
    full.flatten().or_else(|| Some(Ended::LimitExceeded(reason.to_owned())))
}

/// What tools print when they cannot write more.
const NO_SPACE: &str = "No space left on device";

/// The limit that a line complains of. gcc shows the source line of each error, which may hold any
/// text, behind ` | `; an error at a place in the source is about the source.
fn complaint_of(line: &str) -> Option<&'static str> {
    const COMPLAINTS: [(&str, &str); 6] = [
        ("out of memory", "used more memory than it may"),
        ("Cannot allocate memory", "used more memory than it may"),
        ("virtual memory exhausted", "used more memory than it may"),
        ("Resource temporarily unavailable", "started more processes than it may"),
        ("File size limit exceeded", "wrote a larger file than it may"),
        (NO_SPACE, "wrote more to /tmp than it may"),
    ];
    let of_a_tool = !line.contains(" | ") && !names_a_source_line(line);
    let found = COMPLAINTS.iter().find(|(complaint, _)| line.contains(complaint))?;
    of_a_tool.then_some(found.1)
}

/// Whether a line begins with `FILE:NUMBER:`.
fn names_a_source_line(line: &str) -> bool {
    let mut parts = line.splitn(3, ':');
    let number = parts.nth(1).unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_of_tools_are_told_from_source_text() {
        for line in [
            "cc1: out of memory allocating 65536 bytes after a total of 1 bytes",
            "virtual memory exhausted: Cannot allocate memory",
            "make: fork: Resource temporarily unavailable",
            "/tmp/ccX.s: fatal error: cannot write: No space left on device",
            "File size limit exceeded",
        ] {
            assert!(complaint_of(line).is_some(), "{line}");
        }
        for line in [
            "   58 |         pr_err(\"out of memory %d\", nothing);",
            "mm/oom_kill.c:58:3: error: 'out of memory' undeclared",
            "mm/oom_kill.c:58: warning: Cannot allocate memory",
            "  CC      mm/oom_kill.o",
        ] {
            assert_eq!(complaint_of(line), None, "{line}");
        }
    }
}

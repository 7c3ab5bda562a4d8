//! The form of what hosts report. Whoever has broken into a host can have it say anything, and people read it on
//! their terminals.

use elivepatch_api::{HostFault, HostLivepatch, HostReport};
use elivepatch_model::{clamp_line, limits};

use crate::app::{AppError, target_checks};

/// The longest version of an agent, in bytes.
const VERSION_BYTES: usize = 64;

/// The longest id of a boot, in bytes: the kernel's is a UUID of 36.
const BOOT_ID_BYTES: usize = 64;

/// The most faults that are kept of a report; more than anybody reads.
const MOST_FAULTS: usize = 16;

/// The longest text of a fault, in characters: one line with a path or two.
const FAULT_CHARACTERS: usize = 500;

/// The most livepatches that a host may have locked out: one each week, for years.
const MOST_LOCKED_OUT: usize = 256;

/// Checks a report. What names something and cannot be such is refused; what is said for people is cut, for
/// a host is not to fall silent because its trouble is a long one.
pub(super) fn checked(report: HostReport) -> Result<HostReport, AppError> {
    target_checks::facts(&report.target)?;
    graphic("agent_version", &report.agent_version, VERSION_BYTES)?;
    graphic("boot_id", &report.boot_id, BOOT_ID_BYTES)?;
    // A host whose records are damaged knows the digest of its livepatch and not the name.
    let livepatch = report.livepatch.as_ref().filter(|livepatch| !livepatch.name.is_empty());
    if let Some(HostLivepatch { name, .. }) = livepatch {
        graphic("livepatch.name", name, limits::MODULE_NAME_BYTES)?;
    }
    if report.locked_out.len() > MOST_LOCKED_OUT {
        return Err(AppError::bad_request(
            format!(
                "locked_out has {} livepatches, and {MOST_LOCKED_OUT} are the most",
                report.locked_out.len()
            ),
            "unlock on the host what is long gone: elivepatch unlock",
        ));
    }
    let mut locked_out = report.locked_out;
    locked_out.sort();
    locked_out.dedup();
    let line = |text: &str| clamp_line(text, FAULT_CHARACTERS);
    let fault = |fault: HostFault| HostFault { what: line(&fault.what), hint: line(&fault.hint) };
    let faults = report.faults.into_iter().take(MOST_FAULTS).map(fault).collect();
    Ok(HostReport { faults, locked_out, ..report })
}

fn graphic(what: &str, text: &str, most: usize) -> Result<(), AppError> {
    let is_name = (1..=most).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if is_name {
        return Ok(());
    }
    Err(AppError::bad_request(
        format!("{what} is not 1 to {most} printable ASCII characters: {text:.80?}"),
        "send what the agent of elivepatch sends",
    ))
}

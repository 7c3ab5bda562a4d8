//! Waiting for the kernel to move all tasks.

use std::time::Duration;

use crate::{
    Blocker, HostProblem, Machine,
    blockers::blockers,
    livepatches::{DIRECTORY, named},
};

/// How often it is looked. The kernel itself looks at all tasks each second.
const LOOK: Duration = Duration::from_millis(50);
/// How often the tasks in the way are told.
const TELL: Duration = Duration::from_secs(1);
/// How long a transition that is reversed may take. The kernel nudges tasks that sleep each 15 s.
const REVERSE_LIMIT: Duration = Duration::from_secs(60);

/// How a transition ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The livepatch is active.
    Active,
    /// It is not there any more: it was disabled by somebody.
    Gone,
    /// It did not end in time; these tasks are in the way.
    Late(Vec<Blocker>),
}

/// Waits until a livepatch that is loaded is active.
pub(crate) fn wait_active(
    machine: &Machine,
    name: &str,
    limit: Duration,
    tell: &mut dyn FnMut(&[Blocker]),
) -> Result<Ended, HostProblem> {
    let mut waited = Duration::ZERO;
    let mut told = Duration::ZERO;
    loop {
        match named(machine, name)? {
            None => return Ok(Ended::Gone),
            Some(livepatch) if livepatch.is_active() => return Ok(Ended::Active),
            Some(livepatch) if !livepatch.enabled && !livepatch.in_transition => {
                return Ok(Ended::Gone);
            }
            Some(_) => {}
        }
        if waited >= limit {
            let blockers = blockers(machine, true);
            // To look at all tasks takes time: it may be over by now.
            return Ok(match named(machine, name)? {
                Some(livepatch) if livepatch.is_active() => Ended::Active,
                _ => Ended::Late(blockers),
            });
        }
        if waited - told >= TELL {
            told = waited;
            tell(&blockers(machine, true));
        }
        machine.modules().rest(LOOK);
        waited += LOOK;
    }
}

/// Disables a livepatch, or reverses its transition, and waits until the kernel has let it go: its directory
/// vanishes then.
///
/// # Errors
/// When tasks stay in its functions, or the kernel does not take it.
pub(crate) fn disable(
    machine: &Machine,
    name: &str,
    tell: &mut dyn FnMut(&[Blocker]),
) -> Result<(), HostProblem> {
    let path = format!("{DIRECTORY}/{name}/enabled");
    let Some(livepatch) = named(machine, name)? else { return Ok(()) };
    if livepatch.enabled
        && let Err(error) = machine.write(&path, "0")
    {
        return match crate::machine::is_gone(&error) {
            true => Ok(()),
            false => Err(HostProblem::write(&path, error)),
        };
    }
    let mut waited = Duration::ZERO;
    let mut told = Duration::ZERO;
    while named(machine, name)?.is_some() {
        if waited >= REVERSE_LIMIT {
            let blockers = blockers(machine, false);
            return Err(HostProblem::CannotReverse { name: name.to_owned(), blockers });
        }
        if waited - told >= TELL {
            told = waited;
            tell(&blockers(machine, false));
        }
        machine.modules().rest(LOOK);
        waited += LOOK;
    }
    Ok(())
}

/// Waits a little until the kernel has let go a livepatch that was replaced: it does so some time after the
/// transition. Gives whether it has.
pub(crate) fn wait_gone(machine: &Machine, name: &str) -> Result<bool, HostProblem> {
    /// Five seconds.
    const LOOKS: u32 = 100;
    for _ in 0..LOOKS {
        if named(machine, name)?.is_none() {
            return Ok(true);
        }
        machine.modules().rest(LOOK);
    }
    Ok(false)
}

/// Takes the module of a livepatch that is not active any more out of the kernel.
///
/// # Errors
/// When something holds it.
pub(crate) fn unload(machine: &Machine, name: &str) -> Result<(), HostProblem> {
    /// The last task may still be on its way out of the module (EAGAIN).
    const TRIES: u32 = 40;
    let mut tries = 0;
    loop {
        match machine.modules().unload(name) {
            Ok(()) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::NOENT.raw_os_error()) => {
                return Ok(());
            }
            Err(_) if tries < TRIES => {
                tries += 1;
                machine.modules().rest(LOOK);
            }
            Err(source) => return Err(HostProblem::Stuck { name: name.to_owned(), source }),
        }
    }
}

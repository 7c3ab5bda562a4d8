//! What is done early at boot, and for some time after something was loaded.

use std::time::Duration;

use elivepatch_model::Sha256Digest;

use crate::{
    Applied, ApplyOptions, Applying, By, Health, Host, HostProblem, Machine, Progress,
    StateDirectory,
    kernel::{is_switched_off, uptime},
    livepatches::{livepatches, named},
    transition::{disable, unload},
};

/// How long after loading it is looked how the machine is: at 1, 5 and 15 minutes. The first look is that of loading
/// itself.
const LOOKS: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60)];

/// When to look next at a machine that has lived with a livepatch for some time: how long from now. `None`: the guard
/// time is over.
pub fn next_look(lived: Duration) -> Option<Duration> {
    let next = LOOKS.into_iter().find(|look| *look > lived)?;
    // A little later, so that the time of the look is over for certain.
    Some(next - lived + Duration::from_millis(100))
}

/// How long a transition may be under way that nobody waits for any more.
const ABANDONED: Duration = Duration::from_secs(180);

/// What became of the boot.
#[derive(Debug, PartialEq, Eq)]
pub enum Booted {
    /// The kernel's command line says `elivepatch=off`.
    SwitchedOff,
    /// Nothing is known of this kernel.
    NothingKnown,
    /// There is nothing to load for it: it was taken back, or is locked out.
    NothingToLoad {
        /// What is locked out for this kernel, with the reason.
        locked_out: Vec<(Sha256Digest, String)>,
    },
    /// Its livepatch is active.
    Loaded {
        /// Its name.
        name: String,
        /// What came of loading it.
        applied: Applied,
        /// The livepatch under which the machine came to its end the last time, which is locked out now.
        died_under: Option<Sha256Digest>,
        /// Whether it is to be looked after: it was not proven yet.
        is_guarded: bool,
    },
}

/// How the machine is some time after a livepatch was loaded.
#[derive(Debug, PartialEq, Eq)]
pub enum Guarded {
    /// It is well, and has lived with it for this long; the guard goes on.
    Well {
        /// How long.
        lived: Duration,
    },
    /// There is none to be guarded.
    None,
    /// It is not active any more, and nothing is wrong with the kernel: somebody has disabled it.
    Disabled {
        /// The livepatch.
        name: String,
    },
    /// It was not well, and was taken back.
    TakenBack {
        /// The livepatch.
        name: String,
        /// What was seen.
        health: Health,
    },
}

impl Host<'_> {
    /// Loads the last livepatch of this kernel; when that cannot be, the one before it.
    ///
    /// # Errors
    /// When none can be loaded; the machine runs on without.
    pub fn boot(
        machine: &Machine,
        directory: &StateDirectory,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Booted, HostProblem> {
        // What killed the machine is locked out also when nothing is to be loaded.
        let mut host = Host::open(machine, directory)?;
        if is_switched_off(machine)? {
            return Ok(Booted::SwitchedOff);
        }
        let known = host.state.of(&host.kernel);
        let Some(current) = known.current else {
            if known.locked_out.is_empty() {
                return Ok(Booted::NothingKnown);
            }
            let locked = known.locked_out.iter();
            let locked_out = locked.map(|(digest, lockout)| (*digest, lockout.reason.clone()));
            return Ok(Booted::NothingToLoad { locked_out: locked_out.collect() });
        };
        // Nothing is to be done, whatever stands against loading it anew.
        if let Some(name) = host.active(current)? {
            let (died_under, is_guarded) = (host.died_under, host.is_guarded());
            let applied = Applied::AlreadyActive;
            return Ok(Booted::Loaded { name, applied, died_under, is_guarded });
        }
        let mut first_problem = None;
        for digest in [current].into_iter().chain(known.earlier.iter().rev().copied()) {
            let is_fallback = digest != current;
            if !known.may_be_loaded(digest)
                || is_fallback && !(known.proven.contains(&digest) && known.may_come_back(digest))
            {
                continue;
            }
            match host.boot_with(digest, tell) {
                Ok((name, applied)) => {
                    let died_under = host.died_under;
                    let is_guarded = host.is_guarded();
                    return Ok(Booted::Loaded { name, applied, died_under, is_guarded });
                }
                Err(problem) => drop(first_problem.get_or_insert(problem)),
            }
        }
        Err(first_problem.unwrap_or_else(|| HostProblem::Unknown(current.to_string())))
    }

    /// The name of a livepatch that is kept, when it is active.
    fn active(&self, digest: Sha256Digest) -> Result<Option<String>, HostProblem> {
        let loaded = livepatches(self.machine)?;
        let own = self.own(&loaded)?;
        Ok(loaded
            .into_iter()
            .find(|there| {
                let is_it = |id| own.get(id) == Some(&digest);
                there.is_active() && there.build_id.as_ref().is_some_and(is_it)
            })
            .map(|there| there.name))
    }

    fn boot_with(
        &mut self,
        digest: Sha256Digest,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(String, Applied), HostProblem> {
        let held = self.directory.held(digest)?;
        let held = held.ok_or_else(|| HostProblem::Unknown(digest.to_string()))?;
        let applying = Applying::from(held);
        let name = applying.module.name.clone();
        let options = ApplyOptions { by: By::Boot, ..ApplyOptions::default() };
        let applied = self.apply(&applying, &options, tell)?;
        Ok((name, applied))
    }

    /// Looks how the machine is with what was loaded last, and takes it back when the kernel has taken harm. What was
    /// left on its way, since who loaded it has ended, is gone on with. To be called now and then until the guard
    /// time is over.
    ///
    /// # Errors
    /// When it cannot be looked at, taken back or written down.
    pub fn guard(&mut self, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Guarded, HostProblem> {
        // That of a guard whose time is over has ended when the state was read.
        let Some(marker) = self.state.marker.clone() else { return Ok(Guarded::None) };
        let Some(held) = self.directory.held(marker.livepatch)? else { return Ok(Guarded::None) };
        let name = held.module.name;
        let livepatch = named(self.machine, &name)?;
        let since = Duration::from_millis(marker.uptime_ms);
        let lived = uptime(self.machine)?.saturating_sub(since);
        let health = Health::look(self.machine, livepatch.as_ref(), marker.vitals)?;
        if health.is_harmed() {
            self.take_back(marker.livepatch, &name, &health.words(), tell)?;
            return Ok(Guarded::TakenBack { name, health });
        }
        match livepatch {
            Some(livepatch) if livepatch.in_transition => {
                if lived > ABANDONED {
                    disable(self.machine, &name, &mut |tasks| tell(Progress::Waiting(tasks)))?;
                    unload(self.machine, &name)?;
                    self.bring_back(marker.before, &ApplyOptions::default(), tell)?;
                    self.unmark()?;
                    return Ok(Guarded::Disabled { name });
                }
                Ok(Guarded::Well { lived })
            }
            Some(livepatch) if livepatch.enabled => {
                if self.state.of(&self.kernel).current != Some(marker.livepatch) {
                    self.make_current(marker.livepatch, marker.by)?;
                }
                // When its time is over, the guard ends when the state is read the next time.
                Ok(Guarded::Well { lived })
            }
            _ => {
                self.unmark()?;
                Ok(Guarded::Disabled { name })
            }
        }
    }
}

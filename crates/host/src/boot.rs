//! What is done early at boot: the last livepatch of this kernel is loaded again, unless the machine died of it.

use std::time::Duration;

use elivepatch_model::Sha256Digest;
use jiff::Timestamp;

use crate::{
    Applied, ApplyOptions, Applying, EventKind, Health, Host, HostProblem, Livepatch, Machine,
    Progress, State, StateDirectory, Vitals,
    kernel::{boot_id, is_switched_off, uptime},
    livepatches::named,
};

/// How long a machine must have lived with a livepatch until its end is not put down to it.
pub const GUARD: Duration = Duration::from_secs(15 * 60);

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
    /// The guard time is over.
    Over,
    /// There is none to be guarded.
    None,
    /// It was not well, and was taken back.
    TakenBack {
        /// The livepatch.
        name: String,
        /// What was seen.
        health: Health,
    },
}

impl Host<'_> {
    /// Loads the last livepatch of this kernel.
    ///
    /// # Errors
    /// When it cannot be loaded; the machine runs on without it.
    pub fn boot(
        machine: &Machine,
        directory: &StateDirectory,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Booted, HostProblem> {
        if is_switched_off(machine)? {
            return Ok(Booted::SwitchedOff);
        }
        let mut host = Host::open(machine, directory)?;
        let died_under = host.note_death()?;
        let Some(known) = host.state.kernels.get(&State::key(&host.kernel)) else {
            return Ok(Booted::NothingKnown);
        };
        let Some(current) = known.current else {
            let locked = known.locked_out.iter();
            let locked_out = locked.map(|(digest, lockout)| (*digest, lockout.reason.clone()));
            return Ok(Booted::NothingToLoad { locked_out: locked_out.collect() });
        };
        let held = host.directory.held(current)?;
        let held = held.ok_or_else(|| HostProblem::Unknown(current.to_string()))?;
        let name = held.module.name.clone();
        let applying =
            Applying { module: held.module, manifest: held.manifest, manifest_text: None };
        let options = ApplyOptions { at_boot: true, ..ApplyOptions::default() };
        let applied = host.apply(&applying, &options, tell)?;
        Ok(Booted::Loaded { name, applied, died_under })
    }

    /// Locks a livepatch out when the machine has come to its end while it was being loaded, or soon after.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note_death(&mut self) -> Result<Option<Sha256Digest>, HostProblem> {
        let Some(marker) = self.state.marker.clone() else { return Ok(None) };
        if marker.boot_id == boot_id(self.machine)? {
            return Ok(None);
        }
        let reason = format!(
            "the machine came to its end {} after it was loaded, on {}",
            "within a quarter of an hour",
            marker.at.strftime("%Y-%m-%d %H:%M UTC")
        );
        self.state.marker = None;
        let kernel = self.state.kernels.entry(marker.kernel).or_default();
        kernel.lock_out(marker.livepatch, reason.clone(), Timestamp::now());
        self.directory.write(&self.lock, &self.state)?;
        self.note(EventKind::LockedOut { digest: marker.livepatch, reason })?;
        Ok(Some(marker.livepatch))
    }

    /// Looks how the machine is with what was loaded last, and takes it back when it is not well. To be called
    /// now and then until the guard time is over.
    ///
    /// # Errors
    /// When it cannot be looked at, taken back or written down.
    pub fn guard(&mut self, tell: &mut dyn FnMut(Progress<'_>)) -> Result<Guarded, HostProblem> {
        let Some(marker) = self.state.marker.clone() else { return Ok(Guarded::None) };
        if marker.boot_id != boot_id(self.machine)? {
            return Ok(Guarded::None);
        }
        let Some(held) = self.directory.held(marker.livepatch)? else { return Ok(Guarded::None) };
        let name = held.module.name;
        let livepatch: Option<Livepatch> = named(self.machine, &name)?;
        let health = Health::look(self.machine, livepatch.as_ref(), marker.vitals)?;
        if !health.is_well() {
            self.take_back(marker.livepatch, &name, &health.words(), tell)?;
            return Ok(Guarded::TakenBack { name, health });
        }
        let since = Duration::from_millis(marker.uptime_ms);
        let lived = uptime(self.machine)?.saturating_sub(since);
        if lived < GUARD {
            return Ok(Guarded::Well { lived });
        }
        self.unmark()?;
        Ok(Guarded::Over)
    }

    /// The machine is about to be shut down: its end is not the livepatch's.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn shut_down(&mut self) -> Result<(), HostProblem> {
        match &self.state.marker {
            Some(marker) if marker.boot_id == boot_id(self.machine)? => self.unmark(),
            _ => Ok(()),
        }
    }

    /// What the kernel says of itself now.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn vitals(&self) -> Result<Vitals, HostProblem> {
        Vitals::now(self.machine)
    }
}

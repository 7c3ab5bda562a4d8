use std::time::Duration;

use elivepatch_model::Sha256Digest;
use jiff::Timestamp;

use crate::{
    By, Event, EventKind, Health, HostProblem, Kernel, KernelState, Machine, Marker, State,
    StateDirectory, Vitals,
    kernel::{boot_id, uptime},
    livepatches::named,
    state::Lock,
};

/// How long a machine must have lived with a livepatch until its end is not put down to it.
pub const GUARD: Duration = Duration::from_secs(15 * 60);

/// All that is needed to change what is loaded. While it lives nobody else changes anything.
pub struct Host<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The kernel that runs on it.
    pub kernel: Kernel,
    /// Where its state is.
    pub directory: &'a StateDirectory,
    /// What was locked out just now, because the machine came to its end with it.
    pub died_under: Option<Sha256Digest>,
    pub(crate) lock: Lock,
    pub(crate) state: State,
}

impl<'a> Host<'a> {
    /// Takes the lock, reads the state, and settles what an earlier boot has left, or a guard that was killed.
    ///
    /// # Errors
    /// When another elivepatch has it, or something cannot be read or written.
    pub fn open(machine: &'a Machine, directory: &'a StateDirectory) -> Result<Self, HostProblem> {
        let kernel = Kernel::running(machine)?;
        let lock = directory.lock()?;
        let state = directory.read()?;
        let mut host = Self { machine, kernel, directory, died_under: None, lock, state };
        host.note_death()?;
        host.end_guard()?;
        Ok(host)
    }

    /// Locks a livepatch out when the machine has come to its end while it was being loaded, or soon after.
    fn note_death(&mut self) -> Result<(), HostProblem> {
        let Some(marker) = self.state.marker.clone() else { return Ok(()) };
        if marker.boot_id == boot_id(self.machine)? {
            return Ok(());
        }
        let reason = format!(
            "the machine came to its end within a quarter of an hour after it was loaded, on {}",
            marker.at.strftime("%Y-%m-%d %H:%M UTC")
        );
        self.state.marker = None;
        let kernel = self.state.kernels.entry(marker.kernel).or_default();
        kernel.lock_out(marker.livepatch, marker.before, reason.clone(), Timestamp::now());
        self.directory.write(&self.lock, &self.state)?;
        self.note(EventKind::LockedOut { digest: marker.livepatch, reason })?;
        self.died_under = Some(marker.livepatch);
        Ok(())
    }

    /// Ends the guard when its time is over and the machine is well.
    fn end_guard(&mut self) -> Result<(), HostProblem> {
        let Some(marker) = self.state.marker.clone() else { return Ok(()) };
        let since = Duration::from_millis(marker.uptime_ms);
        if uptime(self.machine)?.saturating_sub(since) < GUARD {
            return Ok(());
        }
        let Ok(Some(held)) = self.directory.held(marker.livepatch) else { return self.unmark() };
        let there = named(self.machine, &held.module.name)?;
        if Health::look(self.machine, there.as_ref(), marker.vitals)?.is_well() {
            self.state.of_mut(&self.kernel).proven.insert(marker.livepatch);
            return self.unmark();
        }
        Ok(())
    }

    /// Says on the disk what is about to be loaded. What was proven once is not marked.
    pub(crate) fn mark(
        &mut self,
        livepatch: Sha256Digest,
        before: Option<Sha256Digest>,
        vitals: Vitals,
        by: By,
    ) -> Result<(), HostProblem> {
        if self.state.of(&self.kernel).proven.contains(&livepatch) {
            return self.unmark();
        }
        let uptime = uptime(self.machine)?;
        self.state.marker = Some(Marker {
            kernel: State::key(&self.kernel),
            livepatch,
            before,
            by,
            boot_id: boot_id(self.machine)?,
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            vitals,
            at: Timestamp::now(),
        });
        self.directory.write(&self.lock, &self.state)
    }

    pub(crate) fn unmark(&mut self) -> Result<(), HostProblem> {
        self.state.marker = None;
        self.directory.write(&self.lock, &self.state)
    }

    /// The marker stays until the guard time is over.
    pub(crate) fn make_current(&mut self, digest: Sha256Digest, by: By) -> Result<(), HostProblem> {
        let kernel = self.state.of_mut(&self.kernel);
        let before = kernel.current;
        // What is loaded at boot in the place of the one that could not be, is not the one that belongs to the kernel.
        if by == By::Boot && before.is_some() {
            return Ok(());
        }
        kernel.make_current(digest, Timestamp::now());
        if by != By::Boot {
            kernel.current_by = Some(by);
            kernel.taken_back.remove(&digest);
            kernel.withdrawn.remove(&digest);
        }
        if by == By::Person {
            kernel.taken_back.extend(before.filter(|before| *before != digest));
        }
        self.directory.write(&self.lock, &self.state)?;
        self.directory.forget_others(&self.lock, &self.state)
    }

    pub(crate) fn note(&self, kind: EventKind) -> Result<(), HostProblem> {
        let event = Event { at: Timestamp::now(), release: self.kernel.release.to_string(), kind };
        self.directory.note(&self.lock, &event)
    }

    /// Writes down that the server has withdrawn a livepatch: nothing loads it by itself any more.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn note_withdrawn(&mut self, digest: Sha256Digest) -> Result<(), HostProblem> {
        match self.state.of_mut(&self.kernel).withdrawn.insert(digest) {
            true => self.directory.write(&self.lock, &self.state),
            false => Ok(()),
        }
    }

    /// What is known of the kernel that runs.
    pub fn known(&self) -> KernelState {
        self.state.of(&self.kernel)
    }

    /// Whether something is looked after now.
    pub fn is_guarded(&self) -> bool {
        self.state.marker.is_some()
    }

    /// The machine is about to be shut down: its end is not the livepatch's.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn shut_down(&mut self) -> Result<(), HostProblem> {
        match self.state.marker.is_some() {
            true => self.unmark(),
            false => Ok(()),
        }
    }
}

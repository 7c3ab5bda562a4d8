//! Going back: to the livepatch before, or to none.

use elivepatch_model::Sha256Digest;
use jiff::Timestamp;

use crate::{
    Applied, ApplyOptions, Applying, By, EventKind, Held, Host, HostProblem, Obstacle, Progress,
    livepatches::named,
    transition::{disable, unload, wait_gone},
};

/// What a machine is taken back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverted {
    /// The kernel as it was booted.
    ToNone {
        /// What was taken out.
        from: String,
        /// Why its module is still in the kernel, where it does nothing any more; one line.
        held: Option<String>,
    },
    /// An earlier livepatch.
    To {
        /// What was taken out.
        from: String,
        /// What is active now.
        to: String,
    },
}

impl Host<'_> {
    /// Takes back what is loaded: `to` an earlier livepatch of this kernel, or to none.
    ///
    /// # Errors
    /// When nothing is loaded that elivepatch knows, the earlier one is not there any more or cannot be loaded,
    /// or tasks do not leave the functions.
    pub fn revert(
        &mut self,
        to: Option<Sha256Digest>,
        reason: &str,
        options: &ApplyOptions,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Reverted, HostProblem> {
        let Some((loaded, digest)) = self.loaded()? else { return Err(HostProblem::NothingLoaded) };
        let from = loaded.name.clone();
        let reverted = match to {
            // The earlier one replaces it: with all that is looked at before anything is loaded.
            Some(to) => {
                let applying = Applying::from(self.usable(to)?);
                let name = applying.module.name.clone();
                match self.apply(&applying, options, tell)? {
                    Applied::Loaded { .. } | Applied::AlreadyActive => {
                        if digest != to {
                            self.note_withdrawn(digest)?;
                        }
                        Reverted::To { from, to: name }
                    }
                }
            }
            None => {
                // First the record: whatever happens now, it is not loaded at the next boot.
                let state = self.state.clone();
                let kernel = self.state.of_mut(&self.kernel);
                kernel.make_none_current();
                if options.by == By::Person {
                    kernel.taken_back.insert(digest);
                }
                self.unmark()?;
                if let Err(problem) =
                    disable(self.machine, &from, &mut |tasks| tell(Progress::Waiting(tasks)))
                {
                    self.state = state;
                    let _ = self.directory.write(&self.lock, &self.state);
                    return Err(problem);
                }
                // No function of it is called any more. What something holds can stay.
                let held = unload(self.machine, &from).err().map(|problem| problem.to_string());
                // It may have been on its way, over another one that is active again now.
                match self.loaded()? {
                    Some((there, digest)) => {
                        self.make_current(digest, options.by)?;
                        Reverted::To { from, to: there.name }
                    }
                    None => Reverted::ToNone { from, held },
                }
            }
        };
        self.note(EventKind::Reverted { name: loaded.name, reason: reason.to_owned() })?;
        Ok(reverted)
    }

    /// Writes down that no livepatch belongs to this kernel, when none is loaded any more.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn forget_current(&mut self) -> Result<(), HostProblem> {
        self.state.of_mut(&self.kernel).make_none_current();
        self.unmark()
    }

    /// Goes back from a livepatch with which the kernel is not well, to what was active before it, or to none. It is
    /// not loaded again before somebody unlocks it. That nothing can be written keeps it from nothing.
    ///
    /// # Errors
    /// When the kernel does not let it go, or, when it has, nothing could be written down.
    pub(crate) fn take_back(
        &mut self,
        digest: Sha256Digest,
        name: &str,
        reason: &str,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HostProblem> {
        tell(Progress::TakingBack(name));
        let marker = self.state.marker.as_ref().filter(|marker| marker.livepatch == digest);
        let before = marker.and_then(|marker| marker.before);
        let kernel = self.state.of_mut(&self.kernel);
        kernel.lock_out(digest, before, reason.to_owned(), Timestamp::now());
        // The marker stays until it is done: it puts an end of the machine down to the bad one.
        let written = self.directory.write(&self.lock, &self.state);
        let options = ApplyOptions::default();
        let earlier = before.and_then(|before| self.directory.held(before).ok().flatten());
        // One that is not trusted any more is not loaded again: none is better than that, too.
        let earlier = earlier.filter(|held| {
            let withdrawn = &self.state.of(&self.kernel).withdrawn;
            self.is_trusted(held) && !withdrawn.contains(&held.module.digest)
        });
        let is_there = named(self.machine, name)?.is_some();
        // The earlier one takes its place; better none than the bad one.
        let replaced = match &earlier {
            Some(held) => self.load(&held.module, &held.module.path, &options, tell),
            None => Err(HostProblem::NothingLoaded),
        };
        if is_there {
            match replaced {
                Ok(()) => drop(wait_gone(self.machine, name)?),
                Err(_) => disable(self.machine, name, &mut |tasks| tell(Progress::Waiting(tasks)))?,
            }
        }
        // What something holds stays, and does nothing any more.
        let _ = unload(self.machine, name);
        written?;
        self.unmark()?;
        self.note(EventKind::LockedOut { digest, reason: reason.to_owned() })?;
        self.note(EventKind::Reverted { name: name.to_owned(), reason: reason.to_owned() })
    }

    /// A livepatch of this kernel that is kept and may be loaded.
    fn usable(&self, digest: Sha256Digest) -> Result<Held, HostProblem> {
        let held = self.directory.held(digest)?;
        let held = held.ok_or_else(|| HostProblem::Unknown(digest.to_string()))?;
        let known = self.state.of(&self.kernel);
        match known.locked_out.get(&digest) {
            None => Ok(held),
            Some(lockout) => Err(HostProblem::Obstacles {
                name: held.module.name,
                obstacles: vec![Obstacle::LockedOut(lockout.reason.clone())],
            }),
        }
    }

    /// The livepatch that is meant by the beginning of its digest or by its module's name, of those that are kept or
    /// locked out.
    ///
    /// # Errors
    /// When none is, or several are.
    pub fn find(&self, given: &str) -> Result<Sha256Digest, HostProblem> {
        self.directory.find(&self.state, given)
    }

    /// The livepatch that belongs to this kernel.
    ///
    /// # Errors
    /// When it is not kept any more, or damaged.
    pub fn current(&self) -> Result<Option<Held>, HostProblem> {
        match self.state.of(&self.kernel).current {
            Some(digest) => self.usable(digest).map(Some),
            None => Ok(None),
        }
    }

    /// Lets a livepatch that was locked out be loaded again.
    ///
    /// # Errors
    /// When it is not locked out, or that cannot be written.
    pub fn unlock(&mut self, digest: Sha256Digest) -> Result<(), HostProblem> {
        let mut was_locked = false;
        for kernel in self.state.kernels.values_mut() {
            was_locked |= kernel.locked_out.remove(&digest).is_some();
        }
        if !was_locked {
            return Err(HostProblem::NotLockedOut(digest));
        }
        self.directory.write(&self.lock, &self.state)?;
        self.note(EventKind::Unlocked { digest })
    }
}

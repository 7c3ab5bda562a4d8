//! Going back: to the livepatch before, or to none.

use std::path::PathBuf;

use elivepatch_model::Sha256Digest;
use jiff::Timestamp;

use crate::{
    ApplyOptions, EventKind, Health, Held, Host, HostProblem, Livepatch, Progress, Vitals,
    livepatches::{livepatches, named},
    transition::{disable, unload},
};

/// What a machine is taken back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reverted {
    /// The kernel as it was booted.
    ToNone {
        /// What was taken out.
        from: String,
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
    /// Takes back what is loaded: `to` an earlier livepatch, or to none.
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
        let Some(loaded) = self.loaded()? else { return Err(HostProblem::NothingLoaded) };
        let to = match to {
            Some(digest) => Some(self.usable(digest)?),
            None => None,
        };
        let reverted = self.go_back(&loaded, to.as_ref(), options, tell)?;
        let kernel = self.state.of_mut(&self.kernel);
        match &to {
            Some(held) => kernel.make_current(held.module.digest, Timestamp::now()),
            None => kernel.make_none_current(),
        }
        self.unmark()?;
        self.note(EventKind::Reverted { name: loaded.name, reason: reason.to_owned() })?;
        Ok(reverted)
    }

    /// Goes back from a livepatch with which the kernel is not well, to the one before it when that can be
    /// loaded, else to none. It is not loaded again before somebody unlocks it.
    ///
    /// # Errors
    /// When neither can be done, or it cannot be written down; the kernel may have the livepatch still.
    pub(crate) fn take_back(
        &mut self,
        digest: Sha256Digest,
        name: &str,
        reason: &str,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Option<Reverted>, HostProblem> {
        tell(Progress::TakingBack(name));
        // First of all: whatever happens now, it is not loaded at the next boot.
        let kernel = self.state.of_mut(&self.kernel);
        kernel.lock_out(digest, reason.to_owned(), Timestamp::now());
        // One that never became the current one has replaced it all the same.
        let before = kernel.current.or_else(|| kernel.before());
        self.directory.write(&self.lock, &self.state)?;
        self.note(EventKind::LockedOut { digest, reason: reason.to_owned() })?;
        let Some(loaded) = named(self.machine, name)? else {
            unload(self.machine, name)?;
            return Ok(None);
        };
        let options = ApplyOptions::default();
        let earlier = before.and_then(|before| self.usable(before).ok());
        let reverted = match &earlier {
            Some(held) => match self.go_back(&loaded, Some(held), &options, tell) {
                Ok(reverted) => reverted,
                // Better none than the bad one.
                Err(_) => self.go_back(&loaded, None, &options, tell)?,
            },
            None => self.go_back(&loaded, None, &options, tell)?,
        };
        if let (Reverted::To { .. }, Some(held)) = (&reverted, &earlier) {
            self.make_current(held.module.digest)?;
        }
        self.unmark()?;
        self.note(EventKind::Reverted { name: name.to_owned(), reason: reason.to_owned() })?;
        Ok(Some(reverted))
    }

    fn go_back(
        &mut self,
        loaded: &Livepatch,
        to: Option<&Held>,
        options: &ApplyOptions,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Reverted, HostProblem> {
        let from = loaded.name.clone();
        let Some(held) = to else {
            disable(self.machine, &from, &mut |tasks| tell(Progress::Waiting(tasks)))?;
            unload(self.machine, &from)?;
            return Ok(Reverted::ToNone { from });
        };
        // The earlier one replaces it: there is no moment without either.
        let module = &held.module;
        let vitals = Vitals::now(self.machine)?;
        self.mark(module.digest, vitals)?;
        self.load(module, &module.path, options, tell)?;
        let there = named(self.machine, &module.name)?;
        let health = Health::look(self.machine, there.as_ref(), vitals)?;
        if !health.is_well() {
            return Err(HostProblem::TakenBack { name: module.name.clone(), health });
        }
        // What something holds stays, and does nothing any more.
        let _ = unload(self.machine, &from);
        Ok(Reverted::To { from, to: module.name.clone() })
    }

    /// What is loaded, and was loaded by elivepatch.
    pub(crate) fn loaded(&self) -> Result<Option<Livepatch>, HostProblem> {
        let loaded = livepatches(self.machine)?;
        let own = self.own(&loaded)?;
        let is_own =
            |livepatch: &Livepatch| livepatch.build_id.as_ref().is_some_and(|id| own.contains(id));
        Ok(loaded.into_iter().find(is_own))
    }

    /// A livepatch that is kept and may be loaded.
    fn usable(&self, digest: Sha256Digest) -> Result<Held, HostProblem> {
        let unknown = || HostProblem::Unknown(digest.to_string());
        let held = self.directory.held(digest)?.ok_or_else(unknown)?;
        let locked = self.state.of(&self.kernel).locked_out;
        match locked.get(&digest) {
            None => Ok(held),
            Some(lockout) => Err(HostProblem::Obstacles {
                name: held.module.name,
                obstacles: vec![crate::Obstacle::LockedOut(lockout.reason.clone())],
            }),
        }
    }

    /// The livepatch of this kernel that is meant by the beginning of its digest or by its module's name.
    ///
    /// # Errors
    /// When none is, or several are.
    pub fn find(&self, given: &str) -> Result<Sha256Digest, HostProblem> {
        find(self.directory.held_digests()?, given, |digest| {
            Ok(self.directory.held(digest)?.map(|held| held.module.name))
        })
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
        let kernel = self.state.of_mut(&self.kernel);
        if kernel.locked_out.remove(&digest).is_none() {
            return Err(HostProblem::Unknown(digest.to_string()));
        }
        self.directory.write(&self.lock, &self.state)?;
        self.note(EventKind::Unlocked { digest })
    }

    /// Where a livepatch is kept.
    pub fn place(&self, digest: Sha256Digest) -> PathBuf {
        self.directory.module_path(digest)
    }
}

fn find(
    digests: impl IntoIterator<Item = Sha256Digest>,
    given: &str,
    name: impl Fn(Sha256Digest) -> Result<Option<String>, HostProblem>,
) -> Result<Sha256Digest, HostProblem> {
    /// Fewer digits than this would name one by accident.
    const LEAST_DIGITS: usize = 6;
    let mut found = Vec::new();
    for digest in digests {
        let is_begun = given.len() >= LEAST_DIGITS && digest.to_string().starts_with(given);
        if is_begun || name(digest)?.as_deref() == Some(given) {
            found.push(digest);
        }
    }
    match found[..] {
        [] => Err(HostProblem::Unknown(given.to_owned())),
        [one] => Ok(one),
        _ => Err(HostProblem::Ambiguous {
            given: given.to_owned(),
            candidates: found.iter().map(ToString::to_string).collect(),
        }),
    }
}

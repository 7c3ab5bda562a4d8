//! Loading a livepatch: from the checks to a kernel that is well with it, or to one that is as it was.

use std::{
    collections::HashSet,
    fs::File,
    time::{Duration, Instant},
};

use elivepatch_model::{ElfBuildId, Manifest, Sha256Digest};
use jiff::Timestamp;

use crate::{
    Blocker, Event, EventKind, Health, HostProblem, Kernel, Livepatch, Machine, Marker, ModuleFile,
    Obstacle, State, StateDirectory, Vitals,
    kernel::{boot_id, uptime},
    livepatches::{livepatches, named},
    obstacles::{Candidate, obstacles},
    state::Lock,
    transition::{Ended, disable, unload, wait_active},
};

/// How often loading is tried while the kernel says that it is busy, and how long it is waited between: as
/// `kpatch load` does.
const BUSY_TRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// How a livepatch is to be loaded.
#[derive(Debug, Clone)]
pub struct ApplyOptions {
    /// How long the transition may take.
    pub transition_limit: Duration,
    /// Whether it is loaded because the machine was started.
    pub at_boot: bool,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        // The kernel nudges tasks that sleep each 15 s: three times.
        Self { transition_limit: Duration::from_secs(60), at_boot: false }
    }
}

/// What is to be loaded.
#[derive(Debug, Clone)]
pub struct Applying {
    /// The module.
    pub module: ModuleFile,
    /// Its manifest.
    pub manifest: Option<Manifest>,
    /// The manifest's text, to be kept.
    pub manifest_text: Option<Vec<u8>>,
}

/// What goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// The module goes into the kernel.
    Loading,
    /// The kernel is busy with something else; it is tried again.
    Busy,
    /// The tasks that were not moved yet.
    Waiting(&'a [Blocker]),
    /// The transition is reversed, with the tasks that were in the way.
    Reversing(&'a [Blocker]),
    /// A livepatch is taken back.
    TakingBack(&'a str),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It is active now.
    Loaded {
        /// From the call to the end of the transition.
        took: Duration,
        /// The livepatches that it has replaced.
        replaced: Vec<String>,
    },
    /// It was active already.
    AlreadyActive,
}

/// All that is needed to change what is loaded.
pub struct Host<'a> {
    /// The machine.
    pub machine: &'a Machine,
    /// The kernel that runs on it.
    pub kernel: Kernel,
    /// Where its state is.
    pub directory: &'a StateDirectory,
    pub(crate) lock: Lock,
    pub(crate) state: State,
}

impl<'a> Host<'a> {
    /// Takes the lock and reads the state.
    ///
    /// # Errors
    /// When another elivepatch has it, or something cannot be read.
    pub fn open(machine: &'a Machine, directory: &'a StateDirectory) -> Result<Self, HostProblem> {
        let kernel = Kernel::running(machine)?;
        let lock = directory.lock()?;
        let state = directory.read()?;
        Ok(Self { machine, kernel, directory, lock, state })
    }

    /// What stands against loading a livepatch; nothing is changed.
    ///
    /// # Errors
    /// When the machine cannot be looked at.
    pub fn obstacles(&self, applying: &Applying) -> Result<Vec<Obstacle>, HostProblem> {
        let loaded = livepatches(self.machine)?;
        let own = self.own(&loaded)?;
        let state = self.state.of(&self.kernel);
        let candidate = Candidate {
            kernel: &self.kernel,
            module: &applying.module,
            manifest: applying.manifest.as_ref(),
            loaded: &loaded,
            own: &own,
            state: &state,
        };
        obstacles(self.machine, &candidate)
    }

    /// Loads a livepatch, or says why the machine is as it was.
    ///
    /// # Errors
    /// When something stands against it, the kernel does not take it, its transition does not end, or the
    /// kernel is not well with it.
    pub fn apply(
        &mut self,
        applying: &Applying,
        options: &ApplyOptions,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Applied, HostProblem> {
        let began = Instant::now();
        let module = &applying.module;
        let loaded = livepatches(self.machine)?;
        if self.is_active(module, &loaded) && self.obstacles(applying)?.is_empty() {
            // It may have been loaded by hand: from now on it is looked after.
            self.keep(applying)?;
            self.make_current(module.digest)?;
            return Ok(Applied::AlreadyActive);
        }
        let obstacles = self.obstacles(applying)?;
        if !obstacles.is_empty() {
            return Err(HostProblem::Obstacles { name: module.name.clone(), obstacles });
        }
        let own = self.own(&loaded)?;
        let vitals = Vitals::now(self.machine)?;
        let kept = self.keep(applying)?;
        self.mark(module.digest, vitals)?;
        let outcome = self.load(module, &kept, options, tell);
        let outcome = outcome.and_then(|()| {
            let livepatch = named(self.machine, &module.name)?;
            let health = Health::look(self.machine, livepatch.as_ref(), vitals)?;
            match health.is_well() {
                true => Ok(()),
                false => Err(HostProblem::TakenBack { name: module.name.clone(), health }),
            }
        });
        match outcome {
            Ok(()) => {
                let took = began.elapsed();
                let replaced = self.unload_replaced(&loaded, &own, &module.name);
                self.make_current(module.digest)?;
                let fixes = applying.manifest.iter().flat_map(|manifest| &manifest.fixes);
                self.note(EventKind::Loaded {
                    name: module.name.clone(),
                    digest: module.digest,
                    fixes: fixes.map(|fix| fix.name.clone()).collect(),
                    at_boot: options.at_boot,
                    took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                })?;
                Ok(Applied::Loaded { took, replaced })
            }
            Err(problem) => {
                if let HostProblem::TakenBack { health, .. } = &problem {
                    let reason = health.words();
                    self.take_back(module.digest, &module.name, &reason, tell)?;
                }
                self.unmark()?;
                self.note(EventKind::Failed {
                    name: module.name.clone(),
                    reason: problem.to_string(),
                })?;
                Err(problem)
            }
        }
    }

    /// Loads the module and waits for its transition; what does not end is reversed.
    pub(crate) fn load(
        &self,
        module: &ModuleFile,
        kept: &std::path::Path,
        options: &ApplyOptions,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HostProblem> {
        let name = &module.name;
        // It may be there, disabled, from an earlier time.
        if named(self.machine, name)?.is_none() {
            unload(self.machine, name)?;
        }
        let file = File::open(kept)
            .map_err(|source| HostProblem::ModuleUnread { path: kept.to_owned(), source })?;
        tell(Progress::Loading);
        let mut tries = 1;
        while let Err(source) = self.machine.modules().load(&file) {
            let is_busy = source.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error());
            if !is_busy || tries == BUSY_TRIES {
                return Err(HostProblem::Refused { name: name.clone(), source });
            }
            tries += 1;
            tell(Progress::Busy);
            self.machine.modules().rest(BUSY_PAUSE);
        }
        let limit = options.transition_limit;
        let ended =
            wait_active(self.machine, name, limit, &mut |tasks| tell(Progress::Waiting(tasks)))?;
        let blockers = match ended {
            Ended::Active => return Ok(()),
            Ended::Gone => Vec::new(),
            Ended::Late(blockers) => {
                tell(Progress::Reversing(&blockers));
                disable(self.machine, name, &mut |tasks| tell(Progress::Waiting(tasks)))?;
                blockers
            }
        };
        unload(self.machine, name)?;
        Err(HostProblem::Stalled { name: name.clone(), limit, blockers })
    }

    fn is_active(&self, module: &ModuleFile, loaded: &[Livepatch]) -> bool {
        module.build_id.is_some()
            && loaded.iter().any(|there| there.is_active() && there.build_id == module.build_id)
    }

    /// The build-ids of what is loaded and was loaded by elivepatch.
    pub(crate) fn own(&self, loaded: &[Livepatch]) -> Result<HashSet<ElfBuildId>, HostProblem> {
        if loaded.is_empty() {
            return Ok(HashSet::new());
        }
        let mut own = HashSet::new();
        for digest in self.directory.held_digests()? {
            // One that is damaged identifies nothing.
            if let Ok(Some(held)) = self.directory.held(digest) {
                own.extend(held.module.build_id);
            }
        }
        Ok(own)
    }

    fn keep(&self, applying: &Applying) -> Result<std::path::PathBuf, HostProblem> {
        let manifest = applying.manifest_text.as_deref();
        self.directory.keep(&self.lock, &applying.module, manifest)
    }

    /// Says on the disk what is about to be loaded.
    pub(crate) fn mark(
        &mut self,
        livepatch: Sha256Digest,
        vitals: Vitals,
    ) -> Result<(), HostProblem> {
        let uptime = uptime(self.machine)?;
        self.state.marker = Some(Marker {
            kernel: State::key(&self.kernel),
            livepatch,
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
    pub(crate) fn make_current(&mut self, digest: Sha256Digest) -> Result<(), HostProblem> {
        self.state.of_mut(&self.kernel).make_current(digest, Timestamp::now());
        self.directory.write(&self.lock, &self.state)?;
        self.directory.forget_others(&self.lock, &self.state)
    }

    pub(crate) fn note(&self, kind: EventKind) -> Result<(), HostProblem> {
        let event = Event { at: Timestamp::now(), release: self.kernel.release.to_string(), kind };
        self.directory.note(&self.lock, &event)
    }

    /// Takes out of the kernel what the new livepatch has replaced. What something holds stays: it does
    /// nothing any more.
    fn unload_replaced(
        &self,
        before: &[Livepatch],
        own: &HashSet<ElfBuildId>,
        new: &str,
    ) -> Vec<String> {
        let mut replaced = Vec::new();
        for livepatch in before.iter().filter(|livepatch| livepatch.name != new) {
            let is_own = livepatch.build_id.as_ref().is_some_and(|id| own.contains(id));
            let is_there = named(self.machine, &livepatch.name);
            if !matches!(is_there, Ok(None)) {
                continue;
            }
            replaced.push(livepatch.name.clone());
            if is_own {
                let _ = unload(self.machine, &livepatch.name);
            }
        }
        replaced
    }
}

//! Loading a livepatch: from the checks to a kernel that is well with it, or to one that is as it was.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use elivepatch_model::{ElfBuildId, Manifest, Sha256Digest};
use serde::{Deserialize, Serialize};

use crate::{
    Blocker, EventKind, Health, Held, Host, HostProblem, Livepatch, ManifestFiles, ModuleFile,
    Obstacle, Vitals,
    kprobes::probed,
    live::active_of,
    livepatches::{livepatches, named},
    obstacles::{Candidate, obstacles},
    transition::{Ended, disable, unload, wait_active, wait_gone},
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
    /// Who wants it.
    pub by: By,
}

/// Who wants something to be loaded or taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Somebody on this machine. The agent does not undo it.
    #[default]
    Person,
    /// The start of the machine.
    Boot,
    /// The server, through the agent.
    Server,
}

impl Default for ApplyOptions {
    fn default() -> Self {
        // The kernel nudges tasks that sleep each 15 s: three times.
        Self { transition_limit: Duration::from_secs(60), by: By::Person }
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
    /// The signature of the text.
    pub manifest_signature: Option<Vec<u8>>,
    /// The texts of its fixes, as far as they are at hand: to be kept for the next order.
    pub patches: Vec<Vec<u8>>,
}

/// One that is kept on the machine.
impl From<Held> for Applying {
    fn from(held: Held) -> Self {
        let Held { module, manifest, manifest_text, manifest_signature } = held;
        Self { module, manifest, manifest_text, manifest_signature, patches: Vec::new() }
    }
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
        /// What could not be written down of it; one line each.
        unwritten: Vec<String>,
    },
    /// It was active already.
    AlreadyActive,
}

impl Host<'_> {
    /// What stands against loading a livepatch; nothing is changed.
    ///
    /// # Errors
    /// When the machine cannot be looked at.
    pub fn obstacles(&self, applying: &Applying) -> Result<Vec<Obstacle>, HostProblem> {
        let loaded = livepatches(self.machine)?;
        self.obstacles_over(applying, &loaded, &self.own(&loaded)?)
    }

    fn obstacles_over(
        &self,
        applying: &Applying,
        loaded: &[Livepatch],
        own: &HashMap<ElfBuildId, Sha256Digest>,
    ) -> Result<Vec<Obstacle>, HostProblem> {
        let state = self.state.of(&self.kernel);
        let candidate = Candidate {
            kernel: &self.kernel,
            module: &applying.module,
            manifest: applying.manifest.as_ref(),
            loaded,
            own,
            state: &state,
            trusted: self
                .directory
                .trust()
                .verify(applying.manifest_text.as_deref(), applying.manifest_signature.as_deref()),
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
        let own = self.own(&loaded)?;
        let obstacles = self.obstacles_over(applying, &loaded, &own)?;
        if !obstacles.is_empty() {
            return Err(HostProblem::Obstacles { name: module.name.clone(), obstacles });
        }
        let kept = self.keep(applying)?;
        if is_active(module, &loaded) {
            // It may have been loaded by hand: from now on it is looked after.
            if self.state.of(&self.kernel).current != Some(module.digest) {
                self.mark(module.digest, None, Vitals::now(self.machine)?, options.by)?;
                self.make_current(module.digest, options.by)?;
            }
            return Ok(Applied::AlreadyActive);
        }
        let before = active_of(&loaded, &own);
        let marker = self.state.marker.clone();
        let vitals = Vitals::now(self.machine)?;
        self.mark(module.digest, before, vitals, options.by)?;
        let loaded_now = self.load(module, &kept, options, tell);
        let loaded_now = loaded_now.map_err(|problem| problem.of(applying.manifest.as_ref()));
        let outcome = loaded_now.and_then(|()| {
            let livepatch = named(self.machine, &module.name)?;
            let health = Health::look(self.machine, livepatch.as_ref(), vitals)?;
            match health.is_well() {
                true => Ok(()),
                false => Err(HostProblem::TakenBack { name: module.name.clone(), health }),
            }
        });
        let problem = match outcome {
            Ok(()) => return Ok(self.loaded_well(applying, options, began, (&loaded, &own))),
            Err(problem) => problem,
        };
        match &problem {
            HostProblem::TakenBack { health, .. } => {
                self.take_back(module.digest, &module.name, &health.words(), tell)?;
                // What was there goes on to be looked after; the harm is not its own.
                if let Some(mut marker) = marker {
                    marker.vitals = Vitals::now(self.machine)?;
                    self.state.marker = Some(marker);
                    let _ = self.directory.write(&self.lock, &self.state);
                }
            }
            // It is still on its way, one way or the other: the guard goes on with it.
            HostProblem::CannotReverse { .. } => {}
            _ => {
                // What was there goes on to be looked after. What could not be written says the next command.
                self.state.marker = marker;
                let _ = self.directory.write(&self.lock, &self.state);
                self.bring_back(before, options, tell)?;
            }
        }
        let failed = EventKind::Failed { name: module.name.clone(), reason: problem.to_string() };
        let _ = self.note(failed);
        Err(problem)
    }

    /// Writes down that a livepatch is active and takes out what it has replaced. The kernel has it, whatever can be
    /// written.
    fn loaded_well(
        &mut self,
        applying: &Applying,
        options: &ApplyOptions,
        began: Instant,
        (loaded, own): (&[Livepatch], &HashMap<ElfBuildId, Sha256Digest>),
    ) -> Applied {
        let module = &applying.module;
        let took = began.elapsed();
        let mut unwritten = Vec::new();
        let mut written = |outcome: Result<(), HostProblem>| {
            if let Err(problem) = outcome {
                unwritten.push(problem.to_string());
            }
        };
        written(self.make_current(module.digest, options.by));
        let fixes = applying.manifest.iter().flat_map(|manifest| &manifest.fixes);
        written(self.note(EventKind::Loaded {
            name: module.name.clone(),
            digest: module.digest,
            fixes: fixes.map(|fix| fix.name.clone()).collect(),
            at_boot: options.by == By::Boot,
            took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }));
        let replaced = self.unload_replaced(loaded, own, &module.name);
        Applied::Loaded { took, replaced, unwritten }
    }

    /// Loads the module and waits for its transition; what does not end is reversed.
    pub(crate) fn load(
        &self,
        module: &ModuleFile,
        kept: &Path,
        options: &ApplyOptions,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HostProblem> {
        let name = &module.name;
        // It may be there, disabled, from an earlier time.
        if named(self.machine, name)?.is_none() {
            unload(self.machine, name)?;
        }
        // What the kernel gets is what is looked at here, whatever becomes of the name meanwhile.
        let file = module.open_again(kept)?;
        tell(Progress::Loading);
        let mut tries = 1;
        while let Err(source) = self.machine.modules().load(&file) {
            let is_busy = source.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error());
            if !is_busy || tries == BUSY_TRIES {
                // What a kprobe holds, the kernel calls busy, and says no more.
                let probed = if is_busy { probed(self.machine, module) } else { Vec::new() };
                return Err(HostProblem::Refused { name: name.clone(), source, probed });
            }
            tries += 1;
            tell(Progress::Busy);
            self.machine.modules().rest(BUSY_PAUSE);
        }
        let limit = options.transition_limit;
        let ended =
            wait_active(self.machine, name, limit, &mut |tasks| tell(Progress::Waiting(tasks)))?;
        let problem = match ended {
            Ended::Active => return Ok(()),
            Ended::Gone => HostProblem::Disabled { name: name.clone() },
            Ended::Late(blockers) => {
                tell(Progress::Reversing(&blockers));
                disable(self.machine, name, &mut |tasks| tell(Progress::Waiting(tasks)))?;
                HostProblem::Stalled { name: name.clone(), limit, blockers }
            }
        };
        unload(self.machine, name)?;
        Err(problem)
    }

    /// Loads what was active before, when it is not any more: a transition that is reversed at its last instant may
    /// have replaced it. One that is not trusted any more stays out.
    pub(crate) fn bring_back(
        &self,
        before: Option<Sha256Digest>,
        options: &ApplyOptions,
        tell: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HostProblem> {
        let Some(before) = before else { return Ok(()) };
        let Some(held) = self.directory.held(before)? else { return Ok(()) };
        if !self.is_trusted(&held) || self.state.of(&self.kernel).withdrawn.contains(&before) {
            return Ok(());
        }
        match is_active(&held.module, &livepatches(self.machine)?) {
            true => Ok(()),
            false => self.load(&held.module, &held.module.path, options, tell),
        }
    }

    fn keep(&self, applying: &Applying) -> Result<std::path::PathBuf, HostProblem> {
        let text = applying.manifest_text.as_deref();
        let signature = applying.manifest_signature.as_deref();
        let manifest = text.map(|text| ManifestFiles { text, signature });
        let kept = self.directory.keep(&self.lock, &applying.module, manifest)?;
        self.directory.keep_patches(&self.lock, applying.module.digest, &applying.patches)?;
        Ok(kept)
    }

    /// Whether the manifest of a livepatch that is kept is one that is taken now. It may have been loaded before
    /// there was a key for that.
    pub(crate) fn is_trusted(&self, held: &Held) -> bool {
        self.directory.trust().verify_held(held).is_ok()
    }

    /// Takes out of the kernel what the new livepatch has replaced. What something holds stays: it does
    /// nothing any more.
    fn unload_replaced(
        &self,
        before: &[Livepatch],
        own: &HashMap<ElfBuildId, Sha256Digest>,
        new: &str,
    ) -> Vec<String> {
        let mut replaced = Vec::new();
        for livepatch in before.iter().filter(|livepatch| livepatch.name != new) {
            let is_own = livepatch.build_id.as_ref().is_some_and(|id| own.contains_key(id));
            if is_own && matches!(wait_gone(self.machine, &livepatch.name), Ok(true)) {
                replaced.push(livepatch.name.clone());
                let _ = unload(self.machine, &livepatch.name);
            }
        }
        replaced
    }
}

fn is_active(module: &ModuleFile, loaded: &[Livepatch]) -> bool {
    module.build_id.is_some()
        && loaded.iter().any(|there| there.is_active() && there.build_id == module.build_id)
}

//! The steps from an order to a livepatch, one function each, in their order.

mod compile;
mod fit;
mod once_more;
mod ready;
mod running;
mod try_out;
mod warm;

use std::{collections::BTreeSet, rc::Rc, sync::OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    Adaptation, AdaptationKind, BuildEvent, Engine, Failure, FailureClass, FitRecord, KernelConfig,
    Lockdown, Manifest, ProbeRecord, Sha256Digest, StepName,
};

use crate::{
    BuildOrder, Builder, FinishedBuild, ModuleSigner, Observer,
    adapt::{AdaptedSource, InlinedCalls, Planner, SourceAdapter},
    apply::{AppliedFixes, apply_fixes},
    base::{Base, KernelMake, Workspace},
    engine::{
        ChangedObject, KpatchEngine, LivepatchEngine, choose, only_kpatch_can, tidy_originals,
    },
    failures::io_failure,
    generators::refuse_generator_inputs,
    headers::{HeaderLimit, check_fan_out},
    init_changes::put_back,
    inspect::{Inspected, inspect},
    module_name::module_name,
    ownership::{Units, find_units},
    source::{FoundSource, KernelSource},
    steps::Steps,
    toolchain::ToolchainRoot,
    unit::Unit,
};

pub use warm::WarmBase;
pub(crate) use warm::warm;

/// The result of a step, with a line on it for people.
type Summed<T> = Result<(T, String), Failure>;

/// Runs all steps of a build.
pub(crate) fn run(
    builder: &Builder,
    order: &BuildOrder,
    observer: &dyn Observer,
    work: &Utf8Path,
) -> Result<FinishedBuild, Failure> {
    let header_limit = HeaderLimit::of_builds(&builder.options);
    let job = Job { builder, order, observer, work, header_limit };
    job.on_base(|steps, on| livepatch(&job, steps, on))
}

/// Runs the steps of a build up to the inspection of its module, which is of no further use: it says
/// whether the fixes can be a livepatch.
pub(crate) fn probe(
    builder: &Builder,
    order: &BuildOrder,
    observer: &dyn Observer,
    work: &Utf8Path,
) -> Result<ProbeRecord, Failure> {
    let header_limit = HeaderLimit::of_probes(&builder.options);
    let job = Job { builder, order, observer, work, header_limit };
    job.on_base(|mut steps, on| {
        // What nobody loads is not signed: a token may take its time.
        let made = inspected_module(&job, &mut steps, on, None)?;
        on.base.check_whole()?;
        Ok(ProbeRecord {
            engine: made.engine,
            functions: made.inspected.functions,
            adaptations: made.adaptations,
            fit: made.fit,
        })
    })
}

/// What the steps before the patches are looked at leave.
#[derive(Clone, Copy)]
struct OnBase<'a> {
    config: &'a KernelConfig,
    found: &'a FoundSource,
    toolchain: &'a ToolchainRoot,
    base: &'a Base,
}

/// A module that was inspected, and not tried.
struct MadeModule {
    engine: Engine,
    path: Utf8PathBuf,
    inspected: Inspected,
    adaptations: Vec<Adaptation>,
    fit: FitRecord,
}

/// Runs the steps that work on a base.
fn livepatch(job: &Job, mut steps: Steps, on: OnBase) -> Result<FinishedBuild, Failure> {
    let Job { builder, order, .. } = *job;
    let OnBase { config, found, toolchain, base } = on;
    let made = inspected_module(job, &mut steps, on, builder.signer().as_ref())?;
    let trial = steps.run(StepName::Trial, || {
        let tried = job.try_livepatch(toolchain, base, &made.path, &made.inspected)?;
        // All that was read of the base was read before now. What a base lost under the build may
        // have been taken for something that the kernel does not have.
        base.check_whole()?;
        Ok(tried)
    })?;
    let manifest = Manifest {
        manifest_version: 2,
        build_key: order.key,
        built_at: jiff::Timestamp::now(),
        release: order.target.release.clone(),
        architecture: order.target.architecture,
        build_id: base.facts().build_id.clone(),
        config: config.digest(),
        fixes: order.fixes.iter().map(|fix| fix.fix.clone()).collect(),
        adaptations: made.adaptations,
        source: found.record(),
        toolchain: toolchain.record(),
        base: found.source.base_kind(),
        engine: made.engine,
        functions: made.inspected.functions,
        module: made.inspected.record,
        steps: steps.into_done(),
        trial,
        fit: Some(made.fit),
        branch_audit: made.inspected.branch_audit,
        builder_version: env!("CARGO_PKG_VERSION").to_owned(),
        builder: builder.identity().of_builds_for(&order.target.release),
        request: Some(order.record()),
    };
    Ok(FinishedBuild { manifest, module: made.path })
}

/// Makes the module, inspects it, and has it signed: after that its bytes are those that are tried and published.
fn inspected_module(
    job: &Job,
    steps: &mut Steps,
    on: OnBase,
    signer: Option<&ModuleSigner>,
) -> Result<MadeModule, Failure> {
    let Job { builder, order, observer, work, header_limit } = *job;
    let OnBase { config, found, toolchain, base } = on;
    let source = &found.source;
    let (kind, mut checked) = steps.run(StepName::Check, || {
        let kind = choose(order.engine, config, source.base_kind(), &base.tree())?;
        let (checked, summary) = job.check(kind, config, source, toolchain, base)?;
        Ok(((checked.engine, checked), summary))
    })?;

    let name = module_name(&order.fixes, &order.key);
    let make = KernelMake::new(toolchain, &order.target.release, builder.jobs());
    // The compiler's lists may add to the units while the engine holds these.
    let (patched, touched) = (Rc::clone(&checked.patched), checked.touched.clone());
    let new_sources = checked.new_sources.clone();
    let left_out = checked.adaptations.iter();
    let left_out = left_out.filter(|made| made.kind == AdaptationKind::OutsideKernel);
    let left_out: BTreeSet<String> = left_out.map(|made| made.file.clone()).collect();
    let input = KpatchEngine {
        base,
        patched: &patched,
        make: match kind {
            Engine::Kpatch => make.objtool_for_kpatch(config),
            Engine::KlpBuild => make,
        },
        module_name: &name,
        stack: order.stack,
        sandbox: &builder.sandbox,
        observer,
        touched: &touched,
        new_sources: &new_sources,
        left_out: &left_out,
        reads_variables: &OnceLock::new(),
    };
    let adapted = std::mem::take(&mut checked.adapted);
    let (engine, mut compiled) = steps.run(StepName::Compile, || {
        let engine =
            LivepatchEngine::ready(kind, input, &builder.cache, builder.options.base_limits)?;
        let units = engine.with_missed_units(checked.units_of_files.clone(), &|units| {
            check_fan_out(units, kind, header_limit, builder.jobs(), observer).map(drop)
        })?;
        if units != checked.units_of_files {
            checked.units = all_units(&units);
            checked.units_of_files = units;
        }
        let compiled = job.compile(&engine, base, &checked, adapted)?;
        let objects = count(checked.units.len(), "object");
        Ok(((engine, compiled), format!("{objects}, original and patched, for {kind}")))
    })?;
    let changed = steps.run(StepName::Diff, || {
        let changed = job.diff_adapting(&mut compiled, &engine, base, &checked);
        let changed = match changed {
            // Nothing but __init code changes: it is that which must be said.
            Err(failure) if failure.class == FailureClass::NoFunctionalChange => {
                let Some(init) = &compiled.left_out else { return Err(failure) };
                let adapter = job.source_adapter(base, &checked.patched);
                put_back(init, &engine, &checked.fixes, &checked.units, &adapter)?;
                return Err(job.diff(&engine, &checked).err().unwrap_or(failure));
            }
            result => result.map_err(|failure| compiled.explain(failure))?,
        };
        let summary =
            format!("{} of {} changed", changed.len(), count(checked.units.len(), "object"));
        Ok((changed, summary))
    })?;
    let fit = steps.run(StepName::Fit, || job.fit(&engine, base, &changed))?;
    let module =
        steps.run(StepName::Link, || Ok((engine.link(&changed)?, format!("{name}.ko"))))?;
    let (module, inspected) = steps.run(StepName::Inspect, || {
        let mut inspected = inspect(&module, &name, base, config, &engine, &changed)?;
        fit.covers(&inspected.functions)?;
        let names: Vec<&str> =
            inspected.functions.iter().map(|function| function.name.as_str()).collect();
        let mut summary = format!("replaces {}", names.join(", "));
        let module = match signer {
            Some(signer) => {
                let (signed, by) = signer.sign(&module, config)?;
                summary.push_str(&format!("; signed by {} with {}", by.signer, by.hash));
                inspected.record.digest = Sha256Digest::of(&signed);
                inspected.record.size_bytes = signed.len() as u64;
                inspected.record.signature = Some(by);
                signed
            }
            None => {
                job.warn_unsigned();
                module
            }
        };
        // From here on it lies where no tool can change it.
        let path = work.join(&inspected.record.file_name);
        fs_err::write(&path, &module)
            .map_err(|error| io_failure(FailureClass::Internal, "write", &path, &error))?;
        Ok(((path, inspected), summary))
    })?;
    Ok(MadeModule {
        engine: kind,
        path: module,
        inspected,
        adaptations: compiled.adaptations,
        fit: fit.record,
    })
}

/// One build with what every step needs.
struct Job<'a> {
    builder: &'a Builder,
    order: &'a BuildOrder,
    observer: &'a dyn Observer,
    work: &'a Utf8Path,
    header_limit: HeaderLimit,
}

/// What the check leaves: the patched source, and what is to be compiled of it.
struct Checked {
    /// What makes the livepatch.
    engine: Engine,
    patched: Rc<Workspace>,
    /// For each changed file the compiled files that hold its code.
    units_of_files: Units,
    /// All of those, sorted.
    units: Vec<Unit>,
    /// The files that the fixes change, sorted.
    touched: Vec<String>,
    /// The compiled files among them that the fixes add.
    new_sources: BTreeSet<String>,
    fixes: AppliedFixes,
    /// How the patches were adapted.
    adaptations: Vec<Adaptation>,
    /// How the patched source was.
    adapted: AdaptedSource,
}

impl Checked {
    /// Refuses fixes that change no function: they would look delivered.
    fn every_fix_has_an_effect(&self, changed: &[ChangedObject]) -> Result<(), Failure> {
        let is_changed = |unit: &Unit| changed.iter().any(|changed| changed.unit == *unit);
        let mut idle = self.fixes.files_by_fix().into_iter().filter(|(_, files)| {
            !files.iter().filter_map(|file| self.units_of_files.get(file)).flatten().any(is_changed)
        });
        match idle.next() {
            None => Ok(()),
            Some((fix, files)) => Err(Failure::new(
                FailureClass::NoFunctionalChange,
                format!("{fix} changes no function in {}", files.join(", ")),
                "leave it out of the request, or look whether its lines are compiled with this config",
            )
            .of_fix(fix)),
        }
    }
}

impl Job<'_> {
    /// Gets the base ready and does `work` on it.
    fn on_base<T>(
        &self,
        work: impl FnOnce(Steps, OnBase) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut steps = Steps::new(self.observer);
        let (config, mut source) = steps.run(StepName::Source, || self.find_source())?;
        let toolchain = steps.run(StepName::Toolchain, || self.toolchain_root(&config))?;
        let base = steps.run(StepName::Base, || self.base(&config, &mut source, &toolchain))?;
        let on = OnBase { config: &config, found: &source, toolchain: &toolchain, base: &base };
        // Whoever cleans the cache under a running build is told so, and not what came of it.
        let result = work(steps, on).map_err(|failure| base.explain(failure));
        // At the end, when this build reads none of them any more.
        let Builder { cache, options, .. } = self.builder;
        base.tidy(cache, |originals| {
            match tidy_originals(originals, options.originals_bytes) {
                Ok(0) => {}
                Ok(removed) => {
                    tracing::info!(removed, %originals, "originals were over their limit")
                }
                // It is tried again after the next build.
                Err(error) => tracing::warn!(%originals, "cannot tidy up originals: {error}"),
            }
        });
        result
    }

    /// Says in the log that the target will not load what comes out. A probe is not loaded.
    fn warn_unsigned(&self) {
        let Some(machine) = &self.order.target.machine else { return };
        if self.builder.options.signing.is_some() {
            return;
        }
        let is_locked = machine.lockdown.is_some_and(|state| state != Lockdown::None);
        if machine.module_signatures_enforced == Some(true) || is_locked {
            let line = "the target loads only signed modules, and this server signs none (see [signing] in its \
                        config)";
            let line = line.to_owned();
            self.observer.event(BuildEvent::Log { step: StepName::Inspect, line });
        }
    }

    /// Applies the fixes and refuses what no livepatch can be made of.
    fn check(
        &self,
        chosen: Engine,
        config: &KernelConfig,
        source: &KernelSource,
        toolchain: &ToolchainRoot,
        base: &Base,
    ) -> Summed<Checked> {
        let sandbox = &self.builder.sandbox;
        let planner = Planner {
            without: &self.order.without,
            sources: &base.sources()?,
            parts: base,
            tree: &base.tree(),
            source: &format!("the source of {}", source.name()),
            config,
            observer: self.observer,
        };
        let plan = planner.plan(&self.order.fixes)?;
        let mut files = plan.files();
        let mut units_of_files = find_units(&files, &plan.new_includes, base)?;
        let new_sources: BTreeSet<String> = plan.new_units.keys().cloned().collect();
        files.extend(new_sources.iter().cloned());
        units_of_files.extend(plan.new_units);
        let units = all_units(&units_of_files);
        // What only the fixes include is a part of what they change, be it by way of other files.
        for of_file in units_of_files.values_mut().filter(|units| units.is_empty()) {
            of_file.clone_from(&units);
        }
        let engine = self.engine_for_fixes(chosen, config, &new_sources);
        let jobs = self.builder.jobs();
        let limit = self.header_limit;
        let reach = check_fan_out(&units_of_files, engine, limit, jobs, self.observer)?;
        refuse_generator_inputs(&plan.changes, base)?;
        let root = toolchain.path();
        let patched = Workspace::make(base, &root, sandbox, self.work, "patched", self.observer)?;
        let source = format!("the source of {}", source.name());
        let fixes = apply_fixes(plan.changes, &patched, &source, sandbox, self.observer)?;
        let moved = match fixes.moved_hunks() {
            0 => String::new(),
            moved => format!(" ({} at other lines than the patch says)", count(moved, "hunk")),
        };
        let reach = reach.map(|reach| format!("; {reach}")).unwrap_or_default();
        let summary = format!("applies to {}{moved}{reach}", files.join(", "));
        let adapted =
            self.source_adapter(base, &patched).adapt(&fixes, &InlinedCalls::default())?;
        let adaptations = plan.adaptations;
        let (touched, patched) = (files, Rc::new(patched));
        let checked = Checked {
            engine,
            patched,
            units_of_files,
            units,
            touched,
            new_sources,
            fixes,
            adaptations,
            adapted,
        };
        Ok((checked, summary))
    }

    /// The engine that was chosen for the base, unless nobody asked for it and the fixes are of a
    /// kind that only kpatch can serve.
    fn engine_for_fixes(
        &self,
        chosen: Engine,
        config: &KernelConfig,
        new_sources: &BTreeSet<String>,
    ) -> Engine {
        if self.order.engine.is_some() || chosen == Engine::Kpatch {
            return chosen;
        }
        let new_files: Vec<&str> = new_sources.iter().map(String::as_str).collect();
        let Some(why) = only_kpatch_can(&self.order.fixes, &new_files, config) else {
            return chosen;
        };
        let line = format!("the engine {} makes this livepatch: {why}", Engine::Kpatch);
        self.observer.event(BuildEvent::Log { step: StepName::Check, line });
        Engine::Kpatch
    }

    fn source_adapter<'a>(&'a self, base: &'a Base, workspace: &'a Workspace) -> SourceAdapter<'a> {
        SourceAdapter {
            without: &self.order.without,
            base,
            workspace,
            sandbox: &self.builder.sandbox,
            observer: self.observer,
        }
    }

    /// Finds the changed functions of every fix.
    fn diff(
        &self,
        engine: &LivepatchEngine,
        checked: &Checked,
    ) -> Result<Vec<ChangedObject>, Failure> {
        let changed = engine.diff(&checked.units)?;
        checked.every_fix_has_an_effect(&changed)?;
        Ok(changed)
    }
}

/// The compiled files of all changed files, sorted.
fn all_units(units_of_files: &Units) -> Vec<Unit> {
    let units: BTreeSet<&Unit> = units_of_files.values().flatten().collect();
    units.into_iter().cloned().collect()
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

//! The steps from an order to a livepatch, one function each, in their order.

use std::{collections::BTreeSet, rc::Rc, sync::atomic::AtomicBool};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    Adaptation, AdaptationKind, BaseKind, BuildEvent, Engine, Failure, FailureClass, KernelConfig,
    Manifest, StepName, TrialEvidence, config_refusals,
};

use crate::{
    BuildOrder, Builder, FinishedBuild, Observer,
    adapt::{AdaptedSource, InitChanges, InlinedCalls, Planner, SourceAdapter, calls_of, kept},
    apply::{AppliedFixes, apply_fixes},
    base::{Base, BaseInput, KernelMake, Workspace},
    debian::find_kernel,
    engine::{
        ChangedObject, KpatchEngine, LivepatchEngine, choose, only_kpatch_can, tidy_originals,
    },
    failures::io_failure,
    generators::refuse_generator_inputs,
    headers::check_fan_out,
    init_changes::{Outcome, put_back, try_to_leave_out},
    inspect::{Inspected, inspect},
    module_name::module_name,
    ownership::{Units, find_units},
    qemu::SandboxedQemu,
    rebuild,
    source::KernelSource,
    steps::Steps,
    toolchain::ToolchainRoot,
    trial::{Accelerator, TrialInput, TrialOptions, run_trial},
    trial_modules::{TrialModules, modules_summary},
    unit::Unit,
};

/// The result of a step, with a line on it for people.
type Summed<T> = Result<(T, String), Failure>;

/// Runs all steps of a build.
pub(crate) fn run(
    builder: &Builder,
    order: &BuildOrder,
    observer: &dyn Observer,
    work: &Utf8Path,
) -> Result<FinishedBuild, Failure> {
    let job = Job { builder, order, observer, work };
    let mut steps = Steps::new(observer);
    let (config, source) = steps.run(StepName::Source, || job.find_source())?;
    let toolchain = steps.run(StepName::Toolchain, || job.toolchain_root(&config))?;
    let base = steps.run(StepName::Base, || job.base(&config, &source, &toolchain))?;
    // Whoever cleans the cache under a running build is told so, and not what came of it.
    let result = livepatch(&job, steps, &config, &source, &toolchain, &base)
        .map_err(|failure| base.explain(failure));
    // At the end, when this build reads none of them any more.
    base.tidy(&builder.cache, |originals| {
        match tidy_originals(originals, builder.options.originals_bytes) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, %originals, "originals were over their limit"),
            // It is tried again after the next build.
            Err(error) => tracing::warn!(%originals, "cannot tidy up originals: {error}"),
        }
    });
    result
}

/// Runs the steps that work on a base.
fn livepatch(
    job: &Job,
    mut steps: Steps,
    config: &KernelConfig,
    source: &KernelSource,
    toolchain: &ToolchainRoot,
    base: &Base,
) -> Result<FinishedBuild, Failure> {
    let Job { builder, order, observer, work } = *job;
    let (kind, mut checked) = steps.run(StepName::Check, || {
        let kind = choose(order.engine, config, source.base_kind(), &base.tree())?;
        let (checked, summary) = job.check(kind, config, source, toolchain, base)?;
        Ok(((checked.engine, checked), summary))
    })?;

    let name = module_name(&order.fixes, &order.key);
    let make = KernelMake::new(toolchain.compiler(), &order.target.release, builder.jobs());
    // The compiler's lists may add to the units while the engine holds these.
    let (patched, touched) = (Rc::clone(&checked.patched), checked.touched.clone());
    let new_sources = checked.new_sources.clone();
    let input = KpatchEngine {
        base,
        patched: &patched,
        make: match kind {
            Engine::Kpatch => make.objtool_on_single_objects(config),
            Engine::KlpBuild => make,
        },
        module_name: &name,
        sandbox: &builder.sandbox,
        observer,
        touched: &touched,
        new_sources: &new_sources,
        reads_variables: &AtomicBool::new(false),
    };
    let adapted = std::mem::take(&mut checked.adapted);
    let (engine, mut compiled) = steps.run(StepName::Compile, || {
        let engine =
            LivepatchEngine::ready(kind, input, &builder.cache, builder.options.base_limits)?;
        let units = engine.with_missed_units(checked.units_of_files.clone())?;
        if units != checked.units_of_files {
            check_fan_out(&units, kind, &builder.options, builder.jobs(), observer)?;
            checked.units = all_units(&units);
            checked.units_of_files = units;
        }
        let compiled = job.compile(&engine, base, &checked, adapted)?;
        let objects = count(checked.units.len(), "object");
        Ok(((engine, compiled), format!("{objects}, original and patched, for {kind}")))
    })?;
    let changed = steps.run(StepName::Diff, || {
        let changed = loop {
            match job.diff(&engine, &checked) {
                Err(failure)
                    if job.define_inlined_calls(
                        &failure,
                        &mut compiled,
                        &engine,
                        base,
                        &checked,
                    )? => {}
                Err(failure) if job.may_read_variables(&failure, &engine) => {
                    break job.read_variables(failure, &mut compiled, &engine, &checked);
                }
                result => break result,
            }
        };
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
    let module =
        steps.run(StepName::Link, || Ok((engine.link(&changed)?, format!("{name}.ko"))))?;
    let (module, inspected) = steps.run(StepName::Inspect, || {
        let inspected = inspect(&module, &name, base, config, &engine, &changed)?;
        let names: Vec<&str> =
            inspected.functions.iter().map(|function| function.name.as_str()).collect();
        let summary = format!("replaces {}", names.join(", "));
        // From here on it lies where no tool can change it.
        let path = work.join(&inspected.record.file_name);
        fs_err::write(&path, &module)
            .map_err(|error| io_failure(FailureClass::Internal, "write", &path, &error))?;
        Ok(((path, inspected), summary))
    })?;
    let trial = steps.run(StepName::Trial, || {
        let tried = job.try_livepatch(toolchain, base, &module, &inspected)?;
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
        adaptations: compiled.adaptations,
        source: source.record(),
        toolchain: toolchain.record(),
        base: source.base_kind(),
        engine: kind,
        functions: inspected.functions,
        module: inspected.record,
        steps: steps.into_done(),
        trial,
        branch_audit: inspected.branch_audit,
        builder_version: env!("CARGO_PKG_VERSION").to_owned(),
        builder: builder.identity().of_builds_for(&order.target.release),
        request: Some(order.record()),
    };
    Ok(FinishedBuild { manifest, module })
}

/// One build with what every step needs.
struct Job<'a> {
    builder: &'a Builder,
    order: &'a BuildOrder,
    observer: &'a dyn Observer,
    work: &'a Utf8Path,
}

/// What the compilation leaves.
struct Compiled {
    /// How the patches were adapted in the end.
    adaptations: Vec<Adaptation>,
    /// The changes to `__init` code that were left out.
    left_out: Option<InitChanges>,
    /// Why such changes were not.
    init_kept: Option<String>,
    /// How the source was adapted.
    adapted: AdaptedSource,
    /// System calls that were defined in another way because of what is compiled into them.
    inlined: InlinedCalls,
}

impl Compiled {
    /// Says in a failure why changes to `__init` code were not left out.
    fn explain(&self, mut failure: Failure) -> Failure {
        if failure.class == FailureClass::InitCode
            && let Some(reason) = &self.init_kept
        {
            failure.message = format!("{}; {}", failure.message, kept(reason));
        }
        failure
    }
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
            )),
        }
    }
}

impl Job<'_> {
    /// Refuses what can be refused at once, and finds (and when it is needed fetches) the packages.
    fn find_source(&self) -> Summed<(KernelConfig, KernelSource)> {
        let config = read_config(self.order)?;
        self.builder.toolchains.check(&config)?;
        if let Some(tree) = self.builder.source_tree(&self.order.target.release)? {
            let summary = format!("the server's {}", tree.path);
            return Ok(((config, KernelSource::Tree(tree)), summary));
        }
        let apt = self.builder.apt()?;
        let target = &self.order.target;
        let version = rebuild::kernel_version(self.order);
        let version = version.as_deref();
        let prepared = Base::packages_of(&self.builder.cache, &target.release);
        let packages = match find_kernel(apt, &target.release, version, self.observer) {
            Ok(packages) => packages,
            // A base that is there serves also when the archive does not answer, or has the kernel
            // no more.
            Err(failure) => match prepared.iter().find(|packages| packages.serve(version)) {
                Some(packages) => packages.clone(),
                None => return Err(failure),
            },
        };
        rebuild::check_source(self.order, &packages.record())?;
        if !prepared.contains(&packages) {
            for package in packages.all() {
                apt.fetch(package, self.observer)?;
            }
        }
        let summary = format!("Debian's {} {}", packages.image.name, packages.version);
        Ok(((config, KernelSource::Debian(Box::new(packages))), summary))
    }

    fn toolchain_root(&self, config: &KernelConfig) -> Summed<ToolchainRoot> {
        let toolchains = &self.builder.toolchains;
        let root = toolchains.root_for(config, self.builder.apt()?, self.observer)?;
        rebuild::check_toolchain(self.order, &root.record())?;
        let summary = format!("{}, {}", root.record().name, root.compiler_text());
        Ok((root, summary))
    }

    fn base(
        &self,
        config: &KernelConfig,
        source: &KernelSource,
        toolchain: &ToolchainRoot,
    ) -> Summed<Base> {
        let Builder { cache, sandbox, .. } = self.builder;
        let target = &self.order.target;
        let jobs = self.builder.jobs();
        let input = BaseInput {
            release: &target.release,
            config,
            config_text: &self.order.config,
            source,
            toolchain,
            jobs,
            base_limits: self.builder.options.base_limits,
        };
        let (base, was_there) =
            Base::ready(&input, cache, &|| self.builder.apt(), sandbox, self.observer)?;
        base.check_build_id(target.build_id.as_ref())?;
        let how = match (was_there, source.base_kind()) {
            (true, _) => "ready",
            (false, BaseKind::Prepared) => "prepared",
            (false, BaseKind::Built) => "built",
        };
        let summary = format!("{how}, vmlinux {}", base.facts().build_id);
        Ok((base, summary))
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
        let mut units_of_files = find_units(&files, base)?;
        let new_sources: BTreeSet<String> = plan.new_units.keys().cloned().collect();
        files.extend(new_sources.iter().cloned());
        units_of_files.extend(plan.new_units);
        let units = all_units(&units_of_files);
        let engine = self.engine_for_fixes(chosen, config, &new_sources);
        let Builder { options, .. } = self.builder;
        check_fan_out(&units_of_files, engine, options, self.builder.jobs(), self.observer)?;
        refuse_generator_inputs(&plan.changes, base)?;
        let root = toolchain.path();
        let patched = Workspace::make(base, &root, sandbox, self.work, "patched", self.observer)?;
        let source = format!("the source of {}", source.name());
        let fixes = apply_fixes(plan.changes, &patched, &source, sandbox, self.observer)?;
        let moved = match fixes.moved_hunks() {
            0 => String::new(),
            moved => format!(" ({} at other lines than the patch says)", count(moved, "hunk")),
        };
        let summary = format!("applies to {}{moved}", files.join(", "));
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

    /// Compiles, and says how the patches were adapted in the end: when the adapted source does
    /// not compile, the source as the fixes alone make it has the last word. The compiler's
    /// messages then have the line numbers of the author's text.
    fn compile(
        &self,
        engine: &LivepatchEngine,
        base: &Base,
        checked: &Checked,
        mut adapted: AdaptedSource,
    ) -> Result<Compiled, Failure> {
        let mut compiled = Compiled {
            adaptations: checked.adaptations.clone(),
            left_out: None,
            init_kept: adapted.init_kept.take(),
            inlined: InlinedCalls::default(),
            adapted,
        };
        match engine.compile(&checked.units, &checked.fixes) {
            Ok(()) => {
                compiled.adaptations.extend(compiled.adapted.adaptations.iter().cloned());
                if let Some(init) = compiled.adapted.init.take() {
                    self.leave_init_changes_out(init, &mut compiled, engine, base, checked)?;
                }
            }
            Err(failure) if failure.class == FailureClass::CompileFailed => {
                if !compiled.adapted.undo(&self.source_adapter(base, &checked.patched))? {
                    return Err(failure);
                }
                let line =
                    "once more without changes to the patched source, as it does not compile";
                let line = line.to_owned();
                self.observer.event(BuildEvent::Log { step: StepName::Compile, line });
                engine.compile(&checked.units, &checked.fixes)?;
            }
            Err(failure) => return Err(failure),
        }
        Ok(compiled)
    }

    /// Leaves changes to `__init` code and data out, where the compiled objects allow it.
    fn leave_init_changes_out(
        &self,
        init: InitChanges,
        compiled: &mut Compiled,
        engine: &LivepatchEngine,
        base: &Base,
        checked: &Checked,
    ) -> Result<(), Failure> {
        let log = |line| self.observer.event(BuildEvent::Log { step: StepName::Compile, line });
        let adapter = self.source_adapter(base, &checked.patched);
        let (fixes, units) = (&checked.fixes, &checked.units_of_files);
        match try_to_leave_out(&init, engine, fixes, units, &adapter)? {
            Outcome::LeftOut => {
                compiled.adaptations = init.adaptations(std::mem::take(&mut compiled.adaptations));
                let kind = AdaptationKind::InitOnly;
                for made in compiled.adaptations.iter().filter(|made| made.kind == kind) {
                    log(format!("warning: {made}"));
                }
                compiled.left_out = Some(init);
            }
            Outcome::Kept(reason) => {
                log(kept(&reason));
                compiled.init_kept = Some(reason);
            }
        }
        Ok(())
    }

    /// When nothing stands against the livepatch but bodies of system calls that the kernel cannot
    /// redirect, has those calls defined as kpatch needs it, and compiles once more. Gives whether
    /// it did.
    fn define_inlined_calls(
        &self,
        failure: &Failure,
        compiled: &mut Compiled,
        engine: &LivepatchEngine,
        base: &Base,
        checked: &Checked,
    ) -> Result<bool, Failure> {
        if failure.class != FailureClass::FunctionNotTraceable
            || self.order.without.contains(&AdaptationKind::SyscallDefine)
        {
            return Ok(false);
        }
        let Some(calls) = calls_of(&failure.functions) else { return Ok(false) };
        let (changed, units) = (checked.fixes.changed_files(), &checked.units_of_files);
        let Some(inlined) = compiled.inlined.with(&calls, &changed, units, &base.tree()) else {
            return Ok(false);
        };
        let names: Vec<&str> = calls.iter().map(String::as_str).collect();
        let line = format!(
            "once more with the system calls {}: what the fix changes is compiled into them",
            names.join(", ")
        );
        self.observer.event(BuildEvent::Log { step: StepName::Diff, line });
        let adapter = self.source_adapter(base, &checked.patched);
        compiled.adapted.undo(&adapter)?;
        if let Some(init) = &compiled.left_out {
            init.as_patched(&adapter)?;
        }
        let adapted = adapter.adapt(&checked.fixes, &inlined)?;
        *compiled = self.compile(engine, base, checked, adapted)?;
        compiled.inlined = inlined;
        Ok(true)
    }

    /// Whether it may help to have patched code read variables in the place of runtime constants.
    fn may_read_variables(&self, failure: &Failure, engine: &LivepatchEngine) -> bool {
        failure.class == FailureClass::RuntimeConstant
            && !self.order.without.contains(&AdaptationKind::RuntimeConstants)
            && !engine.input().reads_variables()
    }

    /// Compiles once more, with variables in the place of runtime constants, and finds the changed
    /// functions. Where that gives no livepatch either, the first `failure` says what is the matter.
    fn read_variables(
        &self,
        failure: Failure,
        compiled: &mut Compiled,
        engine: &LivepatchEngine,
        checked: &Checked,
    ) -> Result<Vec<ChangedObject>, Failure> {
        let log = |line| self.observer.event(BuildEvent::Log { step: StepName::Diff, line });
        let units = engine.input().units_with_runtime_constants(&checked.units)?;
        engine.input().read_variables();
        log("once more with variables in the place of constants that the kernel writes into its own \
             code only"
            .to_owned());
        let changed = engine
            .compile(&checked.units, &checked.fixes)
            .and_then(|()| self.diff(engine, checked));
        let changed = match changed {
            Ok(changed) => changed,
            Err(second) if self.observer.is_cancelled() => return Err(second),
            Err(second) => {
                let line = format!("with variables in their place: {}", second.message);
                return Err(failure.with_details([line]));
            }
        };
        for (fix, files) in checked.fixes.files_by_fix() {
            let of_fix = |unit: &&Unit| {
                let mut units = files.iter().filter_map(|file| checked.units_of_files.get(file));
                units.any(|units| units.contains(unit))
            };
            for unit in units.iter().filter(of_fix) {
                let adaptation = Adaptation {
                    kind: AdaptationKind::RuntimeConstants,
                    fix: fix.to_owned(),
                    file: unit.source.clone(),
                    detail:
                        "its functions read variables where the kernel's own have constants that \
                             are written into the code at boot"
                            .to_owned(),
                };
                log(adaptation.to_string());
                compiled.adaptations.push(adaptation);
            }
        }
        Ok(changed)
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

    fn try_livepatch(
        &self,
        toolchain: &ToolchainRoot,
        base: &Base,
        module: &Utf8PathBuf,
        inspected: &Inspected,
    ) -> Summed<TrialEvidence> {
        let sandbox = &self.builder.sandbox;
        let launcher = SandboxedQemu(sandbox);
        let (kernel_image, busybox) = (base.kernel_image(), toolchain.busybox());
        let directory = |name| {
            let directory = self.work.join(name);
            sandbox.make_directory(&directory).map(|()| directory)
        };
        let probe = directory("probe")?;
        let accelerator = self
            .builder
            .accelerator(|| Accelerator::probe(&launcher, &kernel_image, &busybox, &probe));
        let modules = TrialModules::of(&inspected.functions, base)?;
        let input = TrialInput {
            modules: &modules.for_trial(),
            kernel_image: &kernel_image,
            busybox: &busybox,
            module,
            module_name: &inspected.record.name,
            release: &self.order.target.release,
            checks: &self.order.checks,
            functions_expected: inspected.functions.len(),
        };
        let mut options = TrialOptions::new(accelerator);
        options.time_limit = self.builder.options.trial_time;
        let evidence = run_trial(&input, &options, &launcher, self.observer, &directory("trial")?)?;
        let checks = match evidence.checks.len() {
            0 => "no behaviour check was asked for".to_owned(),
            number => format!("{} passed", count(number, "behaviour check")),
        };
        let (release, modules) = (&evidence.guest_release, modules_summary(&evidence));
        let summary = format!("loaded and reverted on {release}{modules}, {checks}");
        Ok((evidence, summary))
    }
}

/// The compiled files of all changed files, sorted.
fn all_units(units_of_files: &Units) -> Vec<Unit> {
    let units: BTreeSet<&Unit> = units_of_files.values().flatten().collect();
    units.into_iter().cloned().collect()
}

fn read_config(order: &BuildOrder) -> Result<KernelConfig, Failure> {
    let config = KernelConfig::parse(&order.config).map_err(|error| {
        Failure::new(
            FailureClass::ConfigUnreadable,
            error.to_string(),
            "send the target's own config, from /proc/config.gz or /boot",
        )
    })?;
    match config_refusals(&config, order.engine).first() {
        None => Ok(config),
        Some(refusal) => Err(Failure::new(
            FailureClass::ConfigUnsupported,
            refusal.to_string(),
            "this kernel cannot be live-patched as it is configured",
        )),
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

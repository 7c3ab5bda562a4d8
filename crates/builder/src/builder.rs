use std::sync::OnceLock;

use camino::Utf8Path;
use elivepatch_model::{
    Engine, Failure, FailureClass, KernelConfig, Manifest, StepName, config_refusals,
};

use crate::{
    BuildOrder, BuilderOptions, Cache, FinishedBuild, Observer,
    apply::{apply_fixes, plan_fixes, touched_files},
    base::{Base, BaseInput, KernelMake, Workspace},
    debian::{Apt, KernelPackages, find_kernel},
    engine::KpatchEngine,
    inspect::inspect,
    module_name::module_name,
    ownership::check_ownership,
    process::available_cores,
    qemu::SandboxedQemu,
    sandbox::Sandbox,
    steps::Steps,
    toolchain::Toolchains,
    trial::{Accelerator, TrialInput, TrialOptions, run_trial},
};

/// Turns orders into livepatches.
#[derive(Debug)]
pub struct Builder {
    options: BuilderOptions,
    cache: Cache,
    sandbox: Sandbox,
    toolchains: Toolchains,
    apt: OnceLock<Apt>,
    accelerator: OnceLock<Accelerator>,
}

impl Builder {
    /// Opens the cache and tries the sandbox. `scratch` is a directory for the attempt.
    ///
    /// # Errors
    /// When the cache cannot be written or no sandbox can be made.
    pub fn open(options: BuilderOptions, scratch: &Utf8Path) -> Result<Self, Failure> {
        // What is made here is read by the sandbox's user, whatever the caller's mask.
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let cache = Cache::open(&options.cache_directory)?;
        let sandbox = Sandbox::probe(options.limits, scratch)?;
        let toolchains = Toolchains::new(&cache);
        let (apt, accelerator) = (OnceLock::new(), OnceLock::new());
        Ok(Self { options, cache, sandbox, toolchains, apt, accelerator })
    }

    /// What decides the builder's results beside the order: its version and its recipes.
    pub fn identity(&self) -> String {
        let recipes = self.toolchains.recipes().iter();
        let recipes: Vec<String> =
            recipes.map(|recipe| format!("{} {}", recipe.name, recipe.digest)).collect();
        format!("{} kpatch {}", env!("CARGO_PKG_VERSION"), recipes.join(" "))
    }

    /// What it can do, one line each, for people.
    pub fn describe(&self) -> Vec<String> {
        let mut lines = vec![self.sandbox.describe()];
        lines.extend(self.toolchains.recipes().iter().map(|recipe| {
            format!(
                "toolchain root {}: for kernels built by {}…",
                recipe.name, recipe.compiler_text_begins
            )
        }));
        let warm = self.warm_releases();
        lines.push(match warm.len() {
            0 => "bases ready: none yet; the first build of a kernel takes a minute longer"
                .to_owned(),
            _ => format!("bases ready: {}", warm.join(", ")),
        });
        lines
    }

    /// The releases of which a base is ready.
    pub fn warm_releases(&self) -> Vec<String> {
        Base::releases(&self.cache).iter().map(ToString::to_string).collect()
    }

    /// Builds, inspects and tries a livepatch. `work` is an empty directory for it; what is in it
    /// afterwards is the caller's to remove.
    ///
    /// # Errors
    /// Why there is no livepatch: a failure with its class and step.
    pub fn build(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<FinishedBuild, Failure> {
        let mut steps = Steps::new(observer);
        let (config, packages, apt) =
            steps.run(StepName::Source, || self.find_source(order, observer))?;
        let toolchain = steps.run(StepName::Toolchain, || {
            let root = self.toolchains.root_for(&config, apt, observer)?;
            let summary = format!("{}, {}", root.record().name, root.compiler_text());
            Ok((root, summary))
        })?;
        let release = &order.target.release;
        let jobs = self.jobs();
        let input = BaseInput {
            release,
            config: &config,
            packages: &packages,
            toolchain: &toolchain,
            jobs,
        };
        let base = steps.run(StepName::Base, || {
            let (base, was_there) = Base::ready(&input, &self.cache, apt, &self.sandbox, observer)?;
            base.check_build_id(order.target.build_id.as_ref())?;
            let how = if was_there { "ready" } else { "prepared" };
            let summary = format!("{how}, vmlinux {}", base.facts().build_id);
            Ok((base, summary))
        })?;

        let root = toolchain.path();
        let workspace = |name| Workspace::make(&base, &root, &self.sandbox, work, name, observer);
        let (original, patched, sources, fixes) = steps.run(StepName::Check, || {
            let changes = plan_fixes(&order.fixes, observer)?;
            let sources = touched_files(&changes);
            let (original, patched) = (workspace("original")?, workspace("patched")?);
            check_ownership(&sources, &base, &original, &self.sandbox, observer)?;
            let source = format!("the source of {}", packages.version);
            let fixes = apply_fixes(changes, &patched, &source, &self.sandbox, observer)?;
            let moved = match fixes.moved_hunks() {
                0 => String::new(),
                count => format!(" ({count} hunks at other lines than the patch says)"),
            };
            let summary = format!("applies to {}{moved}", sources.join(", "));
            Ok(((original, patched, sources, fixes), summary))
        })?;

        let name = module_name(&order.fixes, &order.key);
        let engine = KpatchEngine {
            base: &base,
            original: &original,
            patched: &patched,
            make: KernelMake::new(toolchain.compiler(), release, jobs),
            module_name: &name,
            sandbox: &self.sandbox,
            observer,
        };
        let objects = steps.run(StepName::Compile, || {
            let objects = engine.compile(&sources, &fixes)?;
            let summary = format!("{}, original and patched", count(objects.len(), "object"));
            Ok((objects, summary))
        })?;
        let changed = steps.run(StepName::Diff, || {
            let changed = engine.diff(&objects)?;
            let summary =
                format!("{} of {} changed", changed.len(), count(objects.len(), "object"));
            Ok((changed, summary))
        })?;
        let module = steps.run(StepName::Link, || {
            let module = engine.link(&changed)?;
            Ok((module, format!("{name}.ko")))
        })?;
        let inspected = steps.run(StepName::Inspect, || {
            let inspected = inspect(&module, &name, &base)?;
            let names: Vec<&str> =
                inspected.functions.iter().map(|function| function.name.as_str()).collect();
            let summary = format!("replaces {}", names.join(", "));
            Ok((inspected, summary))
        })?;
        let busybox = toolchain.busybox();
        let trial = steps.run(StepName::Trial, || {
            let input = TrialInput {
                kernel_image: &base.kernel_image(),
                busybox: &busybox,
                module: &module,
                module_name: &name,
                release,
                checks: &order.checks,
                functions_expected: inspected.functions.len(),
            };
            let evidence = self.try_livepatch(&input, observer, work)?;
            let checks = match evidence.checks.len() {
                0 => "no behaviour check was asked for".to_owned(),
                number => format!("{} passed", count(number, "behaviour check")),
            };
            let summary = format!("loaded and reverted on {}, {checks}", evidence.guest_release);
            Ok((evidence, summary))
        })?;
        let manifest = Manifest {
            manifest_version: 1,
            build_key: order.key,
            built_at: jiff::Timestamp::now(),
            release: release.clone(),
            architecture: order.target.architecture,
            build_id: base.facts().build_id.clone(),
            config: config.digest(),
            fixes: order.fixes.iter().map(|fix| fix.fix.clone()).collect(),
            source: packages.record(),
            toolchain: toolchain.record(),
            engine: Engine::Kpatch,
            functions: inspected.functions,
            module: inspected.record,
            steps: steps.into_done(),
            trial,
            builder_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        Ok(FinishedBuild { manifest, module })
    }

    /// Refuses what can be refused at once, and finds (and when it is needed fetches) the packages.
    fn find_source(
        &self,
        order: &BuildOrder,
        observer: &dyn Observer,
    ) -> Result<((KernelConfig, KernelPackages, &Apt), String), Failure> {
        let config = KernelConfig::parse(&order.config).map_err(|error| {
            Failure::new(
                FailureClass::ConfigUnreadable,
                error.to_string(),
                "send the target's own config, from /proc/config.gz or /boot",
            )
        })?;
        if let Some(refusal) = config_refusals(&config).first() {
            return Err(Failure::new(
                FailureClass::ConfigUnsupported,
                refusal.to_string(),
                "this kernel cannot be live-patched as it is configured",
            ));
        }
        self.toolchains.check(&config)?;
        let apt = self.apt()?;
        let target = &order.target;
        let packages =
            find_kernel(apt, &target.release, target.kernel_version.as_deref(), observer)?;
        if !Base::is_there(&self.cache, &target.release, &packages.version) {
            for package in packages.all() {
                apt.fetch(package, observer)?;
            }
        }
        let summary = format!("Debian's {} {}", packages.image.name, packages.version);
        Ok(((config, packages, apt), summary))
    }

    /// apt, opened when it is first needed: finding out the mirrors takes a while.
    fn apt(&self) -> Result<&Apt, Failure> {
        if let Some(apt) = self.apt.get() {
            return Ok(apt);
        }
        let mut options = self.options.debian.clone();
        let recipes = self.toolchains.recipes().iter();
        for package in recipes.flat_map(|recipe| &recipe.unpack) {
            if !options.suites.contains(&package.suite) {
                options.suites.push(package.suite.clone());
            }
        }
        let apt = Apt::open(&self.cache, &options)?;
        Ok(self.apt.get_or_init(|| apt))
    }

    fn try_livepatch(
        &self,
        input: &TrialInput,
        observer: &dyn Observer,
        work: &Utf8Path,
    ) -> Result<elivepatch_model::TrialEvidence, Failure> {
        let launcher = SandboxedQemu(&self.sandbox);
        let accelerator = *self.accelerator.get_or_init(|| {
            let probe = work.join("probe");
            match self.sandbox.make_directory(&probe) {
                Ok(()) => Accelerator::probe(&launcher, input.kernel_image, input.busybox, &probe),
                Err(_) => Accelerator::Tcg,
            }
        });
        let directory = work.join("trial");
        self.sandbox.make_directory(&directory)?;
        let mut options = TrialOptions::new(accelerator);
        options.time_limit = self.options.trial_time;
        run_trial(input, &options, &launcher, observer, &directory)
    }

    fn jobs(&self) -> u32 {
        match self.options.jobs {
            0 => available_cores(),
            jobs => jobs,
        }
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

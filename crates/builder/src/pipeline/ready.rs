//! What a build needs before it looks at its patches: the kernel's source, the compiler, the base.

use elivepatch_model::{BaseKind, Failure, FailureClass, KernelConfig, config_refusals};

use super::{Job, Summed};
use crate::{
    BuildOrder, Builder,
    base::{Base, BaseInput, Supply},
    debian::Apt,
    rebuild,
    source::{FoundSource, KernelSource, Search, Tools, Wanted},
    toolchain::ToolchainRoot,
};

impl Job<'_> {
    /// Refuses what can be refused at once, and finds (and when it is needed fetches) the packages.
    pub(super) fn find_source(&self) -> Summed<(KernelConfig, FoundSource)> {
        let config = read_config(self.order)?;
        self.builder.toolchains.check(&config)?;
        let version = rebuild::kernel_version(self.order);
        let wanted = self.wanted(&config, version.as_deref());
        let release = &self.order.target.release;
        let found = self.builder.sources.find(&wanted, &self.search())?;
        rebuild::check_source(self.order, &found.record())?;
        let summary = match &found.source {
            KernelSource::Tree(tree) => tree.summary(),
            KernelSource::Debian(packages) => {
                if !Base::packages_of(&self.builder.cache, release).contains(packages) {
                    let apt = self.apt_of(&found)?;
                    for package in packages.all() {
                        apt.fetch(package, self.observer)?;
                    }
                }
                format!("Debian's {} {}", packages.image.name, packages.version)
            }
        };
        Ok(((config, found), summary))
    }

    fn wanted<'a>(&'a self, config: &'a KernelConfig, version: Option<&'a str>) -> Wanted<'a> {
        let release = &self.order.target.release;
        Wanted { release, config, kernel_version: version, baseline: &self.order.baseline }
    }

    fn search(&self) -> Search<'_> {
        Search {
            tools: Tools {
                cache: &self.builder.cache,
                sandbox: &self.builder.sandbox,
                observer: self.observer,
            },
            apt: Box::new(|| self.builder.apt()),
        }
    }

    fn apt_of(&self, found: &FoundSource) -> Result<&Apt, Failure> {
        self.builder.sources.apt(found, &self.search())
    }

    pub(super) fn toolchain_root(&self, config: &KernelConfig) -> Summed<ToolchainRoot> {
        let toolchains = &self.builder.toolchains;
        let root = toolchains.find_root(config, &|| self.builder.apt(), self.observer)?;
        rebuild::check_toolchain(self.order, &root.record())?;
        let summary = format!("{}, {}", root.record().name, root.compiler_text());
        Ok((root, summary))
    }

    pub(super) fn base(
        &self,
        config: &KernelConfig,
        found: &mut FoundSource,
        toolchain: &ToolchainRoot,
    ) -> Summed<Base> {
        let source = &found.source;
        let Builder { cache, sandbox, .. } = self.builder;
        let target = &self.order.target;
        let jobs = self.builder.jobs();
        let input = BaseInput {
            release: &target.release,
            config,
            config_text: &self.order.config,
            source,
            baseline: &self.order.baseline,
            toolchain,
            jobs,
            base_limits: self.builder.options.base_limits,
        };
        let version = rebuild::kernel_version(self.order);
        let wanted = self.wanted(config, version.as_deref());
        let bring = || self.builder.sources.bring(found, &wanted, &self.search());
        let supply = Supply { apt: &|| self.apt_of(found), source: &bring };
        let (base, was_there) = Base::ready(&input, cache, &supply, sandbox, self.observer)?;
        let kind = source.base_kind();
        found.let_go();
        base.check_build_id(target.build_id.as_ref())?;
        let how = match (was_there, kind) {
            (true, _) => "ready",
            (false, BaseKind::Prepared) => "prepared",
            (false, BaseKind::Built) => "built",
        };
        let summary = format!("{how}, vmlinux {}", base.facts().build_id);
        Ok((base, summary))
    }
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

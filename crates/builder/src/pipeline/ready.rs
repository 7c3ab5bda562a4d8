//! What a build needs before it looks at its patches: the kernel's source, the compiler, the base.

use elivepatch_model::{BaseKind, Failure, FailureClass, KernelConfig, config_refusals};

use super::{Job, Summed};
use crate::{
    BuildOrder, Builder,
    base::{Base, BaseInput},
    debian::find_kernel,
    rebuild,
    source::KernelSource,
    toolchain::ToolchainRoot,
};

impl Job<'_> {
    /// Refuses what can be refused at once, and finds (and when it is needed fetches) the packages.
    pub(super) fn find_source(&self) -> Summed<(KernelConfig, KernelSource)> {
        let config = read_config(self.order)?;
        refuse_baseline(self.order)?;
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

    pub(super) fn toolchain_root(&self, config: &KernelConfig) -> Summed<ToolchainRoot> {
        let toolchains = &self.builder.toolchains;
        let root = toolchains.root_for(config, self.builder.apt()?, self.observer)?;
        rebuild::check_toolchain(self.order, &root.record())?;
        let summary = format!("{}, {}", root.record().name, root.compiler_text());
        Ok((root, summary))
    }

    pub(super) fn base(
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
}

/// Nothing here applies them yet, and a base without them is not the target's.
fn refuse_baseline(order: &BuildOrder) -> Result<(), Failure> {
    let Some(first) = order.baseline.first() else { return Ok(()) };
    let names = order.baseline.iter().map(|patch| patch.name.clone());
    let message = format!(
        "the running kernel has patches compiled in, such as {}, and this server does not apply them \
         to its source",
        first.name
    );
    let hint = "have the server's administrator put the patched source there as a [[source]]; where \
                that is done, leave the patches out with --no-baseline";
    Err(Failure::new(FailureClass::BaselineDoesNotApply, message, hint).with_details(names))
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use elivepatch_model::{Architecture, BuildKey, Sha256Digest, TargetFacts};

    use super::*;
    use crate::BaselinePatch;

    #[test]
    fn order_with_baseline_patches_is_refused_by_their_names_and_not_built_without_them() {
        let release = "6.12.30-gentoo".parse().expect("a release");
        let patch =
            |name: &str| BaselinePatch { name: name.to_owned(), text: b"--- a/x\n".to_vec() };
        let mut order = BuildOrder {
            key: BuildKey(Sha256Digest::of(b"key")),
            target: TargetFacts::new(release, Architecture::X86_64),
            config: Vec::new(),
            fixes: Vec::new(),
            checks: Vec::new(),
            without: BTreeSet::new(),
            engine: None,
            rebuild: None,
            accept_unproven: false,
            kallsyms: None,
            baseline: vec![patch("10-bore.patch"), patch("20-local.patch")],
        };
        let failure = refuse_baseline(&order).expect_err("refused");
        assert_eq!(failure.class, FailureClass::BaselineDoesNotApply);
        assert!(failure.message.contains("10-bore.patch"), "{failure}");
        assert_eq!(failure.details, ["10-bore.patch", "20-local.patch"]);
        order.baseline.clear();
        refuse_baseline(&order).expect("nothing to apply");
    }
}

//! The trial of a finished module.

use camino::Utf8PathBuf;
use elivepatch_elf::Module;
use elivepatch_model::{
    BuildEvent, Failure, FailureClass, SignatureTrial, StepName, TrialEvidence,
};

use super::{Job, Summed, count};
use crate::{
    base::Base,
    inspect::Inspected,
    qemu::SandboxedQemu,
    toolchain::ToolchainRoot,
    trial::{Accelerator, EarlierLivepatch, TrialInput, TrialOptions, run_trial},
    trial_modules::{TrialModules, modules_summary},
};

impl Job<'_> {
    pub(super) fn try_livepatch(
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
        let name = self.earlier_name()?;
        let earlier = self.order.replaces.as_ref().and_then(|earlier| earlier.module.as_deref());
        let earlier = earlier.zip(name.as_deref());
        let input = TrialInput {
            earlier: earlier.map(|(module, name)| EarlierLivepatch { module, name }),
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
        let replaced = evidence.replaced.as_ref();
        let replaced = replaced.map(|earlier| format!(", replaced {}", earlier.name));
        let replaced = replaced.unwrap_or_default();
        let signature = match evidence.signature {
            None => "",
            Some(SignatureTrial::Enforced) => ", signature enforced",
            Some(SignatureTrial::NotTrusted) => ", whose kernel does not have the signer's key",
            Some(SignatureTrial::NotChecked) => ", which looks at no signatures",
        };
        let summary =
            format!("loaded and reverted on {release}{modules}{replaced}{signature}, {checks}");
        Ok((evidence, summary))
    }

    /// The name of the earlier livepatch, when it is to be replaced and is at hand.
    fn earlier_name(&self) -> Result<Option<String>, Failure> {
        let Some(earlier) = &self.order.replaces else { return Ok(None) };
        let Some(bytes) = &earlier.module else {
            let line = format!(
                "the earlier livepatch (module {}) is not to be had any more: that it is replaced is \
                 not tried",
                earlier.digest
            );
            self.observer.event(BuildEvent::Log { step: StepName::Trial, line });
            return Ok(None);
        };
        let unreadable = |why: String| {
            Failure::new(
                FailureClass::TrialEarlierFailed,
                format!("the module {} of the earlier livepatch {why}", earlier.digest),
                "report this as a bug of elivepatch, with the build's log",
            )
            .in_step(StepName::Trial)
        };
        let module =
            Module::read(bytes).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
        match module.modinfo.name() {
            Some(name) => Ok(Some(name.to_owned())),
            None => Err(unreadable("does not say its name".to_owned())),
        }
    }
}

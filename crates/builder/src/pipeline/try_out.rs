//! The trial of a finished module.

use camino::Utf8PathBuf;
use elivepatch_model::TrialEvidence;

use super::{Job, Summed, count};
use crate::{
    base::Base,
    inspect::Inspected,
    qemu::SandboxedQemu,
    toolchain::ToolchainRoot,
    trial::{Accelerator, TrialInput, TrialOptions, run_trial},
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

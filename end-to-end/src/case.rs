//! Patches with what must come of them: a livepatch that shows in the guest, or a refusal.

use elivepatch_model::{AdaptationKind, FailureClass, Fault, StepName};

use crate::{ClientCommand, ServerOptions, StockKernel, TestServer, own_patch};

/// Patches that make one livepatch.
pub struct Case<'a> {
    /// The kernel that it is for.
    pub kernel: StockKernel,
    /// Their names, in their order.
    pub patches: &'a [&'a str],
    /// What the guest shows: a command, a text in its output before and after the livepatch is
    /// active, and one in its output while it is.
    pub checks: &'a [(&'a str, &'a str, &'a str)],
    /// The replaced functions, sorted.
    pub functions: &'a [&'a str],
    /// The adaptations, each with its file, in their order.
    pub adaptations: &'a [(AdaptationKind, &'a str)],
    /// The adaptations that are switched off.
    pub without: &'a [AdaptationKind],
}

impl Case<'_> {
    /// A case on Debian 12's kernel without adaptations.
    pub const PLAIN: Self = Self {
        kernel: StockKernel::Debian12,
        patches: &[],
        checks: &[],
        functions: &[],
        adaptations: &[],
        without: &[],
    };

    fn order(&self, server: &TestServer) -> ClientCommand {
        let mut order = server.build_for(&self.kernel.config_file());
        for patch in self.patches {
            order = order.patch(&own_patch(patch));
        }
        for kind in self.without {
            order = order.args(["--without", kind.as_str()]);
        }
        with_checks(order, self.checks)
    }

    /// What is wrong with the livepatch; `None` when it is as it should be.
    fn fault(&self, server: &TestServer) -> Option<String> {
        let run = self.order(server).run();
        if run.code != Some(0) {
            return Some(format!("{:?}: code {:?}\n{}", self.patches, run.code, run.stderr));
        }
        let (_, manifest) = run.livepatch();
        let release = manifest.release.as_str();
        let mut functions: Vec<&str> =
            manifest.functions.iter().map(|function| function.name.as_str()).collect();
        functions.sort_unstable();
        let adaptations: Vec<(AdaptationKind, &str)> =
            manifest.adaptations.iter().map(|made| (made.kind, made.file.as_str())).collect();
        let is_right = release == self.kernel.release()
            && functions == self.functions
            && adaptations == self.adaptations
            && manifest.trial.checks.len() == self.checks.len();
        (!is_right).then(|| {
            let checks = manifest.trial.checks.len();
            format!("{:?}: {release} {functions:?} {adaptations:?} {checks} checks", self.patches)
        })
    }
}

/// Adds what the guest must show to an order.
fn with_checks(order: ClientCommand, checks: &[(&str, &str, &str)]) -> ClientCommand {
    if checks.is_empty() {
        return order;
    }
    let text = |(command, before, after): &(&str, &str, &str)| {
        format!("[[check]]\ncommand = {command:?}\nbefore = {before:?}\nafter = {after:?}\n")
    };
    let file = order.file("checks.toml", checks.iter().map(text).collect::<String>());
    order.args(["--checks".as_ref(), file.as_os_str()])
}

/// Patches that must give no livepatch.
pub struct Refusal<'a> {
    /// The kernel that it would be for.
    pub kernel: StockKernel,
    /// The patch, without `-FAIL`.
    pub patch: &'a str,
    /// What would be looked at in the guest, as for a [`Case`].
    pub checks: &'a [(&'a str, &'a str, &'a str)],
    /// The failure's class.
    pub class: FailureClass,
    /// The step that it fails in.
    pub step: StepName,
    /// What the client says of it.
    pub parts: &'a [&'a str],
    /// The adaptations that are switched off.
    pub without: &'a [AdaptationKind],
}

/// Orders every patch on one server; reports all that do not fail as they should.
///
/// # Panics
/// When one does not.
#[track_caller]
pub fn all_are_refused(cases: &[Refusal]) {
    let server = TestServer::start(ServerOptions::default());
    let mut faults = Vec::new();
    for Refusal { kernel, patch, checks, class, step, parts, without } in cases {
        let file = match without.is_empty() {
            true => own_patch(&format!("{patch}-FAIL")),
            // What fails only without its adaptation.
            false => own_patch(patch),
        };
        let off = without.iter().flat_map(|kind| ["--without", kind.as_str()]);
        let order = server.build_for(&kernel.config_file());
        let run = with_checks(order.patch(&file), checks).args(off).run();
        let said = &run.stderr;
        let code = if class.fault() == Fault::Request { 1 } else { 3 };
        let is_right = run.code == Some(code)
            && run.stored().is_empty()
            && said.contains(&format!("({class})"))
            && said.contains(&format!("failed in step {step}: "))
            && said.contains("\nhint: ")
            && parts.iter().all(|part| said.contains(part));
        if !is_right {
            faults.push(format!("{patch}: code {:?}, want {class}, {parts:?}:\n{said}", run.code));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Builds every case on one server; reports all that are not as they should be.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn all_become_livepatches(cases: &[Case]) {
    let server = TestServer::start(ServerOptions::default());
    let faults: Vec<String> = cases.iter().filter_map(|case| case.fault(&server)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

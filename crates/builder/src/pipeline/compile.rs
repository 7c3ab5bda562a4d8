//! Compiling what the fixes touch, and what becomes of adapted source then.

use elivepatch_model::{Adaptation, AdaptationKind, BuildEvent, Failure, FailureClass, StepName};

use super::{Checked, Job};
use crate::{
    adapt::{AdaptedSource, InitChanges, InlinedCalls, kept},
    base::Base,
    engine::LivepatchEngine,
    init_changes::{Outcome, try_to_leave_out},
};

/// What the compilation leaves.
pub(super) struct Compiled {
    /// How the patches were adapted in the end.
    pub(super) adaptations: Vec<Adaptation>,
    /// The changes to `__init` code that were left out.
    pub(super) left_out: Option<InitChanges>,
    /// Why such changes were not.
    pub(super) init_kept: Option<String>,
    /// How the source was adapted.
    pub(super) adapted: AdaptedSource,
    /// System calls that were defined in another way because of what is compiled into them.
    pub(super) inlined: InlinedCalls,
}

impl Compiled {
    /// Says in a failure why changes to `__init` code were not left out.
    pub(super) fn explain(&self, mut failure: Failure) -> Failure {
        if failure.class == FailureClass::InitCode
            && let Some(reason) = &self.init_kept
        {
            failure.message = format!("{}; {}", failure.message, kept(reason));
        }
        failure
    }
}

impl Job<'_> {
    /// Compiles, and says how the patches were adapted in the end: when the adapted source does
    /// not compile, the source as the fixes alone make it has the last word. The compiler's
    /// messages then have the line numbers of the author's text.
    pub(super) fn compile(
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
                if compiled.adapted.init.take().is_some() {
                    compiled.init_kept = Some("the adapted source does not compile".to_owned());
                }
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
}

//! What is adapted only when the objects show that it must be: the sources are compiled once more, and
//! the changed functions are looked for again.

use elivepatch_model::{Adaptation, AdaptationKind, BuildEvent, Failure, FailureClass, StepName};

use super::{Checked, Job, compile::Compiled};
use crate::{
    adapt::calls_of,
    base::Base,
    engine::{ChangedObject, LivepatchEngine},
    unit::Unit,
};

impl Job<'_> {
    /// Finds the changed functions of every fix; where an adaptation helps that only the objects
    /// show to be needed, makes it and looks again.
    ///
    /// # Errors
    /// Those of [`Job::diff`] and of compiling.
    pub(super) fn diff_adapting(
        &self,
        compiled: &mut Compiled,
        engine: &LivepatchEngine,
        base: &Base,
        checked: &Checked,
    ) -> Result<Vec<ChangedObject>, Failure> {
        loop {
            let failure = match self.diff(engine, checked) {
                Ok(changed) => return Ok(changed),
                Err(failure) => failure,
            };
            if self.define_inlined_calls(&failure, compiled, engine, base, checked)? {
                continue;
            }
            if failure.class != FailureClass::RuntimeConstant
                || self.order.without.contains(&AdaptationKind::RuntimeConstants)
            {
                return Err(failure);
            }
            return self.read_variables(failure, compiled, engine, base, checked);
        }
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
        self.log(line);
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

    /// Compiles once more, with variables in the place of runtime constants in the objects that the
    /// fixes change, and finds the changed functions. Where that gives no livepatch either, the
    /// first `failure` says what is the matter.
    fn read_variables(
        &self,
        failure: Failure,
        compiled: &mut Compiled,
        engine: &LivepatchEngine,
        base: &Base,
        checked: &Checked,
    ) -> Result<Vec<ChangedObject>, Failure> {
        let units = engine.input().changed_units_with_runtime_constants(&checked.units)?;
        if !engine.input().read_variables(&units) {
            return Err(failure);
        }
        let line = "once more with variables in the place of constants that the kernel writes into its \
                    own code only";
        self.log(line.to_owned());
        // The others' objects are as they shall be.
        let again = engine.compile(&units, &checked.fixes);
        match again.and_then(|()| self.diff_adapting(compiled, engine, base, checked)) {
            Ok(changed) => {
                let adaptations = variables_read(&units, checked);
                for adaptation in &adaptations {
                    self.log(adaptation.to_string());
                }
                compiled.adaptations.extend(adaptations);
                Ok(changed)
            }
            Err(second) if self.observer.is_cancelled() => Err(second),
            Err(second) => {
                let line = format!("with variables in their place: {}", second.message);
                Err(failure.with_details([line]))
            }
        }
    }

    fn log(&self, line: String) {
        self.observer.event(BuildEvent::Log { step: StepName::Diff, line });
    }
}

/// The adaptation of each unit, for the fixes that reach it.
fn variables_read(units: &[Unit], checked: &Checked) -> Vec<Adaptation> {
    let mut adaptations = Vec::new();
    for (fix, files) in checked.fixes.files_by_fix() {
        let is_reached = |unit: &&Unit| {
            let mut units = files.iter().filter_map(|file| checked.units_of_files.get(file));
            units.any(|units| units.contains(unit))
        };
        adaptations.extend(units.iter().filter(is_reached).map(|unit| {
            Adaptation {
                kind: AdaptationKind::RuntimeConstants,
                fix: fix.to_owned(),
                file: unit.source.clone(),
                detail:
                    "its functions read variables where the kernel's own have constants that are \
                     written into the code at boot"
                        .to_owned(),
            }
        }));
    }
    adaptations
}

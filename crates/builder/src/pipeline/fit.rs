//! The proof that the base fits, before anything is linked.

use std::collections::BTreeSet;

use elivepatch_model::{
    BaseKind, BuildEvent, BuildIdFit, CodeFitRecord, Failure, FailureClass, FitRecord,
    ObjectFitRecord, PatchedFunction, StepName,
};

use super::{Job, Summed, count};
use crate::{
    base::Base,
    engine::{ChangedObject, LivepatchEngine, PlainCompiler},
    fit::{CodeProver, Known, ObjectFit, compare_running},
    unit::{Parent, Unit},
};

/// What was proven.
pub(super) struct Fit {
    pub(super) record: FitRecord,
    /// The objects that are equal; absent where code is not compared.
    objects: Option<Vec<ObjectFit>>,
}

impl Fit {
    /// Refuses a livepatch that replaces a function which was not compared.
    pub(super) fn covers(&self, functions: &[PatchedFunction]) -> Result<(), Failure> {
        let Some(objects) = &self.objects else { return Ok(()) };
        if self.record.accepted_unproven {
            return Ok(());
        }
        let is_equal = |function: &PatchedFunction| {
            objects
                .iter()
                .any(|fit| fit.parent == function.object && fit.functions.contains(&function.name))
        };
        match functions.iter().find(|function| !is_equal(function)) {
            None => Ok(()),
            Some(PatchedFunction { object, name, .. }) => Err(Failure::new(
                FailureClass::BaseDoesNotFit,
                format!("the livepatch replaces {name} of {object}, which was not compared"),
                "the compiler makes another function of it where each has a section of its own: \
                 report it with the patch",
            )),
        }
    }
}

impl Job<'_> {
    /// Proves that the base is the target's kernel, as far as it can be: by the build-id, by the code of
    /// the objects that the livepatch changes, and by the running kernel's symbols.
    pub(super) fn fit(
        &self,
        engine: &LivepatchEngine,
        base: &Base,
        changed: &[ChangedObject],
    ) -> Summed<Fit> {
        let facts = base.facts();
        let is_prepared = facts.source.base_kind() == BaseKind::Prepared;
        let build_id = match &self.order.target.build_id {
            None => BuildIdFit::Unknown,
            Some(build_id) if *build_id == facts.build_id => BuildIdFit::Equal,
            Some(_) => BuildIdFit::Different,
        };
        let mut record = FitRecord { build_id, ..FitRecord::default() };
        let mut objects = None;
        if is_prepared {
            match self.prove_code(engine, base, changed) {
                Ok(equal) => {
                    record.code = Some(code_record(&equal));
                    objects = Some(equal);
                }
                Err(failure) => self.accept(failure, &mut record)?,
            }
        }
        // The very same image has the same symbols.
        if let (Some(text), true) = (&self.order.kallsyms, build_id != BuildIdFit::Equal) {
            let modules: BTreeSet<&str> = (changed.iter())
                .filter(|changed| changed.unit.parent != Parent::Vmlinux)
                .map(|changed| changed.unit.parent.name())
                .collect();
            match compare_running(text, base, &modules) {
                Ok(symbols) => {
                    let loaded =
                        |module: &&&str| symbols.modules.iter().any(|name| name == **module);
                    let missing = modules.iter().filter(|module| !is_prepared && !loaded(module));
                    record.not_proven.extend(missing.map(|module| {
                        format!(
                            "the module {module} is not loaded on the target, so that its functions were \
                             not compared with it"
                        )
                    }));
                    record.symbols = Some(symbols);
                }
                Err(failure) => self.accept(failure, &mut record)?,
            }
        } else if !is_prepared && build_id != BuildIdFit::Equal {
            self.accept(nothing_to_compare_with(base), &mut record)?;
        }
        let summary = summary(&record);
        Ok((Fit { record, objects }, summary))
    }

    fn prove_code(
        &self,
        engine: &LivepatchEngine,
        base: &Base,
        changed: &[ChangedObject],
    ) -> Result<Vec<ObjectFit>, Failure> {
        let input = engine.input();
        let units: BTreeSet<&Unit> = (changed.iter())
            .map(|changed| &changed.unit)
            // What the fixes add is no part of the target yet.
            .filter(|unit| !input.new_sources.contains(&unit.source))
            .collect();
        let units: Vec<&Unit> = units.into_iter().collect();
        let Known { mut equal, missing } = Known::of(base, &input.make, &units)?;
        if !missing.is_empty() {
            let (sandbox, observer) = (input.sandbox, self.observer);
            let workspace = input.patched.another("plain", base, sandbox, observer)?;
            let compiler = PlainCompiler { base, make: &input.make, workspace, sandbox, observer };
            equal.extend(CodeProver { compiler }.prove(&missing)?);
        }
        equal.sort_by(|a, b| (&a.object, &a.parent).cmp(&(&b.object, &b.parent)));
        Ok(equal)
    }

    /// Lets a failure of the proof pass where order and policy say so, and notes it.
    fn accept(&self, failure: Failure, record: &mut FitRecord) -> Result<(), Failure> {
        let is_of_the_proof =
            matches!(failure.class, FailureClass::BaseDoesNotFit | FailureClass::FitUnproven);
        if !is_of_the_proof || !self.order.accept_unproven {
            return Err(failure);
        }
        if !self.builder.options.allow_unproven {
            let line = "the request accepts an unproven base, and the server's policy does not";
            return Err(failure.with_details([line.to_owned()]));
        }
        let lines = [&failure.message].into_iter().chain(&failure.details);
        for line in lines {
            let line = format!("warning: {line}");
            self.observer.event(BuildEvent::Log { step: StepName::Fit, line });
        }
        record.not_proven.push(failure.message);
        record.accepted_unproven = true;
        Ok(())
    }
}

fn code_record(objects: &[ObjectFit]) -> CodeFitRecord {
    CodeFitRecord {
        functions: objects.iter().map(|fit| fit.functions.len() as u64).sum(),
        fields: objects.iter().map(|fit| fit.fields).sum(),
        objects: (objects.iter())
            .map(|fit| ObjectFitRecord {
                object: fit.object.clone(),
                parent: fit.parent.clone(),
                functions: fit.functions.len() as u64,
                overridden: fit.overridden.clone(),
            })
            .collect(),
    }
}

fn nothing_to_compare_with(base: &Base) -> Failure {
    Failure::new(
        FailureClass::FitUnproven,
        format!(
            "nothing proves that the kernel built from {} is the one that the target runs: the request \
             has no /proc/kallsyms of it",
            base.facts().source.name()
        ),
        "send the running kernel's /proc/kallsyms, best as root; --accept-unproven makes the livepatch \
         without a proof where the server's policy allows it",
    )
}

fn summary(record: &FitRecord) -> String {
    let mut parts = Vec::new();
    if record.build_id == BuildIdFit::Equal {
        parts.push("the target's very image".to_owned());
    }
    if let Some(code) = &record.code {
        let functions = usize::try_from(code.functions).unwrap_or(usize::MAX);
        parts.push(format!("{} equal the kernel's", count(functions, "function")));
    }
    if let Some(symbols) = &record.symbols {
        let names = usize::try_from(symbols.names).unwrap_or(usize::MAX);
        parts.push(format!("{} of the running kernel", count(names, "function")));
    }
    if record.accepted_unproven {
        parts.push("accepted unproven".to_owned());
    }
    parts.join(", ")
}

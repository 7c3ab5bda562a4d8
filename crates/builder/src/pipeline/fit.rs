//! The proof that the base fits, before anything is linked.

use std::collections::BTreeSet;

use elivepatch_model::{
    BaseKind, BuildEvent, BuildIdFit, CodeFitRecord, Failure, FailureClass, FitRecord,
    ObjectFitRecord, PatchedFunction, StepName,
};

use super::{Job, Summed, count, running::RunningTarget};
use crate::{
    base::Base,
    engine::{ChangedObject, LivepatchEngine, PlainCompiler},
    fit::{CodeProver, Compared, Known, ObjectFit, compare_running, is_of_the_proof},
    unit::{Parent, Unit},
};

/// What was proven.
pub(super) struct Fit {
    pub(super) record: FitRecord,
    /// The objects that are equal; absent where code is not compared, and where some differ and that
    /// was accepted.
    objects: Option<Vec<ObjectFit>>,
}

impl Fit {
    /// Refuses a livepatch that replaces a function which was not compared.
    pub(super) fn covers(&self, functions: &[PatchedFunction]) -> Result<(), Failure> {
        let Some(objects) = &self.objects else { return Ok(()) };
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
            let Compared { mut equal, failures, .. } = self.compare_code(engine, base, changed)?;
            if failures.is_empty() {
                equal.sort_by(|a, b| (&a.object, &a.parent).cmp(&(&b.object, &b.parent)));
                record.code = Some(code_record(&equal));
                objects = Some(equal);
            }
            self.accept_all(failures, &mut record)?;
        }
        let modules: BTreeSet<&str> = (changed.iter())
            .filter(|changed| changed.unit.parent != Parent::Vmlinux)
            .map(|changed| changed.unit.parent.name())
            .collect();
        let target = RunningTarget {
            symbols: self.order.kallsyms.as_deref(),
            is_image_equal: build_id == BuildIdFit::Equal,
            is_prepared,
            source: facts.source.name().to_string(),
            modules: &modules,
        };
        let compared = target.compare(&|text| compare_running(text, base, &modules))?;
        record.symbols = compared.symbols;
        self.accept_all(compared.failures, &mut record)?;
        let summary = summary(&record);
        Ok((Fit { record, objects }, summary))
    }

    fn compare_code(
        &self,
        engine: &LivepatchEngine,
        base: &Base,
        changed: &[ChangedObject],
    ) -> Result<Compared, Failure> {
        let input = engine.input();
        let units: BTreeSet<&Unit> = (changed.iter())
            .map(|changed| &changed.unit)
            // What the fixes add is no part of the target yet.
            .filter(|unit| !input.new_sources.contains(&unit.source))
            .collect();
        let units: Vec<&Unit> = units.into_iter().collect();
        let Known { equal, missing, failures } = Known::of(base, &input.make, &units)?;
        let mut all = Compared { equal, failures, ..Compared::default() };
        if !missing.is_empty() {
            let (sandbox, observer) = (input.sandbox, self.observer);
            let workspace = input.patched.another("plain", base, sandbox, observer)?;
            let compiler = PlainCompiler { base, make: &input.make, workspace, sandbox, observer };
            let compared = CodeProver { compiler }.compare(&missing)?;
            all.equal.extend(compared.equal);
            all.failures.extend(compared.failures);
        }
        // What differs says more than what cannot be compared.
        all.failures.sort_by_key(|failure| failure.class != FailureClass::BaseDoesNotFit);
        Ok(all)
    }

    /// Lets failures of the proof pass where order and policy say so, and notes each.
    fn accept_all(&self, failures: Vec<Failure>, record: &mut FitRecord) -> Result<(), Failure> {
        failures.into_iter().try_for_each(|failure| self.accept(failure, record))
    }

    /// Lets a failure of the proof pass where order and policy say so, and notes it.
    fn accept(&self, failure: Failure, record: &mut FitRecord) -> Result<(), Failure> {
        if !is_of_the_proof(&failure) || !self.order.accept_unproven {
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

fn summary(record: &FitRecord) -> String {
    let mut parts = Vec::new();
    if record.build_id == BuildIdFit::Equal {
        parts.push("the target's very image".to_owned());
    }
    if let Some(code) = &record.code {
        let functions = usize::try_from(code.functions).unwrap_or(usize::MAX);
        let functions = count(functions, "function");
        parts.push(match record.is_of_the_package_only() {
            true => format!(
                "{functions} equal those of Debian's package; that the target runs it was not shown"
            ),
            false => format!("{functions} equal the kernel's"),
        });
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

#[cfg(test)]
mod tests {
    use elivepatch_model::Sha256Digest;

    use super::*;

    #[test]
    fn function_that_was_not_compared_is_refused_though_something_else_was_accepted() {
        let objects = vec![ObjectFit {
            object: "fs/exec.o".to_owned(),
            parent: "vmlinux".to_owned(),
            functions: vec!["open_exec".to_owned()],
            overridden: Vec::new(),
            fields: 1,
            compared_with: Sha256Digest::of(b"image"),
        }];
        let record = FitRecord { accepted_unproven: true, ..FitRecord::default() };
        let mut fit = Fit { record, objects: Some(objects) };
        let function = |name: &str| PatchedFunction {
            object: "vmlinux".to_owned(),
            name: name.to_owned(),
            position: 1,
        };
        assert_eq!(fit.covers(&[function("open_exec")]), Ok(()));
        let failure = fit.covers(&[function("open_exec"), function("close_exec")]);
        let failure = failure.expect_err("it was not compared");
        assert_eq!(failure.class, FailureClass::BaseDoesNotFit);
        assert!(failure.message.contains("close_exec of vmlinux"), "{failure:?}");
        // Where the comparison of the code itself was given up there is nothing to look in.
        fit.objects = None;
        assert_eq!(fit.covers(&[function("close_exec")]), Ok(()));
    }

    #[test]
    fn summary_tells_the_package_from_what_runs() {
        let code = CodeFitRecord { functions: 3, ..CodeFitRecord::default() };
        let mut record = FitRecord { code: Some(code), ..FitRecord::default() };
        assert_eq!(
            summary(&record),
            "3 functions equal those of Debian's package; that the target runs it was not shown"
        );
        record.build_id = BuildIdFit::Equal;
        assert_eq!(summary(&record), "the target's very image, 3 functions equal the kernel's");
    }
}

//! What of the fixes is to be applied, and what is left out because this kernel does not have it
//! or a running kernel cannot lose it.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use elivepatch_model::{
    Adaptation, AdaptationKind, BuildEvent, ConfigValue, Failure, FailureClass, KernelConfig,
    StepName,
};
use elivepatch_patch::{ChangeKind, DroppedFile, FilePatch, NewObject, PatchPlan, SourcePatch};

use super::{
    new_includes::NewIncludes,
    not_built::{InKernel, KernelParts, NOT_IN_CONFIG, drop_file},
};
use crate::{
    FixText, Observer,
    apply::PlannedChange,
    base::SourceIndex,
    headers::INCLUDE_DIRECTORIES,
    unit::{Parent, Unit},
};

/// What the fixes ask for.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The changes to apply, in their order.
    pub changes: Vec<PlannedChange>,
    /// The compiled files that the fixes add, by their source file. This alone says what is new.
    pub new_units: BTreeMap<String, Vec<Unit>>,
    /// What the fixes begin to include.
    pub new_includes: NewIncludes,
    /// How the patches were adapted.
    pub adaptations: Vec<Adaptation>,
}

/// What planning takes.
pub(crate) struct Planner<'a> {
    /// The adaptations that are switched off.
    pub without: &'a BTreeSet<AdaptationKind>,
    /// Which files the target is compiled from.
    pub sources: &'a SourceIndex,
    /// What else the base knows of that.
    pub parts: &'a dyn KernelParts,
    /// The target's source.
    pub tree: &'a Utf8Path,
    /// What the source is called.
    pub source: &'a str,
    /// The target's config.
    pub config: &'a KernelConfig,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
}

impl Plan {
    /// The files of the target's source that the fixes change, sorted: not the new ones, and not
    /// the Makefiles that name those.
    pub(crate) fn files(&self) -> Vec<String> {
        // A later fix may change what an earlier one adds.
        let new: BTreeSet<_> = self
            .changes
            .iter()
            .filter(|change| change.file.kind == ChangeKind::Added)
            .map(|change| &change.file.path)
            .collect();
        let of_target = |change: &&PlannedChange| {
            change.file.kind == ChangeKind::Modified
                && !is_makefile(&change.file)
                && !new.contains(&change.file.path)
        };
        let files: BTreeSet<String> = self
            .changes
            .iter()
            .filter(of_target)
            .map(|change| change.file.path.to_string())
            .collect();
        files.into_iter().collect()
    }
}

impl Planner<'_> {
    /// Reads the fixes and refuses what no build could livepatch.
    ///
    /// # Errors
    /// Those of the patch (see `elivepatch_patch::PatchError`), with the fix's name when there are
    /// several, also for what turns out to be in the kernel; `not-patchable` when a file would be
    /// left out that is in the kernel after all; `patch-does-not-apply` when a file is not in the
    /// source; `code-not-built` and `patch-file-set` when what would have to be left out must not be.
    pub(crate) fn plan(&self, fixes: &[FixText]) -> Result<Plan, Failure> {
        let mut plan = Plan { new_includes: NewIncludes::of(fixes), ..Plan::default() };
        for FixText { fix, text } in fixes {
            self.add(&fix.name, text, &mut plan).map_err(|mut failure| {
                if fixes.len() > 1 {
                    failure.message = format!("{}: {}", fix.name, failure.message);
                    failure.fix = Some(fix.name.as_str().into());
                }
                failure
            })?;
        }
        if plan.files().is_empty() && plan.new_units.is_empty() {
            return Err(Failure::new(
                FailureClass::CodeNotBuilt,
                "this kernel's config leaves out all that the patch adds",
                "this kernel does not contain the code, so it needs no fix there",
            )
            .with_details(plan.adaptations.iter().map(ToString::to_string)));
        }
        for adaptation in &plan.adaptations {
            let line = adaptation.to_string();
            self.observer.event(BuildEvent::Log { step: StepName::Check, line });
        }
        Ok(plan)
    }

    fn add(&self, fix: &str, text: &[u8], plan: &mut Plan) -> Result<(), Failure> {
        let mut of_fix = SourcePatch::parse(text)
            .and_then(|patch| patch.plan())
            .map_err(|error| error.failure())?;
        let new_includes = &plan.new_includes;
        let Self { parts, tree, source, .. } = *self;
        let in_kernel = InKernel { parts, tree, source, new_includes };
        in_kernel.refuse_dropped(&of_fix.dropped)?;
        in_kernel.settle(&mut of_fix)?;
        for object in std::mem::take(&mut of_fix.new_objects) {
            match self.parent_of(&object)? {
                Some(parent) => {
                    let source = object.source.to_string();
                    if self.tree.join(&source).symlink_metadata().is_ok() {
                        return Err(is_there(&source));
                    }
                    let unit = Unit::beside(&source, parent);
                    plan.new_units.entry(source).or_default().push(unit);
                }
                None => drop_file(&mut of_fix, object.source.as_str(), NOT_IN_CONFIG),
            }
        }
        self.refuse_headers_that_shadow(&of_fix)?;
        in_kernel.drop_what_is_not_built(&mut of_fix)?;
        for dropped in &of_fix.dropped {
            let what = format!("left out: it {}", dropped.reason);
            plan.adaptations.push(self.leave(
                AdaptationKind::OutsideKernel,
                fix,
                dropped,
                &what,
            )?);
        }
        for kept in &of_fix.kept {
            let kind = AdaptationKind::RemovedFile;
            plan.adaptations.push(self.leave(kind, fix, kept, &format!("it {}", kept.reason))?);
        }
        let named = |file| PlannedChange { fix_name: fix.to_owned(), file };
        plan.changes.extend(of_fix.files.into_iter().map(named));
        Ok(())
    }

    /// Refuses a new header by whose name an include finds another one today: files that the patch
    /// does not touch would get the new one.
    fn refuse_headers_that_shadow(&self, of_fix: &PatchPlan) -> Result<(), Failure> {
        let is_new_header = |file: &&FilePatch| {
            file.kind == ChangeKind::Added && matches!(file.path.extension(), "h" | "inc")
        };
        for file in of_fix.files.iter().filter(is_new_header) {
            let path = file.path.as_str();
            let own = INCLUDE_DIRECTORIES.iter().filter(|root| path.starts_with(**root));
            let name = match own.max_by_key(|root| root.len()) {
                Some(root) => &path[root.len()..],
                None => file.path.file_name(),
            };
            let others = INCLUDE_DIRECTORIES.iter().map(|root| format!("{root}{name}"));
            if let Some(other) = others
                .filter(|other| other != path)
                .find(|other| self.tree.join(other).symlink_metadata().is_ok())
            {
                return Err(Failure::new(
                    FailureClass::PatchFileSet,
                    format!("the new header {path} would be found in the place of {other}"),
                    "give the new header a name of its own",
                ));
            }
        }
        Ok(())
    }

    /// Leaves a file out, unless that is switched off.
    fn leave(
        &self,
        kind: AdaptationKind,
        fix: &str,
        file: &DroppedFile,
        what: &str,
    ) -> Result<Adaptation, Failure> {
        if self.without.contains(&kind) {
            let class = match kind {
                AdaptationKind::RemovedFile => FailureClass::PatchFileSet,
                _ => FailureClass::CodeNotBuilt,
            };
            return Err(Failure::new(
                class,
                format!("{} {}, and the adaptation {kind} is switched off", file.path, file.reason),
                format!("leave the file out of the patch, or do not switch {kind} off"),
            ));
        }
        let detail = format!("{what} (line {} of the patch)", file.patch_line);
        Ok(Adaptation { kind, fix: fix.to_owned(), file: file.path.to_string(), detail })
    }

    /// What a new object becomes a part of; `None` when the config leaves it out.
    fn parent_of(&self, object: &NewObject) -> Result<Option<Parent>, Failure> {
        let list = object.list.as_str();
        let (name, value) = match list.split_once("-$(CONFIG_") {
            Some((name, option)) => (name, self.config.value(option.trim_end_matches(')'))),
            None => match list.rsplit_once('-') {
                Some((name, "m")) => (name, Some(&ConfigValue::Module)),
                Some((name, _)) => (name, Some(&ConfigValue::Yes)),
                None => (list, None),
            },
        };
        match value {
            Some(ConfigValue::Yes) => {}
            Some(ConfigValue::Module) if name != "obj" => {}
            Some(ConfigValue::Module) => {
                return Err(Failure::new(
                    FailureClass::PatchFileSet,
                    format!("{} becomes a loadable module of its own ({list})", object.source),
                    "leave it out of the patch, and load it as the module that it is",
                ));
            }
            _ => return Ok(None),
        }
        // An object of several files is a module when the target has one of that name.
        let module = Parent::Module(name.replace('-', "_"));
        let is_module =
            name != "obj" && self.sources.units().iter().any(|unit| unit.parent == module);
        Ok(Some(if is_module { module } else { Parent::Vmlinux }))
    }
}

/// A file that the patch adds and the target has.
fn is_there(source: &str) -> Failure {
    Failure::new(
        FailureClass::PatchDoesNotApply,
        format!("the patch adds {source}, which the target's source has already"),
        "make the patch against the target's source; look whether it is applied there already",
    )
}

pub(super) fn is_makefile(file: &FilePatch) -> bool {
    ["Makefile", "Kbuild"].contains(&file.path.file_name())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

//! The engines. The kpatch engine drives kpatch's tools object by object as kpatch-build does, but
//! without building the kernel; the klp-build engine is in [`klp`].

mod choice;
mod compare;
mod compile;
#[cfg(test)]
mod compiled;
mod compiler_errors;
mod diff;
mod diff_script;
mod klp;
mod link;
mod livepatch_engine;
mod lost_sections;
mod message_rules;
mod messages;
mod moved;
mod new_object;
pub(crate) mod on_all_cores;
mod parents;
mod references;
mod runtime_constants;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::OnceLock};

use camino::Utf8Path;
use elivepatch_model::Failure;

use crate::{
    Observer,
    apply::AppliedFixes,
    base::{Base, KernelMake, READ_VARIABLES_FLAGS, Workspace},
    ownership::Units,
    sandbox::Sandbox,
    unit::Unit,
};

pub(crate) use choice::{choose, only_kpatch_can};
pub(crate) use compile::{Debug, OBJECT_BYTES, PlainCompiler};
pub(crate) use diff::ChangedObject;
use klp::KlpEngine;
pub(crate) use livepatch_engine::LivepatchEngine;
pub(crate) use on_all_cores::on_all_cores;

/// Removes from a base's originals what no build of this version uses, and of the kpatch engine's what
/// was not used the longest, so that these take no more than `limit_bytes`. Gives the number of objects
/// that were removed for the limit. Nobody else may use the base meanwhile.
///
/// # Errors
/// When something cannot be removed.
pub(crate) fn tidy_originals(originals: &Utf8Path, limit_bytes: u64) -> std::io::Result<usize> {
    klp::remove_older_originals(originals)?;
    compile::limit_originals(originals, limit_bytes)
}

/// kpatch's headers in a toolchain root, with what its module is made from.
const KPATCH_HEADERS: &str = "/usr/share/kpatch/patch";

/// One build of one livepatch by the kpatch engine.
pub(crate) struct KpatchEngine<'a> {
    /// The target's base.
    pub base: &'a Base,
    /// The source with the fixes.
    pub patched: &'a Workspace,
    /// How make is called.
    pub make: KernelMake,
    /// The module's name.
    pub module_name: &'a str,
    /// Whether the module leaves the livepatches that are active beside it.
    pub stack: bool,
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
    /// The files that the fixes change.
    pub touched: &'a [String],
    /// The compiled files among them that the fixes add: the plan's word. A look at the base cannot
    /// say it, for there a file is missing also when the base is being removed.
    pub new_sources: &'a BTreeSet<String>,
    /// The files of the fixes that were left out, as nothing of this kernel is made of them.
    pub left_out: &'a BTreeSet<String>,
    /// The objects whose patched code is compiled to read variables in the place of runtime
    /// constants; see [`KpatchEngine::read_variables`].
    pub reads_variables: &'a OnceLock<BTreeSet<String>>,
}

impl KpatchEngine<'_> {
    /// Whether the fixes add the unit to the kernel, so that it has no original.
    fn is_new(&self, unit: &Unit) -> bool {
        self.new_sources.contains(&unit.source)
    }

    /// From now on has the patched code of these units read variables where it would hold constants
    /// that the kernel writes into its own code only ([`crate::runtime_constants`]). The originals
    /// stay as the kernel has them: so every function in which that makes a difference, be it by what
    /// the compiler inlines, counts as changed. Gives whether it makes a difference: not for no units,
    /// and not a second time.
    pub(crate) fn read_variables(&self, units: &[Unit]) -> bool {
        let objects = units.iter().map(Unit::object).collect();
        !units.is_empty() && self.reads_variables.set(objects).is_ok()
    }

    /// The flags for the patched code of an object beside the kernel's own and [`COMPILE_FLAGS`].
    fn more_flags(&self, object: &str) -> &'static str {
        let reads_variables =
            self.reads_variables.get().is_some_and(|objects| objects.contains(object));
        if reads_variables { READ_VARIABLES_FLAGS } else { "" }
    }

    /// A command that Kbuild saved, as patched code is compiled by it.
    fn patched_command(&self, object: &str, shell: &str) -> String {
        let with_more = match self.more_flags(object) {
            "" => None,
            flags => compile::with_flags(shell, flags),
        };
        with_more.unwrap_or_else(|| shell.to_owned())
    }

    /// The units that the fixes change, as the last comparison found, and whose patched objects hold such
    /// constants. Others would only seem to change when they read variables.
    ///
    /// # Errors
    /// Those of comparing and reading the objects.
    pub(crate) fn changed_units_with_runtime_constants(
        &self,
        units: &[Unit],
    ) -> Result<Vec<Unit>, Failure> {
        let changed = diff::found_changed(self, &compare::changed_units(self, units)?);
        runtime_constants::units_with_some(self, &changed)
    }

    /// The units with those that only the compiler's own lists show to include a touched header.
    ///
    /// # Errors
    /// `not-patchable` when it cannot be found out which they are; those of `check`, which is asked
    /// before more originals are compiled, and of compiling them.
    pub(crate) fn with_missed_units(
        &self,
        units: Units,
        check: &dyn Fn(&Units) -> Result<(), Failure>,
    ) -> Result<Units, Failure> {
        compile::with_missed_units(self, units, check)
    }

    /// Compiles the touched sources, as they were and as patched.
    ///
    /// # Errors
    /// `compile-failed` with the compiler's errors at lines of the patch, `base-compile-failed`
    /// when the unpatched source does not compile; those of the sandbox.
    pub(crate) fn compile(&self, units: &[Unit], fixes: &AppliedFixes) -> Result<(), Failure> {
        compile::compile(self, units, fixes)
    }

    /// Finds the changed functions of each object. Gives the objects that changed.
    ///
    /// # Errors
    /// `no-functional-change`, those that [`messages`] tells from the tool's words; those of the
    /// sandbox.
    pub(crate) fn diff(&self, units: &[Unit]) -> Result<Vec<diff::ChangedObject>, Failure> {
        diff::diff(self, &compare::changed_units(self, units)?)
    }

    /// Links the changed objects into the module; gives its bytes.
    ///
    /// # Errors
    /// `link-failed`; those of the sandbox.
    pub(crate) fn link(&self, changed: &[diff::ChangedObject]) -> Result<Vec<u8>, Failure> {
        link::link(self, changed)
    }
}

//! The engines. The kpatch engine drives kpatch's tools object by object as kpatch-build does, but
//! without building the kernel; the klp-build engine is in [`klp`].

mod choice;
mod compare;
mod compile;
#[cfg(test)]
mod compiled;
mod compiler_errors;
mod diff;
mod klp;
mod link;
mod livepatch_engine;
mod lost_sections;
mod message_rules;
mod messages;
mod moved;
mod new_object;
mod on_all_cores;
mod parents;
mod references;
mod runtime_constants;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};

use camino::Utf8Path;
use elivepatch_model::Failure;

use crate::{
    Observer,
    apply::AppliedFixes,
    base::{Base, COMPILE_FLAGS, KernelMake, READ_VARIABLES_FLAGS, Workspace},
    ownership::Units,
    sandbox::Sandbox,
    unit::Unit,
};

pub(crate) use choice::{choose, only_kpatch_can};
pub(crate) use compile::OBJECT_BYTES;
pub(crate) use diff::ChangedObject;
use klp::KlpEngine;
pub(crate) use livepatch_engine::LivepatchEngine;

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
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
    /// The files that the fixes change.
    pub touched: &'a [String],
    /// The compiled files among them that the fixes add: the plan's word. A look at the base cannot
    /// say it, for there a file is missing also when the base is being removed.
    pub new_sources: &'a BTreeSet<String>,
    /// Whether patched code is compiled to read variables in the place of runtime constants; see
    /// [`KpatchEngine::read_variables`].
    pub reads_variables: &'a AtomicBool,
}

impl KpatchEngine<'_> {
    /// Whether the fixes add the unit to the kernel, so that it has no original.
    fn is_new(&self, unit: &Unit) -> bool {
        self.new_sources.contains(&unit.source)
    }

    /// From now on has patched code read variables where it would hold constants that the kernel
    /// writes into its own code only ([`crate::runtime_constants`]). The originals stay as the kernel
    /// has them: so every function in which that makes a difference, be it by what the compiler
    /// inlines, counts as changed.
    pub(crate) fn read_variables(&self) {
        self.reads_variables.store(true, Ordering::Relaxed);
    }

    /// Whether patched code is compiled to read variables, see [`KpatchEngine::read_variables`].
    pub(crate) fn reads_variables(&self) -> bool {
        self.reads_variables.load(Ordering::Relaxed)
    }

    /// A command that Kbuild saved, as patched code is compiled by it.
    fn patched_command(&self, shell: &str) -> String {
        let place = " -DKBUILD_MODFILE=";
        match self.reads_variables() {
            false => shell.to_owned(),
            true => shell.replacen(place, &format!(" {READ_VARIABLES_FLAGS}{place}"), 1),
        }
    }

    /// `KCFLAGS` of make for patched code.
    fn patched_flags(&self) -> String {
        match self.reads_variables() {
            false => COMPILE_FLAGS.to_owned(),
            true => format!("{COMPILE_FLAGS} {READ_VARIABLES_FLAGS}"),
        }
    }

    /// The units whose patched objects hold such constants, in functions that are changed or not.
    ///
    /// # Errors
    /// Those of reading the objects.
    pub(crate) fn units_with_runtime_constants(
        &self,
        units: &[Unit],
    ) -> Result<Vec<Unit>, Failure> {
        runtime_constants::units_with_some(self, units)
    }

    /// The units with those that only the compiler's own lists show to include a touched header.
    ///
    /// # Errors
    /// `not-patchable` when it cannot be found out which they are; those of compiling the originals.
    pub(crate) fn with_missed_units(&self, units: Units) -> Result<Units, Failure> {
        compile::with_missed_units(self, units)
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

//! The klp-build engine: the kernel's own `objtool klp`, on kernels from 6.19 on.
//!
//! It does what the kernel's `scripts/livepatch/klp-build` does, with less around it (see
//! docs/adr/0009): the original is built once for a base, only the touched objects are compiled, and
//! of vmlinux only vmlinux.o is linked.

mod compile;
mod correlation;
mod diff;
mod digests;
mod link;
mod make_originals;
mod objects;
mod originals;
mod parents;
mod relink;
mod static_locals;
mod traceable;

use elivepatch_model::{Engine, Failure, StepName};

pub(crate) use self::originals::remove_older_originals;
use self::{originals::Originals, parents::Parents};
use super::{ChangedObject, KpatchEngine, compare::changed_units, lost_sections};
use crate::{
    Cache, apply::AppliedFixes, base::Workspace, process::Finished, sandbox::SandboxLimits,
    unit::Unit,
};

/// The flags that klp-build compiles with, beside the kernel's own. Debug information only makes
/// the objects larger: it decides nothing of the code, and objtool does not read it.
const COMPILE_FLAGS: &str = "-ffunction-sections -fdata-sections -g0";

/// objtool, as the base's own build made it, by its path in the tree.
const OBJTOOL: &str = "./tools/objtool/objtool";

/// Where tools see what is kept of the unpatched kernel: vmlinux.o with its image, and the objects.
const ORIGINALS: &str = "/originals";
const KEPT: &str = "/kept";

/// The script in the source tree whose work this engine does; a tree without it is too old.
pub(crate) const SCRIPT: &str = "scripts/livepatch/klp-build";

/// One build of one livepatch by the klp-build engine.
pub(crate) struct KlpEngine<'a> {
    /// What every engine is given, in the form of the kpatch engine.
    input: KpatchEngine<'a>,
    originals: Originals,
    /// The patched source over the originals' objects.
    view: Workspace,
}

impl<'a> KlpEngine<'a> {
    /// Makes the originals ready, which takes about as long as the base's own build when they are
    /// not there yet; `limits` are those of building a whole kernel.
    ///
    /// # Errors
    /// `base-failed` when they cannot be made; those of the sandbox.
    pub(crate) fn ready(
        input: KpatchEngine<'a>,
        cache: &Cache,
        limits: SandboxLimits,
    ) -> Result<Self, Failure> {
        let originals = Originals::ready(&input, cache, limits)?;
        let view = input.patched.over(originals.view(), "klp", input.sandbox, input.observer)?;
        Ok(Self { input, originals, view })
    }

    /// What every engine is given.
    pub(crate) fn input(&self) -> &KpatchEngine<'a> {
        &self.input
    }

    /// Compiles the touched sources: for the kpatch engine's comparison of layouts, as they were and
    /// as patched with debug information; and as patched to be linked with all that is as it was.
    ///
    /// # Errors
    /// `not-patchable` for a file that is not in the kernel; those of [`KpatchEngine::compile`].
    pub(crate) fn compile(&self, units: &[Unit], fixes: &AppliedFixes) -> Result<(), Failure> {
        compile::refuse_new_files(self, units)?;
        self.input.compile(units, fixes)?;
        let commands = compile::commands(self, units)?;
        self.view.refresh(self.input.patched, self.input.sandbox, self.input.observer)?;
        compile::compile(self, &commands, fixes)
    }

    /// Links what is compared, of the patched objects and of those that are as they were, and finds
    /// the changed functions. Gives the objects that hold some.
    ///
    /// # Errors
    /// `data-structure-changed` and what else the kpatch engine refuses before its tools look at the
    /// objects; `no-functional-change`; those that objtool's words tell; those of the sandbox.
    pub(crate) fn diff(&self, units: &[Unit]) -> Result<Vec<ChangedObject>, Failure> {
        let changed = changed_units(&self.input, units)?;
        for unit in &changed {
            lost_sections::check(&self.input, unit, Engine::KlpBuild)?;
        }
        let parents = Parents::of(&changed, &self.originals)?;
        relink::relink(self, &parents)?;
        diff::diff(self, &changed, &parents)
    }

    /// Links the changed functions into the module; gives its bytes.
    ///
    /// # Errors
    /// `link-failed`; those of the sandbox.
    pub(crate) fn link(&self, changed: &[ChangedObject]) -> Result<Vec<u8>, Failure> {
        link::link(self, changed)
    }

    /// Runs a shell script of ours in the patched tree, with the originals at hand; its arguments
    /// are `$1` and on. How it ended is the caller's to look at.
    fn script(
        &self,
        script: &str,
        arguments: &[&str],
        step: StepName,
    ) -> Result<Finished, Failure> {
        let words = ["sh", "-c", script, "klp"].into_iter().chain(arguments.iter().copied());
        let command = self.view.command(words).read_only(&self.originals.directory(), ORIGINALS);
        let command = self.originals.view().show(command, KEPT);
        self.input.sandbox.run(&command, step, self.input.observer)
    }
}

//! Compiling the objects of a base as the kernel's own were: without what makes functions comparable
//! one by one, so that the code has the bytes that the kernel has.

use std::collections::BTreeMap;

use elivepatch_model::{Failure, StepName};

use super::{
    BATCH,
    base_failures::{check_base, not_made},
    progress::CompileProgress,
    script::{Job, compile_by_script_in},
    store::Store,
};
use crate::{
    Observer,
    base::{Base, COMPILE_FLAGS, KernelMake, Workspace},
    engine::OBJECT_BYTES,
    sandbox::Sandbox,
    unit::Unit,
};

/// Compiles objects of a base in a view of it that no patch reaches.
pub(crate) struct PlainCompiler<'a> {
    /// The base.
    pub base: &'a Base,
    /// How make is called; with objtool on single objects, where the config delays it.
    pub make: &'a KernelMake,
    /// The view.
    pub workspace: Workspace,
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
}

impl PlainCompiler<'_> {
    /// Compiles the objects of the units: by the commands that are saved for their originals, and
    /// where there is none by make.
    ///
    /// Debug information decides no code and is most of the work, but compilers had faults there: what
    /// differs without it is to be compiled with it before anything is said.
    ///
    /// # Errors
    /// `base-compile-failed` when one does not compile; those of the sandbox.
    pub(crate) fn compile(&self, units: &[&Unit], debug: Debug) -> Result<(), Failure> {
        let store = Store::of(self.base, self.make);
        let objects: BTreeMap<String, &Unit> =
            units.iter().map(|unit| (unit.object(), *unit)).collect();
        let progress =
            CompileProgress::in_step(StepName::Fit, "plain", objects.len(), self.observer);
        let (mut known, mut by_make) = (Vec::new(), Vec::new());
        for (object, unit) in &objects {
            let command = store.get(object).and_then(|original| original.command);
            match command.and_then(|command| plain(&command.shell, debug)) {
                Some(shell) => known.push((object, shell)),
                None => by_make.push(unit.goal()),
            }
        }
        for batch in known.chunks(BATCH) {
            let jobs: Vec<Job> = (batch.iter())
                .map(|(object, shell)| Job { object: object.as_str(), shell: shell.as_str() })
                .collect();
            let (cores, view) = (self.make.jobs(), &self.workspace);
            let step = StepName::Fit;
            check_base(&compile_by_script_in(step, &jobs, cores, view, self.sandbox, &progress)?)?;
        }
        for batch in by_make.chunks(BATCH) {
            let command = self.workspace.command(self.make.words(batch));
            let command = command.environment("KCFLAGS", debug.flags());
            check_base(&self.sandbox.run(&command, StepName::Fit, &progress)?)?;
        }
        Ok(())
    }

    /// Reads an object that was compiled.
    ///
    /// # Errors
    /// `base-compile-failed` when it is not there.
    pub(crate) fn read(&self, object: &str) -> Result<Vec<u8>, Failure> {
        self.workspace.read_made(object, OBJECT_BYTES).map_err(|error| not_made(object, &error))
    }
}

/// Whether objects get debug information.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Debug {
    /// As the kernel's own did.
    AsTheKernel,
    /// None.
    Without,
}

impl Debug {
    fn flags(self) -> &'static str {
        match self {
            Self::AsTheKernel => "",
            Self::Without => "-g0",
        }
    }
}

/// The saved command of an original without the flags of livepatches; `None` when it has none.
fn plain(shell: &str, debug: Debug) -> Option<String> {
    let (before, behind) = shell.split_once(COMPILE_FLAGS)?;
    Some(format!("{before}{}{behind}", debug.flags()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_command_has_only_the_kernels_own_flags() {
        let saved =
            format!("gcc -O2 {COMPILE_FLAGS} -DKBUILD_MODFILE='\"fs/a\"' -c -o fs/a.o fs/a.c");
        let shell = plain(&saved, Debug::AsTheKernel).expect("a command of an original");
        assert_eq!(shell, "gcc -O2  -DKBUILD_MODFILE='\"fs/a\"' -c -o fs/a.o fs/a.c");
        assert_eq!(plain(&shell, Debug::AsTheKernel), None);
        let shell = plain(&saved, Debug::Without).expect("a command of an original");
        assert!(shell.starts_with("gcc -O2 -g0 -DKBUILD_MODFILE="), "{shell}");
    }
}

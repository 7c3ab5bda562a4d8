//! Objects as they are without any fix: taken from the base's store, or compiled for it in a
//! workspace that no patch ever reaches.

use std::collections::BTreeMap;

use elivepatch_model::{BuildEvent, Failure, StepName};

use super::{
    BATCH,
    base_failures::{check_base, not_made},
    progress::CompileProgress,
    saved_command::SavedCommand,
    script::{Job, compile_by_script},
    store::{Original, Store},
};
use crate::{
    base::{COMPILE_FLAGS, Workspace},
    engine::KpatchEngine,
    kbuild_record::{RECORD_BYTES, record_path},
    unit::Unit,
    untrusted_file::read_untrusted_below,
};

/// The largest object, in bytes; with debug information the largest of a kernel have some 10 MB.
pub(crate) const OBJECT_BYTES: u64 = 256 * 1024 * 1024;

/// Makes sure that the store holds the original of each unit.
///
/// # Errors
/// `base-compile-failed` when one does not compile; those of the sandbox and of writing.
pub(super) fn originals(
    engine: &KpatchEngine,
    units: &[&Unit],
) -> Result<BTreeMap<String, Original>, Failure> {
    let store = Store::of(engine.base, &engine.make);
    let mut originals = BTreeMap::new();
    let mut missing = Vec::new();
    for unit in units {
        let object = unit.object();
        match store.get(&object) {
            Some(original) => drop(originals.insert(object, original)),
            None => missing.push(*unit),
        }
    }
    if !missing.is_empty() {
        let pristine =
            engine.patched.another("original", engine.base, engine.sandbox, engine.observer)?;
        let progress = CompileProgress::new("original", missing.len(), engine.observer);
        let maker = Maker { engine, store, pristine, progress };
        originals.extend(maker.make(&missing)?);
    }
    Ok(originals)
}

struct Maker<'a> {
    engine: &'a KpatchEngine<'a>,
    store: Store,
    pristine: Workspace,
    progress: CompileProgress<'a>,
}

impl Maker<'_> {
    fn make(&self, units: &[&Unit]) -> Result<BTreeMap<String, Original>, Failure> {
        let (mut known, mut by_make) = (Vec::new(), Vec::new());
        for unit in units {
            match self.command_of_base(unit) {
                Some(command) => known.push((*unit, command)),
                None => by_make.push(*unit),
            }
        }
        let mut originals = BTreeMap::new();
        if !known.is_empty() {
            for batch in known.chunks(BATCH) {
                self.run_commands(batch)?;
                for (unit, command) in batch {
                    let (object, command) = (unit.object(), Some(command.clone()));
                    let original = self.store.put(&object, &self.read_object(&object)?, command)?;
                    originals.insert(object, original);
                }
            }
        }
        for batch in by_make.chunks(BATCH) {
            originals.extend(self.make_by_kbuild(batch)?);
        }
        Ok(originals)
    }

    /// How the base's own build compiled the object, when the base was built.
    fn command_of_base(&self, unit: &Unit) -> Option<SavedCommand> {
        let object = unit.object();
        let tree = self.engine.base.tree();
        // A built base's own commands run objtool as its config has it.
        if self.engine.make.runs_objtool_for_kpatch() {
            return None;
        }
        let record = read_untrusted_below(&tree, &record_path(&object), RECORD_BYTES).ok()?;
        let saved =
            SavedCommand::parse(&String::from_utf8_lossy(&record), unit.goal(), &unit.source)?;
        saved.with_livepatch_flags()
    }

    fn make_by_kbuild(&self, units: &[&Unit]) -> Result<BTreeMap<String, Original>, Failure> {
        let engine = self.engine;
        let goals: Vec<&str> = units.iter().map(|unit| unit.goal()).collect();
        let command =
            self.pristine.command(engine.make.words(goals)).environment("KCFLAGS", COMPILE_FLAGS);
        check_base(&engine.sandbox.run(&command, StepName::Compile, &self.progress)?)?;

        let mut made = Vec::new();
        for unit in units {
            let object = unit.object();
            made.push((*unit, self.read_object(&object)?, self.saved_command(unit)));
        }
        // One of them is compiled once more, by its saved command: where that gives another
        // object, this kernel's Kbuild does something that the command does not say.
        let sample = made.iter().find_map(|(unit, content, command)| {
            command.as_ref().map(|command| (*unit, content, command.clone()))
        });
        let trusted = match sample {
            Some((unit, content, command)) => {
                self.run_commands(&[(unit, command)])?;
                self.read_object(&unit.object())? == *content
            }
            None => false,
        };
        if !trusted {
            let line = "saved commands do not give this kernel's objects: make compiles them";
            self.log(line.to_owned());
        }
        made.into_iter()
            .map(|(unit, content, command)| {
                let object = unit.object();
                let original = self.store.put(&object, &content, command.filter(|_| trusted))?;
                Ok((object, original))
            })
            .collect()
    }

    /// The command that Kbuild saved, when the base has all that it reads.
    fn saved_command(&self, unit: &Unit) -> Option<SavedCommand> {
        let object = unit.object();
        let record = self.pristine.read_made(&record_path(&object), RECORD_BYTES).ok()?;
        let saved =
            SavedCommand::parse(&String::from_utf8_lossy(&record), unit.goal(), &unit.source)?;
        // What make generated on the way is in no other workspace.
        let base = self.engine.base.tree();
        let generated = saved.dependencies.iter().find(|path| {
            let made = self.pristine.read_made(path, OBJECT_BYTES);
            made.is_ok_and(|made| {
                read_untrusted_below(&base, path, OBJECT_BYTES).ok() != Some(made)
            })
        });
        if let Some(generated) = generated {
            self.log(format!("make compiles {object}: {generated} is generated for it"));
            return None;
        }
        Some(saved)
    }

    fn run_commands(&self, commands: &[(&Unit, SavedCommand)]) -> Result<(), Failure> {
        let engine = self.engine;
        let objects: Vec<String> = commands.iter().map(|(unit, _)| unit.object()).collect();
        let jobs: Vec<Job> = objects
            .iter()
            .zip(commands)
            .map(|(object, (_, command))| Job { object, shell: &command.shell })
            .collect();
        let cores = engine.make.jobs();
        let progress = &self.progress;
        check_base(&compile_by_script(&jobs, cores, &self.pristine, engine.sandbox, progress)?)
    }

    fn read_object(&self, object: &str) -> Result<Vec<u8>, Failure> {
        self.pristine.read_made(object, OBJECT_BYTES).map_err(|error| not_made(object, &error))
    }

    fn log(&self, line: String) {
        self.engine.observer.event(BuildEvent::Log { step: StepName::Compile, line });
    }
}

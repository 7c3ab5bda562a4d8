//! Adapting the source that the fixes were applied to.

use std::collections::BTreeSet;

use elivepatch_model::{
    Adaptation, AdaptationKind,
    AdaptationKind::{LineNumbers, SyscallDefine},
    BuildEvent, Failure, FailureClass, StepName,
};

use super::{
    files,
    init_only::{self, Found, InitChanges},
    inlined_calls::InlinedCalls,
    line_numbers, syscalls,
};
use crate::{
    Observer,
    apply::{AppliedFixes, ChangedFile},
    base::{Base, Workspace},
    failures::io_failure,
    sandbox::Sandbox,
    untrusted_file::read_untrusted_below,
};

/// What was adapted in the patched source, with what it takes to undo it.
#[derive(Debug, Default)]
pub(crate) struct AdaptedSource {
    /// How, for the verdict.
    pub adaptations: Vec<Adaptation>,
    /// The adapted files as the fixes alone make them.
    as_patched: Vec<(String, Vec<u8>)>,
    /// What could be left out, when the compiled objects agree.
    pub init: Option<InitChanges>,
    /// Why changes to `__init` code must stay, when the texts say so.
    pub init_kept: Option<String>,
}

/// What adapting the source takes.
pub(crate) struct SourceAdapter<'a> {
    /// The adaptations that are switched off.
    pub without: &'a BTreeSet<AdaptationKind>,
    /// The target's base.
    pub base: &'a Base,
    /// The patched source.
    pub workspace: &'a Workspace,
    /// The sandbox.
    pub sandbox: &'a Sandbox,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
}

impl SourceAdapter<'_> {
    /// Adapts the source that `fixes` were applied to. `inlined` are system calls to be defined as
    /// kpatch needs it although no line of them changes.
    ///
    /// # Errors
    /// Those of the sandbox and of reading the base.
    pub(crate) fn adapt(
        &self,
        fixes: &AppliedFixes,
        inlined: &InlinedCalls,
    ) -> Result<AdaptedSource, Failure> {
        // Most fixes replace lines by as many, in files without system calls: nothing is to be
        // done there, and nothing read.
        let files: Vec<ChangedFile> = fixes
            .changed_files()
            .into_iter()
            .filter(is_c_text)
            .filter(|file| file.moves_lines && self.is_on(LineNumbers) || self.has_syscalls(file))
            .chain(inlined.files())
            .collect();
        let names: Vec<String> = files.iter().map(|file| file.path.clone()).collect();
        let texts = files::read(&names, self.workspace, self.sandbox, self.observer)?;
        let mut adapted = AdaptedSource::default();
        let mut new_texts = Vec::new();
        for (file, text) in files.into_iter().zip(texts) {
            let count = text.split_inclusive(|byte| *byte == b'\n').count();
            let old_lines = fixes.old_lines(&file.path, count);
            let new =
                self.adapt_file(&file, &text, old_lines, inlined, &mut adapted.adaptations)?;
            if let Some(new) = new {
                new_texts.push((file.path.clone(), new));
                adapted.as_patched.push((file.path, text));
            }
        }
        for adaptation in &adapted.adaptations {
            self.log(adaptation.to_string());
        }
        if self.is_on(AdaptationKind::InitOnly) {
            // It reads the source as the fixes alone make it.
            match init_only::find(self, fixes, inlined, &new_texts)? {
                Found::Nothing => {}
                Found::Changes(changes) => adapted.init = Some(changes),
                Found::Kept(reason) => adapted.init_kept = Some(reason),
            }
        }
        write("adapted", &new_texts, self)?;
        Ok(adapted)
    }

    /// Adapts one file with this text. Gives the new text when it did.
    pub(super) fn adapt_file(
        &self,
        file: &ChangedFile,
        text: &[u8],
        old_lines: Vec<Option<usize>>,
        inlined: &InlinedCalls,
        adaptations: &mut Vec<Adaptation>,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let made = |kind, detail| {
            let (fix, file) = (file.fix.clone(), file.path.clone());
            Adaptation { kind, fix, file, detail }
        };
        let numbers = match self.is_on(LineNumbers) {
            true => old_lines.clone(),
            // Then only what is inserted here must move no line.
            false => (1..=old_lines.len()).map(Some).collect(),
        };
        let rewritten = match self.is_on(SyscallDefine) && syscalls::are_in(text) {
            true => {
                let functions = self.syscall_functions()?;
                let has_body = |name: &str| functions.contains(&format!("__do_sys_{name}"));
                syscalls::rewrite(text, &old_lines, &numbers, |name, is_touched| {
                    inlined.contains(name) || is_touched && has_body(name)
                })
            }
            false => None,
        };
        if let Some(rewritten) = &rewritten {
            let calls = rewritten.calls.join(", ");
            let detail = format!("KPATCH_SYSCALL_DEFINE in place of SYSCALL_DEFINE for {calls}");
            adaptations.push(made(SyscallDefine, detail));
        }
        let (text, numbers, is_new) = match rewritten {
            Some(rewritten) => (rewritten.text, rewritten.old_lines, true),
            None => (text.to_vec(), numbers, false),
        };
        let Some(numbered) = line_numbers::keep(&text, &numbers) else {
            let detail = "lines get other numbers: the file has #line directives of its own";
            self.log(made(LineNumbers, detail.to_owned()).to_string());
            return Ok(is_new.then_some(text));
        };
        if self.is_on(LineNumbers) && file.moves_lines {
            if numbered.directives > 0 {
                adaptations.push(made(LineNumbers, describe(&numbered)));
            } else if numbered.lost_from.is_some() {
                self.log(made(LineNumbers, describe(&numbered)).to_string());
            }
        }
        Ok((is_new || numbered.directives > 0).then_some(numbered.text))
    }

    /// Whether the file defines system calls in the target's own source.
    fn has_syscalls(&self, file: &ChangedFile) -> bool {
        self.is_on(SyscallDefine)
            && read_untrusted_below(&self.base.tree(), &file.path, files::FILE_BYTES)
                .is_ok_and(|text| syscalls::are_in(&text))
    }

    /// The names of the functions in vmlinux that hold the bodies of system calls.
    fn syscall_functions(&self) -> Result<BTreeSet<String>, Failure> {
        let path = self.base.symbol_table();
        let table = fs_err::read(&path)
            .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
        let table = String::from_utf8_lossy(&table);
        let names = table.lines().filter_map(|line| line.split_ascii_whitespace().last());
        // The compiler adds .constprop.0 and the like.
        let names = names.map(|name| name.split('.').next().unwrap_or(name));
        Ok(names.filter(|name| name.starts_with("__do_sys_")).map(str::to_owned).collect())
    }

    fn is_on(&self, kind: AdaptationKind) -> bool {
        !self.without.contains(&kind)
    }

    pub(super) fn log(&self, line: String) {
        self.observer.event(BuildEvent::Log { step: StepName::Check, line });
    }
}

/// Whether `#` begins a directive in the file, and no comment as in a Makefile.
pub(super) fn is_c_text(file: &ChangedFile) -> bool {
    [".c", ".h", ".inc"].iter().any(|extension| file.path.ends_with(extension))
}

fn describe(numbered: &line_numbers::Numbered) -> String {
    let directives = match numbered.directives {
        0 => "lines get other numbers".to_owned(),
        1 => "1 #line directive keeps the numbers of the lines around the changes".to_owned(),
        number => {
            format!("{number} #line directives keep the numbers of the lines around the changes")
        }
    };
    match numbered.lost_from {
        None => directives,
        Some(line) => format!("{directives}; from line {line} on there is no place for one"),
    }
}

impl AdaptedSource {
    /// Makes the source again what the fixes alone make of it. Gives whether that changed anything.
    ///
    /// # Errors
    /// Those of the sandbox.
    pub(crate) fn undo(&self, adapter: &SourceAdapter) -> Result<bool, Failure> {
        write("as-patched", &self.as_patched, adapter)?;
        Ok(!self.as_patched.is_empty())
    }
}

pub(super) fn write(
    prefix: &str,
    texts: &[(String, Vec<u8>)],
    adapter: &SourceAdapter,
) -> Result<(), Failure> {
    let SourceAdapter { workspace, sandbox, observer, .. } = adapter;
    files::write(prefix, texts, workspace, sandbox, *observer)
}

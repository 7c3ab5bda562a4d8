//! Which files of a fix this kernel does not contain. Only the base knows: a driver that its config
//! leaves out has `.c` files, headers and assembly.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};
use elivepatch_patch::{ChangeKind, DroppedFile, FilePatch, PatchError, PatchPlan, Refusal};

use super::{
    host_programs::{has_host_programs, is_part_of_a_host_program},
    new_includes::NewIncludes,
};
use crate::{
    headers::is_header,
    ownership::{is_regular_file, no_such_file},
    unit::Unit,
    untrusted_file::read_untrusted_below,
};

pub(super) const NOT_IN_CONFIG: &str = "is not in this kernel: its config leaves it out";
const NOT_INCLUDED: &str = "is not in this kernel: nothing that its config builds includes it";

/// The largest assembly file that is read, in bytes; those of Linux 7.3 have up to 100 kB.
const ASSEMBLY_BYTES: u64 = 4 * 1024 * 1024;

/// Parts of paths of what is compiled beside the kernel, so that no base knows which headers it reads.
const BESIDE_THE_KERNEL: [&str; 5] = ["boot", "libstub", "purgatory", "realmode", "vdso"];

/// What a base knows of its kernel.
pub(crate) trait KernelParts {
    /// The compiled files that hold code of each file, or may; a file that is not there has none.
    ///
    /// # Errors
    /// When it cannot be found out.
    fn readers(&self, files: &BTreeSet<&str>) -> Result<BTreeMap<String, BTreeSet<Unit>>, Failure>;

    /// Whether vmlinux, or a module with code from the `directory`, has one of these symbols.
    ///
    /// # Errors
    /// When a list of symbols cannot be read.
    fn has_symbol(&self, names: &BTreeSet<String>, directory: &str) -> Result<bool, Failure>;
}

/// Which files are in the kernel.
pub(super) struct InKernel<'a> {
    pub(super) parts: &'a dyn KernelParts,
    /// The target's source.
    pub(super) tree: &'a Utf8Path,
    /// What the source is called.
    pub(super) source: &'a str,
    /// What the fixes begin to include: it is read, though nothing of this kernel reads it.
    pub(super) new_includes: &'a NewIncludes,
}

impl InKernel<'_> {
    /// Refuses files that were taken for none of the kernel's and that it is compiled from. Files of
    /// other architectures are not looked for: no x86 kernel is built from them, and in a prepared
    /// base headers of one name cannot be told apart.
    pub(super) fn refuse_dropped(&self, dropped: &[DroppedFile]) -> Result<(), Failure> {
        let paths = dropped.iter().map(|file| file.path.as_str());
        let may_be_read = |path: &&str| {
            [".c", ".h", ".inc", ".S"].iter().any(|ending| path.ends_with(ending))
                && !path.starts_with("arch/")
        };
        let readers = self.readers(paths.filter(may_be_read).collect())?;
        let Some((path, unit)) =
            readers.iter().find_map(|(path, units)| Some((path, units.first()?)))
        else {
            return Ok(());
        };
        Err(Failure::new(
            FailureClass::NotPatchable,
            format!("{path} is compiled into this kernel ({})", unit.source),
            "elivepatch takes such files for tools and would leave it out: please report it",
        ))
    }

    /// Decides what the paths alone could not: drops what is not built, and refuses what is.
    pub(super) fn settle(&self, of_fix: &mut PatchPlan) -> Result<(), Failure> {
        let undecided = std::mem::take(&mut of_fix.undecided);
        let readers = self.readers(undecided.iter().map(|file| file.path.as_str()).collect())?;
        let mut refused = Vec::new();
        for file in undecided {
            let path = file.path.as_str();
            if !is_regular_file(self.tree, path) {
                return Err(no_such_file(path, self.source));
            }
            let is_built = readers.get(path).is_some_and(|units| !units.is_empty())
                || self.may_be_read_unseen(path)
                || self.new_includes.may_mean(path)
                || path.ends_with(".S") && self.may_be_assembled(path)?;
            match is_built {
                true => refused.push(file),
                false => {
                    let Refusal { path, patch_line, .. } = file;
                    of_fix.dropped.push(DroppedFile { path, patch_line, reason: NOT_IN_CONFIG });
                }
            }
        }
        match refused.is_empty() {
            true => Ok(()),
            false => Err(PatchError::Refused(refused).failure()),
        }
    }

    /// Drops the files that the config leaves out, as long as others are built. When none is, they
    /// stay, and are refused later.
    pub(super) fn drop_what_is_not_built(&self, of_fix: &mut PatchPlan) -> Result<(), Failure> {
        let is_code = |file: &&FilePatch| {
            let path = file.path.as_str();
            file.kind == ChangeKind::Modified && (path.ends_with(".c") || is_header(path))
        };
        let paths: BTreeSet<&str> =
            of_fix.files.iter().filter(is_code).map(|file| file.path.as_str()).collect();
        // Most fixes change files of this kernel only, and no header.
        let readers = self.readers(paths.clone())?;
        let is_left_out = |path: &&str| {
            readers.get(*path).is_none_or(BTreeSet::is_empty)
                && is_regular_file(self.tree, path)
                && !self.may_be_read_unseen(path)
                && !self.new_includes.may_mean(path)
        };
        let left_out: BTreeSet<String> =
            paths.into_iter().filter(is_left_out).map(str::to_owned).collect();
        let is_built = |file: &FilePatch| {
            !super::plan::is_makefile(file) && !left_out.contains(file.path.as_str())
        };
        if of_fix.files.iter().any(is_built) {
            for file in &left_out {
                let reason = if is_header(file) { NOT_INCLUDED } else { NOT_IN_CONFIG };
                drop_file(of_fix, file, reason);
            }
        }
        Ok(())
    }

    fn readers(&self, files: BTreeSet<&str>) -> Result<BTreeMap<String, BTreeSet<Unit>>, Failure> {
        match files.is_empty() {
            true => Ok(BTreeMap::new()),
            false => self.parts.readers(&files),
        }
    }

    /// Whether something may read the file that is no part of the kernel and makes one: a program
    /// of the build, boot code, the vdso.
    fn may_be_read_unseen(&self, path: &str) -> bool {
        let mut parts = path.split('/').map(|part| part.split('.').next().unwrap_or(part));
        match is_header(path) {
            true => {
                parts.any(|part| BESIDE_THE_KERNEL.contains(&part))
                    || has_host_programs(self.tree, path)
            }
            false => is_part_of_a_host_program(self.tree, path),
        }
    }

    /// Whether the kernel may hold the file's code although no debug information says so: some of
    /// its symbols are there, or it shows none. (The thunks of arch/x86/lib/retpoline.S have no
    /// debug information.)
    fn may_be_assembled(&self, path: &str) -> Result<bool, Failure> {
        let Ok(text) = read_untrusted_below(self.tree, path, ASSEMBLY_BYTES) else {
            return Ok(true);
        };
        let symbols = assembly_symbols(&String::from_utf8_lossy(&text));
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        Ok(symbols.is_empty() || self.parts.has_symbol(&symbols, directory)?)
    }
}

/// The names that an assembly file gives to places: `SYM_FUNC_START(name)`, `.globl name`, `name:`.
fn assembly_symbols(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut symbols = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let name = match line.split_once('(') {
            Some((word, rest))
                if word.starts_with("SYM_") || ["ENTRY", "GLOBAL"].contains(&word) =>
            {
                rest.split([')', ',']).next()
            }
            _ => match words.next() {
                Some(".globl" | ".global") => words.next(),
                Some(label) if !line.starts_with(char::is_whitespace) => label.strip_suffix(':'),
                _ => None,
            },
        };
        let name = name.map(str::trim).filter(|name| name.starts_with(|c: char| !c.is_numeric()));
        symbols.extend(name.filter(|name| name.chars().all(is_part)).map(str::to_owned));
    }
    symbols.remove("");
    symbols
}

/// Moves the changes of a file to those that are left out.
pub(super) fn drop_file(of_fix: &mut PatchPlan, path: &str, reason: &'static str) {
    let (dropped, files) = std::mem::take(&mut of_fix.files)
        .into_iter()
        .partition::<Vec<FilePatch>, _>(|file| file.path.as_str() == path);
    of_fix.files = files;
    of_fix.dropped.extend(dropped.into_iter().map(|file| DroppedFile {
        patch_line: file.patch_line,
        path: file.path,
        reason,
    }));
}

#[cfg(test)]
#[path = "not_built_tests.rs"]
mod tests;

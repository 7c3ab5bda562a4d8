//! System calls none of whose lines a fix changes, and whose bodies change all the same: the
//! compiler takes a changed helper, or an inline function of a header, into them. Only the compiled
//! object shows it, so the engine's refusal tells which they are.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use super::{files::FILE_BYTES, syscalls};
use crate::{apply::ChangedFile, ownership::Units, untrusted_file::read_untrusted_below};

/// Such system calls, with the files that define them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct InlinedCalls {
    names: BTreeSet<String>,
    /// Those that no fix changes, with the fix that reaches them by a header.
    files: BTreeMap<String, String>,
}

impl InlinedCalls {
    /// These and `calls`. `None` when none of the `calls` is new, or the source of one is not found
    /// in what is compiled: then defining it in another way cannot help. `changed` are the files
    /// that the fixes change, `units_of_files` the compiled files that hold their code.
    pub(crate) fn with(
        &self,
        calls: &BTreeSet<String>,
        changed: &[ChangedFile],
        units_of_files: &Units,
        tree: &Utf8Path,
    ) -> Option<Self> {
        if calls.is_subset(&self.names) {
            return None;
        }
        let mut with = self.clone();
        let mut found = BTreeSet::new();
        for file in changed {
            found.extend(defined(&file.path, calls, tree));
            for unit in units_of_files.get(&file.path).into_iter().flatten() {
                if changed.iter().any(|changed| changed.path == unit.source)
                    || with.files.contains_key(&unit.source)
                {
                    continue;
                }
                let defined = defined(&unit.source, calls, tree);
                if !defined.is_empty() {
                    found.extend(defined);
                    with.files.insert(unit.source.clone(), file.fix.clone());
                }
            }
        }
        with.names.extend(found.iter().cloned());
        calls.is_subset(&with.names).then_some(with)
    }

    /// Whether the system call is one of them.
    pub(super) fn contains(&self, call: &str) -> bool {
        self.names.contains(call)
    }

    /// The files that define some and that no fix changes.
    pub(super) fn files(&self) -> impl Iterator<Item = ChangedFile> {
        self.files.iter().map(|(path, fix)| ChangedFile {
            path: path.clone(),
            fix: fix.clone(),
            moves_lines: false,
        })
    }
}

/// Which of the `calls` a file of the target's source defines.
fn defined(path: &str, calls: &BTreeSet<String>, tree: &Utf8Path) -> BTreeSet<String> {
    let Ok(text) = read_untrusted_below(tree, path, FILE_BYTES) else { return BTreeSet::new() };
    if !syscalls::are_in(&text) {
        return BTreeSet::new();
    }
    syscalls::defined_in(&text).intersection(calls).cloned().collect()
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;
    use crate::unit::{Parent, Unit};

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn calls_are_found_in_changed_files_and_in_those_that_include_a_changed_header() {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        for (path, call) in [("a.c", "first"), ("b.c", "second"), ("c.c", "third")] {
            let text = format!("SYSCALL_DEFINE1({call}, int, a)\n{{\n\treturn a;\n}}\n");
            fs_err::write(tree.join(path), text).expect("own file");
        }
        let file = |path: &str, fix: &str| ChangedFile {
            path: path.to_owned(),
            fix: fix.to_owned(),
            moves_lines: true,
        };
        let unit = |path: &str| Unit::beside(path, Parent::Vmlinux);
        let changed = [file("a.c", "one"), file("x.h", "two")];
        let units = Units::from([
            ("a.c".to_owned(), vec![unit("a.c")]),
            ("x.h".to_owned(), vec![unit("a.c"), unit("b.c")]),
        ]);
        let with = |known: &InlinedCalls, calls: &[&str]| {
            known.with(&names(calls), &changed, &units, &tree)
        };
        let none = InlinedCalls::default();
        let first = with(&none, &["first"]).expect("it is in a.c");
        assert!(first.contains("first") && first.files().next().is_none());
        let both = with(&first, &["second"]).expect("it is in b.c");
        assert!(both.contains("first") && both.contains("second"));
        let expected = ChangedFile { moves_lines: false, ..file("b.c", "two") };
        assert_eq!(both.files().collect::<Vec<_>>(), [expected]);
        // What was tried is not tried again, and what is compiled in no touched object is not there.
        assert_eq!(with(&both, &["first", "second"]), None);
        assert_eq!(with(&none, &["first", "third"]), None);
    }
}

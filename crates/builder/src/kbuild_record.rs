//! The record that Kbuild leaves of how it made a file: `.NAME.o.cmd` beside `NAME.o`, written by
//! `scripts/basic/fixdep` and `if_changed` of `scripts/Kbuild.include`.

use std::collections::BTreeSet;

use crate::unit::in_tree;

/// The largest record that is read, in bytes; that of an object which includes a thousand files has
/// some 200 kB.
pub(crate) const RECORD_BYTES: u64 = 16 * 1024 * 1024;

/// The path of an object's record: `fs/.exec.o.cmd` for `fs/exec.o`.
pub(crate) fn record_path(object: &str) -> String {
    match object.rsplit_once('/') {
        Some((directory, name)) => format!("{directory}/.{name}.cmd"),
        None => format!(".{object}.cmd"),
    }
}

/// What a record says of a compiled object.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compiled {
    /// The file that the compiler was called for.
    pub source: String,
    /// The same as the compiler was given it: with an inner `..` where Kbuild's object has one.
    pub spelled_source: String,
    /// All files that it read, with the source: by their paths in the tree, or absolute (the
    /// compiler's own headers, and kpatch's).
    pub files: BTreeSet<String>,
}

impl Compiled {
    /// Reads `source_OBJECT := FILE` and the list `deps_OBJECT := \`; `None` when there is no
    /// source: the object was linked or generated.
    pub(crate) fn parse(record: &str) -> Option<Self> {
        let mut spelled_source = None;
        let mut files = BTreeSet::new();
        let mut in_list = false;
        for line in record.lines() {
            if in_list {
                in_list = line.ends_with('\\');
                let file = line.trim().trim_end_matches('\\').trim_end();
                // Options of the config are noted as $(wildcard include/config/NAME).
                if !file.is_empty() && !file.starts_with('$') {
                    files.insert(in_tree(file));
                }
            } else if let Some((name, value)) = line.split_once(" := ") {
                if name.starts_with("source_") {
                    spelled_source = Some(value.trim().to_owned());
                } else if name.starts_with("deps_") {
                    in_list = value.trim() == "\\";
                }
            }
        }
        let spelled_source = spelled_source?;
        let source = in_tree(&spelled_source);
        files.insert(source.clone());
        Some(Self { source, spelled_source, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "savedcmd_fs/compat.o := gcc -c -o fs/compat.o fs/compat.c\n\n\
        source_fs/compat.o := fs/compat.c\n\n\
        deps_fs/compat.o := \\\n    $(wildcard include/config/COMPAT) \\\n  fs/binfmt.c \\\n  \
        ./include/linux/fs.h \\\n  ./fs/../block/b.h \\\n  /usr/lib/gcc/stdarg.h \\\n\n\
        fs/compat.o: $(deps_fs/compat.o)\n\n$(deps_fs/compat.o):\n";

    #[test]
    fn record_of_a_compiled_file_is_read() {
        let compiled = Compiled::parse(RECORD).expect("it has a source");
        assert_eq!(compiled.source, "fs/compat.c");
        assert_eq!(compiled.spelled_source, "fs/compat.c");
        assert_eq!(
            compiled.files.into_iter().collect::<Vec<_>>(),
            [
                "/usr/lib/gcc/stdarg.h",
                "block/b.h",
                "fs/binfmt.c",
                "fs/compat.c",
                "include/linux/fs.h"
            ]
        );
    }

    #[test]
    fn record_of_a_linked_file_has_no_source() {
        assert_eq!(Compiled::parse("savedcmd_fs/built-in.a := rm -f fs/built-in.a\n"), None);
        assert_eq!(Compiled::parse(""), None);
    }

    #[test]
    fn records_lie_beside_their_objects() {
        assert_eq!(record_path("fs/proc/a.o"), "fs/proc/.a.o.cmd");
        assert_eq!(record_path("a.o"), ".a.o.cmd");
    }
}

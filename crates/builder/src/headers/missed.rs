//! What the compiler read and the look at the source did not see: the graph is corrected by it.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::{
    graph::{FILE_BYTES, IncludeGraph},
    include_lines::{Include, computes_an_include, include_lines},
};
use crate::untrusted_file::read_untrusted_below;

/// What a list of the compiler taught.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// Nothing: all that matters was known.
    Nothing,
    /// Includes that are now in the graph.
    Includes,
    /// The compiler read this file, by which it may have come to a touched header, and no include
    /// says how.
    Unexplained(String),
}

impl IncludeGraph {
    /// Compares with `read`, the files that the compiler read for `unit`, and adds what is missing
    /// on ways to one of the `headers`.
    ///
    /// Which file includes a missed one is not in the compiler's list. All that may are taken: those
    /// that name a file like it, and those that include what a macro names.
    pub(crate) fn learn(
        &mut self,
        tree: &Utf8Path,
        unit: &str,
        read: &BTreeSet<String>,
        headers: &[&str],
    ) -> Learned {
        let reach = self.reach(unit);
        // Absolute ones are the compiler's own and kpatch's.
        let missed = read.iter().filter(|path| !path.starts_with('/'));
        let missed: Vec<String> =
            missed.filter(|path| !reach.contains(path.as_str())).cloned().collect();
        let unknown: Vec<String> =
            missed.iter().filter(|path| !self.includes.contains_key(*path)).cloned().collect();
        if !unknown.is_empty() {
            self.scan_more(tree, unknown);
        }
        let leads_to_a_header = |file: &str| {
            let found = self.follow(std::iter::once(file));
            headers.iter().any(|header| found.contains(header))
        };
        let missed: Vec<String> =
            missed.into_iter().filter(|file| leads_to_a_header(file)).collect();
        if missed.is_empty() {
            return Learned::Nothing;
        }
        let mut learned = false;
        for file in read.iter().filter(|path| !path.starts_with('/')) {
            let text = read_untrusted_below(tree, file, FILE_BYTES).unwrap_or_default();
            let computes = computes_an_include(&text);
            let lines = include_lines(&text);
            let includes = self.includes.entry(file.clone()).or_default();
            for missed in missed.iter().filter(|missed| *missed != file) {
                if computes || lines.iter().any(|line| last_part(line) == last_name(missed)) {
                    learned |= includes.insert(missed.clone());
                }
            }
        }
        match learned {
            true => Learned::Includes,
            false => Learned::Unexplained(missed[0].clone()),
        }
    }
}

fn last_part(include: &Include) -> &str {
    let (Include::Quoted(name) | Include::Angled(name)) = include;
    last_name(name)
}

pub(super) fn last_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `lib.h` is read where the config's `FILE` says so, which no source shows.
    fn tree() -> (tempfile::TempDir, camino::Utf8PathBuf) {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = camino::Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        for (path, text) in [
            ("fs/a.c", "#include \"magic.h\"\n#include \"plain.h\"\n"),
            ("fs/b.c", "#include \"magic.h\"\n"),
            ("fs/c.c", "#include \"plain.h\"\n"),
            ("fs/magic.h", "#include CONFIG_FILE\n"),
            ("fs/plain.h", ""),
            ("include/way.h", "#include \"lib.h\"\n"),
            ("include/lib.h", ""),
        ] {
            let path = tree.join(path);
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("own directory");
            fs_err::write(path, text).expect("own file");
        }
        (temporary, tree)
    }

    fn read(files: &[&str]) -> BTreeSet<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    #[test]
    fn another_object_behind_the_same_missed_include_becomes_a_dependent() {
        let (_temporary, tree) = tree();
        let units = ["fs/a.c", "fs/b.c", "fs/c.c"];
        let mut graph = IncludeGraph::scan(&tree, units.into_iter());
        assert!(graph.dependents("include/lib.h").is_empty());
        let list = read(&[
            "/usr/lib/gcc/stdarg.h",
            "fs/a.c",
            "fs/magic.h",
            "fs/plain.h",
            "include/lib.h",
            "include/way.h",
        ]);
        let header = ["include/lib.h"];
        assert_eq!(graph.learn(&tree, "fs/a.c", &list, &header), Learned::Includes);
        assert_eq!(graph.learn(&tree, "fs/a.c", &list, &header), Learned::Nothing);
        let dependents = graph.dependents("include/lib.h");
        assert!(dependents.contains("fs/b.c"), "{dependents:?}");
        assert!(!dependents.contains("fs/c.c"), "{dependents:?}");
    }

    #[test]
    fn missed_file_that_no_include_explains_is_named_when_it_matters() {
        let (_temporary, tree) = tree();
        let mut graph = IncludeGraph::scan(&tree, ["fs/c.c"].into_iter());
        // As by `-include` in a Makefile.
        let list = read(&["fs/c.c", "fs/plain.h", "include/way.h"]);
        let learned = graph.learn(&tree, "fs/c.c", &list, &["include/lib.h"]);
        assert_eq!(learned, Learned::Unexplained("include/way.h".to_owned()));
        assert_eq!(graph.learn(&tree, "fs/c.c", &list, &["fs/plain.h"]), Learned::Nothing);
    }
}

//! Which files include which, by a look at the source alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};

use super::include_lines::{Include, include_lines};
use crate::{ownership::is_regular_file, untrusted_file::read_untrusted_below};

/// The directories that every compiler call of the kernel searches (`LINUXINCLUDE` of the top-level
/// Makefile and of arch/x86/Makefile).
pub(crate) const INCLUDE_DIRECTORIES: [&str; 7] = [
    "arch/x86/include/",
    "arch/x86/include/generated/",
    "include/",
    "arch/x86/include/uapi/",
    "arch/x86/include/generated/uapi/",
    "include/uapi/",
    "include/generated/uapi/",
];

/// What every compiler call includes before the file itself (`-include` in `LINUXINCLUDE`).
const ALWAYS: [&str; 3] = [
    "include/linux/compiler-version.h",
    "include/linux/kconfig.h",
    "include/linux/compiler_types.h",
];

/// The largest file that is looked into, in bytes. The largest headers of a kernel, lists of the
/// registers of graphics chips, have 25 MB.
pub(super) const FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Directories whose files the kernel does not include, unless by their whole path.
const OUTSIDE: [&str; 3] = ["Documentation", "tools", "samples"];

/// The most files in a tree that are taken into account; a kernel has some 90,000.
const FILES: usize = 1_000_000;

/// Which files the files of a kernel include. Conditions are not looked at, and where several files
/// may be meant all are taken: there are more includes than the compiler sees, not fewer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct IncludeGraph {
    /// By the file that includes.
    pub(super) includes: BTreeMap<String, BTreeSet<String>>,
}

impl IncludeGraph {
    /// Follows the includes from `units`, the compiled files.
    pub(super) fn scan<'a>(tree: &Utf8Path, units: impl Iterator<Item = &'a str>) -> Self {
        let mut graph = Self::default();
        graph.scan_more(tree, units.map(str::to_owned).chain(ALWAYS.map(str::to_owned)).collect());
        graph
    }

    /// Follows the includes from `waiting`, files that are not known yet.
    pub(super) fn scan_more(&mut self, tree: &Utf8Path, mut waiting: Vec<String>) {
        let files = Files::list(tree);
        let mut seen: HashSet<String> = self.includes.keys().chain(&waiting).cloned().collect();
        while let Some(file) = waiting.pop() {
            // What cannot be read includes nothing; the compiler has the last word.
            let text = read_untrusted_below(tree, &file, FILE_BYTES).unwrap_or_default();
            let found: BTreeSet<String> = include_lines(&text)
                .iter()
                .flat_map(|include| files.resolve(&file, include))
                .collect();
            for included in &found {
                if seen.insert(included.clone()) {
                    waiting.push(included.clone());
                }
            }
            self.includes.insert(file, found);
        }
    }

    /// The files that include `header`, directly or by way of others; with itself.
    pub(super) fn dependents(&self, header: &str) -> BTreeSet<&str> {
        let mut including: HashMap<&str, Vec<&str>> = HashMap::new();
        for (file, includes) in &self.includes {
            for included in includes {
                including.entry(included).or_default().push(file);
            }
        }
        let Some((header, _)) = self.includes.get_key_value(header) else {
            return BTreeSet::new();
        };
        if self.of_all().contains(header.as_str()) {
            return self.includes.keys().map(String::as_str).collect();
        }
        let mut found = BTreeSet::from([header.as_str()]);
        let mut waiting = vec![header.as_str()];
        while let Some(file) = waiting.pop() {
            for including in including.get(file).into_iter().flatten() {
                if found.insert(including) {
                    waiting.push(including);
                }
            }
        }
        found
    }

    /// The files that `unit` may include, directly or by way of others, with itself.
    pub(super) fn reach(&self, unit: &str) -> HashSet<&str> {
        let begin = self.includes.get_key_value(unit).map(|(unit, _)| unit.as_str());
        self.follow(begin.into_iter().chain(ALWAYS))
    }

    fn of_all(&self) -> HashSet<&str> {
        self.follow(ALWAYS.into_iter())
    }

    pub(super) fn follow<'a>(&'a self, begin: impl Iterator<Item = &'a str>) -> HashSet<&'a str> {
        let mut waiting: Vec<&str> = begin.collect();
        let mut found: HashSet<&str> = waiting.iter().copied().collect();
        while let Some(file) = waiting.pop() {
            for included in self.includes.get(file).into_iter().flatten() {
                if found.insert(included) {
                    waiting.push(included);
                }
            }
        }
        found
    }

    /// A line for each file: its name and what it includes, with tabs between.
    pub(super) fn to_text(&self) -> String {
        let line = |(file, includes): (&String, &BTreeSet<String>)| {
            let includes: String = includes.iter().map(|name| format!("\t{name}")).collect();
            format!("{file}{includes}\n")
        };
        self.includes.iter().map(line).collect()
    }

    /// Reads what [`IncludeGraph::to_text`] wrote.
    pub(super) fn parse(text: &str) -> Self {
        let read = |line: &str| {
            let mut names = line.split('\t').map(str::to_owned);
            Some((names.next()?, names.collect()))
        };
        Self { includes: text.lines().filter_map(read).collect() }
    }
}

/// The files of a tree that may be included.
struct Files {
    tree: Utf8PathBuf,
    all: HashSet<String>,
    /// By the last part of the path.
    by_name: HashMap<String, Vec<String>>,
}

impl Files {
    fn list(tree: &Utf8Path) -> Self {
        let tree_root = tree.to_owned();
        let mut files = Self { tree: tree_root, all: HashSet::new(), by_name: HashMap::new() };
        let entries = walkdir::WalkDir::new(tree).follow_links(false).into_iter();
        let outside = |path: &str| OUTSIDE.contains(&path);
        let entries = entries.filter_entry(|entry| {
            entry.depth() != 1 || !entry.file_name().to_str().is_some_and(outside)
        });
        for entry in entries.flatten().filter(|entry| entry.file_type().is_file()).take(FILES) {
            let path = entry.path().strip_prefix(tree).ok().and_then(|path| path.to_str());
            // Names with these would break the text form; no kernel has any.
            let Some(path) = path.filter(|path| !path.contains(['\t', '\n'])) else { continue };
            let name = path.rsplit('/').next().unwrap_or(path).to_owned();
            files.by_name.entry(name).or_default().push(path.to_owned());
            files.all.insert(path.to_owned());
        }
        files
    }

    /// The files that an include in `file` may mean.
    fn resolve(&self, file: &str, include: &Include) -> Vec<String> {
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
        let (Include::Quoted(name) | Include::Angled(name)) = include;
        if matches!(include, Include::Quoted(_))
            && let Some(beside) = self.existing(&format!("{directory}/{name}"))
        {
            return vec![beside];
        }
        let searched: Vec<String> = INCLUDE_DIRECTORIES
            .iter()
            .filter_map(|directory| self.existing(&format!("{directory}{name}")))
            .collect();
        // Directories that a Makefile adds (`-I`): whatever ends like that.
        let last = name.rsplit('/').next().unwrap_or(name);
        let tail = format!("/{}", name.trim_start_matches("../"));
        let by_name = self.by_name.get(last).into_iter().flatten();
        let elsewhere = by_name.filter(|path| path.ends_with(&tail) || **path == tail[1..]);
        let mut found: BTreeSet<String> = searched.iter().cloned().collect();
        // Only where the searched directories have none: they come first.
        if searched.is_empty() {
            found.extend(elsewhere.cloned());
        }
        found.into_iter().collect()
    }

    /// The path with `.` and `..` resolved, when there is such a file.
    fn existing(&self, path: &str) -> Option<String> {
        let mut parts: Vec<&str> = Vec::new();
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                parts.pop()?;
            } else {
                parts.push(part);
            }
        }
        let path = parts.join("/");
        // kernel/bpf/btf.c includes "../tools/lib/bpf/relo_core.h".
        let is_outside = OUTSIDE.contains(parts.first()?);
        let is_there = self.all.contains(&path) || is_outside && is_regular_file(&self.tree, &path);
        is_there.then_some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> (tempfile::TempDir, camino::Utf8PathBuf) {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = camino::Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        for (path, text) in files {
            let path = tree.join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("own directory");
            std::fs::write(path, text).expect("own file");
        }
        (temporary, tree)
    }

    fn sample() -> (tempfile::TempDir, camino::Utf8PathBuf) {
        tree(&[
            ("fs/a.c", "#include <linux/fs.h>\n#include \"internal.h\"\n"),
            ("fs/b.c", "#include \"../fs/internal.h\"\n"),
            ("drivers/x/x.c", "#include \"shared.h\"\n#include <linux/none.h>\n"),
            ("fs/internal.h", "#include <asm/page.h>\n"),
            ("drivers/include/shared.h", ""),
            ("drivers/y/shared.h", ""),
            ("include/linux/fs.h", "#include <asm/page.h>\n"),
            ("include/linux/kconfig.h", "#include <generated/autoconf.h>\n"),
            ("include/generated/autoconf.h", ""),
            ("arch/x86/include/asm/page.h", "#include <linux/fs.h>\n"),
            ("tools/internal.h", ""),
            ("tools/lib/bpf/relo_core.h", ""),
            ("kernel/bpf/btf.c", "#include \"../tools/lib/bpf/relo_core.h\"\n"),
        ])
    }

    #[test]
    fn dependents_are_found_through_other_headers() {
        let (_temporary, tree) = sample();
        let graph = IncludeGraph::scan(
            &tree,
            ["fs/a.c", "fs/b.c", "drivers/x/x.c", "kernel/bpf/btf.c"].into_iter(),
        );
        let units = |header: &str| -> Vec<String> {
            let dependents = graph.dependents(header).into_iter();
            dependents.filter(|file| file.ends_with(".c")).map(str::to_owned).collect()
        };
        assert_eq!(units("include/linux/fs.h"), ["fs/a.c", "fs/b.c"]);
        assert_eq!(units("fs/internal.h"), ["fs/a.c", "fs/b.c"]);
        // Which of the two is meant only the compiler knows.
        assert_eq!(units("drivers/include/shared.h"), ["drivers/x/x.c"]);
        assert_eq!(units("drivers/y/shared.h"), ["drivers/x/x.c"]);
        // Every call of the compiler includes it.
        assert_eq!(units("include/generated/autoconf.h").len(), 4);
        // Only an include by its whole path reaches a file of the tools.
        assert!(units("tools/internal.h").is_empty());
        assert_eq!(units("tools/lib/bpf/relo_core.h"), ["kernel/bpf/btf.c"]);
        assert_eq!(IncludeGraph::parse(&graph.to_text()), graph);
    }

    #[test]
    fn hostile_tree_ends_the_scan_all_the_same() {
        let (_temporary, tree) = sample();
        std::os::unix::fs::symlink("/etc", tree.join("include/etc")).expect("own link");
        std::os::unix::fs::symlink(".", tree.join("include/loop")).expect("own link");
        std::fs::write(
            tree.join("fs/a.c"),
            "#include <etc/passwd>\n#include <loop/linux/fs.h>\n\
            #include \"/etc/passwd\"\n#include \"../../../../etc/passwd\"\n",
        )
        .expect("own file");
        let made = std::process::Command::new("mkfifo").arg(tree.join("fs/pipe.h")).status();
        assert!(made.expect("mkfifo").success());
        std::fs::write(tree.join("fs/b.c"), "#include \"pipe.h\"\n#include \"b.c\"\n")
            .expect("own file");
        let graph = IncludeGraph::scan(&tree, ["fs/a.c", "fs/b.c", "missing.c"].into_iter());
        let inside = |name: &&String| tree.join(name).symlink_metadata().is_ok_and(|m| m.is_file());
        assert!(graph.includes.values().flatten().all(|name| inside(&name)));
        assert!(graph.dependents("fs/pipe.h").is_empty());
    }
}

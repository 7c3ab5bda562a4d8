//! What the tests make patches and reports with.

use std::collections::HashMap;

use elivepatch_patch::{
    SourcePatch, TreePath,
    patchability::{Includers, Level, Report, SourceTree, Surroundings, Verdict, check},
};

/// A patch of one hunk. Lines begin with `-`, `+` or a blank, as in a diff.
pub fn patch(path: &str, heading: &str, lines: &str) -> String {
    let lines: Vec<&str> = lines.lines().collect();
    let count = |marker| lines.iter().filter(|line| !line.starts_with(marker)).count();
    let (old, new) = (count('+'), count('-'));
    let body = lines.join("\n");
    format!("--- a/{path}\n+++ b/{path}\n@@ -10,{old} +10,{new} @@ {heading}\n{body}\n")
}

pub fn report(text: &str) -> Report {
    let parsed = SourcePatch::parse(text.as_bytes()).expect("a patch");
    check(&[("fix".to_owned(), parsed)], &Surroundings::default())
}

/// The rules that were found at this level, each once.
pub fn rules(report: &Report, level: Level) -> Vec<&'static str> {
    let findings = report.files.iter().flat_map(|file| &file.findings);
    let mut rules: Vec<&str> =
        findings.filter(|finding| finding.level == level).map(|f| f.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[track_caller]
pub fn judged(heading: &str, lines: &str, verdict: Verdict, expected: &[&str]) {
    let report = report(&patch("fs/x.c", heading, lines));
    let level = match verdict {
        Verdict::NothingToDo | Verdict::Patchable => Level::Note,
        Verdict::Unsure => Level::Unsure,
        Verdict::Refused => Level::Refused,
    };
    assert_eq!(
        (report.verdict, rules(&report, level)),
        (verdict, expected.to_vec()),
        "{report:#?}"
    );
}

pub const F: &str = "static int f(struct inode *inode, int a)";

/// A source tree in memory.
pub struct Tree(pub HashMap<&'static str, String>);

impl SourceTree for Tree {
    fn read(&self, path: &TreePath) -> Option<Vec<u8>> {
        self.0.get(path.as_str()).map(|text| text.clone().into_bytes())
    }

    fn includers(&self, _: &TreePath) -> Option<Includers> {
        Some(Includers { files: 7, is_incomplete: true })
    }
}

pub const FILE: &str = "\
static const int table[] = { 1, 2 };\n\
static const int own[] = { 1, 2 };\n\
STATIC int __init\n\
early(void)\n\
{\n\
\treturn helper(1);\n\
}\n\
static int helper(int a)\n\
{\n\
\tint x = a;\n\
\treturn x;\n\
}\n\
static int reader(int a)\n\
{\n\
\treturn table[a];\n\
}\n\
static int owner(int a)\n\
{\n\
\treturn own[a];\n\
}\n";

pub fn with_tree(texts: &[String]) -> Report {
    let tree = Tree(HashMap::from([
        ("fs/x.c", FILE.to_owned()),
        ("fs/Makefile", "CFLAGS_REMOVE_y.o = -pg\nobj-y += x.o\n".to_owned()),
        ("fs/y.c", "int y(void)\n{\n\treturn 1;\n}\n".to_owned()),
    ]));
    let parse =
        |text: &String| ("fix".to_owned(), SourcePatch::parse(text.as_bytes()).expect("a patch"));
    let patches: Vec<_> = texts.iter().map(parse).collect();
    check(&patches, &Surroundings { config: None, tree: Some(&tree) })
}

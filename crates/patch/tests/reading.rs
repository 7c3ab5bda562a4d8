//! Patches as authors make them are read in full.

use elivepatch_patch::{ChangeKind, FilePatch, LineKind, LineRange, SourcePatch};

fn fixture(name: &str) -> SourcePatch {
    let path = format!("{}/tests/fixtures/{name}.patch", env!("CARGO_MANIFEST_DIR"));
    SourcePatch::parse(&std::fs::read(path).expect("a fixture")).expect("a readable patch")
}

fn only_file(patch: &SourcePatch) -> &FilePatch {
    assert_eq!(patch.files.len(), 1);
    &patch.files[0]
}

#[test]
fn git_diff_is_read_with_its_line_numbers() {
    let patch = fixture("meminfo-label");
    let file = only_file(&patch);
    assert_eq!(file.path.as_str(), "fs/proc/meminfo.c");
    assert_eq!((&file.kind, file.patch_line), (&ChangeKind::Modified, 1));
    let [hunk] = file.hunks.as_slice() else { panic!("one hunk") };
    assert_eq!(hunk.old, LineRange { start: 128, length: 7 });
    assert_eq!(hunk.patch_line, 5);
    let added = hunk.lines.iter().find(|line| line.kind == LineKind::Added).expect("a line");
    assert_eq!(added.patch_line, 10);
    assert_eq!(added.content, b"\tshow_val_kb(m, \"VMALLOCCHUNK:   \", 0ul);");
}

#[test]
fn old_style_diff_without_diff_line_gives_the_same_change() {
    let (old_style, git) = (fixture("meminfo-label-old-style"), fixture("meminfo-label"));
    assert_eq!(only_file(&old_style).to_unified(), only_file(&git).to_unified());
}

#[test]
fn mail_is_read_around_and_its_documentation_dropped() {
    let patch = fixture("mail-with-documentation");
    assert_eq!(patch.files.len(), 2);
    let plan = patch.plan().expect("code to build");
    let [file] = plan.files.as_slice() else { panic!("one file with code") };
    assert_eq!(file.to_unified(), only_file(&fixture("meminfo-label")).to_unified());
    let [dropped] = plan.dropped.as_slice() else { panic!("one file dropped") };
    assert_eq!(
        dropped.to_string(),
        "Documentation/note.rst is documentation (line 16 of the patch)"
    );
}

#[test]
fn quoted_name_and_bytes_outside_utf8_are_kept() {
    let patch = fixture("quoted-name-and-latin1");
    assert_eq!(patch.files[0].path.as_str(), "Documentation/café.rst");
    let lines = &patch.files[1].hunks[0].lines;
    assert_eq!((lines[0].kind, lines[0].content.as_slice()), (LineKind::Context, &b""[..]));
    assert_eq!(lines[1].content, b"/* caf\xe9 */");
}

#[test]
fn two_commits_in_one_mail_box_stay_in_their_order() {
    let one = b"--- a/fs/exec.c\n+++ b/fs/exec.c\n@@ -1 +1 @@\n-a\n+b\n-- \n2.39.5\n\n";
    let two =
        b"From 0 Mon Sep 17 00:00:00 2001\n--- a/fs/exec.c\n+++ b/fs/exec.c\n@@ -1 +1 @@\n-b\n+c\n";
    let patch = SourcePatch::parse(&[&one[..], &two[..]].concat()).expect("a readable patch");
    let lines: Vec<usize> = patch.files.iter().map(|file| file.patch_line).collect();
    assert_eq!(lines, [1, 10]);
}

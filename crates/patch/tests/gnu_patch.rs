//! What this crate says of patches is held against the real GNU patch and GNU diff.

use std::{fs, path::Path, process::Command};

use elivepatch_model::FailureClass;
use elivepatch_patch::{ApplyReport, FilePatch, HunkOutcome, LineKind, SourcePatch};
use proptest::prelude::*;

/// Runs GNU patch as the builder does; gives whether it succeeded and what it printed.
fn gnu_patch(file: &Path, patch: &[u8], options: &[&str]) -> (bool, String) {
    let patch_file = file.with_extension("patch");
    fs::write(&patch_file, patch).expect("a writable directory");
    let output = Command::new("patch")
        .env("LC_ALL", "C")
        .args(["-u", "-F0", "--forward", "--no-backup-if-mismatch", "-r", "-"])
        .args(options)
        .args([file, &patch_file])
        .output()
        .expect("GNU patch is installed");
    (output.status.success(), String::from_utf8(output.stdout).expect("text"))
}

/// The output of `diff -u` as an author would send it; `None` when the files are equal.
fn gnu_diff(directory: &Path, old: &[u8], new: &[u8], context: usize) -> Option<Vec<u8>> {
    fs::create_dir_all(directory.join("a")).expect("a writable directory");
    fs::create_dir_all(directory.join("b")).expect("a writable directory");
    fs::write(directory.join("a/f.c"), old).expect("a writable file");
    fs::write(directory.join("b/f.c"), new).expect("a writable file");
    let output = Command::new("diff")
        .current_dir(directory)
        .args([&format!("-U{context}"), "a/f.c", "b/f.c"])
        .output()
        .expect("GNU diff is installed");
    (!output.stdout.is_empty()).then_some(output.stdout)
}

fn parse_one(patch: &[u8]) -> FilePatch {
    let mut files = SourcePatch::parse(patch).expect("a readable patch").files;
    assert_eq!(files.len(), 1);
    files.remove(0)
}

/// 40 numbered lines, and a patch that changes lines 10 and 30 of them.
fn numbered() -> (Vec<String>, FilePatch) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let old: Vec<String> = (1..=40).map(|number| format!("line {number}\n")).collect();
    let mut new = old.clone();
    new[9] = "ten\n".to_owned();
    new[29] = "thirty\nthirty and a half\n".to_owned();
    let diff = gnu_diff(directory.path(), old.concat().as_bytes(), new.concat().as_bytes(), 3);
    (old, parse_one(&diff.expect("a difference")))
}

fn report(content: &str, file: &FilePatch, options: &[&str]) -> ApplyReport {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("f.c");
    fs::write(&path, content).expect("a writable file");
    ApplyReport::parse(&gnu_patch(&path, &file.to_unified(), options).1)
}

#[test]
fn shifted_file_gives_the_offset_of_each_hunk() {
    let (mut lines, file) = numbered();
    lines.insert(0, "new\nnew\n".to_owned());
    lines.remove(20);
    let report = report(&lines.concat(), &file, &["--dry-run"]);
    assert_eq!(report.offsets(&file), Some(vec![2, 1]));
    assert_eq!(report.failure(&file), None);
    assert_eq!(report.messages(), &[] as &[String]);
}

#[test]
fn hunk_that_does_not_fit_is_named_by_its_lines() {
    let (mut lines, file) = numbered();
    lines[29] = "something else\n".to_owned();
    let report = report(&lines.concat(), &file, &["--dry-run"]);
    assert_eq!(report.outcome(1), HunkOutcome::Applied { offset: 0, fuzz: 0 });
    assert_eq!(report.outcome(2), HunkOutcome::Failed { line: 27 });
    let failure = report.failure(&file).expect("a failure");
    assert_eq!(failure.class, FailureClass::PatchDoesNotApply);
    let patch_line = file.hunks[1].patch_line;
    let expected =
        format!("hunk 2 of 2 (line {patch_line} of the patch) does not apply to f.c at line 27");
    assert_eq!((&failure.message, &failure.details), (&expected, &Vec::new()));
}

#[test]
fn every_failed_hunk_is_in_the_details() {
    let (_, file) = numbered();
    let failure = report("", &file, &[]).failure(&file).expect("a failure");
    assert_eq!(failure.details.len(), 2);
}

#[test]
fn patch_that_is_applied_already_is_recognised() {
    let (mut lines, file) = numbered();
    lines[9] = "ten\n".to_owned();
    lines[29] = "thirty\nthirty and a half\n".to_owned();
    let report = report(&lines.concat(), &file, &["--dry-run"]);
    assert!(report.looks_already_applied());
    assert_eq!(report.outcome(1), HunkOutcome::Ignored);
    let failure = report.failure(&file).expect("a failure");
    assert!(failure.message.contains("applied already"), "{failure}");
}

#[test]
fn fuzz_is_read() {
    let (mut lines, file) = numbered();
    lines[6] = "changed context\n".to_owned();
    let report = report(&lines.concat(), &file, &["--dry-run", "-F2"]);
    assert_eq!(report.outcome(1), HunkOutcome::Applied { offset: 0, fuzz: 1 });
}

/// Two versions of a file, made of few different lines so that they repeat; also without a newline
/// at the end, and with lines that look like parts of a diff.
fn versions() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let line = prop::sample::select(vec![
        "a",
        "b",
        "c",
        "",
        "{",
        "}",
        "-- x",
        "++ y",
        "@@ -1 +1 @@",
        "\\ No newline",
        "\r",
        "caf\u{e9}",
    ]);
    let edit = (0usize..40, 0usize..3, prop::collection::vec(line.clone(), 0..3));
    let lines = prop::collection::vec(line, 1..40);
    let ends = (any::<bool>(), any::<bool>());
    (lines, prop::collection::vec(edit, 1..4), ends).prop_map(|(old, edits, ends)| {
        let mut new = old.clone();
        for (at, removed, added) in edits {
            let at = at.min(new.len());
            let end = (at + removed).min(new.len());
            new.splice(at..end, added);
        }
        let text = |lines: Vec<&str>, newline: bool| {
            let mut text = lines.join("\n").into_bytes();
            if newline && !text.is_empty() {
                text.push(b'\n');
            }
            text
        };
        (text(old, ends.0), text(new, ends.1))
    })
}

/// Where each line number of a text is, without the newline.
fn line(text: &[u8], number: usize) -> &[u8] {
    text.split(|byte| *byte == b'\n').nth(number - 1).expect("a line of the text")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn canonical_form_is_stable_and_applies_as_the_original_does(
        (old, new) in versions(),
        shift in 0usize..3,
    ) {
        // A file that appears or vanishes is not for GNU patch to decide: such changes are refused.
        prop_assume!(!old.is_empty() && !new.is_empty());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let Some(diff) = gnu_diff(directory.path(), &old, &new, 3) else { return Ok(()) };
        let file = parse_one(&diff);
        let canonical = file.to_unified();
        prop_assert_eq!(parse_one(&canonical).to_unified(), &canonical[..]);

        // Lines before the file's own shift all hunks.
        let before = b"shifted\n".repeat(shift);
        let target = directory.path().join("f.c");
        fs::write(&target, [&before[..], &old].concat()).expect("a writable file");
        let (applied, output) = gnu_patch(&target, &canonical, &[]);
        let found = fs::read(&target).expect("the patched file");
        fs::write(&target, [&before[..], &old].concat()).expect("a writable file");
        let (original_applied, _) = gnu_patch(&target, &diff, &[]);
        prop_assert_eq!(applied, original_applied, "{}", output);
        prop_assert_eq!(&found, &fs::read(&target).expect("the patched file"));
        if shift == 0 {
            prop_assert!(applied, "{}", output);
            prop_assert_eq!(&found, &new);
        }

        let report = ApplyReport::parse(&output);
        let offsets = report.offsets(&file);
        prop_assert_eq!(offsets.is_some(), applied, "{}", output);
        let Some(offsets) = offsets else { return Ok(()) };
        // Every line of the hunks is found where the mapping says, and each line outside them is
        // the same line of the file before.
        let old = [&before[..], &old].concat();
        let count = found.split(|byte| *byte == b'\n').count();
        let shown: Vec<_> = file.hunks.iter().flat_map(|hunk| &hunk.lines).collect();
        let mut mapped = 0;
        for number in 1..=count {
            let text = line(&found, number);
            if let Some(patch_line) = file.patch_line_of(number, &offsets) {
                mapped += 1;
                let at = shown.iter().find(|line| line.patch_line == patch_line);
                prop_assert_eq!(&at.expect("a hunk's line").content[..], text);
            }
            match file.old_line_of(number, &offsets) {
                Some(old_line) if number < count => prop_assert_eq!(line(&old, old_line), text),
                _ => {}
            }
        }
        let in_new = shown.iter().filter(|line| line.kind != LineKind::Removed).count();
        prop_assert_eq!(mapped, in_new);
    }
}

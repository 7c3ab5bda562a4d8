//! Properties of the reader that hold for any bytes.

use elivepatch_patch::{ApplyReport, SourcePatch};
use proptest::prelude::*;

/// Texts near the grammar of diffs, so that the reader gets far into them.
fn nearly_a_patch() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "diff --git a/fs/exec.c b/fs/exec.c\n",
        "diff --git \"a/fs/\\303\\251.c\" \"b/fs/\\303\\251.c\"\n",
        "rename from fs/exec.c\n",
        "rename to fs/open.c\n",
        "old mode 100644\n",
        "new file mode 120000\n",
        "index 1234567..89abcde 100644\n",
        "--- a/fs/exec.c\n",
        "+++ b/fs/exec.c\n",
        "--- /dev/null\n",
        "+++ /dev/null\n",
        "+++ b/fs/../../x\t2026\n",
        "@@ -1,2 +1,2 @@ int f(void)\n",
        "@@ -1 +1 @@\n",
        "@@ -0,0 +1 @@\n",
        "@@ -9,0 +10 @@\n",
        "@@ -18446744073709551615 +1 @@\n",
        " a\n",
        "-b\n",
        "+c\n",
        "\n",
        "\\ No newline at end of file\n",
        "-- \n",
        "+no end",
        "\"\\",
        "\u{0}",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let patch = match SourcePatch::parse(bytes) {
        Ok(patch) => patch,
        Err(error) => {
            prop_assert!(!error.failure().message.contains('\n'));
            return Ok(());
        }
    };
    prop_assert!(!patch.files.is_empty());
    let line_count = bytes.split(|byte| *byte == b'\n').count();
    for file in &patch.files {
        prop_assert!(std::path::Path::new("/tree").join(&file.path).starts_with("/tree"));
        for line in file.hunks.iter().flat_map(|hunk| &hunk.lines) {
            prop_assert!(line.patch_line <= line_count);
        }
        if !file.hunks.is_empty() {
            let canonical = file.to_unified();
            let again = SourcePatch::parse(&canonical).expect("the canonical form is readable");
            prop_assert_eq!(again.files.len(), 1);
            prop_assert_eq!(&again.files[0].path, &file.path);
            prop_assert_eq!(again.files[0].hunks.len(), file.hunks.len());
            prop_assert_eq!(again.files[0].to_unified(), canonical);
        }
    }
    if let Err(error) = patch.plan() {
        prop_assert!(!error.failure().details.is_empty());
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check(&bytes)?;
    }

    #[test]
    fn text_that_is_nearly_a_patch_is_read_or_refused(bytes in nearly_a_patch()) {
        check(&bytes)?;
    }

    #[test]
    fn mutated_patch_is_read_or_refused(at in 0usize..2000, byte in any::<u8>()) {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mail-with-documentation.patch");
        let mut bytes = std::fs::read(path).expect("a fixture");
        let at = at % bytes.len();
        bytes[at] = byte;
        check(&bytes)?;
        bytes.truncate(at);
        check(&bytes)?;
    }

    #[test]
    fn any_output_is_taken_for_a_report(output in "(Hunk #[0-9]{1,30} [a-zA-Z ()0-9.-]{0,40}\n|.{0,40}\n){0,5}") {
        let report = ApplyReport::parse(&output);
        report.outcome(1);
    }
}

/// Pieces of C that open and close what a light reader of C looks for.
fn nearly_c() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "static int f(int a)\n{\n",
        "}\n",
        "};\n",
        "{",
        "}",
        "(",
        ")",
        ";\n",
        "\tint x = 1;\n",
        "#if A\n",
        "#else\n",
        "#endif\n",
        "#define X \\\n",
        "/*",
        "*/",
        "\"",
        "'",
        "struct s {\n",
        "= {\n",
        "EXPORT_SYMBOL(f);\n",
        "\tstatic int n;\n",
        "name",
        " ",
        "\n",
        ",",
        "[",
        "*",
        "typedef ",
        "static ",
        "SYSCALL_DEFINE1(f, int, a)\n",
        "enum e {\n",
        "\u{e9}",
        "\\\n",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A tree in which each file has the same text.
struct OneText(Vec<u8>);

impl elivepatch_patch::patchability::SourceTree for OneText {
    fn read(&self, _: &elivepatch_patch::TreePath) -> Option<Vec<u8>> {
        Some(self.0.clone())
    }

    fn includers(
        &self,
        _: &elivepatch_patch::TreePath,
    ) -> Option<elivepatch_patch::patchability::Includers> {
        None
    }
}

proptest! {
    #[test]
    fn any_change_is_judged(
        before in nearly_c(), removed in nearly_c(), added in nearly_c(), heading in nearly_c(),
    ) {
        let heading = heading.replace('\n', " ");
        let mut body = String::new();
        let mut lines = [0usize; 2];
        for (marker, text) in [(' ', &before), ('-', &removed), ('+', &added), (' ', &before)] {
            for line in text.lines() {
                body.push_str(&format!("{marker}{line}\n"));
                lines[0] += usize::from(marker != '+');
                lines[1] += usize::from(marker != '-');
            }
        }
        let [old, new] = lines;
        let text = format!("--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1,{old} +1,{new} @@ {heading}\n{body}");
        let Ok(patch) = SourcePatch::parse(text.as_bytes()) else { return Ok(()) };
        use elivepatch_patch::patchability::{Surroundings, check};
        let patches = [("fix".to_owned(), patch)];
        let report = check(&patches, &Surroundings::default());
        let line_count = text.lines().count();
        for finding in report.files.iter().flat_map(|file| &file.findings) {
            prop_assert!(finding.patch_line.is_none_or(|line| line <= line_count));
        }
        let tree = OneText(format!("{before}\n{removed}\n{before}").into_bytes());
        check(&patches, &Surroundings { config: None, tree: Some(&tree) });
    }
}

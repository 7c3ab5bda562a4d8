//! Patches that are made for the measurements: each changes a text that a function prints, in as
//! many files as asked for.

use anyhow::{Context, bail};
use camino::Utf8Path;

/// A patch to the given files: in each, the first message that the kernel prints says `mark`.
///
/// # Errors
/// When a file cannot be read or prints nothing.
pub fn patch(tree: &Utf8Path, files: &[String], mark: u32) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in files {
        let source = fs_err::read_to_string(tree.join(file))?;
        let change = change(file, &source, mark);
        text.push_str(&change.with_context(|| format!("{file} prints nothing"))?);
    }
    Ok(text)
}

/// The files among `candidates` that print a message, the first `count`.
///
/// # Errors
/// When there are fewer.
pub fn files_that_print(
    tree: &Utf8Path,
    candidates: impl IntoIterator<Item = String>,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in candidates {
        let Ok(source) = fs_err::read_to_string(tree.join(&file)) else { continue };
        if change(&file, &source, 0).is_some() {
            found.push(file);
        }
        if found.len() == count {
            return Ok(found);
        }
    }
    bail!("only {} of {count} files print something", found.len())
}

/// The shipped visible change, with another label for each variant.
pub fn meminfo_label(variant: u32) -> String {
    let patch = include_str!("../../../demo/meminfo-total.patch");
    patch.replace("VMALLOCTOTAL:   ", &format!("VMALLOC{variant:05}:   "))
}

/// What a message is printed by, at the beginning of a statement with its text in the same line.
const PRINTERS: [&str; 5] =
    ["pr_err(\"", "pr_warn(\"", "pr_info(\"", "pr_notice(\"", "seq_printf(m, \""];

fn change(file: &str, source: &str, mark: u32) -> Option<String> {
    let lines: Vec<&str> = source.lines().collect();
    // A function that is gone after boot cannot be patched, and its head tells: look behind one that
    // is not __init.
    let mut in_init = false;
    for (index, line) in lines.iter().enumerate() {
        if line.starts_with(|first: char| first.is_ascii_alphabetic()) {
            in_init =
                line.contains("__init") || line.contains("__exit") || line.contains("#define");
        }
        let trimmed = line.trim_start();
        let is_message = line.starts_with('\t')
            && !line.ends_with('\\')
            && PRINTERS.iter().any(|printer| trimmed.starts_with(printer));
        if is_message && !in_init && index >= 3 && index + 3 < lines.len() {
            let new = line.replacen("(\"", &format!("(\"{mark:05} "), 1);
            let new = new.replacen("(m, \"", &format!("(m, \"{mark:05} "), 1);
            let context = |range: std::ops::Range<usize>| -> String {
                lines[range].iter().map(|line| format!(" {line}\n")).collect()
            };
            return Some(format!(
                "--- a/{file}\n+++ b/{file}\n@@ -{start},7 +{start},7 @@\n{}-{line}\n+{new}\n{}",
                context(index - 3..index),
                context(index + 1..index + 4),
                start = index - 2,
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "static int __init begin(void)\n{\n\tpr_info(\"a\");\n\treturn 0;\n}\n\n\
        int use(void)\n{\n\tint x;\n\n\tpr_warn(\"b %d\\n\", x);\n\treturn 1;\n}\n\nint y;\n";

    #[test]
    fn message_outside_init_code_is_changed() {
        let patch = change("fs/x.c", SOURCE, 7).expect("it prints");
        assert!(patch.contains("@@ -8,7 +8,7 @@\n {\n \tint x;\n \n"), "{patch}");
        assert!(patch.contains("-\tpr_warn(\"b %d\\n\", x);\n+\tpr_warn(\"00007 b %d"), "{patch}");
        elivepatch_patch::SourcePatch::parse(patch.as_bytes()).expect("a valid patch");
    }

    #[test]
    fn file_that_prints_nothing_gives_no_patch() {
        assert_eq!(change("fs/x.c", "int x;\n", 1), None);
    }
}

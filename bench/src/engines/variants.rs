//! Patches that are made for the measurements: each changes what a function returns for an invalid
//! argument, in as many files as asked for. (Not what one prints: the compiler moves that out of the
//! function, to where kpatch cannot patch it.)

use anyhow::{Context, bail};
use camino::Utf8Path;

/// A patch to the given files: in each, the first `return -EINVAL` returns another number, by `mark`.
///
/// # Errors
/// When a file cannot be read or has no such return.
pub fn patch(tree: &Utf8Path, files: &[String], mark: u32) -> anyhow::Result<String> {
    let mut text = String::new();
    for file in files {
        let source = fs_err::read_to_string(tree.join(file))?;
        let change = change(file, &source, mark);
        text.push_str(&change.with_context(|| format!("{file} has no return -EINVAL"))?);
    }
    Ok(text)
}

/// The files among `candidates` that have such a return, the first `count`.
///
/// # Errors
/// When there are fewer.
pub fn files_to_change(
    tree: &Utf8Path,
    candidates: impl IntoIterator<Item = String>,
    count: usize,
) -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for file in candidates {
        let Ok(source) = fs_err::read_to_string(tree.join(&file)) else { continue };
        // What is inlined into __init code cannot be patched there: leave out files that have some.
        if !source.contains("__init") && change(&file, &source, 0).is_some() {
            found.push(file);
        }
        if found.len() == count {
            return Ok(found);
        }
    }
    bail!("only {} of {count} files have a return -EINVAL", found.len())
}

/// The shipped visible change, with another label for each variant.
pub fn meminfo_label(variant: u32) -> String {
    let patch = include_str!("../../../demo/meminfo-total.patch");
    patch.replace("VMALLOCTOTAL:   ", &format!("VMALLOC{variant:05}:   "))
}

/// What is changed.
const RETURN: &str = "\treturn -EINVAL;";

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
        let is_return = line.ends_with(RETURN);
        if is_return && !in_init && index >= 3 && index + 3 < lines.len() {
            let new = line.replace("-EINVAL", &format!("-({} + EINVAL)", 100 + mark));
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

    const SOURCE: &str = "static int __init begin(void)\n{\n\tif (a)\n\t\treturn -EINVAL;\n}\n\n\
        int use(int x)\n{\n\tint y;\n\n\tif (x)\n\t\treturn -EINVAL;\n\treturn 1;\n}\n\nint y;\n";

    #[test]
    fn return_outside_init_code_is_changed() {
        let patch = change("fs/x.c", SOURCE, 7).expect("it has one");
        assert!(patch.contains("-\t\treturn -EINVAL;\n+\t\treturn -(107 + EINVAL);"), "{patch}");
        assert!(patch.contains("@@ -9,7 +9,7 @@"), "{patch}");
        elivepatch_patch::SourcePatch::parse(patch.as_bytes()).expect("a valid patch");
    }

    #[test]
    fn file_without_such_a_return_gives_no_patch() {
        assert_eq!(change("fs/x.c", "int x;\n", 1), None);
    }
}

//! Changes to Makefiles that only say which objects belong to the kernel: those of files that the
//! same patch adds or takes away. Any other change to a Makefile decides how the kernel is built.

use std::collections::{BTreeMap, BTreeSet};

use crate::{FilePatch, Hunk, LineKind, TreePath};

/// An object that a patch adds to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NewObject {
    /// Its C file, which the patch adds.
    pub source: TreePath,
    /// The list in the Makefile that it is added to: `obj-y`, `obj-$(CONFIG_X)`, `NAME-y`,
    /// `NAME-objs`, `NAME-$(CONFIG_X)`.
    pub list: String,
}

/// The C files that come and go by a patch.
#[derive(Debug, Default)]
pub(crate) struct FileSet<'a> {
    /// Those that are new.
    pub added: BTreeSet<&'a TreePath>,
    /// The old names of those that are taken away or renamed.
    pub gone: BTreeSet<&'a TreePath>,
    /// The new names of those that are renamed.
    pub renamed: BTreeSet<&'a TreePath>,
}

/// A word of a list of objects: the list, how it is assigned to, and the word.
type Entry<'a> = (&'a str, &'a str, &'a str);

/// Reads a change to a Makefile. Gives the objects that it adds; `None` when it does anything else
/// than to add objects of new files to lists, and to take away or rename those of files that the
/// patch takes away or renames.
pub(crate) fn new_objects(makefile: &FilePatch, file_set: &FileSet) -> Option<Vec<NewObject>> {
    if !["Makefile", "Kbuild"].contains(&makefile.path.file_name()) {
        return None;
    }
    let directory = makefile.path.as_str().rsplit_once('/').map_or("", |(directory, _)| directory);
    let source_of = |word: &str| {
        let stem = word.strip_suffix(".o")?;
        let path = if directory.is_empty() {
            format!("{stem}.c")
        } else {
            format!("{directory}/{stem}.c")
        };
        TreePath::new(&path).ok()
    };
    let mut objects = Vec::new();
    for hunk in &makefile.hunks {
        let mut balance = BTreeMap::new();
        count(hunk, LineKind::Added, 1, &mut balance)?;
        count(hunk, LineKind::Removed, -1, &mut balance)?;
        for ((list, assignment, word), number) in balance {
            let source = match number {
                0 => continue,
                _ => source_of(word)?,
            };
            if number < 0 {
                file_set.gone.contains(&source).then_some(())?;
            } else {
                let is_list = number == 1 && assignment == "+=" && is_object_list(list);
                let is_new = file_set.added.contains(&source);
                (is_list && (is_new || file_set.renamed.contains(&source))).then_some(())?;
                if !is_new {
                    continue;
                }
                objects.push(NewObject { source, list: list.to_owned() });
            }
        }
    }
    Some(objects)
}

/// Counts the words of one side of a hunk. `None` when a changed line is no part of a list.
fn count<'a>(
    hunk: &'a Hunk,
    side: LineKind,
    weight: i64,
    balance: &mut BTreeMap<Entry<'a>, i64>,
) -> Option<()> {
    // The list that the line at hand goes on with; it may have begun before the hunk.
    let mut current: Option<(&str, &str)> = None;
    let mut goes_on = false;
    let of_side = hunk.lines.iter().filter(|line| [side, LineKind::Context].contains(&line.kind));
    for (index, line) in of_side.enumerate() {
        let text = std::str::from_utf8(&line.content).ok()?.trim();
        let (text, continued) = match text.strip_suffix('\\') {
            Some(text) => (text.trim_end(), true),
            None => (text, false),
        };
        let words = match head(text) {
            // make joins the lines before it looks at them.
            _ if goes_on => Some(text),
            Some((list, assignment, words)) => {
                current = Some((list, assignment));
                Some(words)
            }
            None if index == 0 => Some(text),
            None => None,
        };
        goes_on = continued;
        if line.kind == LineKind::Context && !(current.is_some() && words.is_some()) {
            continue;
        }
        let is_blank = text.is_empty() || text.starts_with('#');
        match (words, current) {
            _ if is_blank && line.kind != LineKind::Context => {}
            (Some(words), Some((list, assignment))) => {
                for word in words.split_ascii_whitespace() {
                    *balance.entry((list, assignment, word)).or_default() += weight;
                }
            }
            _ => return None,
        }
        if !continued {
            current = None;
        }
    }
    Some(())
}

/// Reads `LIST += WORDS` and the like.
fn head(text: &str) -> Option<(&str, &str, &str)> {
    let position = text.find('=')?;
    let (before, after) = (&text[..position], &text[position + 1..]);
    let (list, assignment) = match before.as_bytes().last()? {
        b'+' => (&before[..before.len() - 1], "+="),
        b':' => (before.trim_end_matches(':'), ":="),
        _ => (before, "="),
    };
    let list = list.trim();
    let is_name = !list.is_empty() && !list.contains(char::is_whitespace) && !list.starts_with('#');
    is_name.then_some((list, assignment, after))
}

/// Whether Kbuild takes the variable for a list of objects.
fn is_object_list(list: &str) -> bool {
    let Some((name, kind)) = list.split_once("-$(CONFIG_").map_or_else(
        || list.rsplit_once('-'),
        |(name, option)| {
            let option = option.strip_suffix(')')?;
            let is_option = option.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            is_option.then_some((name, "y"))
        },
    ) else {
        return false;
    };
    let is_name = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    // Flags and the like are lists too.
    let is_other =
        ["ccflags", "asflags", "ldflags", "subdir", "lib", "always", "hostprogs", "extra"]
            .contains(&name);
    !name.is_empty() && is_name && !is_other && ["y", "m", "objs"].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SourcePatch;

    /// The lists that objects of fs/new.c and fs/two.c are added to when fs/old.c is gone.
    fn lists(change: &str) -> Option<Vec<String>> {
        let old = change.lines().filter(|line| !line.starts_with('+')).count();
        let new = change.lines().filter(|line| !line.starts_with('-')).count();
        let text =
            format!("--- a/fs/Makefile\n+++ b/fs/Makefile\n@@ -9,{old} +9,{new} @@\n{change}");
        let patch = SourcePatch::parse(text.as_bytes()).expect("a patch");
        let path = |text| TreePath::new(text).expect("a path");
        let (new, two, old) = (path("fs/new.c"), path("fs/two.c"), path("fs/old.c"));
        let renamed = path("fs/renamed.c");
        let file_set = FileSet {
            added: BTreeSet::from([&new, &two]),
            gone: BTreeSet::from([&old]),
            renamed: BTreeSet::from([&renamed]),
        };
        let objects = new_objects(&patch.files[0], &file_set)?;
        Some(objects.into_iter().map(|object| object.list).collect())
    }

    #[test]
    fn lines_that_only_add_objects_of_new_files_are_taken() {
        for (change, expected) in [
            (" obj-y += a.o\n+obj-y += new.o\n", vec!["obj-y"]),
            (" a\n+obj-$(CONFIG_EXT4_FS)\t+= new.o two.o\n", vec!["obj-$(CONFIG_EXT4_FS)"; 2]),
            ("-ext4-y += a.o b.o\n+ext4-y += a.o new.o b.o\n", vec!["ext4-y"]),
            (" ext4-objs += a.o \\\n-\tb.o\n+\tb.o \\\n+\ttwo.o\n \n", vec!["ext4-objs"]),
            ("-obj-y += a.o old.o\n+obj-y += a.o\n \n", vec![]),
            ("-obj-y += a.o old.o\n+obj-y += a.o renamed.o\n", vec![]),
            ("-obj-y += old.o\n+# was old\n+obj-y += new.o\n", vec!["obj-y"]),
        ] {
            assert_eq!(
                lists(change),
                Some(expected.into_iter().map(str::to_owned).collect()),
                "{change}"
            );
        }
    }

    #[test]
    fn anything_else_is_how_the_kernel_is_built() {
        for change in [
            " a\n+obj-y += other.o\n",
            " a\n+obj-y := new.o\n",
            " a\n+ccflags-y += new.o\n",
            " a\n+obj-y += new.o -DX\n",
            " a\n+obj-y += $(shell touch x) new.o\n",
            " a\n+$(eval obj-y) += new.o\n",
            " a\n+ifdef X\n",
            " a\n+new.o: CFLAGS = -O0\n",
            " a\n+\techo new.o\n",
            "-obj-y += a.o\n+obj-m += a.o\n",
            "-obj-y += a.o\n \n",
            "-obj-y += a.o old.o\n+obj-y = a.o\n",
            " \tb.o \\\n+\tnew.o \\\n \tc.o\n",
            " a\n+obj-y += ../new.o\n",
            " a\n+CFLAGS_new.o = -O0\n",
            " a\n+obj-y += new.o \\\n ccflags-y += -DX\n",
            "-obj-y += old.o \\\n b.o\n",
            "-obj-y += a.o \\\n+ccflags-y += a.o \\\n b.o\n",
        ] {
            assert_eq!(lists(change), None, "{change}");
        }
    }
}

//! What Kbuild wrote down while it built: which objects a kernel is linked from, and what each was
//! made of.

use std::collections::BTreeMap;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use super::super::SourceIndex;
use crate::{
    kbuild_record::{Compiled, RECORD_BYTES, record_path},
    unit::{Parent, Unit},
    untrusted_file::read_untrusted_below,
};

/// Reads the notes on all objects into an index of C files.
///
/// `vmlinux` are the objects that vmlinux is linked from, `modules` those of each module.
///
/// # Errors
/// `base-failed` when an object of a C file has no note, or one that cannot be read.
pub(super) fn index(
    tree: &Utf8Path,
    vmlinux: &[String],
    modules: &BTreeMap<String, Vec<String>>,
) -> Result<SourceIndex, Failure> {
    let mut index = SourceIndex::default();
    let parents = modules.iter().map(|(name, objects)| (Parent::Module(name.clone()), objects));
    for (parent, objects) in
        [(Parent::Vmlinux, &vmlinux.to_vec())].into_iter().chain(parents.collect::<Vec<_>>())
    {
        for object in objects {
            add_object(tree, object, &parent, &mut index)?;
        }
    }
    Ok(index)
}

fn add_object(
    tree: &Utf8Path,
    object: &str,
    parent: &Parent,
    index: &mut SourceIndex,
) -> Result<(), Failure> {
    let path = record_path(object);
    let failed = |reason: String| {
        Failure::new(
            FailureClass::BaseFailed,
            format!("Kbuild's note {path} on how {object} was made {reason}"),
            "this kernel's build differs from what elivepatch knows: please report it",
        )
    };
    let text = read_untrusted_below(tree, &path, RECORD_BYTES)
        .map_err(|error| failed(format!("cannot be read: {error}")))?;
    let text = String::from_utf8_lossy(&text);
    let Some(note) = Compiled::parse(&text) else {
        // Linked or generated, not compiled: it has no source.
        return Ok(());
    };
    // Assembly cannot be replaced, but a header that reaches it must be seen to.
    let is_compiled = [".c", ".S"].iter().any(|extension| note.source.ends_with(extension));
    if !is_compiled {
        return Ok(());
    }
    let unit = Unit::with_goal(&note.source, parent.clone(), object);
    if !unit.is_in_tree() {
        return Err(failed("names files outside of the tree".to_owned()));
    }
    let in_tree = |file: &&String| !file.starts_with('/');
    let code = |file: &&String| file.ends_with(".c") || **file == note.source;
    for source in note.files.iter().filter(in_tree).filter(code) {
        index.add(source.clone(), unit.clone());
    }
    Ok(())
}

/// The objects of a module, from its `.mod` file: a name a line, or all in one.
pub(super) fn objects_of_module(text: &str) -> Vec<String> {
    text.split_whitespace()
        .filter(|word| word.ends_with(".o"))
        .map(|word| word.strip_prefix("./").unwrap_or(word).to_owned())
        .collect()
}

/// The paths of the modules in `modules.order`, without an ending: `fs/ext4/ext4`. The lines end in
/// `.o` since 6.2; before, they begin with `kernel/` and end in `.ko`.
pub(super) fn modules_in_order(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let old = line.strip_prefix("kernel/").and_then(|path| path.strip_suffix(".ko"));
            old.or_else(|| line.strip_suffix(".o")).or_else(|| line.strip_suffix(".ko"))
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "savedcmd_fs/compat.o := gcc -c -o fs/compat.o fs/compat.c\n\n\
        source_fs/compat.o := fs/compat.c\n\n\
        deps_fs/compat.o := \\\n    $(wildcard include/config/COMPAT) \\\n  fs/binfmt.c \\\n  \
        ./include/linux/fs.h \\\n  /usr/lib/gcc/x86_64-linux-gnu/14/include/stdarg.h \\\n\n\
        fs/compat.o: $(deps_fs/compat.o)\n\n$(deps_fs/compat.o):\n";

    #[test]
    fn modules_and_their_objects_are_read_as_old_and_new_kernels_write_them() {
        assert_eq!(modules_in_order("fs/ext4/ext4.o\n"), ["fs/ext4/ext4"]);
        assert_eq!(modules_in_order("kernel/fs/ext4/ext4.ko\n"), ["fs/ext4/ext4"]);
        let objects = ["fs/ext4/balloc.o", "fs/ext4/bitmap.o"];
        assert_eq!(objects_of_module("fs/ext4/balloc.o\nfs/ext4/bitmap.o\n"), objects);
        assert_eq!(objects_of_module("fs/ext4/balloc.o fs/ext4/bitmap.o \n\n"), objects);
    }

    #[test]
    fn every_unit_of_an_included_file_is_found_with_its_parent() {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        std::fs::create_dir(tree.join("fs")).expect("own directory");
        std::fs::write(tree.join("fs/.compat.o.cmd"), NOTE).expect("own file");
        let own = "source_fs/binfmt.o := fs/binfmt.c\n\ndeps_fs/binfmt.o := \\\n\n";
        std::fs::write(tree.join("fs/.binfmt.o.cmd"), own).expect("own file");
        let modules = BTreeMap::from([("binfmt".to_owned(), vec!["fs/binfmt.o".to_owned()])]);
        let index = index(tree, &["fs/compat.o".to_owned()], &modules).expect("notes are there");
        let units = index.units_of("fs/binfmt.c");
        let shown: Vec<String> =
            units.iter().map(|unit| format!("{} in {}", unit.source, unit.parent)).collect();
        assert_eq!(shown, ["fs/binfmt.c in binfmt", "fs/compat.c in vmlinux"]);

        let missing = super::index(tree, &["fs/exec.o".to_owned()], &BTreeMap::new());
        let failure = missing.expect_err("it has no note");
        assert!(failure.message.contains("fs/.exec.o.cmd"), "{}", failure.message);
    }
}

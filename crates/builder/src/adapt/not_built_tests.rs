//! Tests of what is left out of a fix, and what is refused, by what the base knows.

use camino::Utf8PathBuf;
use elivepatch_model::{Fix, Sha256Digest};
use elivepatch_patch::SourcePatch;

use super::*;
use crate::{FixText, unit::Parent};

/// A kernel in a few words: each compiled file with what it reads, and its symbols.
struct Kernel {
    units: &'static [(&'static str, &'static [&'static str])],
    symbols: &'static [&'static str],
}

impl KernelParts for Kernel {
    fn readers(&self, files: &BTreeSet<&str>) -> Result<BTreeMap<String, BTreeSet<Unit>>, Failure> {
        let mut found: BTreeMap<String, BTreeSet<Unit>> = BTreeMap::new();
        for (source, reads) in self.units {
            for file in reads.iter().chain([source]).filter(|file| files.contains(**file)) {
                let unit = Unit::beside(source, Parent::Vmlinux);
                found.entry((*file).to_owned()).or_default().insert(unit);
            }
        }
        Ok(found)
    }

    fn has_symbol(&self, names: &BTreeSet<String>, _: &str) -> Result<bool, Failure> {
        Ok(self.symbols.iter().any(|symbol| names.contains(*symbol)))
    }
}

const KERNEL: Kernel = Kernel {
    units: &[
        ("drivers/a/a.c", &["drivers/a/a.h", "lib/used.h"]),
        ("lib/used.c", &[]),
        ("arch/x86/crypto/used.S", &[]),
        ("kernel/bpf/btf.c", &["tools/lib/bpf/relo_core.h", "tools/lib/shared.h"]),
    ],
    symbols: &["thunk"],
};

const FILES: [(&str, &str); 17] = [
    ("drivers/a/a.c", ""),
    ("drivers/a/a.h", ""),
    ("drivers/b/b.c", ""),
    ("drivers/b/b.h", ""),
    ("drivers/b/table.inc", ""),
    ("drivers/gen/Makefile", "hostprogs := gen\n"),
    ("drivers/gen/gen.h", ""),
    ("include/vdso/clock.h", ""),
    ("lib/used.c", ""),
    ("lib/used.h", ""),
    ("lib/unused.c", ""),
    ("arch/x86/crypto/used.S", "SYM_FUNC_START(used)\n"),
    ("arch/x86/crypto/unused.S", "SYM_FUNC_START(unused)\n\tret\n"),
    ("arch/x86/lib/thunk.S", "SYM_CODE_START(thunk)\n"),
    ("arch/x86/lib/macros.S", ".macro make name\n.endm\n"),
    ("tools/lib/shared.h", ""),
    ("tools/lib/bpf/relo_core.h", ""),
];

fn tree() -> (tempfile::TempDir, Utf8PathBuf) {
    let temporary = tempfile::tempdir().expect("a directory");
    let tree = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
    for (path, text) in FILES {
        let path = tree.join(path);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("own directory");
        fs_err::write(path, text).expect("own file");
    }
    (temporary, tree)
}

/// What is built of a fix that changes these files, and what is left out.
fn decided(paths: &[&str]) -> Result<(Vec<String>, Vec<String>), Failure> {
    decided_beside(paths, "int c;")
}

/// The same of a fix that adds `line` to each of them.
fn decided_beside(paths: &[&str], line: &str) -> Result<(Vec<String>, Vec<String>), Failure> {
    let change = |path: &&str| {
        format!("--- a/{path}\n+++ b/{path}\n@@ -1,2 +1,2 @@\n int a;\n-int b;\n+{line}\n")
    };
    let text: String = paths.iter().map(change).collect();
    let patch = SourcePatch::parse(text.as_bytes()).expect("a patch");
    let mut plan = patch.plan().map_err(|error| error.failure())?;
    let (_temporary, tree) = tree();
    let fix = Fix { name: "a.patch".to_owned(), digest: Sha256Digest::of(text.as_bytes()) };
    let new_includes = &NewIncludes::of(&[FixText { fix, text: text.clone().into_bytes() }]);
    let in_kernel = InKernel { parts: &KERNEL, tree: &tree, source: "this kernel", new_includes };
    in_kernel.refuse_dropped(&plan.dropped)?;
    in_kernel.settle(&mut plan)?;
    in_kernel.drop_what_is_not_built(&mut plan)?;
    let built = plan.files.iter().map(|file| file.path.to_string()).collect();
    Ok((built, plan.dropped.iter().map(|file| file.path.to_string()).collect()))
}

/// What is left out beside `drivers/a/a.c`, which is built.
fn beside_code(paths: &[&str]) -> Result<Vec<String>, Failure> {
    let all: Vec<&str> = ["drivers/a/a.c"].iter().chain(paths).copied().collect();
    decided(&all).map(|(_, dropped)| dropped)
}

#[test]
fn header_that_the_fix_itself_begins_to_include_is_not_left_out() {
    let both = ["drivers/a/a.c", "drivers/b/b.h", "drivers/b/b.c"];
    let (built, dropped) = decided_beside(&both, "#include \"../b/b.h\"").expect("a plan");
    assert_eq!(built, ["drivers/a/a.c", "drivers/b/b.h"]);
    assert_eq!(dropped, ["drivers/b/b.c"]);
    let failure = decided_beside(&["drivers/a/a.c", "lib/unused.c"], "#include LIBRARY");
    assert_eq!(failure.expect_err("it may be read").class, FailureClass::PatchUnpatchableCode);
}

#[test]
fn headers_that_nothing_includes_are_left_out_beside_code() {
    let dropped = beside_code(&["drivers/b/b.c", "drivers/b/b.h", "drivers/b/table.inc"]);
    assert_eq!(dropped.expect("a plan"), ["drivers/b/b.c", "drivers/b/b.h", "drivers/b/table.inc"]);
    let (built, dropped) = decided(&["drivers/a/a.h", "drivers/b/b.h"]).expect("a plan");
    assert_eq!((built, dropped), (vec!["drivers/a/a.h".into()], vec!["drivers/b/b.h".into()]));
    // Alone they stay, and are refused as code that is not built.
    let (built, dropped) = decided(&["drivers/b/b.c", "drivers/b/b.h"]).expect("a plan");
    assert_eq!((built.len(), dropped.len()), (2, 0));
}

#[test]
fn headers_that_something_beside_the_kernel_may_read_stay() {
    let kept = ["include/vdso/clock.h", "drivers/gen/gen.h", "drivers/b/not-there.h"];
    assert_eq!(beside_code(&kept).expect("a plan"), [""; 0]);
}

#[test]
fn assembly_and_library_code_are_left_out_only_when_they_are_not_built() {
    let dropped = beside_code(&["lib/unused.c", "arch/x86/crypto/unused.S"]);
    assert_eq!(dropped.expect("a plan"), ["lib/unused.c", "arch/x86/crypto/unused.S"]);
    for (path, class) in [
        ("lib/used.c", FailureClass::PatchUnpatchableCode),
        ("lib/used.h", FailureClass::PatchUnpatchableCode),
        ("arch/x86/crypto/used.S", FailureClass::PatchAssembly),
        // Only its symbol is known, or not even that.
        ("arch/x86/lib/thunk.S", FailureClass::PatchAssembly),
        ("arch/x86/lib/macros.S", FailureClass::PatchAssembly),
        ("lib/not-there.c", FailureClass::PatchDoesNotApply),
    ] {
        let failure = beside_code(&["drivers/b/b.c", path]).expect_err("it is built");
        assert_eq!(failure.class, class, "{path}: {failure}");
        assert!(failure.message.contains(path), "{failure}");
    }
}

#[test]
fn header_of_the_tools_that_the_kernel_includes_is_not_left_out() {
    let (built, dropped) =
        decided(&["drivers/a/a.c", "tools/lib/bpf/relo_core.h"]).expect("a plan");
    assert_eq!((built.len(), dropped.len()), (2, 0));
    let failure = beside_code(&["tools/lib/shared.h"]).expect_err("btf.c reads it");
    assert_eq!(failure.class, FailureClass::NotPatchable);
    assert!(failure.message.contains("tools/lib/shared.h is compiled into this kernel"));
}

#[test]
fn symbols_of_assembly_are_read_in_all_their_forms() {
    let text = "SYM_FUNC_START(one)\nSYM_TYPED_FUNC_START(two)\nSYM_DATA(three, .long 1)\n\
        ENTRY(four)\n\t.globl five\nsix:\n1:\n.Llocal:\n\tjmp six\nSYM_FUNC_START(\\name)\n";
    let expected = ["five", "four", "one", "six", "three", "two"];
    assert_eq!(assembly_symbols(text).into_iter().collect::<Vec<_>>(), expected);
}

//! The steps before kpatch's tools, on a tree that behaves like a kernel's.

use std::{collections::BTreeSet, sync::OnceLock};

use elivepatch_model::{Failure, FailureClass};

use super::{KpatchEngine, compare::changed_units, compile};
use crate::{
    SilentObserver,
    apply::AppliedFixes,
    base::{
        Base, KernelMake, Workspace,
        fake_kernel::{CONFIG, Kernel},
    },
    unit::{Parent, Unit},
};

const CHANGED: &str = "fs/f00.c";
const NEW: &str = "fs/new.c";

/// Patched code is compiled as the kernel's own.
static READS_CONSTANTS: OnceLock<BTreeSet<String>> = OnceLock::new();

/// A base with a patched view of it, in which [`CHANGED`] is changed and [`NEW`] is added.
struct Build {
    kernel: Kernel,
    base: Base,
    patched: Workspace,
    touched: Vec<String>,
    new_sources: BTreeSet<String>,
    left_out: BTreeSet<String>,
}

impl Build {
    fn new() -> Self {
        let kernel = Kernel::new();
        let (base, _) = kernel.ready(CONFIG, &SilentObserver).expect("it builds");
        let (work, sandbox) = (kernel.path("work"), &kernel.sandbox);
        fs_err::create_dir(&work).expect("own directory");
        let root = kernel.path("toolchain/root");
        let patched = Workspace::make(&base, &root, sandbox, &work, "patched", &SilentObserver);
        let (patched, touched) = (patched.expect("a view"), vec![CHANGED.into(), NEW.into()]);
        let new_sources = BTreeSet::from([NEW.to_owned()]);
        let left_out = BTreeSet::new();
        let build = Self { kernel, base, patched, touched, new_sources, left_out };
        build.write(CHANGED, "int f0(void) { return 2; }\n");
        build.write(NEW, "int new(void) { return 3; }\n");
        build
    }

    fn write(&self, path: &str, text: &str) {
        let input = self.patched.write_input("text", text.as_bytes()).expect("own file");
        let command = self.patched.command(["cp", "--remove-destination", &input, path]);
        let class = FailureClass::Internal;
        let step = elivepatch_model::StepName::Check;
        self.kernel.sandbox.run_checked(&command, step, &SilentObserver, class).expect("cp");
    }

    fn engine(&self) -> KpatchEngine<'_> {
        KpatchEngine {
            base: &self.base,
            patched: &self.patched,
            make: KernelMake::with("cc", &[], &self.kernel.release, 2),
            module_name: "livepatch_test",
            stack: false,
            sandbox: &self.kernel.sandbox,
            observer: &SilentObserver,
            touched: &self.touched,
            new_sources: &self.new_sources,
            left_out: &self.left_out,
            reads_variables: &READS_CONSTANTS,
        }
    }

    fn compile(&self) -> Result<(), Failure> {
        compile::compile(&self.engine(), &units(), &AppliedFixes::default())
    }

    fn changed(&self) -> Result<Vec<Unit>, Failure> {
        changed_units(&self.engine(), &units())
    }
}

fn units() -> Vec<Unit> {
    let unit = |source: &str| Unit::beside(source, Parent::Vmlinux);
    [CHANGED, NEW].map(unit).to_vec()
}

#[test]
fn new_file_has_no_original_and_changes_the_kernel() {
    let build = Build::new();
    build.compile().expect("all compiles");
    assert_eq!(build.changed().expect("all can be compared"), units());
    assert!(compile::original_of(&build.engine(), "fs/new.o").is_none());
    assert!(compile::original_of(&build.engine(), "fs/f00.o").is_some());
    assert_eq!(build.base.check_whole(), Ok(()), "a build changes nothing of its base");
}

/// Nothing of the kernel included it, so its changes were left out; and the new file includes it.
#[test]
fn patched_object_that_reads_what_was_left_out_is_refused() {
    let mut build = Build::new();
    build.left_out = BTreeSet::from(["include/other.h".to_owned()]);
    build.compile().expect("nothing includes that");
    build.left_out.insert("include/fs.h".to_owned());
    let failure = build.compile().expect_err("half a fix");
    assert_eq!(failure.class, FailureClass::NotPatchable);
    let said = "the patched fs/new.o is compiled with include/fs.h, whose changes were left out";
    assert!(failure.message.starts_with(said), "{failure}");
}

/// As where the compiler's lists show further objects, whose originals are not there yet.
#[test]
fn originals_are_made_a_second_time_in_one_build() {
    let build = Build::new();
    let more = [Unit::beside("fs/f01.c", Parent::Vmlinux), units().remove(0)];
    for units in [units(), more.to_vec()] {
        let fixes = AppliedFixes::default();
        compile::compile(&build.engine(), &units, &fixes).expect("all compiles");
    }
    assert!(compile::original_of(&build.engine(), "fs/f01.o").is_some());
}

#[test]
fn original_that_is_lost_is_a_failure_and_no_new_file() {
    let build = Build::new();
    build.compile().expect("all compiles");
    fs_err::remove_dir_all(build.base.originals()).expect("own directory");
    let failure = build.changed().expect_err("nothing can be compared");
    assert_eq!(failure.class, FailureClass::BaseFailed);
    assert!(failure.message.starts_with("the original of fs/f00.o was removed"), "{failure}");
}

#[test]
fn source_that_is_lost_is_a_failure_and_no_new_file() {
    let build = Build::new();
    fs_err::remove_dir_all(build.base.tree().join("fs")).expect("own directory");
    let failure = build.compile().expect_err("the original cannot be compiled");
    let failure = build.base.explain(failure);
    assert_eq!(failure.class, FailureClass::BaseFailed);
    assert!(failure.message.contains("was removed or damaged while a build used it"), "{failure}");
}

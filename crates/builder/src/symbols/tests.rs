//! Kernels and modules that gcc and ld make, and what livepatches for them may replace.

use std::{fs, process::Command};

use elivepatch_elf::symbol_listing;

use super::*;

/// A small kernel: files by their paths, compiled and linked in this order.
struct Kernel {
    directory: tempfile::TempDir,
    files: Vec<&'static str>,
}

impl Kernel {
    fn new(files: &[(&'static str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().expect("below")).expect("own directory");
            let macros = "#define STATIC static __attribute__((noinline, used))\n\
                #define IN(name) __attribute__((section(name)))\n";
            fs::write(&path, format!("{macros}{text}\n")).expect("own file");
        }
        Self { directory, files: files.iter().map(|(path, _)| *path).collect() }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        let output = command.current_dir(self.directory.path()).args(arguments).output();
        let output = output.expect("gcc and binutils are installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn compile(&self, source: &str, object: &str, more: &[&str]) {
        let plain = ["-O1", "-fno-pic", "-fcf-protection=none", "-c", source, "-o", object];
        self.run("gcc", &[&plain[..], more].concat());
    }

    fn link(&self, first: &[&str]) {
        let objects: Vec<String> = self.files.iter().map(|path| format!("{path}.o")).collect();
        for (path, object) in self.files.iter().zip(&objects) {
            self.compile(path, object, &[]);
        }
        let objects = objects.iter().map(String::as_str);
        self.run("ld", &first.iter().copied().chain(objects).collect::<Vec<_>>());
    }

    /// As the kernel image.
    fn vmlinux(&self) -> KernelTables {
        self.link(&["-o", "vmlinux", "--entry=0", "-Ttext=0x10000"]);
        let listing =
            SymbolListing::parse(&self.run("readelf", &["--symbols", "--wide", "vmlinux"]));
        KernelTables::from([("vmlinux".to_owned(), KernelTable::of_vmlinux(listing))])
    }

    /// As a module, which is stripped of the names of its files before it is loaded.
    fn module(&self, is_at_hand: bool) -> KernelTables {
        self.link(&["-r", "-o", "full.ko"]);
        self.run("strip", &["--strip-debug", "-o", "loaded.ko", "full.ko"]);
        let bytes = |name: &str| fs::read(self.directory.path().join(name)).expect("own file");
        let listing = symbol_listing(&bytes("full.ko")).expect("a module");
        let loaded = is_at_hand.then(|| object_symbols(&bytes("loaded.ko")).expect("a module"));
        let table = KernelTable::of_module(SymbolListing::parse(&listing), loaded, true);
        KernelTables::from([("mod".to_owned(), table)])
    }

    /// A file's object as it is compiled for engines.
    fn file(&self, source: &str) -> CompiledFile {
        self.compile(source, "original.o", &["-ffunction-sections", "-fdata-sections"]);
        let bytes = fs::read(self.directory.path().join("original.o")).expect("own file");
        CompiledFile {
            source: source.to_owned(),
            symbols: object_symbols(&bytes).expect("an object"),
        }
    }

    /// Looks at a livepatch that replaces a function of these files.
    fn replace(
        &self,
        tables: &KernelTables,
        sources: &[&str],
        name: &str,
        position: u64,
    ) -> Result<(), Failure> {
        let mut references = self.references(tables, sources);
        let (object, name) = (references.parent.name().to_owned(), name.to_owned());
        references.functions.insert(ReplacedFunction { object, name, position });
        check_all(&[references], tables)
    }

    /// Looks at a livepatch that uses something for these files.
    fn use_it(
        &self,
        tables: &KernelTables,
        sources: &[&str],
        name: &str,
        position: u64,
    ) -> Result<(), Failure> {
        let mut references = self.references(tables, sources);
        let (object, name) = (references.parent.name().to_owned(), name.to_owned());
        references.symbols.insert(LivepatchSymbol { object, name, position });
        check_all(&[references], tables)
    }

    fn references(&self, tables: &KernelTables, sources: &[&str]) -> References {
        let parent = match tables.contains_key("vmlinux") {
            true => Parent::Vmlinux,
            false => Parent::Module("mod".to_owned()),
        };
        References {
            parent,
            files: sources.iter().map(|source| self.file(source)).collect(),
            functions: BTreeSet::new(),
            symbols: BTreeSet::new(),
        }
    }
}

#[track_caller]
fn refused(result: Result<(), Failure>, parts: &[&str]) -> Failure {
    let failure = result.expect_err("another symbol would be taken");
    assert_eq!(failure.class, FailureClass::SymbolAmbiguous, "{failure}");
    for part in parts {
        assert!(failure.message.contains(part), "{part}: {failure}");
    }
    failure
}

const WEAK: &str = "int before(int x) { return x * 3; }\n\
    __attribute__((weak)) int f(int x) { return x + 1; }\n\
    int after(int x) { return x * 5; }";

#[test]
fn weak_default_that_another_file_overrides_is_refused_with_both() {
    let kernel = Kernel::new(&[
        ("kernel/fork.c", WEAK),
        ("arch/process.c", "int f(int x) { return x + 2; }"),
    ]);
    let tables = kernel.vmlinux();
    let parts = ["replace f of vmlinux for kernel/fork.c", "the global one at", "weak default"];
    let failure = refused(kernel.replace(&tables, &["kernel/fork.c"], "f", 0), &parts);
    assert!(
        failure.hint.contains("leave the weak f as it is: change it in the file that overrides it"),
        "{failure}"
    );
    assert!(failure.details[0].contains("vmlinux has f: the global one at"), "{failure:#?}");
    kernel.replace(&tables, &["arch/process.c"], "f", 0).expect("the kernel runs this one");
    kernel.replace(&tables, &["kernel/fork.c"], "before", 0).expect("there is no other");
    // A call of it leads to the one that overrides it, as everywhere else.
    kernel.use_it(&tables, &["kernel/fork.c"], "f", 0).expect("the kernel runs this one");
}

#[test]
fn weak_default_that_nothing_overrides_is_told_by_its_neighbours() {
    let other = "int head(int x) { return x; }\n\
        __attribute__((weak)) int f(int x) { return x + 1; }\n\
        int tail(int x) { return x * 7; }";
    let kernel =
        Kernel::new(&[("a.c", WEAK), ("b.c", other), ("c.c", "int g(void) { return 9; }")]);
    let tables = kernel.vmlinux();
    kernel.replace(&tables, &["a.c"], "f", 0).expect("the linker took the first");
    refused(kernel.replace(&tables, &["b.c"], "f", 0), &["weak default that is not surely"]);
    let alone = "__attribute__((weak)) int f(int x) { return x + 1; }";
    let kernel = Kernel::new(&[("a.c", alone), ("b.c", other)]);
    let tables = kernel.vmlinux();
    refused(kernel.replace(&tables, &["a.c"], "f", 0), &["not surely the same"]);
}

#[test]
fn static_function_beside_a_global_one_is_counted_as_the_kernel_does() {
    let files = [
        ("a.c", "STATIC int foo(int x) { return x + 1; }\nint a(int x) { return foo(x); }"),
        ("b.c", "int foo(int x) { return x + 2; }"),
    ];
    let kernel = Kernel::new(&files);
    let tables = kernel.vmlinux();
    kernel.replace(&tables, &["a.c"], "foo", 1).expect("it is at the lower address");
    refused(kernel.replace(&tables, &["a.c"], "foo", 2), &["the global one", "static one of a.c"]);
    refused(kernel.replace(&tables, &["b.c"], "foo", 0), &["the kernel has 2"]);

    let kernel = Kernel::new(&[files[1], files[0]]);
    let tables = kernel.vmlinux();
    // What kpatch says: it counts static ones only.
    let parts = ["the global one at 0x", "not the static one of a.c"];
    let failure = refused(kernel.replace(&tables, &["a.c"], "foo", 1), &parts);
    assert_eq!(failure.details.len(), 2, "{failure:#?}");
    kernel.replace(&tables, &["a.c"], "foo", 2).expect("it is at the higher address");
    refused(kernel.use_it(&tables, &["a.c"], "foo", 1), &["cannot use foo", "static one of a.c"]);
    refused(kernel.replace(&tables, &["a.c"], "foo", 3), &["only 2, fewer"]);
}

const ONE: &str = "STATIC int foo(int x) { return x + 1; }\nint one(int x) { return foo(x); }\n\
    STATIC int first(int x) { return x * foo(x); }";
const TWO: &str = "STATIC int foo(int x) { return x + 2; }\nint two(int x) { return foo(x); }\n\
    STATIC int second(int x) { return x * foo(x); }";

#[test]
fn static_functions_of_two_files_are_told_apart_though_the_files_have_one_name() {
    let kernel = Kernel::new(&[("x/core.c", ONE), ("y/core.c", TWO)]);
    let tables = kernel.vmlinux();
    kernel.replace(&tables, &["x/core.c"], "foo", 1).expect("its own");
    kernel.replace(&tables, &["y/core.c"], "foo", 2).expect("its own");
    refused(kernel.replace(&tables, &["x/core.c"], "foo", 2), &["static one of x/core.c"]);
    refused(kernel.replace(&tables, &["y/core.c"], "foo", 1), &["static one of y/core.c"]);
    refused(kernel.use_it(&tables, &["y/core.c"], "foo", 1), &["cannot use foo"]);
    refused(kernel.replace(&tables, &["y/core.c"], "foo", 0), &["the kernel has 2"]);
}

#[test]
fn files_that_look_the_same_and_files_that_are_not_there_are_refused() {
    let twin = ONE.replace("int one", "int other");
    let kernel = Kernel::new(&[("x/core.c", ONE), ("y/core.c", &twin), ("z/new.c", TWO)]);
    let tables = kernel.vmlinux();
    refused(kernel.replace(&tables, &["x/core.c"], "foo", 1), &["several files of that name"]);
    kernel.replace(&tables, &["x/core.c"], "one", 0).expect("it is the only one");
    let without = Kernel::new(&[("x/core.c", ONE)]).vmlinux();
    refused(kernel.replace(&without, &["z/new.c"], "foo", 1), &["no file with the static"]);
    refused(kernel.replace(&without, &["z/new.c"], "two", 0), &["list does not have it"]);
}

#[test]
fn engine_that_does_not_say_which_of_two_changed_files_is_refused() {
    let kernel = Kernel::new(&[("a.c", ONE), ("b.c", TWO)]);
    let tables = kernel.vmlinux();
    let result = kernel.replace(&tables, &["a.c", "b.c"], "foo", 1);
    let failure = refused(result, &["for a.c and b.c", "which is which"]);
    assert!(failure.hint.contains("a livepatch of each file"), "{failure}");
    kernel.replace(&tables, &["a.c", "b.c"], "two", 0).expect("only one has it");
    kernel.use_it(&tables, &["a.c", "b.c"], "foo", 2).expect("one of them has it");
    let unknown = kernel.replace(&tables, &["a.c"], "two", 0).expect_err("it is not in a.c");
    assert_eq!(unknown.class, FailureClass::Internal);
}

#[test]
fn static_function_of_a_file_that_does_not_change_is_not_used() {
    let uses = "int foo(int x);\nint user(int x) { return foo(x); }";
    let kernel =
        Kernel::new(&[("a.c", ONE), ("b.c", uses), ("c.c", "int foo(int x) { return x; }")]);
    let tables = kernel.vmlinux();
    refused(kernel.use_it(&tables, &["b.c"], "foo", 1), &["means one that is not static"]);
    kernel.use_it(&tables, &["b.c"], "foo", 2).expect("the global one");
}

#[test]
fn functions_of_a_module_are_counted_in_the_order_of_its_symbol_table() {
    let cold = TWO.replace("STATIC int foo", "STATIC IN(\".text.unlikely\") int foo");
    let padding = "int pad(int x) { return x * 3; }\n".to_owned() + ONE;
    let kernel = Kernel::new(&[("a.c", &padding), ("b.c", &cold)]);
    for is_at_hand in [true, false] {
        let tables = kernel.module(is_at_hand);
        kernel.replace(&tables, &["b.c"], "two", 0).expect("there is one");
        // kpatch counts by the place in the section: there b.c's is the first.
        let first = kernel.replace(&tables, &["b.c"], "foo", 1);
        if is_at_hand {
            refused(first, &["static one of a.c", "not the static one of b.c"]);
            kernel.replace(&tables, &["b.c"], "foo", 2).expect("the second in the table");
            kernel.replace(&tables, &["a.c"], "foo", 1).expect("the first in the table");
        } else {
            refused(first, &["cannot be told"]);
        }
    }
}

#[test]
fn function_whose_position_changes_when_init_code_is_freed_is_refused() {
    let init = ONE.replace("STATIC int foo", "STATIC IN(\".init.text\") int foo");
    let kernel = Kernel::new(&[("a.c", &init), ("b.c", TWO)]);
    let tables = kernel.module(true);
    refused(kernel.replace(&tables, &["b.c"], "foo", 2), &["when the module is loaded"]);
    let kernel = Kernel::new(&[("b.c", TWO), ("a.c", &init)]);
    let tables = kernel.module(true);
    kernel.replace(&tables, &["b.c"], "foo", 1).expect("it is the first, before and after");
}

#[test]
fn weak_default_in_a_module_is_refused_as_well() {
    let strong = "int f(int x) { return x + 2; }";
    let kernel = Kernel::new(&[("a.c", WEAK), ("b.c", strong)]);
    refused(kernel.replace(&kernel.module(true), &["a.c"], "f", 0), &["the global one at"]);
    let kernel = Kernel::new(&[("a.c", WEAK), ("b.c", ONE)]);
    kernel.replace(&kernel.module(true), &["a.c"], "f", 0).expect("nothing overrides it");
}

#[test]
fn what_no_part_of_the_module_brings_is_a_fault() {
    let module = Module {
        modinfo: Default::default(),
        build_id: None,
        undefined_symbols: Vec::new(),
        versions: Vec::new(),
        livepatch_relocations: Vec::new(),
        maker: None,
        replaced_functions: vec![ReplacedFunction {
            object: "vmlinux".to_owned(),
            name: "foo".to_owned(),
            position: 1,
        }],
    };
    let failure = all_are_accounted_for(&[], &module).expect_err("nobody brings it");
    assert!(failure.message.contains("takes foo from the kernel"), "{failure}");
}

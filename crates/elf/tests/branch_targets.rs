//! Which functions of a module have their address taken, in objects that the real compiler made.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use std::fs;

use elivepatch_elf::{BranchTargets, OutsideSymbol};

const PROTECTED: [&str; 5] = [
    "-O2",
    "-fcf-protection=branch",
    "-fno-jump-tables",
    "-ffunction-sections",
    "-fno-asynchronous-unwind-tables",
];

/// What is read of a source text that is compiled as kernels with IBT are.
fn targets(source: &str) -> BranchTargets {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = common::compile(directory.path(), "module.c", source, &PROTECTED);
    BranchTargets::read(&fs::read(object).expect("an object")).expect("a readable object")
}

/// The names, with `!` before those that do not begin with ENDBR.
fn names(targets: &BranchTargets) -> Vec<String> {
    let mark = |has_endbr| if has_endbr { "" } else { "!" };
    let functions = targets.functions.iter();
    functions.map(|function| format!("{}{}", mark(function.has_endbr), function.name)).collect()
}

#[test]
fn pointers_in_data_and_in_code_are_found_and_branches_are_not() {
    let targets = targets(
        r#"
        int outside(void);
        int (*stored)(void);
        __attribute__((noinline)) static int direct(int x) { return x + outside(); }
        static int in_data(void) { return 1; }
        static int in_code(void) { return 2; }
        int (*const table[])(void) = { in_data };
        int entry(int x) {
            stored = in_code;
            if (x > 7) return direct(x);
            return direct(x) + 1;
        }
    "#,
    );
    assert_eq!(names(&targets), ["in_code", "in_data"]);
    assert!(!targets.outside.iter().any(|symbol| symbol.name == "outside"), "{targets:?}");
    assert!(!targets.is_sealed);
}

#[test]
fn notes_of_objtool_about_livepatch_relocations_take_no_address() {
    let targets = targets(
        r#"
        __attribute__((nocf_check)) int bare(void) { return 1; }
        __attribute__((section("__klp_relocs.vmlinux"), used))
        static int (*const note)(void) = (int (*)(void))bare;
    "#,
    );
    assert_eq!(names(&targets), Vec::<String>::new());
}

#[test]
fn function_without_endbr_is_told() {
    let targets = targets(
        r#"
        __attribute__((nocf_check)) int bare(void) { return 1; }
        int guarded(void) { return 2; }
        int (*const table[])(void) = { (int (*)(void))bare, guarded };
    "#,
    );
    assert_eq!(names(&targets), ["!bare", "guarded"]);
}

#[test]
fn addresses_of_functions_elsewhere_are_told_and_their_calls_are_not() {
    let targets = targets(
        r#"
        int called(void);
        int taken(void);
        int (*const table[])(void) = { taken };
        __asm__(".section .rodata\n.quad \".klp.sym.vmlinux.worker.isra.0,2\"\n.text\n");
        int entry(void) { return called() + called(); }
    "#,
    );
    let outside: Vec<OutsideSymbol> = targets.outside.into_iter().collect();
    let symbol = |object: Option<&str>, name: &str, position| OutsideSymbol {
        object: object.map(str::to_owned),
        name: name.to_owned(),
        position,
    };
    assert_eq!(outside, [symbol(None, "taken", 0), symbol(Some("vmlinux"), "worker.isra.0", 2)]);
}

#[test]
fn tables_of_places_are_no_pointers() {
    // A static function that is called directly only has no ENDBR; the kernel's tables name it, and
    // kpatch's list of replaced functions does.
    let source = |section: &str| {
        format!(
            r#"
            __attribute__((noinline)) static int direct(int x) {{ return x * 3; }}
            int entry(int x) {{ return direct(x); }}
            __asm__(".section {section},\"a\"\n.quad direct\n.long direct - .\n.text\n");
        "#
        )
    };
    for section in [
        "__bug_table",
        "__ex_table",
        ".return_sites",
        ".kpatch.funcs",
        "__mcount_loc",
        ".discard.x",
    ] {
        assert_eq!(names(&targets(&source(section))), Vec::<String>::new(), "{section}");
    }
    assert_eq!(names(&targets(&source(".rodata.table"))), ["!direct"]);
}

#[test]
fn place_in_a_function_is_harmless_in_the_function_itself_only() {
    let source = |user: &str| {
        format!(
            r#"
            unsigned long sink;
            int entry(int x) {{
                sink = (unsigned long)&&here;
            here:
                __asm__ volatile("inner:");
                return x;
            }}
            {user}
        "#
        )
    };
    assert_eq!(names(&targets(&source(""))), Vec::<String>::new());
    let data = targets(&source("extern char inner[]; char *const user = inner;"));
    assert!(names(&data)[0].starts_with("!entry+0x"), "{data:?}");
}

#[test]
fn list_of_instructions_to_take_away_is_seen() {
    let sealed = targets(
        "int entry(void) { return 1; }\n\
         __asm__(\".section .ibt_endbr_seal,\\\"a\\\"\\n.long entry - .\\n.text\\n\");",
    );
    assert!(sealed.is_sealed);
    assert_eq!(names(&sealed), Vec::<String>::new());
    // Its ENDBR is gone when the pointer is called.
    let called = targets(
        "int entry(void) { return 1; }\n\
         int other(void) { return 2; }\n\
         int (*const table[])(void) = { entry, other };\n\
         __asm__(\".section .ibt_endbr_seal,\\\"a\\\"\\n.long entry - .\\n.text\\n\");",
    );
    assert_eq!(names(&called), ["!entry", "other"]);
}

#[test]
fn kernel_functions_without_endbr_and_those_it_will_be_taken_from_are_listed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = r#"
        int sealed(void) { return 1; }
        int open(void) { return 2; }
        __attribute__((nocf_check)) int bare(void) { return 3; }
        int twice_1(void) __asm__("twice");
        int twice_1(void) { return 4; }
        __asm__(".section .ibt_endbr_seal,\"a\"\n.long sealed - .\n.text\n");
    "#;
    let object = common::compile(directory.path(), "kernel.c", source, &PROTECTED);
    // The kernel's own list leaves mere numbers out, so that they do not count.
    let number = "__asm__(\".set bare, 5\");";
    let number = common::compile(directory.path(), "number.c", number, &[]);
    let image = directory.path().join("vmlinux");
    let options = ["-static", "-nostdlib", "-no-pie", "-Wl,--entry=open", "-o"];
    let mut link = std::process::Command::new("gcc");
    common::run(link.args(options).arg(&image).arg(number).arg(object));
    let vmlinux = elivepatch_elf::Vmlinux::open(&image).expect("an image");
    let functions = vmlinux.functions_without_endbr().expect("symbols and code");
    let expected = [("bare".to_owned(), 1), ("sealed".to_owned(), 1)];
    assert_eq!(functions.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn functions_of_a_module_without_endbr_and_those_it_will_be_taken_from_are_listed() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = r#"
        int sealed(void) { return 1; }
        int open(void) { return 2; }
        __attribute__((nocf_check)) int bare(void) { return 3; }
        int also(void) { return 4; }
        __asm__(".section .ibt_endbr_seal,\"a\"\n.long sealed - .\n.long also - .\n.text\n");
        int elsewhere(void);
        int user(void) { return elsewhere(); }
    "#;
    let listed = |options: &[&str]| {
        let object = common::compile(directory.path(), "module.c", source, options);
        let bytes = fs::read(object).expect("an object");
        let found = elivepatch_elf::module_functions_without_endbr(&bytes).expect("a module");
        found.into_iter().map(|(name, position)| format!("{name} {position}")).collect::<Vec<_>>()
    };
    let expected = ["also 1", "bare 1", "sealed 1"];
    assert_eq!(listed(&PROTECTED), expected);
    // As modules are: all code in one section.
    let together: Vec<&str> =
        PROTECTED.into_iter().filter(|option| *option != "-ffunction-sections").collect();
    assert_eq!(listed(&together), expected);
}

#[test]
fn functions_of_one_name_in_a_module_are_counted_in_the_order_of_its_symbols() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = |name: &str, attribute: &str| {
        let source = format!(
            "{attribute} __attribute__((noinline)) static int same(int x) {{ return x * 3; }}\n\
             int user_{name}(int x) {{ return same(x); }}\n\
             int (*const table_{name}[])(int) = {{ same }};\n"
        );
        let file = format!("{name}.c");
        common::compile(directory.path(), &file, &source, &PROTECTED)
    };
    let (one, two) = (object("one", ""), object("two", "__attribute__((nocf_check))"));
    let module = directory.path().join("module.ko");
    let mut link = std::process::Command::new("ld");
    common::run(link.args(["-r", "-o"]).arg(&module).args([one, two]));
    let bytes = fs::read(module).expect("a module");
    let found = elivepatch_elf::module_functions_without_endbr(&bytes).expect("a module");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [("same".to_owned(), 2)]);
}

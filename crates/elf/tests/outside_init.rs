//! What differs between objects of the real compiler beside `__init` code and data.

use std::process::Command;

use elivepatch_elf::{difference_outside_init, same_code};

const SOURCE: &str = r#"
    #define __init __attribute__((section(".init.text")))
    #define __initdata __attribute__((section(".init.data")))
    int printk(const char *text, ...);
    static int limit = 3;
    static __initdata int order = 4;
    static const char *name = "a name";
    int __init setup(void) { printk("set up %d\n", order); limit = 5; return 0; }
    int run(int x) { printk("ran %s\n", name); return limit + x; }
"#;

/// What differs when the text `old` of the source becomes `new`, and whether anything does.
fn difference(old: &str, new: &str) -> (Option<String>, bool) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options = ["-O2", "-fno-pic", "-ffunction-sections", "-fdata-sections"];
    let compile = |name, source: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, source).expect("a writable directory");
        let mut gcc = Command::new("gcc");
        gcc.args(options).arg("-c").arg(&path).arg("-o").arg(path.with_extension("o"));
        assert!(gcc.status().expect("gcc is installed").success(), "{source}");
        std::fs::read(path.with_extension("o")).expect("an object")
    };
    let (one, other) = (compile("one.c", SOURCE), compile("two.c", &SOURCE.replace(old, new)));
    let differs = !same_code(&one, &other).expect("objects");
    (difference_outside_init(&one, &other).expect("objects"), differs)
}

#[test]
fn init_code_its_strings_and_its_data_may_differ() {
    for (old, new) in [
        ("set up %d\\n", "something else is set up, and this text is longer: %d\\n"),
        ("order = 4", "order = 40"),
        ("limit = 5; return 0;", "limit = 6; return run(order);"),
    ] {
        assert_eq!(difference(old, new), (None, true), "{new}");
    }
}

#[test]
fn what_is_there_when_the_kernel_runs_may_not() {
    for (old, new, section) in [
        ("limit + x", "limit - x", ".text.run"),
        ("ran %s\\n", "run %s\\n", ".text.run"),
        ("a name", "b name", ".data.name"),
        ("limit = 3", "limit = 4", ".data.limit"),
        // Where it is no more written, the compiler makes it a constant.
        ("limit = 5; ", "", ".data.limit"),
    ] {
        let (found, _) = difference(old, new);
        let found = found.unwrap_or_default();
        assert!(
            found == section || found.starts_with(".text") || found.starts_with(".data"),
            "{new}: {found}"
        );
    }
}

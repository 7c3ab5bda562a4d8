//! Constants that the kernel writes into its code, in objects that the real compiler made.

#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use std::fs;

use elivepatch_elf::{runtime_constants, unwritten_runtime_constants};

/// In the form of arch/x86/include/asm/runtime-const.h.
const SOURCE: &str = r#"
    #define POINTER(name, result) __asm__("mov %1,%0\n1:\n" \
        ".pushsection runtime_ptr_" #name ",\"a\"\n\t.long 1b - 8 - .\n.popsection" \
        : "=r"(result) : "i"(0x0123456789abcdefUL))
    #define SHIFT(name, value) __asm__("shrl $12,%k0\n1:\n" \
        ".pushsection runtime_shift_" #name ",\"a\"\n\t.long 1b - 1 - .\n.popsection" \
        : "+r"(value))
    unsigned long before(unsigned long x) { return x * 3; }
    unsigned long limit(unsigned long x) {
        unsigned long max;
        POINTER(USER_PTR_MAX, max);
        return x > max;
    }
    unsigned long bucket(unsigned long x) {
        unsigned long table;
        POINTER(dentry_hashtable, table);
        SHIFT(d_hash_shift, x);
        return table + x;
    }
    unsigned shifted(unsigned x) { SHIFT(d_hash_shift, x); return x; }
    unsigned long near(void) { return 0x0123456789abcdeeUL; }
"#;

fn object(options: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let object = common::compile(directory.path(), "dcache.c", SOURCE, options);
    fs::read(object).expect("an object")
}

#[test]
fn functions_with_constants_are_named_with_and_without_sections_of_their_own() {
    for options in [&["-O2"][..], &["-O2", "-ffunction-sections"], &["-O0"]] {
        let found = runtime_constants(&object(options)).expect("a readable object");
        let found: Vec<String> =
            found.iter().map(|(function, constant)| format!("{function} {constant}")).collect();
        let expected = [
            "bucket d_hash_shift",
            "bucket dentry_hashtable",
            "limit USER_PTR_MAX",
            "shifted d_hash_shift",
        ];
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
fn placeholders_and_lists_that_a_module_should_not_have_are_found() {
    let module = object(&["-O2", "-ffunction-sections"]);
    let mut found = unwritten_runtime_constants(&module).expect("a readable object");
    found.sort();
    let expected = [
        "bucket",
        "limit",
        "the section runtime_ptr_USER_PTR_MAX",
        "the section runtime_ptr_dentry_hashtable",
        "the section runtime_shift_d_hash_shift",
    ];
    assert_eq!(found, expected);
    let without = common::livepatch_module();
    assert_eq!(unwritten_runtime_constants(&without).expect("a module"), Vec::<String>::new());
}

#[test]
fn placeholder_is_found_where_the_list_is_gone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // What an engine leaves that knows nothing of the lists.
    let source = "unsigned long limit(unsigned long x) { return x > 0x0123456789abcdefUL; }\n";
    let object = common::compile(directory.path(), "module.c", source, &["-O2"]);
    let found = unwritten_runtime_constants(&fs::read(object).expect("an object"));
    assert_eq!(found.expect("a module"), ["limit"]);
}

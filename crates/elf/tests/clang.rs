//! Debug information as clang writes it: texts and addresses have numbers, and lists of them are
//! sections of their own. The compiler's output is kept, so that the tests need no clang.

#[allow(dead_code, reason = "modules are of no use here")]
mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use elivepatch_elf::{Layouts, Vmlinux, module_units, static_variables};

const ITEMS: &str = include_str!("clang-19/items.s");

fn assemble(directory: &Path, text: &str) -> PathBuf {
    common::compile(directory, "items.s", text, &[])
}

fn object(text: &str) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::read(assemble(directory.path(), text)).expect("an object")
}

/// The text with another line in the place of the only one that is so.
fn with(line: &str, other: &str) -> String {
    assert_eq!(ITEMS.matches(line).count(), 1, "{line}");
    ITEMS.replace(line, other)
}

#[test]
fn static_variables_have_their_functions() {
    let variables = static_variables(&object(ITEMS)).expect("debug information");
    let of = |name: &str| match variables.get(name).map(Vec::as_slice) {
        Some([one]) => (one.function.as_deref(), one.size, one.section.as_str()),
        other => panic!("{name}: {other:?}"),
    };
    // clang has the function in the symbol's name, too.
    assert_eq!(of("first.count"), (Some("first"), 4, ".data.first.count"));
    assert_eq!(of("second.count"), (Some("second"), 8, ".bss.second.count"));
    assert_eq!(of("items"), (None, 48, ".bss.items"));
}

#[test]
fn changed_members_constants_and_variables_are_named() {
    let before = Layouts::read(&object(ITEMS)).expect("debug information");
    let changes = |line: &str, other: &str| -> Vec<String> {
        let after = Layouts::read(&object(&with(line, other))).expect("debug information");
        before.changes(&after).iter().map(ToString::to_string).collect()
    };
    assert_eq!(changes("# with fs/part.c:\n", ""), Vec::<String>::new());
    let moved = changes(
        "\t.byte\t4                               # DW_AT_data_member_location",
        "\t.byte\t8                               # DW_AT_data_member_location",
    );
    // The variable counts because it has an address, and that has a number.
    let expected = [
        "struct item: text moves from offset 4 to 8 (fs/items.c)",
        "variable items becomes struct item[4], and was struct item[4]",
    ];
    assert_eq!(moved, expected);
    let value = changes(
        "\t.byte\t1                               # DW_AT_const_value",
        "\t.byte\t3                               # DW_AT_const_value",
    );
    assert!(value.len() == 1 && value[0].contains("SECOND"), "{value:?}");
}

#[test]
fn module_tells_its_files_and_those_that_they_include() {
    let units = module_units(&object(ITEMS)).expect("debug information");
    let units: Vec<String> = (units.into_iter())
        .map(|(source, units)| {
            format!("{source}: {}", units.into_iter().collect::<Vec<_>>().join(" "))
        })
        .collect();
    assert_eq!(units, ["fs/items.c: fs/items.c", "fs/part.c: fs/items.c"]);
}

#[test]
fn kernel_image_gives_sizes_and_units() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let assembled = assemble(directory.path(), ITEMS);
    let image = directory.path().join("vmlinux");
    // Two units, each with lists of its own; the other is gcc's.
    let other = "struct other { char text[5]; } other; int take(void *p, long s) { return !p; }\n";
    let other = common::compile(directory.path(), "other.c", other, &["-g", "-gdwarf-5"]);
    common::run(
        Command::new("ld")
            .args(["--entry=first", "-Ttext=0x10000", "-o"])
            .args([&image, &other, &assembled]),
    );
    let vmlinux = Vmlinux::open(&image).expect("an image");
    let sizes = vmlinux.struct_sizes(&["item", "other"]).expect("debug information");
    let sizes: Vec<_> = sizes.into_iter().collect();
    assert_eq!(sizes, [("item".to_owned(), 12), ("other".to_owned(), 5)]);
    let included = vmlinux.included_sources().expect("debug information");
    assert!(included.keys().any(|source| source.ends_with("part.c")), "{included:?}");
}

#[test]
fn numbers_that_lead_nowhere_are_refused() {
    // The name of the structure, far behind the end of the list.
    let text = with(
        "\t.byte\t11                              # DW_AT_name\n\t.byte\t12                              # DW_AT_byte_size",
        "\t.byte\t254                             # DW_AT_name\n\t.byte\t12                              # DW_AT_byte_size",
    );
    let error = Layouts::read(&object(&text)).map(|_| ()).expect_err("no such text");
    assert!(error.to_string().contains("debug information"), "{error}");
}

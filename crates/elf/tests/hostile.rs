//! Damaged and hostile modules are refused or read, quickly and without a panic.

mod common;

use std::sync::LazyLock;

use elivepatch_elf::{
    BranchTargets, ElfError, KpatchObject, Layouts, Module, module_units, object_symbols,
    static_variables, symbol_listing, with_fentry_nops,
};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use proptest::prelude::*;

static MODULE: LazyLock<Vec<u8>> = LazyLock::new(common::livepatch_module);
/// One whose functions can be traced.
static TRACED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "int g(int x);\nint f(int x) { return g(x) + 1; }\n";
    let options = ["-O2", "-pg", "-mfentry"];
    std::fs::read(common::compile(directory.path(), "traced.c", source, &options)).expect("bytes")
});
static KLP_MODULE: LazyLock<Vec<u8>> = LazyLock::new(|| common::klp_module(1, 1));

/// One made by kpatch, one made by objtool, or one that is no livepatch.
fn any_module() -> impl Strategy<Value = &'static Vec<u8>> {
    prop_oneof![Just(&*MODULE), Just(&*KLP_MODULE), Just(&*TRACED)]
}

/// A relocatable object with debug information.
static DEBUG: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = "#include \"part.c\"\nint f(int x) { return part(x); }\n";
    std::fs::write(directory.path().join("part.c"), "static int part(int x) { return x; }\n")
        .expect("own directory");
    let object = common::compile(directory.path(), "whole.c", source, &["-g"]);
    std::fs::read(object).expect("an object")
});

/// One as clang makes it.
static CLANG_DEBUG: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = include_str!("clang-19/items.s");
    std::fs::read(common::compile(directory.path(), "items.s", text, &[])).expect("an object")
});

/// One with either.
fn any_debug() -> impl Strategy<Value = &'static Vec<u8>> {
    prop_oneof![Just(&*DEBUG), Just(&*CLANG_DEBUG)]
}

/// Everything that is read of debug information in objects.
fn read_debug(bytes: &[u8]) {
    let _ = (module_units(bytes), symbol_listing(bytes));
    let _ = (Layouts::read(bytes), static_variables(bytes));
}

/// Where each section header begins in the file, and its type.
fn section_headers(bytes: &[u8]) -> Vec<(usize, u32)> {
    let header = object::elf::FileHeader64::<object::Endianness>::parse(bytes).expect("an object");
    let endian = object::Endianness::Little;
    let start = usize::try_from(header.e_shoff(endian)).expect("an offset");
    let headers = header.section_headers(endian, bytes).expect("sections");
    headers.iter().enumerate().map(|(at, h)| (start + at * 64, h.sh_type(endian).0)).collect()
}

#[test]
fn symbols_that_share_one_endless_name_are_refused() {
    // 60,000 undefined symbols whose names all begin at the start of a string table of 4 MB.
    let mut bytes = MODULE.clone();
    let (names, symbols) = (4 << 20, 60_000_usize);
    let strings_at = bytes.len();
    bytes.push(0);
    bytes.extend(std::iter::repeat_n(b'x', names));
    bytes.push(0);
    let symbols_at = bytes.len();
    for _ in 0..symbols {
        bytes.extend_from_slice(&1u32.to_le_bytes());
        bytes.extend_from_slice(&[0x10; 1]);
        bytes.extend_from_slice(&[0; 19]);
    }
    let table = section_headers(&bytes).into_iter().find(|(_, kind)| *kind == 2);
    let (at, _) = table.expect("a symbol table");
    let link = u32::from_le_bytes(bytes[at + 40..at + 44].try_into().expect("four bytes"));
    let strings = section_headers(&bytes)[link as usize].0;
    for (header, offset, size) in [(at, symbols_at, symbols * 24), (strings, strings_at, names + 2)]
    {
        bytes[header + 24..header + 32].copy_from_slice(&(offset as u64).to_le_bytes());
        bytes[header + 32..header + 40].copy_from_slice(&(size as u64).to_le_bytes());
    }
    let error = Module::read(&bytes).expect_err("too much text");
    assert!(matches!(error, ElfError::TooMuchText { .. }), "{error}");
    // Here only the names of symbols count that relocations refer to.
    let _ = BranchTargets::read(&bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn module_with_changed_bytes_is_read_or_refused(
        module in any_module(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = module.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = Module::read(&bytes);
        let _ = (object_symbols(&bytes), KpatchObject::read(&bytes));
        let _ = BranchTargets::read(&bytes);
        let _ = with_fentry_nops(bytes);
    }

    #[test]
    fn module_with_changed_headers_is_read_or_refused(
        module in any_module(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..8, prop_oneof![any::<u64>(), 0u64..5000]), 1..5,
        ),
    ) {
        let mut bytes = module.clone();
        let headers = section_headers(&bytes);
        for (header, field, value) in changes {
            let at = headers[header.index(headers.len())].0 + field * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let _ = Module::read(&bytes);
        let _ = (object_symbols(&bytes), KpatchObject::read(&bytes));
        let _ = BranchTargets::read(&bytes);
        let _ = with_fentry_nops(bytes);
    }

    #[test]
    fn cut_module_is_read_or_refused(
        module in any_module(),
        end in any::<prop::sample::Index>(),
    ) {
        let cut = &module[..end.index(module.len())];
        let _ = (Module::read(cut), object_symbols(cut), KpatchObject::read(cut));
        let _ = BranchTargets::read(&module[..end.index(module.len())]);
    }

    #[test]
    fn debug_information_with_changed_bytes_is_read_or_refused(
        debug in any_debug(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = debug.clone();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        read_debug(&bytes);
    }

    #[test]
    fn debug_information_with_changed_headers_is_read_or_refused(
        debug in any_debug(),
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0usize..8, prop_oneof![any::<u64>(), 0u64..5000]), 1..5,
        ),
    ) {
        let mut bytes = debug.clone();
        let headers = section_headers(&bytes);
        for (header, field, value) in changes {
            let at = headers[header.index(headers.len())].0 + field * 8;
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        read_debug(&bytes);
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Module::read(&bytes).is_err());
        prop_assert!(module_units(&bytes).is_err());
        prop_assert!(BranchTargets::read(&bytes).is_err());
    }
}

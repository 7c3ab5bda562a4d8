//! Calls of `__fentry__` that become NOPs, in code that the real compiler made.

#[allow(dead_code, reason = "modules are of no use here")]
mod common;

use elivepatch_elf::{ElfError, with_fentry_nops};
use object::{Object as _, ObjectSection as _, RelocationFlags, elf::R_X86_64_NONE};

const SOURCE: &str = "int other(int x);\n\
    int first(int x) { return other(x) + 1; }\n\
    __attribute__((section(\".text.second\"))) int second(int x) { return other(x) + 2; }\n\
    void __fentry__(void);\n";

fn compiled(source: &str, options: &[&str]) -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let options: Vec<&str> = ["-O2", "-pg", "-mfentry"].iter().chain(options).copied().collect();
    std::fs::read(common::compile(directory.path(), "a.c", source, &options)).expect("an object")
}

/// The sections with code: their bytes, and their relocations as `OFFSET SYMBOL TYPE`.
fn code(bytes: &[u8]) -> Vec<(String, Vec<u8>, Vec<String>)> {
    let file = object::File::parse(bytes).expect("an object");
    let sections = file.sections().filter(|section| section.kind() == object::SectionKind::Text);
    let read = |section: object::Section<'_, '_>| {
        let relocations = section.relocations().map(|(offset, relocation)| {
            let object::RelocationTarget::Symbol(symbol) = relocation.target() else {
                panic!("{relocation:?}")
            };
            let symbol = object::ObjectSymbol::name(
                &object::Object::symbol_by_index(&file, symbol).expect("a symbol"),
            );
            let RelocationFlags::Elf { r_type } = relocation.flags() else { panic!() };
            format!("{offset} {} {}", symbol.expect("a name"), r_type.0)
        });
        let relocations = relocations.collect();
        let name = section.name().expect("a name").to_owned();
        (name, section.data().expect("bytes").to_vec(), relocations)
    };
    sections.map(read).filter(|(_, bytes, _)| !bytes.is_empty()).collect()
}

#[test]
fn calls_of_fentry_and_nothing_else_become_nops() {
    // As with CONFIG_X86_KERNEL_IBT the call is not the first instruction.
    for options in [&[][..], &["-fcf-protection=branch"]] {
        let before = compiled(SOURCE, options);
        let after = with_fentry_nops(before.clone()).expect("an object");
        assert_eq!(before.len(), after.len());
        let (old, new) = (code(&before), code(&after));
        assert_eq!(old.len(), 2, "{old:?}");
        for ((name, old, old_relocations), (_, new, new_relocations)) in old.iter().zip(&new) {
            let call = old.iter().position(|byte| *byte == 0xe8).expect("a call");
            assert_eq!(new[call..call + 5], [0x0f, 0x1f, 0x44, 0, 0], "{name}");
            let mut expected = old.clone();
            expected[call..call + 5].copy_from_slice(&new[call..call + 5]);
            assert_eq!(*new, expected);
            let of_fentry = format!("{} __fentry__ ", call + 1);
            assert!(old_relocations[0].starts_with(&of_fentry), "{old_relocations:?}");
            assert_eq!(new_relocations[0], format!("{of_fentry}{}", R_X86_64_NONE.0));
            assert_eq!(old_relocations[1..], new_relocations[1..]);
            assert!(new_relocations[1].contains(" other "), "{new_relocations:?}");
        }
        // What is done is done.
        assert_eq!(with_fentry_nops(after.clone()).expect("an object"), after);
    }
}

#[test]
fn code_that_uses_fentry_otherwise_is_refused() {
    let source = format!("{SOURCE}void *third(void) {{ return __fentry__; }}\n");
    match with_fentry_nops(compiled(&source, &[])) {
        Err(ElfError::Malformed { problem, .. }) => {
            assert!(problem.starts_with(".text+0x"), "{problem}");
        }
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn data_may_point_to_fentry() {
    let source = format!("{SOURCE}void *pointer = __fentry__;\n");
    let before = compiled(&source, &[]);
    let after = with_fentry_nops(before.clone()).expect("an object");
    let pointer = |bytes: &[u8]| {
        let file = object::File::parse(bytes).expect("an object");
        let section = file.section_by_name(".data").expect("a section");
        format!("{:?}", section.relocations().collect::<Vec<_>>())
    };
    assert_ne!(before, after);
    assert_eq!(pointer(&before), pointer(&after));
}

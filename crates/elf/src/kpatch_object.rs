//! What create-diff-object made of one object, before it is linked with others.
//!
//! Beside the functions that it replaces (`.kpatch.funcs`) such an object says what it uses of the
//! kernel: an array of `struct kpatch_symbol` (kpatch-build/kpatch-intermediate.h of kpatch 0.9) in
//! the section `.kpatch.symbols`, an entry for each relocation.

use std::collections::BTreeSet;

use object::{
    elf::{SHN_UNDEF, STB_LOCAL},
    read::elf::Sym as _,
};

use crate::{
    ElfError, LivepatchSymbol, ReplacedFunction,
    budget::Budget,
    kpatch_entries::{Entry, Form, entries},
    kpatch_functions::kpatch_functions,
    object_file::ObjectFile,
};

/// `struct kpatch_symbol`: two `unsigned long`, two bytes with padding, two pointers.
const FORM: Form = Form {
    part: "section .kpatch.symbols",
    section: ".kpatch.symbols",
    relocations: ".rela.kpatch.symbols",
    entry_bytes: 40,
    position_at: 8,
    name_at: 24,
    object_name_at: 32,
};

/// What one changed object brings into a livepatch, and what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KpatchObject {
    /// The functions that it replaces.
    pub functions: Vec<ReplacedFunction>,
    /// What it uses of the kernel and its modules, each once.
    pub symbols: BTreeSet<LivepatchSymbol>,
    /// What it defines for others, weak definitions too. Functions that replace others are not among
    /// them: create-diff-object makes those local.
    pub new_globals: BTreeSet<String>,
}

impl KpatchObject {
    /// Reads the output of create-diff-object. The bytes may be anything: the work is bounded by
    /// their number.
    ///
    /// # Errors
    /// When they are not an ELF file for x86-64, or a part that is read here is malformed.
    pub fn read(bytes: &[u8]) -> Result<Self, ElfError> {
        let object = ObjectFile::parse(bytes, "the object")?;
        let mut budget = Budget::new(bytes.len());
        Ok(Self {
            functions: kpatch_functions(&object, &mut budget)?,
            symbols: symbols(&object, &mut budget)?,
            new_globals: new_globals(&object, &mut budget)?,
        })
    }
}

fn symbols(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<BTreeSet<LivepatchSymbol>, ElfError> {
    let symbol = |Entry { object, name, position }| LivepatchSymbol { object, name, position };
    Ok(entries(object, &FORM, budget)?.into_iter().map(symbol).collect())
}

fn new_globals(object: &ObjectFile<'_>, budget: &mut Budget) -> Result<BTreeSet<String>, ElfError> {
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let for_others = table
        .symbols()
        .iter()
        .filter(|symbol| symbol.st_bind() != STB_LOCAL && symbol.st_shndx(endian) != SHN_UNDEF);
    for_others
        .map(|symbol| {
            let name = symbol.name(endian, table.strings());
            let name =
                name.map_err(|source| ElfError::Part { part: "the symbol table", source })?;
            budget.take_text(name)
        })
        .collect()
}

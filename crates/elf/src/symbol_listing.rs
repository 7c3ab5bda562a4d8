//! The symbols of a module as `readelf --symbols --wide` prints them, which is what kpatch's
//! create-diff-object reads (`kpatch-build/lookup.c`, `symtab_read`).

use std::fmt::Write as _;

use object::{
    elf::{
        SHN_ABS, SHN_COMMON, SHN_LORESERVE, SHN_UNDEF, STB_GLOBAL, STB_LOCAL, STB_WEAK, STT_FILE,
        STT_FUNC, STT_NOTYPE, STT_OBJECT, STT_SECTION, STV_DEFAULT, STV_HIDDEN, STV_INTERNAL,
    },
    read::elf::Sym as _,
};

use crate::{ElfError, budget::Budget, object_file::ObjectFile};

const PART: &str = "the symbol table";

/// The largest size that readelf writes in decimal (binutils, `print_vma` with `DEC_5`).
const DECIMAL_SIZE: u64 = 99_999;

/// Lists all symbols of a module, in the order of its symbol table. The order matters: the kernel
/// counts symbols of one name in it, and so does kpatch.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or the symbol table cannot be read or holds what
/// does not occur in a module.
pub fn symbol_listing(bytes: &[u8]) -> Result<String, ElfError> {
    let object = ObjectFile::parse(bytes, "the module")?;
    let mut budget = Budget::new(bytes.len());
    let endian = object.elf.endian();
    let table = object.elf.elf_symbol_table();
    let failed = |source| ElfError::Part { part: PART, source };
    let symbols = table.symbols();
    let mut text = format!("\nSymbol table '.symtab' contains {} entries:\n", symbols.len());
    text.push_str("   Num:    Value          Size Type    Bind   Vis      Ndx Name\n");
    for (number, symbol) in symbols.iter().enumerate() {
        let kind = match symbol.st_type() {
            STT_NOTYPE => "NOTYPE",
            STT_OBJECT => "OBJECT",
            STT_FUNC => "FUNC",
            STT_SECTION => "SECTION",
            STT_FILE => "FILE",
            other => return Err(malformed(format!("symbol {number} is of type {other:?}"))),
        };
        let binding = match symbol.st_bind() {
            STB_LOCAL => "LOCAL",
            STB_GLOBAL => "GLOBAL",
            STB_WEAK => "WEAK",
            other => return Err(malformed(format!("symbol {number} has binding {other:?}"))),
        };
        let visibility = match symbol.st_visibility() {
            STV_DEFAULT => "DEFAULT",
            STV_HIDDEN => "HIDDEN",
            STV_INTERNAL => "INTERNAL",
            _ => "PROTECTED",
        };
        let section = symbol.st_shndx(endian);
        let index = match section {
            SHN_UNDEF => "UND".to_owned(),
            SHN_ABS => "ABS".to_owned(),
            SHN_COMMON => "COM".to_owned(),
            // A module has some hundred sections.
            index if index.0 >= SHN_LORESERVE => {
                return Err(malformed(format!("symbol {number} is in section {index:?}")));
            }
            index => index.0.to_string(),
        };
        let mut name = symbol.name(endian, table.strings()).map_err(failed)?;
        if kind == "SECTION" && name.is_empty() {
            let header = object
                .elf
                .elf_section_table()
                .section(object::SectionIndex(section.0.into()))
                .map_err(failed)?;
            name = object.section_name(header).unwrap_or_default();
        }
        let name = budget.take_text(name)?;
        if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(malformed(format!("symbol {number} has a name that is no word")));
        }
        let size = match symbol.st_size(endian) {
            size if size <= DECIMAL_SIZE => format!("{size:5}"),
            size => format!("{size:#x}"),
        };
        let value = symbol.st_value(endian);
        writeln!(
            text,
            "{number:6}: {value:016x} {size} {kind:<7} {binding:<6} {visibility:<7} {index:>4} {name}"
        )
        .expect("a text takes everything");
    }
    Ok(text)
}

fn malformed(problem: String) -> ElfError {
    ElfError::Malformed { part: PART, problem }
}

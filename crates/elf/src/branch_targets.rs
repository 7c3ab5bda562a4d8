//! Which functions a module may have branched to indirectly, and whether they may be.
//!
//! With indirect branch tracking (IBT, `CONFIG_X86_KERNEL_IBT`) the processor raises a fault when
//! an indirect call or jump does not lead to an ENDBR64 instruction. An emulator does not, so it is
//! looked at here. The rules are those of objtool's `validate_ibt` (tools/objtool/check.c): whatever
//! takes the address of code, other than to branch to it directly, may be a pointer that is called.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    SectionIndex, SymbolIndex,
    elf::{
        R_X86_64_NONE, R_X86_64_PC32, R_X86_64_PLT32, SHF_ALLOC, SHF_EXECINSTR, SHT_RELA, STT_FUNC,
    },
    read::elf::{Rela as _, SectionHeader as _, Sym as _},
};

use crate::{
    ElfError, LivepatchSymbol,
    budget::Budget,
    livepatch_relocations::{SYMBOL_PREFIX, parse_symbol},
    object_file::{ObjectFile, SectionHeader},
    places::Places,
    relocation_targets::relocation_targets,
};

/// The instruction that an indirect branch must lead to.
pub(crate) const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];

/// The section in which objtool lists the ENDBR instructions that the kernel is to take away.
pub(crate) const SEAL_SECTION: &str = ".ibt_endbr_seal";

/// Sections that refer to code without the intent to branch to it: tables of places that the kernel
/// patches, looks up, or resumes at after an exception (by IRET).
///
/// The last two hold the functions that replace others. They are entered through ftrace, which
/// writes their address over its return address (`ftrace_regs_caller` in
/// arch/x86/kernel/ftrace_64.S) and goes there by RET: that is no indirect branch to IBT. So a
/// function that nobody calls by a pointer, and that the compiler gave no ENDBR, may be replaced.
const TABLES: [&[u8]; 18] = [
    b".altinstructions",
    b".ibt_endbr_seal",
    b".kcfi_traps",
    b".cfi_sites",
    b".orc_unwind_ip",
    b".parainstructions",
    b".retpoline_sites",
    b".return_sites",
    b".call_sites",
    b".smp_locks",
    b".static_call_sites",
    b"_error_injection_whitelist",
    b"_kprobe_blacklist",
    b"__bug_table",
    b"__ex_table",
    b"__jump_table",
    b".kpatch.funcs",
    b".init.klp_funcs",
];

/// The same, whatever follows: notes of the compiler, places that ftrace patches, and the notes from
/// which `objtool klp post-link` made the livepatch relocations; these are looked at themselves.
const TABLE_PREFIXES: [&[u8]; 5] =
    [b".discard", b".debug", b"__mcount_loc", b"__patchable_function_entries", b"__klp_relocs."];

/// Trampolines of static calls: they are called directly only, and their address is taken to patch
/// them.
const STATIC_CALL_PREFIX: &[u8] = b"__SCT__";

const PART: &str = "a relocation of the module";

/// The code that a module may have branched to indirectly.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BranchTargets {
    /// Functions of the module whose address something takes, by name.
    pub functions: Vec<BranchTarget>,
    /// What is not in the module and has its address taken: functions, and as nothing tells them
    /// apart here, variables.
    pub outside: BTreeSet<OutsideSymbol>,
    /// Whether the module has ENDBR instructions taken away when it is loaded.
    pub is_sealed: bool,
}

/// A function of the module whose address something takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BranchTarget {
    /// Its name, or a place in a function or section.
    pub name: String,
    /// Whether it begins with ENDBR64, and does so still when the module is loaded.
    pub has_endbr: bool,
}

/// A symbol that the module does not define and takes the address of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OutsideSymbol {
    /// `vmlinux` or a module's name, when a livepatch symbol says so; else whoever exports it.
    pub object: Option<String>,
    /// Its name.
    pub name: String,
    /// Which of several symbols of that name in the object, from 1; 0 when there is only one.
    pub position: u64,
}

impl BranchTargets {
    /// Reads them from the bytes of a module, which may be anything: the work is bounded by their
    /// number.
    ///
    /// # Errors
    /// When they are not an ELF file for x86-64, or a relocation or symbol is malformed.
    pub fn read(bytes: &[u8]) -> Result<Self, ElfError> {
        let object = ObjectFile::parse(bytes, "the module")?;
        let functions = Places::read(&object, &[STT_FUNC], PART)?;
        let mut budget = Budget::new(bytes.len());
        let sealed = relocation_targets(&object, SEAL_SECTION, PART, &mut budget)?;
        let mut reader = Reader {
            sealed: sealed.into_values().collect(),
            object: &object,
            functions,
            budget,
            own: BTreeMap::new(),
            outside: BTreeSet::new(),
        };
        let endian = object.elf.endian();
        let sections = object.elf.elf_section_table();
        for header in sections.iter().filter(|header| header.sh_type(endian) == SHT_RELA) {
            let place = header.info_link(endian);
            let Ok(place_header) = sections.section(place) else { continue };
            if has_flag(place_header, SHF_ALLOC.0) && !is_table(object.section_name(place_header)) {
                reader.read_section(header, place, place_header)?;
            }
        }
        Ok(Self {
            functions: reader
                .own
                .into_iter()
                .map(|(name, has_endbr)| BranchTarget { name, has_endbr })
                .collect(),
            outside: reader.outside,
            is_sealed: object.header(SEAL_SECTION).is_some(),
        })
    }
}

struct Reader<'object, 'data> {
    object: &'object ObjectFile<'data>,
    functions: Places,
    /// The places, each a section's number and a place there, whose ENDBR is taken away.
    sealed: BTreeSet<(usize, u64)>,
    budget: Budget,
    own: BTreeMap<String, bool>,
    outside: BTreeSet<OutsideSymbol>,
}

impl Reader<'_, '_> {
    fn read_section(
        &mut self,
        relocations: &SectionHeader,
        place: SectionIndex,
        place_header: &SectionHeader,
    ) -> Result<(), ElfError> {
        let endian = self.object.elf.endian();
        let failed = |source| ElfError::Part { part: PART, source };
        let rela = relocations.rela(endian, self.object.elf.data()).map_err(failed)?;
        let entries = rela.map_or(&[][..], |(entries, _)| entries);
        self.budget.take_relocations(entries.len())?;
        let is_code = has_flag(place_header, SHF_EXECINSTR.0);
        let code = if is_code { self.object.data(place_header, PART)? } else { &[] };
        for entry in entries {
            let offset = entry.r_offset(endian);
            let kind = entry.r_type(endian, false);
            let is_relative = kind == R_X86_64_PC32 || kind == R_X86_64_PLT32;
            if kind == R_X86_64_NONE || (is_relative && is_code && is_direct_branch(code, offset)) {
                continue;
            }
            // In an instruction, the distance is counted from its end.
            let behind = if is_relative && is_code { 4 } else { 0 };
            let addend = entry.r_addend(endian).wrapping_add(behind);
            let from = is_code.then_some((place, offset));
            self.take(SymbolIndex(entry.r_sym(endian, false) as usize), addend, from)?;
        }
        Ok(())
    }

    /// Takes a pointer into account: to `addend` behind a symbol, in the instruction at `from` or
    /// in data.
    fn take(
        &mut self,
        symbol: SymbolIndex,
        addend: i64,
        from: Option<(SectionIndex, u64)>,
    ) -> Result<(), ElfError> {
        let endian = self.object.elf.endian();
        let failed = |source| ElfError::Part { part: PART, source };
        if symbol.0 == 0 {
            return Ok(());
        }
        let table = self.object.elf.elf_symbol_table();
        let entry = table.symbol(symbol).map_err(failed)?;
        let Some(section) = table.symbol_section(endian, entry, symbol).map_err(failed)? else {
            let name = entry.name(endian, table.strings()).map_err(failed)?;
            return self.take_outside(name);
        };
        let header = self.object.elf.elf_section_table().section(section).map_err(failed)?;
        if !has_flag(header, SHF_EXECINSTR.0) {
            return Ok(());
        }
        let address = entry.st_value(endian).wrapping_add_signed(addend);
        let function = self.functions.around(section, address);
        let comes_from = from.and_then(|(section, at)| self.functions.around(section, at));
        if let (Some(to), Some(from)) = (function, comes_from)
            && to.start != address
            && self.same_function(to.symbol, from.symbol)?
        {
            // A place in the function itself: `_THIS_IP_`, of which only the number is used.
            return Ok(());
        }
        let symbol_name = |symbol: SymbolIndex| {
            let entry = table.symbol(symbol).map_err(failed)?;
            entry.name(endian, table.strings()).map_err(failed)
        };
        let (name, distance) = match function {
            Some(function) => (symbol_name(function.symbol)?, address - function.start),
            None => (self.object.section_name(header).unwrap_or_default(), address),
        };
        if name.starts_with(STATIC_CALL_PREFIX) {
            return Ok(());
        }
        let mut name = self.budget.take_text(name)?;
        if distance > 0 {
            name.push_str(&format!("+{distance:#x}"));
        }
        let code = self.object.data(header, PART)?;
        let at = usize::try_from(address).ok().and_then(|at| code.get(at..));
        let has_endbr = at.is_some_and(|code| code.starts_with(&ENDBR64))
            && !self.sealed.contains(&(section.0, address));
        // Functions of one name in several sections count as one that has what all of them have.
        self.own.entry(name).and_modify(|all| *all &= has_endbr).or_insert(has_endbr);
        Ok(())
    }

    fn take_outside(&mut self, name: &[u8]) -> Result<(), ElfError> {
        if name.starts_with(STATIC_CALL_PREFIX) {
            return Ok(());
        }
        let name = self.budget.take_text(name)?;
        let symbol = if name.starts_with(SYMBOL_PREFIX) {
            let malformed = || ElfError::Malformed {
                part: PART,
                problem: "a livepatch symbol's name is none".to_owned(),
            };
            let LivepatchSymbol { object, name, position } =
                parse_symbol(&name).ok_or_else(malformed)?;
            OutsideSymbol { object: Some(object), name, position }
        } else {
            OutsideSymbol { object: None, name, position: 0 }
        };
        self.outside.insert(symbol);
        Ok(())
    }

    /// Whether two symbols are of one function: the compiler moves unlikely parts of `f` to
    /// `f.cold`.
    fn same_function(&self, left: SymbolIndex, right: SymbolIndex) -> Result<bool, ElfError> {
        let endian = self.object.elf.endian();
        let table = self.object.elf.elf_symbol_table();
        let failed = |source| ElfError::Part { part: PART, source };
        let stem = |symbol: SymbolIndex| -> Result<&[u8], ElfError> {
            let name = table.symbol(symbol).map_err(failed)?.name(endian, table.strings());
            let name = name.map_err(failed)?;
            Ok(name.strip_suffix(b".cold").unwrap_or(name))
        };
        Ok(left == right || stem(left)? == stem(right)?)
    }
}

/// Whether the four bytes at `offset` are the distance of a direct CALL, JMP or conditional jump.
/// No other instruction with such a distance has these bytes before it: what stands there is the
/// ModRM byte of an address relative to RIP, 00xxx101.
fn is_direct_branch(code: &[u8], offset: u64) -> bool {
    let Ok(offset) = usize::try_from(offset) else { return false };
    let before = |distance: usize| code.get(offset.checked_sub(distance)?).copied();
    matches!(before(1), Some(0xe8 | 0xe9))
        || (before(2) == Some(0x0f) && matches!(before(1), Some(0x80..=0x8f)))
}

fn has_flag(header: &SectionHeader, flag: u64) -> bool {
    header.sh_flags(object::Endianness::Little).0 & flag != 0
}

fn is_table(name: Option<&[u8]>) -> bool {
    name.is_some_and(|name| {
        TABLES.contains(&name) || TABLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

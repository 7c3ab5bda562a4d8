//! Which function each static local variable of an object belongs to. Symbols do not say: two
//! variables `count` of two functions are `count.0` and `count.1`, and the numbers change with
//! whatever is compiled before them.

use std::collections::{BTreeMap, HashMap};

use gimli::{AttributeValue, UnitHeader, constants};
use object::{
    elf::{SHF_WRITE, STB_LOCAL, STT_OBJECT},
    read::elf::{SectionHeader as _, Sym as _},
};

use crate::{
    ElfError,
    budget::Budget,
    debug_sections::{Content, DebugSections, Reader, STRING_OFFSETS},
    object_file::ObjectFile,
    relocated::{relocated, relocated_if_there},
    relocation_targets::relocation_targets,
    variable_location::{Address, address},
};

const PART: &str = "the debug information of variables";

/// A variable that only its own object sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticVariable {
    /// The function that it is local to; `None` for one of the file, and for what the compiler made.
    pub function: Option<String>,
    /// Its size, in bytes.
    pub size: u64,
    /// Whether it is in memory that can be written.
    pub is_writable: bool,
    /// Its section.
    pub section: String,
}

/// The static variables of an object, by their names without the numbers that are appended (`count`
/// for `count.12`, `__UNIQUE_ID_x` for `__UNIQUE_ID_x_7`), each name's in the order of the symbol
/// table.
///
/// # Errors
/// When the bytes are not an ELF file for x86-64, or its debug information is missing or malformed.
pub fn static_variables(bytes: &[u8]) -> Result<BTreeMap<String, Vec<StaticVariable>>, ElfError> {
    let object = ObjectFile::parse(bytes, "the object")?;
    let mut budget = Budget::new(bytes.len());
    let owners = owners(&object, &mut budget)?;
    let endian = object.elf.endian();
    let failed = |source| ElfError::Part { part: PART, source };
    let table = object.elf.elf_symbol_table();
    let mut variables: BTreeMap<String, Vec<StaticVariable>> = BTreeMap::new();
    for (index, symbol) in table.enumerate() {
        if symbol.st_type() != STT_OBJECT || symbol.st_bind() != STB_LOCAL {
            continue;
        }
        let section = table.symbol_section(endian, symbol, index).map_err(failed)?;
        let Some(section) = section else { continue };
        let header = object.elf.elf_section_table().section(section).map_err(failed)?;
        let name = budget.take_text(symbol.name(endian, table.strings()).map_err(failed)?)?;
        let variable = StaticVariable {
            function: owners.get(&(section.0, symbol.st_value(endian))).cloned(),
            size: symbol.st_size(endian),
            is_writable: header.sh_flags(endian).contains(SHF_WRITE),
            section: budget.take_text(object.section_name(header).unwrap_or_default())?,
        };
        variables.entry(stem(&name).to_owned()).or_default().push(variable);
    }
    Ok(variables)
}

/// The name before the numbers, as the kernel's objtool cuts it (`demangled_name_len` in
/// tools/objtool/elf.c), which leaves names of one letter as they are: to it `n.1` is no `n`.
fn stem(name: &str) -> &str {
    if !name.contains('.') && !name.starts_with("__UNIQUE_ID_") {
        return name;
    }
    match name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_') {
        stem if stem.len() > 1 => stem,
        _ => name,
    }
}

/// The functions of the variables at places of sections.
fn owners(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<HashMap<(usize, u64), String>, ElfError> {
    let targets = relocation_targets(object, ".debug_info", PART, budget)?;
    let numbered = relocation_targets(object, ".debug_addr", PART, budget)?;
    let info = relocated(object, ".debug_info", budget)?;
    let string_offsets = relocated_if_there(object, STRING_OFFSETS, budget)?;
    let content = Content { info: &info, lines: &[], string_offsets: &string_offsets };
    let sections = DebugSections::of(object, content, 0)?;
    let mut owners = HashMap::new();
    let mut units = sections.info.units();
    while let Some(unit) = units.next()? {
        let mut reader = UnitReader {
            sections: &sections,
            targets: &targets,
            numbered: &numbered,
            owners: &mut owners,
            budget,
        };
        reader.read(&unit)?;
    }
    Ok(owners)
}

struct UnitReader<'a, 'data> {
    sections: &'a DebugSections<'data>,
    /// Where the addresses in entries lead, by their places in `.debug_info`.
    targets: &'a BTreeMap<u64, (usize, u64)>,
    /// Where those in the list of addresses lead, by their places in `.debug_addr`.
    numbered: &'a BTreeMap<u64, (usize, u64)>,
    owners: &'a mut HashMap<(usize, u64), String>,
    budget: &'a mut Budget,
}

/// An entry whose children are being read.
#[derive(Clone, Copy)]
struct Open {
    /// Where the nearest function around begins, itself included.
    function: Option<usize>,
}

/// A function by its own name, or by that of the entry that describes it apart from its code.
#[derive(Default)]
struct Function {
    name: Option<String>,
    origin: Option<usize>,
}

impl<'data> UnitReader<'_, 'data> {
    fn read(&mut self, unit: &UnitHeader<Reader<'data>>) -> Result<(), ElfError> {
        let base = unit.offset().0;
        let abbreviations = unit.abbreviations(&self.sections.abbreviations)?;
        let bases = self.sections.bases(unit, &abbreviations)?;
        let mut raw = unit.entries_raw(&abbreviations, None)?;
        let mut open: Vec<Open> = Vec::new();
        let mut functions: HashMap<usize, Function> = HashMap::new();
        let mut found: Vec<((usize, u64), usize)> = Vec::new();
        while !raw.is_empty() {
            let offset = base + raw.next_offset().0;
            let depth = usize::try_from(raw.next_depth()).unwrap_or(0);
            let Some(abbreviation) = raw.read_abbreviation()? else { continue };
            open.truncate(depth);
            let is_function = abbreviation.tag() == constants::DW_TAG_subprogram
                || abbreviation.tag() == constants::DW_TAG_inlined_subroutine;
            let around = open.last().and_then(|open| open.function);
            let mut function = Function::default();
            for specification in abbreviation.attributes() {
                let start = base + raw.next_offset().0;
                let attribute = raw.read_attribute_inline(*specification)?;
                let end = base + raw.next_offset().0;
                match attribute.name() {
                    constants::DW_AT_name if is_function => {
                        let name = self.sections.text_in(&bases, attribute.raw_value())?;
                        function.name = Some(self.budget.take_text(name)?);
                    }
                    constants::DW_AT_abstract_origin | constants::DW_AT_specification
                        if is_function =>
                    {
                        if let AttributeValue::UnitRef(origin) = attribute.raw_value() {
                            function.origin = Some(base + origin.0);
                        }
                    }
                    constants::DW_AT_location
                        if abbreviation.tag() == constants::DW_TAG_variable =>
                    {
                        let place = match address(&attribute.raw_value()) {
                            Some(Address::Within) => {
                                let mut within = self.targets.range(start as u64..end as u64);
                                within.next().map(|(_, place)| place)
                            }
                            Some(Address::Numbered(number)) => {
                                let at = bases.address_place(number);
                                at.and_then(|at| self.numbered.get(&at))
                            }
                            None => None,
                        };
                        if let (Some(place), Some(function)) = (place, around) {
                            found.push((*place, function));
                        }
                    }
                    _ => {}
                }
            }
            if is_function {
                functions.insert(offset, function);
            }
            if abbreviation.has_children() {
                let function = if is_function { Some(offset) } else { around };
                // The depth of the entry and the number of open ones agree in what compilers write.
                open.resize(depth, Open { function: around });
                open.push(Open { function });
            }
        }
        for (place, function) in found {
            if let Some(name) = name_of(&functions, function) {
                let name = self.budget.take_text(name.as_bytes())?;
                self.owners.entry(place).or_insert(name);
            }
        }
        Ok(())
    }
}

/// The name of a function, through the entries that its own refers to.
fn name_of(functions: &HashMap<usize, Function>, at: usize) -> Option<&str> {
    /// A concrete function refers to an abstract one, and that to a declaration.
    const STEPS: usize = 4;
    let mut function = functions.get(&at)?;
    for _ in 0..STEPS {
        if let Some(name) = &function.name {
            return Some(name);
        }
        function = functions.get(&function.origin?)?;
    }
    None
}

//! The entries of an object's debug information that describe data, with their attributes.

use std::collections::HashMap;

use gimli::{
    AttributeValue, DebugTypeSignature, DebugTypes, DwTag, EndianSlice, LittleEndian, UnitHeader,
    UnitType, constants,
};
use object::read::elf::SectionHeader as _;

use crate::{
    ElfError,
    budget::Budget,
    debug_sections::{Content, DebugSections, Reader, STRING_OFFSETS},
    object_file::ObjectFile,
    relocated::{relocated_if_there, relocated_section},
    variable_location::address,
};

/// The most entries that are read; the largest objects of a kernel have some 200,000.
const ENTRIES: usize = 8_000_000;

/// The number of an entry in [`Entries::all`].
pub(super) type EntryId = usize;

/// All entries, parents before their children.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) all: Vec<Entry>,
    /// By section and offset in it.
    by_offset: HashMap<(usize, usize), EntryId>,
    /// The types of type units.
    by_signature: HashMap<u64, (usize, usize)>,
}

/// One entry.
pub(super) struct Entry {
    pub(super) tag: DwTag,
    pub(super) parent: Option<EntryId>,
    pub(super) children: Vec<EntryId>,
    pub(super) name: Option<String>,
    pub(super) byte_size: Option<u64>,
    pub(super) bit_size: Option<u64>,
    /// From the beginning of the structure, DWARF 4 and later.
    pub(super) data_bit_offset: Option<u64>,
    /// From the most significant bit of the storage unit, DWARF 3 and before.
    pub(super) bit_offset: Option<u64>,
    /// In bytes.
    pub(super) member_location: Option<u64>,
    /// Elements of an array's dimension.
    pub(super) count: Option<u64>,
    pub(super) upper_bound: Option<i64>,
    pub(super) encoding: Option<u64>,
    pub(super) constant: Option<i64>,
    pub(super) is_declaration: bool,
    /// Whether other objects can call or use it.
    pub(super) is_external: bool,
    /// Of a variable: whether it has an address of its own, unlike those on the stack.
    pub(super) has_address: bool,
    pub(super) file: Option<String>,
    type_reference: Option<Reference>,
    signature: Option<u64>,
}

#[derive(Clone, Copy)]
enum Reference {
    Entry(usize, usize),
    Signature(u64),
}

impl Entries {
    /// The entry of the type that an entry has; `None` for `void` and for what is not there.
    pub(super) fn type_of(&self, id: EntryId) -> Option<EntryId> {
        self.resolve(self.all[id].type_reference?)
    }

    /// The entry that defines what this one declares, when that is in a type unit.
    pub(super) fn definition(&self, id: EntryId) -> Option<EntryId> {
        self.resolve(Reference::Signature(self.all[id].signature?))
    }

    fn resolve(&self, reference: Reference) -> Option<EntryId> {
        let place = match reference {
            Reference::Entry(section, offset) => (section, offset),
            Reference::Signature(signature) => *self.by_signature.get(&signature)?,
        };
        self.by_offset.get(&place).copied()
    }
}

/// Reads all sections with debug information on types. There are several where gcc was told to give
/// each type a section of its own (`-fdebug-types-section`).
pub(super) fn read(object: &ObjectFile<'_>, budget: &mut Budget) -> Result<Entries, ElfError> {
    let mut entries = Entries::default();
    let lines = match object.header(".debug_line") {
        Some((index, header)) => relocated_section(object, index, header, ".debug_line", budget)?,
        None => Vec::new(),
    };
    let string_offsets = relocated_if_there(object, STRING_OFFSETS, budget)?;
    let mut found = false;
    for (index, header) in object.elf.elf_section_table().enumerate() {
        let name = object.section_name(header);
        let is_types = name == Some(b".debug_types");
        if !is_types && name != Some(b".debug_info") {
            continue;
        }
        if header.sh_flags(object.elf.endian()).contains(object::elf::SHF_COMPRESSED) {
            return Err(ElfError::NoDebugInformation {
                section: ".debug_info",
                problem: "is compressed",
            });
        }
        found = true;
        let data = relocated_section(object, index, header, ".debug_info", budget)?;
        let content = Content { info: &data, lines: &lines, string_offsets: &string_offsets };
        let sections = DebugSections::of(object, content, 0)?;
        let mut reader =
            UnitReader { sections: &sections, section: index.0, entries: &mut entries, budget };
        if is_types {
            let types = DebugTypes::from(EndianSlice::new(&data, LittleEndian));
            let mut units = types.units();
            while let Some(unit) = units.next()? {
                reader.read(&unit)?;
            }
        } else {
            let mut units = sections.info.units();
            while let Some(unit) = units.next()? {
                reader.read(&unit)?;
            }
        }
    }
    if !found {
        return Err(ElfError::NoDebugInformation { section: ".debug_info", problem: "is missing" });
    }
    Ok(entries)
}

struct UnitReader<'a, 'data> {
    sections: &'a DebugSections<'data>,
    section: usize,
    entries: &'a mut Entries,
    budget: &'a mut Budget,
}

impl<'data> UnitReader<'_, 'data> {
    fn read(&mut self, unit: &UnitHeader<Reader<'data>>) -> Result<(), ElfError> {
        let base = unit.offset().0;
        if let UnitType::Type { type_signature: DebugTypeSignature(signature), type_offset } =
            unit.type_()
        {
            self.entries.by_signature.insert(signature, (self.section, base + type_offset.0));
        }
        let abbreviations = unit.abbreviations(&self.sections.abbreviations)?;
        let bases = self.sections.bases(unit, &abbreviations)?;
        let mut raw = unit.entries_raw(&abbreviations, None)?;
        let mut files = Vec::new();
        // The entries that are open: their children follow.
        let mut open: Vec<EntryId> = Vec::new();
        while !raw.is_empty() {
            let offset = base + raw.next_offset().0;
            let depth = usize::try_from(raw.next_depth()).unwrap_or(0);
            let Some(abbreviation) = raw.read_abbreviation()? else { continue };
            open.truncate(depth);
            let mut entry = Entry::new(abbreviation.tag(), open.last().copied());
            let mut line_table = None;
            for specification in abbreviation.attributes() {
                let attribute = raw.read_attribute_inline(*specification)?;
                match attribute.name() {
                    constants::DW_AT_stmt_list => line_table = Some(attribute.value()),
                    constants::DW_AT_decl_file => {
                        let index =
                            attribute.udata_value().and_then(|index| usize::try_from(index).ok());
                        entry.file = index.and_then(|index| files.get(index).cloned().flatten());
                    }
                    constants::DW_AT_name => {
                        let name = self.sections.text_in(&bases, attribute.raw_value())?;
                        entry.name = Some(self.budget.take_text(name)?);
                    }
                    name => entry.take(name, &attribute, self.section, base),
                }
            }
            if let Some(value) = line_table {
                files = self.file_names(unit, &value);
            }
            let id = self.entries.all.len();
            if id >= ENTRIES {
                return Err(ElfError::Malformed {
                    part: "the debug information",
                    problem: format!("it has more than {ENTRIES} entries"),
                });
            }
            if let Some(parent) = entry.parent {
                self.entries.all[parent].children.push(id);
            }
            self.entries.by_offset.insert((self.section, offset), id);
            self.entries.all.push(entry);
            if abbreviation.has_children() {
                open.push(id);
            }
        }
        Ok(())
    }

    /// The names of the line table's files, by their numbers. They only help people: where they
    /// cannot be read, there are none.
    fn file_names(
        &self,
        unit: &UnitHeader<Reader<'data>>,
        value: &AttributeValue<Reader<'data>>,
    ) -> Vec<Option<String>> {
        let offset = match value {
            AttributeValue::DebugLineRef(offset) => *offset,
            AttributeValue::SecOffset(offset) => gimli::DebugLineOffset(*offset),
            _ => return Vec::new(),
        };
        let Ok(program) = self.sections.lines.program(offset, unit.address_size(), None, None)
        else {
            return Vec::new();
        };
        let header = program.header();
        // From version 5 on, number 0 is the unit itself; before, numbers began with 1.
        let first: u64 = if header.version() >= 5 { 0 } else { 1 };
        let count = first + header.file_names().len() as u64;
        (0..count)
            .map(|number| {
                let file = header.file(number)?;
                let name = self.sections.text(file.path_name()).ok()?;
                let directory = match file.directory_index() {
                    0 => None,
                    _ => file.directory(header).and_then(|text| self.sections.text(text).ok()),
                };
                let mut path = directory.map(|text| [text, b"/"].concat()).unwrap_or_default();
                path.extend_from_slice(name);
                let path = String::from_utf8_lossy(&path).into_owned();
                Some(path.strip_prefix("./").unwrap_or(&path).to_owned())
            })
            .collect()
    }
}

impl Entry {
    fn new(tag: DwTag, parent: Option<EntryId>) -> Self {
        Self {
            tag,
            parent,
            children: Vec::new(),
            name: None,
            byte_size: None,
            bit_size: None,
            data_bit_offset: None,
            bit_offset: None,
            member_location: None,
            count: None,
            upper_bound: None,
            encoding: None,
            constant: None,
            is_declaration: false,
            is_external: false,
            has_address: false,
            file: None,
            type_reference: None,
            signature: None,
        }
    }

    fn take(
        &mut self,
        name: gimli::DwAt,
        attribute: &gimli::Attribute<Reader<'_>>,
        section: usize,
        unit: usize,
    ) {
        let number = attribute.udata_value();
        match name {
            constants::DW_AT_byte_size => self.byte_size = number,
            constants::DW_AT_bit_size => self.bit_size = number,
            constants::DW_AT_data_bit_offset => self.data_bit_offset = number,
            constants::DW_AT_bit_offset => self.bit_offset = number,
            constants::DW_AT_count => self.count = number,
            constants::DW_AT_upper_bound => self.upper_bound = attribute.sdata_value(),
            constants::DW_AT_encoding => {
                self.encoding = match attribute.value() {
                    AttributeValue::Encoding(encoding) => Some(u64::from(encoding.0)),
                    _ => number,
                }
            }
            constants::DW_AT_const_value => self.constant = attribute.sdata_value(),
            constants::DW_AT_declaration => self.is_declaration = true,
            constants::DW_AT_external => self.is_external = true,
            constants::DW_AT_data_member_location => {
                self.member_location = number.or_else(|| plus_constant(&attribute.raw_value()));
            }
            constants::DW_AT_location => {
                self.has_address = address(&attribute.raw_value()).is_some();
            }
            constants::DW_AT_type => {
                self.type_reference = match attribute.raw_value() {
                    AttributeValue::UnitRef(offset) => {
                        Some(Reference::Entry(section, unit + offset.0))
                    }
                    AttributeValue::DebugInfoRef(offset) => {
                        Some(Reference::Entry(section, offset.0))
                    }
                    AttributeValue::DebugTypesRef(signature) => {
                        Some(Reference::Signature(signature.0))
                    }
                    _ => None,
                }
            }
            constants::DW_AT_signature => {
                if let AttributeValue::DebugTypesRef(signature) = attribute.raw_value() {
                    self.signature = Some(signature.0);
                }
            }
            _ => {}
        }
    }
}

/// The offset in the expression `DW_OP_plus_uconst OFFSET`, as DWARF 2 writes it.
fn plus_constant(value: &AttributeValue<Reader<'_>>) -> Option<u64> {
    let bytes = match value {
        AttributeValue::Exprloc(expression) => expression.0.slice(),
        AttributeValue::Block(block) => block.slice(),
        _ => return None,
    };
    let (first, number) = bytes.split_first()?;
    let mut reader = EndianSlice::new(number, LittleEndian);
    let number = gimli::Reader::read_uleb128(&mut reader).ok()?;
    (*first == constants::DW_OP_plus_uconst.0).then_some(number)
}

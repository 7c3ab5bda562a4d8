use std::ops::Range;

use gimli::{
    Abbreviations, AttributeValue, DW_AT_addr_base, DW_AT_str_offsets_base, DebugAbbrev,
    DebugAddrBase, DebugInfo, DebugLine, DebugLineStr, DebugStr, DebugStrOffsets,
    DebugStrOffsetsBase, EndianSlice, Format, LittleEndian, UnitHeader,
};
use object::{elf::SHF_COMPRESSED, read::elf::SectionHeader as _};

use crate::{ElfError, object_file::ObjectFile};

pub(crate) type Reader<'data> = EndianSlice<'data, LittleEndian>;

/// The section with the places of texts that entries name by numbers.
pub(crate) const STRING_OFFSETS: &str = ".debug_str_offsets";

/// What sections with debug information hold that may have to be relocated before.
#[derive(Clone, Copy)]
pub(crate) struct Content<'data> {
    pub(crate) info: &'data [u8],
    pub(crate) lines: &'data [u8],
    /// Of [`STRING_OFFSETS`]; empty where there is none.
    pub(crate) string_offsets: &'data [u8],
}

/// Where the lists begin that the entries of a unit take texts and addresses from by number.
#[derive(Clone, Copy)]
pub(crate) struct UnitBases {
    strings: Option<DebugStrOffsetsBase<usize>>,
    addresses: Option<DebugAddrBase<usize>>,
    format: Format,
}

impl UnitBases {
    /// Where in `.debug_addr` the address of a number is; `None` when the unit has no list of them.
    /// The kernel's addresses have eight bytes.
    pub(crate) fn address_place(&self, index: u64) -> Option<u64> {
        let base = self.addresses?.0 as u64;
        index.checked_mul(8)?.checked_add(base)
    }
}

/// The sections with debug information that are looked at.
pub(crate) struct DebugSections<'data> {
    pub(crate) info: DebugInfo<Reader<'data>>,
    pub(crate) abbreviations: DebugAbbrev<Reader<'data>>,
    pub(crate) lines: DebugLine<Reader<'data>>,
    strings: DebugStr<Reader<'data>>,
    line_strings: DebugLineStr<Reader<'data>>,
    string_offsets: DebugStrOffsets<Reader<'data>>,
    /// Where in the file `.debug_info` begins.
    pub(crate) info_start: usize,
}

impl<'data> DebugSections<'data> {
    pub(crate) fn load(object: &ObjectFile<'data>) -> Result<Self, ElfError> {
        let (info, info_range) = section(object, ".debug_info")?;
        let (lines, _) = section(object, ".debug_line")?;
        // gcc writes none.
        let string_offsets = match object.header(STRING_OFFSETS) {
            Some(_) => section(object, STRING_OFFSETS)?.0,
            None => &[],
        };
        Self::of(object, Content { info, lines, string_offsets }, info_range.start)
    }

    /// The sections of a relocatable object, some of which were relocated before: the others that
    /// are looked at refer to nothing.
    pub(crate) fn relocated(
        object: &ObjectFile<'data>,
        content: Content<'data>,
    ) -> Result<Self, ElfError> {
        // Refuses compressed ones.
        section(object, ".debug_info")?;
        section(object, ".debug_line")?;
        Self::of(object, content, 0)
    }

    /// The sections of an object, with some of them read before.
    pub(crate) fn of(
        object: &ObjectFile<'data>,
        content: Content<'data>,
        info_start: usize,
    ) -> Result<Self, ElfError> {
        let Content { info, lines, string_offsets } = content;
        let (abbreviations, _) = section(object, ".debug_abbrev")?;
        let (strings, _) = section(object, ".debug_str")?;
        // DWARF 4 has none.
        let line_strings = section(object, ".debug_line_str").map_or(&[][..], |(data, _)| data);
        Ok(Self {
            info: DebugInfo::new(info, LittleEndian),
            abbreviations: DebugAbbrev::new(abbreviations, LittleEndian),
            lines: DebugLine::new(lines, LittleEndian),
            strings: DebugStr::new(strings, LittleEndian),
            line_strings: DebugLineStr::from(EndianSlice::new(line_strings, LittleEndian)),
            string_offsets: DebugStrOffsets::from(EndianSlice::new(string_offsets, LittleEndian)),
            info_start,
        })
    }

    /// What the attributes of a unit's entries count from.
    ///
    /// # Errors
    /// When the unit's first entry cannot be read.
    pub(crate) fn bases(
        &self,
        unit: &UnitHeader<Reader<'data>>,
        abbreviations: &Abbreviations,
    ) -> Result<UnitBases, ElfError> {
        let root = unit.entry(abbreviations, unit.root_offset())?;
        let strings = match root.attr_value(DW_AT_str_offsets_base) {
            Some(AttributeValue::DebugStrOffsetsBase(base)) => Some(base),
            _ => None,
        };
        let addresses = match root.attr_value(DW_AT_addr_base) {
            Some(AttributeValue::DebugAddrBase(base)) => Some(base),
            _ => None,
        };
        Ok(UnitBases { strings, addresses, format: unit.format() })
    }

    /// The text of an attribute of an entry. clang names texts by their numbers in the unit's list
    /// (DWARF 5, 7.26), gcc by their places.
    pub(crate) fn text_in(
        &self,
        bases: &UnitBases,
        value: AttributeValue<Reader<'data>>,
    ) -> Result<&'data [u8], ElfError> {
        let (AttributeValue::DebugStrOffsetsIndex(index), Some(base)) = (&value, bases.strings)
        else {
            return self.text(value);
        };
        let offset = self.string_offsets.get_str_offset(bases.format, base, *index)?;
        Ok(self.strings.get_str(offset)?.slice())
    }

    /// The text of an attribute, or of an entry of a line table, that names it by its place. The
    /// kernel's debug information is in one piece, so that the forms of split debug information do
    /// not occur.
    pub(crate) fn text(
        &self,
        value: AttributeValue<Reader<'data>>,
    ) -> Result<&'data [u8], ElfError> {
        Ok(match value {
            AttributeValue::String(text) => text.slice(),
            AttributeValue::DebugStrRef(offset) => self.strings.get_str(offset)?.slice(),
            AttributeValue::DebugLineStrRef(offset) => self.line_strings.get_str(offset)?.slice(),
            _ => {
                return Err(ElfError::Malformed {
                    part: "the debug information",
                    problem: "a name has a form of split debug information".to_owned(),
                });
            }
        })
    }
}

fn section<'data>(
    object: &ObjectFile<'data>,
    name: &'static str,
) -> Result<(&'data [u8], Range<usize>), ElfError> {
    let failed = |problem| ElfError::NoDebugInformation { section: name, problem };
    let (_, header) = object.header(name).ok_or_else(|| failed("is missing"))?;
    let endian = object.elf.endian();
    if header.sh_flags(endian).contains(SHF_COMPRESSED) {
        return Err(failed("is compressed"));
    }
    let data = object.data(header, name)?;
    // It lies in the file that is in memory, so that its offset fits.
    let start = header.sh_offset(endian) as usize;
    Ok((data, start..start + data.len()))
}

use std::ops::Range;

use gimli::{
    AttributeValue, DebugAbbrev, DebugInfo, DebugLine, DebugLineStr, DebugStr, EndianSlice,
    LittleEndian,
};
use object::{elf::SHF_COMPRESSED, read::elf::SectionHeader as _};

use crate::{ElfError, object_file::ObjectFile};

pub(crate) type Reader<'data> = EndianSlice<'data, LittleEndian>;

/// The sections with debug information that are looked at.
pub(crate) struct DebugSections<'data> {
    pub(crate) info: DebugInfo<Reader<'data>>,
    pub(crate) abbreviations: DebugAbbrev<Reader<'data>>,
    pub(crate) lines: DebugLine<Reader<'data>>,
    strings: DebugStr<Reader<'data>>,
    line_strings: DebugLineStr<Reader<'data>>,
    /// Where in the file `.debug_info` begins.
    pub(crate) info_start: usize,
}

impl<'data> DebugSections<'data> {
    pub(crate) fn load(object: &ObjectFile<'data>) -> Result<Self, ElfError> {
        let (info, info_range) = section(object, ".debug_info")?;
        let (lines, _) = section(object, ".debug_line")?;
        Self::of(object, info, lines, info_range.start)
    }

    /// The sections of a relocatable object, two of which were relocated before: the others that
    /// are looked at refer to nothing.
    pub(crate) fn relocated(
        object: &ObjectFile<'data>,
        info: &'data [u8],
        lines: &'data [u8],
    ) -> Result<Self, ElfError> {
        // Refuses compressed ones.
        section(object, ".debug_info")?;
        section(object, ".debug_line")?;
        Self::of(object, info, lines, 0)
    }

    /// The sections of an object, with two of them read before.
    pub(crate) fn of(
        object: &ObjectFile<'data>,
        info: &'data [u8],
        lines: &'data [u8],
        info_start: usize,
    ) -> Result<Self, ElfError> {
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
            info_start,
        })
    }

    /// The text of an attribute. The kernel's debug information is in one piece, so that the forms
    /// of split debug information do not occur.
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

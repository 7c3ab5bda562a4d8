use std::collections::BTreeMap;

use gimli::{
    Abbreviation, AttributeValue, DW_TAG_structure_type, EntriesRaw, UnitHeader, UnitOffset,
    constants,
};

use crate::{
    ElfError,
    debug_sections::{DebugSections, Reader},
};

/// What the attributes of an entry say that matters here.
#[derive(Default)]
struct Entry<'data> {
    name: Option<AttributeValue<Reader<'data>>>,
    size: Option<u64>,
    is_declaration: bool,
    sibling: Option<UnitOffset>,
}

/// Looks for structures by name, unit by unit, and stops when all are found. `after_unit` is told
/// where in `.debug_info` each unit that was read ended.
pub(crate) fn struct_sizes(
    sections: &DebugSections<'_>,
    names: &[&str],
    mut after_unit: impl FnMut(usize),
) -> Result<BTreeMap<String, u64>, ElfError> {
    let mut found = BTreeMap::new();
    let mut end = 0;
    let mut units = sections.info.units();
    while found.len() < names.len() {
        let Some(unit) = units.next()? else { break };
        read_unit(sections, &unit, names, &mut found)?;
        end += unit.length_including_self();
        after_unit(end);
    }
    Ok(found)
}

/// Looks at the entries right below the unit's own; structures inside functions do not count.
fn read_unit<'data>(
    sections: &DebugSections<'data>,
    unit: &UnitHeader<Reader<'data>>,
    names: &[&str],
    found: &mut BTreeMap<String, u64>,
) -> Result<(), ElfError> {
    let abbreviations = unit.abbreviations(&sections.abbreviations)?;
    let bases = sections.bases(unit, &abbreviations)?;
    let mut entries = unit.entries_raw(&abbreviations, None)?;
    let Some(root) = entries.read_abbreviation()? else { return Ok(()) };
    entries.skip_attributes(root.attributes())?;
    // The reader counts depth from where it was put down, which the jumps below change.
    let mut depth_of_reader = 0;
    while !entries.is_empty() {
        let depth = entries.next_depth() + depth_of_reader;
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        let is_structure = depth == 1 && abbreviation.tag() == DW_TAG_structure_type;
        if !is_structure && !abbreviation.has_children() {
            entries.skip_attributes(abbreviation.attributes())?;
            continue;
        }
        let entry = read_entry(&mut entries, abbreviation)?;
        if is_structure
            && !entry.is_declaration
            && let (Some(name), Some(size)) = (entry.name, entry.size)
        {
            let name = sections.text_in(&bases, name)?;
            if let Some(name) = names.iter().find(|wanted| wanted.as_bytes() == name) {
                found.insert((*name).to_owned(), size);
                if found.len() == names.len() {
                    return Ok(());
                }
            }
        }
        if let Some(sibling) = entry.sibling
            && sibling.0 > entries.next_offset().0
        {
            entries = unit.entries_raw(&abbreviations, Some(sibling))?;
            depth_of_reader = depth;
        }
    }
    Ok(())
}

fn read_entry<'data>(
    entries: &mut EntriesRaw<'_, Reader<'data>>,
    abbreviation: &Abbreviation,
) -> Result<Entry<'data>, ElfError> {
    let mut entry = Entry::default();
    for specification in abbreviation.attributes() {
        let attribute = entries.read_attribute_inline(*specification)?;
        match attribute.name() {
            constants::DW_AT_name => entry.name = Some(attribute.raw_value()),
            constants::DW_AT_byte_size => entry.size = attribute.udata_value(),
            constants::DW_AT_declaration => entry.is_declaration = true,
            constants::DW_AT_sibling => {
                if let AttributeValue::UnitRef(offset) = attribute.raw_value() {
                    entry.sibling = Some(offset);
                }
            }
            _ => {}
        }
    }
    Ok(entry)
}

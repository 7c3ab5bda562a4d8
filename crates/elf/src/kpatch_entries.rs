use crate::{ElfError, budget::Budget, object_file::ObjectFile, pointers::Pointers};

/// The form of one of the arrays that create-diff-object writes, in bytes.
pub(crate) struct Form {
    /// The section, as errors name it: `section .kpatch.funcs`.
    pub(crate) part: &'static str,
    pub(crate) section: &'static str,
    /// The section with its relocations: in the file the pointers are relocations still.
    pub(crate) relocations: &'static str,
    pub(crate) entry_bytes: usize,
    pub(crate) position_at: usize,
    pub(crate) name_at: u64,
    pub(crate) object_name_at: u64,
}

/// What both arrays say in each entry.
pub(crate) struct Entry {
    pub(crate) object: String,
    pub(crate) name: String,
    pub(crate) position: u64,
}

/// The entries in the order of the section; none where there is no such section.
pub(crate) fn entries(
    object: &ObjectFile<'_>,
    form: &Form,
    budget: &mut Budget,
) -> Result<Vec<Entry>, ElfError> {
    let Some((index, header)) = object.header(form.section) else { return Ok(Vec::new()) };
    let data = object.data(header, form.part)?;
    let pointers = Pointers::read(object, index, form.relocations, form.part, budget)?;
    let entries = data.chunks_exact(form.entry_bytes);
    if !entries.remainder().is_empty() {
        return Err(pointers.malformed(format!("{} bytes are no whole entries", data.len())));
    }
    let mut text_at = |offset| budget.take_text(pointers.some_text(offset)?);
    (0..)
        .step_by(form.entry_bytes)
        .zip(entries)
        .map(|(start, entry)| {
            let position = entry[form.position_at..].first_chunk::<8>();
            Ok(Entry {
                object: text_at(start + form.object_name_at)?,
                name: text_at(start + form.name_at)?,
                position: position.map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            })
        })
        .collect()
}

//! The functions that a module made by the kernel's own objtool replaces.
//!
//! `objtool klp diff` writes a `struct klp_object_ext` for each object into `.init.klp_objects` and
//! a `struct klp_func_ext` for each changed function into `.init.klp_funcs`
//! (include/linux/livepatch_external.h, from Linux 6.19 on). The module's init code makes the
//! kernel's structures from them. In the file the pointers are still relocations.

use std::ops::Range;

use crate::{
    ElfError, ReplacedFunction, budget::Budget, object_file::ObjectFile, pointers::Pointers,
};

const OBJECTS: &str = "section .init.klp_objects";
const FUNCTIONS: &str = "section .init.klp_funcs";

/// `struct klp_object_ext`: name, functions, four callbacks and a bool, and the number of functions.
const OBJECT_BYTES: usize = 64;
const OBJECT_NAME_AT: u64 = 0;
const OBJECT_FUNCTIONS_AT: u64 = 8;
const FUNCTION_COUNT_AT: usize = 56;

/// `struct klp_func_ext`: the old name, the new function, and the position of the old one.
const FUNCTION_BYTES: usize = 24;
const NAME_AT: u64 = 0;
const POSITION_AT: usize = 16;

/// What an object without a name is: livepatches know the kernel image by its having none.
const IMAGE: &[u8] = b"vmlinux";

/// The functions in the order of their objects; empty for a module that objtool did not make.
pub(crate) fn klp_functions(
    object: &ObjectFile<'_>,
    budget: &mut Budget,
) -> Result<Vec<ReplacedFunction>, ElfError> {
    let Some((objects, header)) = object.header(".init.klp_objects") else {
        return Ok(Vec::new());
    };
    let data = object.data(header, OBJECTS)?;
    let objects = Pointers::read(object, objects, ".rela.init.klp_objects", OBJECTS, budget)?;
    let entries = data.chunks_exact(OBJECT_BYTES);
    if !entries.remainder().is_empty() {
        return Err(objects.malformed(format!("{} bytes are no whole entries", data.len())));
    }
    let table = FunctionTable::read(object, budget)?;
    let mut found = Vec::new();
    for (start, entry) in (0..).step_by(OBJECT_BYTES).zip(entries) {
        let name = objects.text(start + OBJECT_NAME_AT)?.unwrap_or(IMAGE);
        let count = entry[FUNCTION_COUNT_AT..].first_chunk::<4>();
        let count = count.map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
        // Each function belongs to one object. It also bounds the work: hostile objects cannot all
        // claim the same functions.
        if count > table.count() - found.len() {
            return Err(objects.malformed("more functions than there are".to_owned()));
        }
        if count == 0 {
            continue;
        }
        let target = objects.target(start + OBJECT_FUNCTIONS_AT)?;
        for number in table.range(target, count)? {
            let object = budget.take_text(name)?;
            let (name, position) = table.function(number, budget)?;
            found.push(ReplacedFunction { object, name, position });
        }
    }
    if found.len() != table.count() {
        return Err(objects.malformed("functions that belong to no object".to_owned()));
    }
    Ok(found)
}

/// The entries of `.init.klp_funcs`.
struct FunctionTable<'object, 'data> {
    section: object::SectionIndex,
    data: &'data [u8],
    pointers: Pointers<'object, 'data>,
}

impl<'object, 'data> FunctionTable<'object, 'data> {
    fn read(object: &'object ObjectFile<'data>, budget: &mut Budget) -> Result<Self, ElfError> {
        let (section, header) = object.header(".init.klp_funcs").ok_or_else(|| {
            let problem = "there are objects, and no functions".to_owned();
            ElfError::Malformed { part: FUNCTIONS, problem }
        })?;
        let data = object.data(header, FUNCTIONS)?;
        let pointers = Pointers::read(object, section, ".rela.init.klp_funcs", FUNCTIONS, budget)?;
        if data.len() % FUNCTION_BYTES != 0 {
            return Err(pointers.malformed(format!("{} bytes are no whole entries", data.len())));
        }
        Ok(Self { section, data, pointers })
    }

    fn count(&self) -> usize {
        self.data.len() / FUNCTION_BYTES
    }

    /// The numbers of `count` functions, of which the first is at `target`.
    fn range(
        &self,
        target: Option<(object::SectionIndex, usize)>,
        count: usize,
    ) -> Result<Range<usize>, ElfError> {
        match target {
            Some((section, offset))
                if section == self.section
                    && offset % FUNCTION_BYTES == 0
                    && offset / FUNCTION_BYTES <= self.count() - count =>
            {
                let first = offset / FUNCTION_BYTES;
                Ok(first..first + count)
            }
            _ => Err(self.pointers.malformed("an object's functions are not in it".to_owned())),
        }
    }

    /// Name and position of a function.
    fn function(&self, number: usize, budget: &mut Budget) -> Result<(String, u64), ElfError> {
        let start = number * FUNCTION_BYTES;
        let name = self.pointers.some_text(start as u64 + NAME_AT)?;
        let position = self.data[start + POSITION_AT..].first_chunk::<8>();
        let position = position.map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok((budget.take_text(name)?, position))
    }
}

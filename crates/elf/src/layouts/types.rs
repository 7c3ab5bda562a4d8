//! From entries of debug information to layouts.

use std::collections::{BTreeMap, HashMap};

use elivepatch_model::Sha256Digest;
use gimli::{DwTag, constants};

use super::{
    Constant, Layouts, Member, Signature, Structure, TypeShape,
    entries::{Entries, Entry, EntryId},
};
use crate::{ElfError, budget::Budget};

/// How deep types may lie in each other; those of a kernel stay below 30.
const DEPTH: usize = 200;

/// What the kernel's `__UNIQUE_ID` names begin with: a number follows that another line changes.
const NUMBERED: &str = "__UNIQUE_ID_";

/// Works out the layouts of all named structures, constants and variables.
pub(super) fn layouts(entries: &Entries, budget: &mut Budget) -> Result<Layouts, ElfError> {
    let mut types = Types { entries, shapes: HashMap::new(), budget };
    let mut layouts = Layouts::default();
    for (id, entry) in entries.all.iter().enumerate() {
        match entry.tag {
            tag if is_structure(tag) && !entry.is_declaration => {
                if let Some(name) = &entry.name {
                    let key = types.scoped(id, &format!("{} {name}", keyword(tag)))?;
                    let structure = types.structure(id)?;
                    add(&mut layouts.structures, key, structure)?;
                }
            }
            constants::DW_TAG_typedef => {
                // `typedef struct { … } name;`: the structure has no other name.
                if let (Some(name), Some(target)) = (&entry.name, entries.type_of(id))
                    && is_structure(entries.all[target].tag)
                    && entries.all[target].name.is_none()
                {
                    let key = types.scoped(id, name)?;
                    let structure = types.structure(target)?;
                    add(&mut layouts.structures, key, structure)?;
                }
            }
            constants::DW_TAG_enumeration_type => types.constants(id, &mut layouts)?,
            constants::DW_TAG_subprogram if entry.is_external && !entry.is_declaration => {
                if let Some(name) = &entry.name {
                    let signature = types.signature(id)?;
                    layouts.signatures.insert(name.clone(), signature);
                }
            }
            // Those on the stack live as long as a call, which a livepatch waits for. Constants come
            // with the patched code, or kpatch refuses them.
            constants::DW_TAG_variable if entry.has_address || entry.is_declaration => {
                if let (Some(name), Some(target)) = (&entry.name, entries.type_of(id))
                    && !name.starts_with(NUMBERED)
                    && !types.is_constant(target)
                {
                    let key = types.scoped(id, name)?;
                    let shape = types.shape(target, 0)?;
                    add(&mut layouts.variables, key, shape)?;
                }
            }
            _ => {}
        }
    }
    Ok(layouts)
}

/// How many different things of one name are told apart.
const SAME_NAME: usize = 1000;

/// Adds a value; a second, different one of the same name gets a number, as in one function that
/// has two blocks with a variable each.
fn add<V: PartialEq>(map: &mut BTreeMap<String, V>, key: String, value: V) -> Result<(), ElfError> {
    let mut candidate = key.clone();
    for number in 2..SAME_NAME {
        match map.get(&candidate) {
            None => {
                map.insert(candidate, value);
                return Ok(());
            }
            Some(present) if *present == value => return Ok(()),
            Some(_) => candidate = format!("{key} ({number})"),
        }
    }
    Err(ElfError::Malformed {
        part: "the debug information",
        problem: format!("it has {SAME_NAME} things called {key}"),
    })
}

struct Types<'a> {
    entries: &'a Entries,
    shapes: HashMap<EntryId, TypeShape>,
    budget: &'a mut Budget,
}

fn is_structure(tag: DwTag) -> bool {
    [constants::DW_TAG_structure_type, constants::DW_TAG_union_type, constants::DW_TAG_class_type]
        .contains(&tag)
}

fn keyword(tag: DwTag) -> &'static str {
    if tag == constants::DW_TAG_union_type { "union" } else { "struct" }
}

impl Types<'_> {
    /// The name with those of the functions around it.
    fn scoped(&mut self, id: EntryId, name: &str) -> Result<String, ElfError> {
        let mut text = name.to_owned();
        let mut parent = self.entries.all[id].parent;
        let mut steps = 0;
        while let Some(id) = parent.filter(|_| steps < DEPTH) {
            let entry = &self.entries.all[id];
            if entry.tag == constants::DW_TAG_subprogram
                && let Some(function) = &entry.name
            {
                text = format!("{function}: {text}");
            }
            parent = entry.parent;
            steps += 1;
        }
        self.budget.take_text(text.as_bytes())
    }

    fn constants(&mut self, id: EntryId, layouts: &mut Layouts) -> Result<(), ElfError> {
        let entries = self.entries;
        let values = || {
            let of_child = |child: &EntryId| entries.all[*child].constant;
            entries.all[id].children.iter().filter_map(of_child)
        };
        let highest = values().max();
        // `enum { A, __LAST, MAX = __LAST - 1 }` has two marks of its end.
        let two_marks = entries.all[id].children.iter().any(|child| {
            let entry = &entries.all[*child];
            entry.constant == highest
                && entry.name.as_deref().is_some_and(|name| name.starts_with("__"))
        });
        for child in &entries.all[id].children {
            let entry = &entries.all[*child];
            if let (Some(name), Some(value)) = (&entry.name, entry.constant) {
                let key = self.scoped(*child, name)?;
                let is_at_end =
                    highest == Some(value) || (two_marks && highest == value.checked_add(1));
                add(&mut layouts.constants, key, Constant { value, is_at_end })?;
            }
        }
        Ok(())
    }

    fn signature(&mut self, id: EntryId) -> Result<Signature, ElfError> {
        let entries = self.entries;
        let mut part = |target: Option<EntryId>| match target {
            Some(target) => self.shape(target, 0),
            None => Ok(shape(0, "void", "void".to_owned())),
        };
        let result = part(entries.type_of(id))?;
        let (mut digests, mut texts) = (vec![result.digest.to_string()], Vec::new());
        for child in entries.all[id].children.iter().copied() {
            match entries.all[child].tag {
                constants::DW_TAG_formal_parameter => {
                    let parameter = part(entries.type_of(child))?;
                    digests.push(parameter.digest.to_string());
                    texts.push(parameter.text);
                }
                constants::DW_TAG_unspecified_parameters => {
                    digests.push("...".to_owned());
                    texts.push("...".to_owned());
                }
                _ => {}
            }
        }
        if texts.is_empty() {
            texts.push("void".to_owned());
        }
        let text = format!("{} ({})", result.text, texts.join(", "));
        self.budget.take_text(text.as_bytes())?;
        Ok(Signature { digest: Sha256Digest::of(digests.join(" ").as_bytes()), text })
    }

    fn structure(&mut self, id: EntryId) -> Result<Structure, ElfError> {
        let entry = &self.entries.all[id];
        let mut structure = Structure {
            size: entry.byte_size.unwrap_or(0),
            file: entry.file.clone(),
            members: Default::default(),
        };
        self.add_members(id, 0, 0, &mut structure)?;
        Ok(structure)
    }

    /// Adds the members of a structure that lies at `offset_bits` of the one that is read.
    fn add_members(
        &mut self,
        id: EntryId,
        offset_bits: u64,
        depth: usize,
        structure: &mut Structure,
    ) -> Result<(), ElfError> {
        check_depth(depth)?;
        let entries = self.entries;
        for child in entries.all[id].children.iter().copied() {
            let entry = &entries.all[child];
            if entry.tag != constants::DW_TAG_member {
                continue;
            }
            // Also nameless ones: in a hostile file structures may lie in each other without end.
            self.budget.take_text(b"")?;
            let target = entries.type_of(child);
            let size = match target {
                Some(target) => self.shape(target, depth + 1)?.size,
                None => 0,
            };
            let offset_bits = offset_bits.saturating_add(offset_of(entry, size));
            match (&entry.name, target) {
                (Some(name), Some(target)) => {
                    self.budget.take_text(name.as_bytes())?;
                    let shape = self.shape(target, depth + 1)?;
                    let member = Member { offset_bits, width_bits: entry.bit_size, shape };
                    structure.members.insert(name.clone(), member);
                }
                (None, Some(target)) if is_structure(entries.all[target].tag) => {
                    self.add_members(target, offset_bits, depth + 1, structure)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn shape(&mut self, id: EntryId, depth: usize) -> Result<TypeShape, ElfError> {
        check_depth(depth)?;
        if let Some(shape) = self.shapes.get(&id) {
            return Ok(shape.clone());
        }
        let shape = self.make_shape(id, depth)?;
        self.budget.take_text(shape.text.as_bytes())?;
        self.shapes.insert(id, shape.clone());
        Ok(shape)
    }

    fn make_shape(&mut self, id: EntryId, depth: usize) -> Result<TypeShape, ElfError> {
        let entries = self.entries;
        let entry = &entries.all[id];
        let name = entry.name.as_deref();
        let size = entry.byte_size.unwrap_or(0);
        let target = entries.type_of(id);
        match entry.tag {
            constants::DW_TAG_base_type => {
                let name = name.unwrap_or("integer");
                // Signed and unsigned have one representation, and so have truth values.
                let float = entry.encoding == Some(u64::from(constants::DW_ATE_float.0));
                Ok(shape(size, if float { "float" } else { "integer" }, name.to_owned()))
            }
            constants::DW_TAG_enumeration_type => {
                let text = format!("enum {}", name.unwrap_or("(anonymous)"));
                Ok(shape(size, "integer", text))
            }
            constants::DW_TAG_pointer_type => {
                let (what, text) = self.pointee(target);
                Ok(shape(entry.byte_size.unwrap_or(8), &format!("pointer to {what}"), text))
            }
            constants::DW_TAG_array_type => self.array(id, target, depth),
            tag if is_structure(tag) && entry.is_declaration => match entries.definition(id) {
                Some(definition) if definition != id => self.shape(definition, depth + 1),
                _ => {
                    let text = format!("{} {}", keyword(tag), name.unwrap_or("(anonymous)"));
                    Ok(shape(0, &format!("unknown {text}"), text))
                }
            },
            tag if is_structure(tag) => self.structure_shape(id, depth),
            constants::DW_TAG_subroutine_type => Ok(shape(0, "function", "function".to_owned())),
            // typedef, const, volatile, restrict, _Atomic.
            _ => match target {
                Some(target) => {
                    let mut shape = self.shape(target, depth + 1)?;
                    if let (constants::DW_TAG_typedef, Some(name)) = (entry.tag, name) {
                        shape.text = name.to_owned();
                    }
                    Ok(shape)
                }
                None => Ok(shape(0, "void", "void".to_owned())),
            },
        }
    }

    /// Whether a type is `const`, or an array of such.
    fn is_constant(&self, target: EntryId) -> bool {
        let mut target = Some(target);
        for _ in 0..DEPTH {
            let Some(id) = target else { return false };
            match self.entries.all[id].tag {
                constants::DW_TAG_const_type => return true,
                constants::DW_TAG_typedef
                | constants::DW_TAG_volatile_type
                | constants::DW_TAG_array_type => target = self.entries.type_of(id),
                _ => return false,
            }
        }
        false
    }

    /// What is pointed to, by name only: its own layout is compared for itself.
    fn pointee(&self, mut target: Option<EntryId>) -> (String, String) {
        let mut stars = "*".to_owned();
        for _ in 0..DEPTH {
            let Some(id) = target else { break };
            let entry = &self.entries.all[id];
            let name = entry.name.as_deref();
            let what = match entry.tag {
                tag if is_structure(tag) => {
                    format!("{} {}", keyword(tag), name.unwrap_or("(anonymous)"))
                }
                constants::DW_TAG_base_type => {
                    let size = entry.byte_size.unwrap_or(0);
                    let text = format!("{} {stars}", name.unwrap_or("integer"));
                    return (format!("integer {size}{stars}"), text);
                }
                constants::DW_TAG_enumeration_type => {
                    let size = entry.byte_size.unwrap_or(0);
                    let text = format!("enum {} {stars}", name.unwrap_or("(anonymous)"));
                    return (format!("integer {size}{stars}"), text);
                }
                constants::DW_TAG_subroutine_type => "function".to_owned(),
                constants::DW_TAG_array_type => "array".to_owned(),
                constants::DW_TAG_pointer_type => {
                    stars.push('*');
                    target = self.entries.type_of(id);
                    continue;
                }
                _ => {
                    target = self.entries.type_of(id);
                    continue;
                }
            };
            return (format!("{what}{stars}"), format!("{what} {stars}"));
        }
        (format!("void{stars}"), format!("void {stars}"))
    }

    fn array(
        &mut self,
        id: EntryId,
        target: Option<EntryId>,
        depth: usize,
    ) -> Result<TypeShape, ElfError> {
        let element = match target {
            Some(target) => self.shape(target, depth + 1)?,
            None => shape(0, "void", "void".to_owned()),
        };
        let entries = self.entries;
        let (mut size, mut text) = (element.size, element.text.clone());
        let mut elements: u64 = 1;
        for child in &entries.all[id].children {
            let entry = &entries.all[*child];
            if entry.tag != constants::DW_TAG_subrange_type {
                continue;
            }
            // -1 is how gcc 12 writes the bound of an array without elements.
            let bound = entry.upper_bound.and_then(|bound| bound.checked_add(1));
            let count = entry.count.or(bound.and_then(|count| u64::try_from(count).ok()));
            elements = elements.saturating_mul(count.unwrap_or(0));
            text.push_str(&count.map_or("[]".to_owned(), |count| format!("[{count}]")));
        }
        size = size.saturating_mul(elements);
        Ok(shape(size, &format!("array of {elements} {}", element.digest), text))
    }

    fn structure_shape(&mut self, id: EntryId, depth: usize) -> Result<TypeShape, ElfError> {
        let entries = self.entries;
        let entry = &entries.all[id];
        let size = entry.byte_size.unwrap_or(0);
        let name = entry.name.as_deref().unwrap_or("(anonymous)");
        let text = format!("{} {name}", keyword(entry.tag));
        let mut parts = Vec::new();
        let mut only = None;
        for child in entries.all[id].children.iter().copied() {
            let member = &entries.all[child];
            let Some(target) = entries.type_of(child) else { continue };
            if member.tag != constants::DW_TAG_member {
                continue;
            }
            let shape = self.shape(target, depth + 1)?;
            let offset = offset_of(member, shape.size);
            // A structure with a name is compared member by member on its own; of one without a
            // name this is the only look, and two members of one type may have changed places.
            let name = match (&entry.name, &member.name) {
                (None, Some(name)) => name.as_str(),
                _ => "",
            };
            parts.push(format!("{offset} {:?} {} {name}", member.bit_size, shape.digest));
            only = Some((offset, member.bit_size, shape));
        }
        // A structure around one value is read as that value: `atomic_t` and `int`.
        if let (1, Some((0, None, shape))) = (parts.len(), only)
            && shape.size == size
        {
            return Ok(TypeShape { text, ..shape });
        }
        // A union's members have no order in memory.
        parts.sort();
        Ok(shape(size, &format!("structure of {size}: {}", parts.join(", ")), text))
    }
}

fn shape(size: u64, reads_as: &str, text: String) -> TypeShape {
    let digest = Sha256Digest::of(format!("{size} {reads_as}").as_bytes());
    TypeShape { size, digest, text }
}

/// Where a member lies in its structure, in bits.
fn offset_of(entry: &Entry, type_size: u64) -> u64 {
    if let Some(bits) = entry.data_bit_offset {
        return bits;
    }
    let start = entry.member_location.unwrap_or(0).saturating_mul(8);
    match (entry.bit_offset, entry.bit_size) {
        // Counted from the other end of the storage unit.
        (Some(from_top), Some(width)) => {
            let storage = entry.byte_size.unwrap_or(type_size).saturating_mul(8);
            start.saturating_add(storage.saturating_sub(from_top).saturating_sub(width))
        }
        _ => start,
    }
}

fn check_depth(depth: usize) -> Result<(), ElfError> {
    if depth <= DEPTH {
        return Ok(());
    }
    Err(ElfError::Malformed {
        part: "the debug information",
        problem: format!("types lie in each other more than {DEPTH} deep"),
    })
}

use std::collections::HashMap;

use super::{
    content::{CONTENT_BYTES, SHOWN_BYTES, content, is_same_text, shown},
    difference::{CodeDifference, DifferenceKind, differing_byte},
    field::Field,
    find::{Found, Function, candidates, find, functions},
    image::{CodeImage, Lead, Place},
    object::{CompiledCode, Home, ObjectSection, ObjectSymbol, Relocation},
};
use crate::{ElfError, SymbolBinding, SymbolKind};

/// How many times an object's size may be compared: functions of a real one do not overlap, but for
/// a few that have two names.
const WORK_FACTOR: usize = 64;

/// The five bytes that take the place of a call to ftrace's hook (`objtool --mnop`).
const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

/// What a comparison of an object with an image gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CodeFit {
    /// The functions that are equal.
    pub equal: Vec<String>,
    /// Weak functions that have no part in the kernel: another file's took their place.
    pub overridden: Vec<String>,
    /// Functions in sections that the linker drops.
    pub dropped: Vec<String>,
    /// Static functions of which the image has several of one name, in files of one name, that are
    /// not all equal: it cannot be told which is the object's.
    pub ambiguous: Vec<String>,
    /// What differs, at most once for each function.
    pub differences: Vec<CodeDifference>,
    /// Fields that were compared by where they lead.
    pub fields: u64,
}

impl CodeFit {
    /// Compares an object with what it was linked into.
    ///
    /// # Errors
    /// When the functions of an object overlap as those of no real one do.
    pub fn compare(code: &CompiledCode<'_>, image: &CodeImage<'_>) -> Result<Self, ElfError> {
        let mut comparison = Comparison::new(code, image);
        comparison.run()?;
        let mut fit = comparison.fit;
        for names in [&mut fit.equal, &mut fit.overridden, &mut fit.dropped, &mut fit.ambiguous] {
            names.sort();
            names.dedup();
        }
        Ok(fit)
    }

    /// Whether all functions are what the image has, but for those that have no part in it.
    pub fn holds(&self) -> bool {
        self.differences.is_empty() && self.ambiguous.is_empty()
    }
}

struct Comparison<'c, 'data> {
    code: &'c CompiledCode<'data>,
    image: &'c CodeImage<'c>,
    /// The variables and functions of each section, to see whether it is where a field says.
    named: HashMap<usize, Vec<&'c ObjectSymbol<'data>>>,
    /// Where sections are, as far as it is known.
    bases: HashMap<usize, Place>,
    work_left: usize,
    fit: CodeFit,
}

impl<'c, 'data> Comparison<'c, 'data> {
    fn new(code: &'c CompiledCode<'data>, image: &'c CodeImage<'c>) -> Self {
        let mut named: HashMap<usize, Vec<&ObjectSymbol<'_>>> = HashMap::new();
        for symbol in &code.symbols {
            let is_kept = symbol.size > 0
                && matches!(symbol.kind, SymbolKind::Function | SymbolKind::Object)
                && symbol.binding != SymbolBinding::Weak;
            if let (Home::Section(section), true) = (symbol.home, is_kept) {
                named.entry(section).or_default().push(symbol);
            }
        }
        let work_left = code.size.saturating_mul(WORK_FACTOR);
        Self { code, image, named, bases: HashMap::new(), work_left, fit: CodeFit::default() }
    }

    fn run(&mut self) -> Result<(), ElfError> {
        let sections = &self.code.sections;
        let mut one_of = Vec::new();
        let mut certain = Vec::new();
        for (section, _) in sections.iter().enumerate().filter(|(_, section)| section.is_code) {
            let functions = functions(self.code, section);
            if functions.is_empty() {
                continue;
            }
            match find(self.image, self.code, &functions) {
                Found::At(base) => {
                    self.bases.insert(section, base);
                    certain.push((section, functions));
                }
                Found::AtOneOf(bases) => one_of.push((section, functions, bases)),
                Found::Nowhere => self.nowhere(&sections[section], &functions),
            }
        }
        for (section, functions) in &certain {
            let base = self.bases[section];
            for function in functions {
                self.function(*section, base, function)?;
            }
        }
        for (section, functions, bases) in one_of {
            self.one_of(section, &functions, &bases)?;
        }
        Ok(())
    }

    /// A section none of whose functions has a place.
    fn nowhere(&mut self, section: &ObjectSection<'_>, functions: &[Function<'_>]) {
        let is_dropped = [".discard", ".exit"].iter().any(|name| section.name.starts_with(name));
        for function in functions {
            let name = function.name.to_owned();
            if self.is_overridden(function) {
                self.fit.overridden.push(name);
            } else if is_dropped {
                self.fit.dropped.push(name);
            } else {
                self.differs(function, DifferenceKind::Missing);
            }
        }
    }

    /// A section that may be at several places.
    fn one_of(
        &mut self,
        section: usize,
        functions: &[Function<'_>],
        bases: &[Place],
    ) -> Result<(), ElfError> {
        // A field of another section may have said where it is.
        if let Some(base) = self.bases.get(&section).copied() {
            return functions.iter().try_for_each(|f| self.function(section, base, f));
        }
        let (known, before) = (self.bases.clone(), self.fit.clone());
        let mut results = Vec::new();
        for base in bases {
            (self.bases, self.fit) = (known.clone(), before.clone());
            self.bases.insert(section, *base);
            functions.iter().try_for_each(|f| self.function(section, *base, f))?;
            let holds = self.fit.differences.len() == before.differences.len();
            results.push((holds, self.fit.clone(), self.bases.clone()));
        }
        let holding = results.iter().filter(|(holds, ..)| *holds).count();
        let all = holding == results.len();
        if holding == 0 || all {
            // Which one it is makes no difference; but what their fields say of other sections does.
            let (_, fit, _) = results.swap_remove(0);
            (self.fit, self.bases) = (fit, known);
        } else {
            (self.fit, self.bases) = (before, known);
            let names = functions.iter().map(|function| function.name.to_owned());
            self.fit.ambiguous.extend(names);
        }
        Ok(())
    }

    fn differs(&mut self, function: &Function<'_>, kind: DifferenceKind) {
        let function = function.name.to_owned();
        self.fit.differences.push(CodeDifference { function, kind });
    }

    /// Whether another file's function has taken the place of a weak one.
    fn is_overridden(&self, function: &Function<'_>) -> bool {
        let named = self.image.named(function.name);
        function.binding == SymbolBinding::Weak
            && named.iter().any(|symbol| symbol.binding != SymbolBinding::Local)
    }

    fn function(
        &mut self,
        section: usize,
        base: Place,
        function: &Function<'_>,
    ) -> Result<(), ElfError> {
        let place = base.plus(function.value);
        let mut twins = candidates(self.image, self.code, function);
        let twin = twins.find(|symbol| symbol.place == place).copied();
        let kind = match twin {
            Some(twin) if twin.size != function.size => {
                Some(DifferenceKind::Size { object: function.size, image: twin.size })
            }
            Some(_) => self.compare(section, place, function, true)?,
            None if self.is_overridden(function) => {
                self.fit.overridden.push(function.name.to_owned());
                return Ok(());
            }
            None => {
                let elsewhere = candidates(self.image, self.code, function).next().copied();
                match elsewhere {
                    None => Some(DifferenceKind::Missing),
                    Some(twin) if twin.size != function.size => {
                        Some(DifferenceKind::Size { object: function.size, image: twin.size })
                    }
                    // A neighbour has another size; what is of this one is to be said.
                    Some(twin) => {
                        let kind = self.compare(section, twin.place, function, false)?;
                        Some(kind.unwrap_or(DifferenceKind::Moved))
                    }
                }
            }
        };
        match kind {
            None => self.fit.equal.push(function.name.to_owned()),
            Some(kind) => self.differs(function, kind),
        }
        Ok(())
    }

    /// Compares the bytes of a function with those at a place; and its fields, when the whole section
    /// is there.
    fn compare(
        &mut self,
        section: usize,
        place: Place,
        function: &Function<'_>,
        with_fields: bool,
    ) -> Result<Option<DifferenceKind>, ElfError> {
        let code = self.code;
        let ObjectSection { data, relocations, .. } = &code.sections[section];
        let end = function.value.saturating_add(function.size);
        let range = usize::try_from(function.value).ok().zip(usize::try_from(end).ok());
        let ours = range.and_then(|(start, end)| data.get(start..end));
        let theirs = self.image.bytes(place, function.size);
        let (Some(ours), Some(theirs)) = (ours, theirs) else {
            return Ok(Some(DifferenceKind::Missing));
        };
        let from = relocations.partition_point(|one| one.offset < function.value);
        let fields = &relocations[from..];
        let fields = &fields[..fields.partition_point(|one| one.offset < end)];
        let work = ours.len().saturating_add(fields.len().saturating_mul(16));
        self.work_left = self.work_left.checked_sub(work).ok_or(ElfError::Overlap)?;

        let mut at = 0;
        let mut filled = Vec::with_capacity(fields.len());
        for relocation in fields {
            let offset = relocation.offset - function.value;
            let Some(field) = Field::of(relocation.kind) else {
                return Ok(Some(DifferenceKind::Relocation { offset, kind: relocation.kind }));
            };
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            if let Some(kind) = differing_byte(ours, theirs, at..start, field) {
                let is_hook = self.symbol(relocation).is_some_and(|one| one.name == "__fentry__");
                let hook = start.checked_sub(1).and_then(|from| theirs.get(from..start + 4));
                if !(is_hook && hook == Some(&NOP5)) {
                    return Ok(Some(kind));
                }
                at = start + field.bytes();
                continue;
            }
            at = start.saturating_add(field.bytes()).max(at);
            if field != Field::Nothing {
                filled.push(offset);
            }
            if with_fields && field != Field::Nothing {
                self.fit.fields += 1;
                if let Some(symbol) = self.leads_elsewhere(place.plus(offset), field, relocation) {
                    return Ok(Some(DifferenceKind::Target { offset, symbol }));
                }
            }
        }
        if let Some(kind) = differing_byte(ours, theirs, at..ours.len(), Field::Nothing) {
            return Ok(Some(kind));
        }
        // A module's fields have no content yet: beside the object's zeros they would pass for equal.
        let mut open_fields = self.image.open_fields(place, function.size);
        let number = open_fields.find(|offset| filled.binary_search(offset).is_err());
        Ok(number.map(|offset| DifferenceKind::Number { offset }))
    }

    fn symbol(&self, relocation: &Relocation) -> Option<&'c ObjectSymbol<'data>> {
        self.code.symbols.get(relocation.symbol)
    }

    /// What a field leads to in the object, when it leads elsewhere in the image.
    fn leads_elsewhere(
        &mut self,
        place: Place,
        field: Field,
        relocation: &Relocation,
    ) -> Option<String> {
        let Some(symbol) = self.symbol(relocation) else {
            return Some("a symbol that the object does not have".to_owned());
        };
        let lead = self.image.lead(place, field, relocation.addend);
        let is_right = match (symbol.home, &lead) {
            (_, Lead::Nowhere) => false,
            (Home::Unplaced, _) => symbol.value == 0 || lead == at(symbol.value),
            (Home::Section(section), Lead::To(to)) if symbol.binding == SymbolBinding::Local => {
                self.is_in_section(section, symbol, *to, field, relocation.addend)
            }
            (Home::Section(_) | Home::Elsewhere, Lead::To(to)) => {
                let named = self.image.named(symbol.name);
                let is_nothing = named.is_empty() && symbol.binding == SymbolBinding::Weak;
                named.iter().any(|one| one.place == *to) || (is_nothing && to.at == 0)
            }
            (_, Lead::Outside(name)) => *name == symbol.name.as_bytes(),
        };
        (!is_right).then(|| self.describe(symbol, &lead, field, relocation.addend))
    }

    /// Whether a field that leads to a symbol of a section leads there in the image, too.
    fn is_in_section(
        &mut self,
        section: usize,
        symbol: &ObjectSymbol<'_>,
        to: Place,
        field: Field,
        addend: i64,
    ) -> bool {
        let of = &self.code.sections[section];
        if of.merged_entry_bytes > 0 {
            return self.is_same_content(of, symbol, to, field, addend);
        }
        let base = to.minus(symbol.value);
        match self.bases.get(&section) {
            Some(known) => *known == base,
            None => {
                let is_there = self.has_its_names(section, base);
                if is_there {
                    self.bases.insert(section, base);
                }
                is_there
            }
        }
    }

    /// Whether all that has a name in a section has it in the image at the same distance.
    fn has_its_names(&self, section: usize, base: Place) -> bool {
        let mut named = self.named.get(&section).into_iter().flatten();
        named.all(|symbol| {
            let place = base.plus(symbol.value);
            self.image.named(symbol.name).iter().any(|one| one.place == place)
        })
    }

    /// Whether a text or constant that may be shared with other objects is the same.
    fn is_same_content(
        &self,
        section: &ObjectSection<'_>,
        symbol: &ObjectSymbol<'_>,
        to: Place,
        field: Field,
        addend: i64,
    ) -> bool {
        let Some((ours, to)) = content(section, symbol, to, field, addend) else { return false };
        let entry = usize::try_from(section.merged_entry_bytes).unwrap_or(CONTENT_BYTES);
        if section.holds_strings && entry == 1 {
            return is_same_text(ours, self.image.bytes_from(to, CONTENT_BYTES));
        }
        // A text of wider characters ends with the first that is zero; the linker merges each alone.
        let length = match section.holds_strings {
            true => {
                let end = ours.chunks(entry).position(|one| one.iter().all(|byte| *byte == 0));
                end.map_or(CONTENT_BYTES, |end| (end + 1).saturating_mul(entry))
            }
            false => entry,
        };
        let length = length.min(CONTENT_BYTES).min(ours.len());
        self.image.bytes_from(to, length) == &ours[..length]
    }

    /// What a field leads to; of a text that the linker merges, what it says, and what the image's.
    fn describe(
        &self,
        symbol: &ObjectSymbol<'_>,
        lead: &Lead<'_>,
        field: Field,
        addend: i64,
    ) -> String {
        let Home::Section(section) = symbol.home else { return symbol.name.to_owned() };
        let section = &self.code.sections[section];
        if section.holds_strings
            && let Lead::To(to) = lead
            && let Some((ours, to)) = content(section, symbol, *to, field, addend)
        {
            let theirs = self.image.bytes_from(to, SHOWN_BYTES);
            return format!("the text {:?} (there: {:?})", shown(ours), shown(theirs));
        }
        if symbol.name.is_empty() { section.name.to_owned() } else { symbol.name.to_owned() }
    }
}

fn at(value: u64) -> Lead<'static> {
    Lead::To(Place { section: 0, at: value })
}

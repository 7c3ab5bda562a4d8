//! Whether a symbol of the kernel is the one that a compiled file defines.

use std::collections::HashSet;

use elivepatch_elf::{ObjectSymbol, SymbolBinding, SymbolKind};

use super::listing::{ListedSymbol, SymbolListing};

/// What a compiled file defines, as it was before the fixes; nothing for a new file.
#[derive(Debug, Clone, Default)]
pub(crate) struct CompiledFile {
    /// The path of its source.
    pub source: String,
    /// The symbols of its object, which has a section for each function.
    pub symbols: Vec<ObjectSymbol>,
}

/// Why a symbol is not, or not for sure, the file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotOurs {
    /// The file's one is static, and this is no static one of the file.
    OfAnotherFile,
    /// The parent has several files of this name with the same static functions.
    TwinFiles,
    /// The parent has no file of this name with these static functions.
    NoSuchFile,
    /// The file's one is not static, and this one is.
    Static,
    /// The file's one is weak, and another file's is in its place.
    Overridden,
    /// The file's one is weak, and so is this; but what stands beside it is not of the file.
    OtherWeak,
}

impl CompiledFile {
    /// The function or variable of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&ObjectSymbol> {
        let is_plain = |kind| !matches!(kind, SymbolKind::File | SymbolKind::Section);
        self.symbols.iter().find(|symbol| symbol.name == name && is_plain(symbol.kind))
    }

    /// Whether `found` is the file's own `ours`: to be replaced by what the fixes make of it.
    pub(crate) fn owns(
        &self,
        ours: &ObjectSymbol,
        found: &ListedSymbol,
        listing: &SymbolListing,
    ) -> Result<(), NotOurs> {
        match (ours.binding, found.binding) {
            (SymbolBinding::Local, _) => self.owns_static(found, listing),
            (_, SymbolBinding::Local) => Err(NotOurs::Static),
            // A program has one definition of a name that is neither static nor weak.
            (SymbolBinding::Global, SymbolBinding::Global) => Ok(()),
            (SymbolBinding::Weak, SymbolBinding::Weak) => {
                if self.is_beside_ours(ours, found, listing) {
                    Ok(())
                } else {
                    Err(NotOurs::OtherWeak)
                }
            }
            _ => Err(NotOurs::Overridden),
        }
    }

    /// Whether `found` is what the file means by a name: what it defines itself, or what is linked to
    /// it from elsewhere.
    pub(crate) fn means(
        &self,
        found: &ListedSymbol,
        listing: &SymbolListing,
    ) -> Result<(), NotOurs> {
        match self.get(&found.name) {
            Some(ours) if ours.binding == SymbolBinding::Local => self.owns_static(found, listing),
            // Of several definitions of one name the linker took this for all.
            _ if found.binding == SymbolBinding::Local => Err(NotOurs::Static),
            _ => Ok(()),
        }
    }

    fn owns_static(&self, found: &ListedSymbol, listing: &SymbolListing) -> Result<(), NotOurs> {
        let home = self.home(listing)?;
        let in_home = |index: &&usize| listing.symbols()[**index].file == Some(home);
        let ours = listing.named(&found.name).iter().filter(in_home).count();
        if found.file == Some(home) && ours == 1 { Ok(()) } else { Err(NotOurs::OfAnotherFile) }
    }

    /// The file in the listing whose local symbols are this file's. Many have the same name.
    fn home(&self, listing: &SymbolListing) -> Result<usize, NotOurs> {
        let name = self.symbols.iter().find_map(|symbol| symbol.file.as_deref());
        let name = name.ok_or(NotOurs::NoSuchFile)?;
        let mut homes: Vec<usize> = listing.files_named(name).collect();
        for kind in [SymbolKind::Function, SymbolKind::Object] {
            if kind == SymbolKind::Object && homes.len() <= 1 {
                break;
            }
            let ours = self.symbols.iter().filter(|symbol| symbol.kind == kind && is_kept(symbol));
            let ours: Vec<&str> = ours.map(|symbol| symbol.name.as_str()).collect();
            homes.retain(|home| {
                let theirs = |name: &&str| {
                    listing.named(name).iter().any(|index| {
                        let symbol = &listing.symbols()[*index];
                        symbol.file == Some(*home) && symbol.kind == kind
                    })
                };
                ours.iter().all(theirs)
            });
        }
        match homes[..] {
            [home] => Ok(home),
            [] => Err(NotOurs::NoSuchFile),
            _ => Err(NotOurs::TwinFiles),
        }
    }

    /// Whether a function of the kernel stands right before or after one that is certainly the
    /// file's, as in the file's object. The linker leaves the functions of an object together, and in
    /// their order.
    fn is_beside_ours(
        &self,
        ours: &ObjectSymbol,
        found: &ListedSymbol,
        listing: &SymbolListing,
    ) -> bool {
        let is_function = |symbol: &&ObjectSymbol| {
            symbol.kind == SymbolKind::Function && !is_prefix(&symbol.name)
        };
        let functions = self.symbols.iter().filter(is_function);
        let mut together: Vec<&ObjectSymbol> =
            functions.filter(|symbol| group(symbol) == group(ours)).collect();
        together.sort_by_key(|symbol| {
            (symbol.section.as_ref().map(|(number, _)| *number), symbol.value)
        });
        let Some(at) = together.iter().position(|symbol| symbol.name == ours.name) else {
            return false;
        };
        let home = self.home(listing).ok();
        let names: HashSet<&str> = together.iter().map(|symbol| symbol.name.as_str()).collect();
        let certain = |symbol: &&ObjectSymbol| certain(symbol, home, listing);
        let before = together[..at].iter().rev().find_map(certain);
        let after = together[at + 1..].iter().find_map(certain);
        let only_ours_between = |low: &ListedSymbol, high: &ListedSymbol| {
            let is_between = |symbol: &&ListedSymbol| {
                symbol.kind == SymbolKind::Function
                    && symbol.section == found.section
                    && (low.value + 1..high.value).contains(&symbol.value)
                    && !is_prefix(&symbol.name)
            };
            low.section == high.section
                && low.value < high.value
                && listing
                    .symbols()
                    .iter()
                    .filter(is_between)
                    .all(|symbol| names.contains(symbol.name.as_str()))
        };
        before.is_some_and(|before| only_ours_between(before, found))
            || after.is_some_and(|after| only_ours_between(found, after))
    }
}

/// The kernel's symbol that is certainly this one of the file.
fn certain<'a>(
    symbol: &ObjectSymbol,
    home: Option<usize>,
    listing: &'a SymbolListing,
) -> Option<&'a ListedSymbol> {
    match symbol.binding {
        SymbolBinding::Global => {
            let found = listing.seen_by_others(&symbol.name)?;
            (found.binding == SymbolBinding::Global).then_some(found)
        }
        SymbolBinding::Local => {
            let home = home?;
            let mut found =
                listing.named(&symbol.name).iter().map(|index| &listing.symbols()[*index]);
            found.find(|found| found.file == Some(home))
        }
        _ => None,
    }
}

/// The kind of section that a function is in: `.text` for one in `.text.NAME`.
fn group(symbol: &ObjectSymbol) -> Option<&str> {
    let (_, section) = symbol.section.as_ref()?;
    let own = section.strip_suffix(symbol.name.as_str()).and_then(|rest| rest.strip_suffix('.'));
    Some(own.unwrap_or(section))
}

/// Whether the linker keeps a local symbol among those of its file. objtool adds the symbols of what
/// stands before functions at the end of the whole table; the others are of kpatch's own list
/// (`lookup.c`, `maybe_discarded_sym`).
fn is_kept(symbol: &ObjectSymbol) -> bool {
    let is_discarded = |(_, section): &(usize, String)| {
        section.starts_with(".discard") || section.starts_with(".debug")
    };
    let (begins, holds) = (
        [
            "__exitcall_",
            "__brk_reservation_fn_",
            "__func_stack_frame_non_standard_",
            "__trace_check",
            ".L",
        ],
        ["__addressable_", "__UNIQUE_ID_"],
    );
    symbol.binding == SymbolBinding::Local
        && !symbol.section.as_ref().is_none_or(is_discarded)
        && !is_prefix(&symbol.name)
        && !begins.iter().any(|part| symbol.name.starts_with(part))
        && !holds.iter().any(|part| symbol.name.contains(part))
}

/// Whether a name is that of the padding before a function, and not of a function.
pub(crate) fn is_prefix(name: &str) -> bool {
    name.starts_with("__pfx_") || name.starts_with("__cfi_")
}

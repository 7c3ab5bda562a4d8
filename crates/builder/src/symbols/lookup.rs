//! Which of several symbols of one name the kernel takes, by its position.

use elivepatch_elf::{ObjectSymbol, SymbolKind};

use super::listing::SymbolListing;

/// The symbols of vmlinux or a module, and how the kernel finds one by name and position
/// (`klp_find_object_symbol` in kernel/livepatch/core.c).
#[derive(Debug)]
pub(crate) struct KernelTable {
    pub listing: SymbolListing,
    order: Order,
}

/// In which order the kernel counts symbols of one name.
#[derive(Debug)]
enum Order {
    /// By address, as scripts/kallsyms.c sorts those of vmlinux. What it does to symbols at the same
    /// address makes no difference here: whichever is taken, it is the same code.
    Addresses,
    /// In the order of the table in the module's file, which has no names of files.
    Loaded { symbols: Vec<ObjectSymbol>, keeps_exit: bool },
    /// The module's file is not at hand: what there is once can be told, and nothing else.
    Unknown,
}

/// Why the kernel finds no symbol, or not for sure the same. The numbers are indexes in the listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotFound {
    /// There is none of that name.
    Missing,
    /// There are several, and the position is 0.
    Several(Vec<usize>),
    /// There are fewer than the position says.
    TooFew(Vec<usize>),
    /// Another one while the module is being loaded than later, when its init code is gone; or the
    /// order is not known.
    Unsure(Vec<usize>),
}

impl KernelTable {
    /// The table of vmlinux.
    pub(crate) fn of_vmlinux(listing: SymbolListing) -> Self {
        Self { listing, order: Order::Addresses }
    }

    /// The table of a module. `loaded` are the symbols of the file that is loaded; `keeps_exit` says
    /// whether the kernel keeps code that runs when a module is removed (`MODULE_UNLOAD`).
    pub(crate) fn of_module(
        listing: SymbolListing,
        loaded: Option<Vec<ObjectSymbol>>,
        keeps_exit: bool,
    ) -> Self {
        let order = match loaded {
            Some(symbols) => Order::Loaded { symbols, keeps_exit },
            None => Order::Unknown,
        };
        Self { listing, order }
    }

    /// The symbol that the kernel takes, by its index in the listing. A position counts from 1; with
    /// 0 there must be only one.
    pub(crate) fn find(&self, name: &str, position: u64) -> Result<usize, NotFound> {
        match &self.order {
            Order::Addresses => pick(&self.by_address(name), position),
            Order::Loaded { symbols, keeps_exit } => {
                let (all, later) = self.as_loaded(name, symbols, *keeps_exit)?;
                let found = pick(&all, position)?;
                // A livepatch that comes first meets the whole table, one that comes later what is
                // left of it (`module_kallsyms_on_each_symbol`, `add_kallsyms`).
                match pick(&later, position) {
                    Ok(index) if index == found => Ok(found),
                    _ => Err(NotFound::Unsure(all)),
                }
            }
            Order::Unknown => match *self.listing.named(name) {
                [] => Err(NotFound::Missing),
                [index] if position <= 1 => Ok(index),
                ref all => Err(NotFound::Unsure(all.to_vec())),
            },
        }
    }

    fn by_address(&self, name: &str) -> Vec<usize> {
        let symbols = self.listing.symbols();
        // mksysmap and kallsyms leave mere numbers out.
        let kept = |index: &usize| symbols[*index].section.is_some();
        let mut found: Vec<usize> = self.listing.named(name).iter().copied().filter(kept).collect();
        found.sort_by_key(|index| symbols[*index].value);
        found
    }

    /// The symbols of a name as the kernel counts them while it loads the module, and later.
    fn as_loaded(
        &self,
        name: &str,
        loaded: &[ObjectSymbol],
        keeps_exit: bool,
    ) -> Result<(Vec<usize>, Vec<usize>), NotFound> {
        let is_plain = |kind| !matches!(kind, SymbolKind::File | SymbolKind::Section);
        let loaded: Vec<&ObjectSymbol> =
            loaded.iter().filter(|symbol| symbol.name == name && is_plain(symbol.kind)).collect();
        let listed = self.listing.named(name);
        // The file was stripped after it was listed: that leaves the order as it was.
        let is_same = |(index, symbol): (&usize, &&ObjectSymbol)| {
            let listed = &self.listing.symbols()[*index];
            (listed.value, listed.size, listed.kind, listed.binding)
                == (symbol.value, symbol.size, symbol.kind, symbol.binding)
        };
        if listed.len() != loaded.len() || !listed.iter().zip(&loaded).all(is_same) {
            return Err(NotFound::Unsure(listed.to_vec()));
        }
        let stays = |symbol: &ObjectSymbol| {
            let section = symbol.section.as_ref().map_or("", |(_, name)| name.as_str());
            symbol.is_allocated
                && !section.starts_with(".init")
                && (keeps_exit || !section.starts_with(".exit"))
        };
        let later = listed.iter().zip(&loaded).filter(|(_, symbol)| stays(symbol));
        Ok((listed.to_vec(), later.map(|(index, _)| *index).collect()))
    }
}

fn pick(all: &[usize], position: u64) -> Result<usize, NotFound> {
    match (all, position) {
        ([], _) => Err(NotFound::Missing),
        ([only], 0) => Ok(*only),
        (several, 0) => Err(NotFound::Several(several.to_vec())),
        (all, position) => {
            let index = usize::try_from(position - 1).ok();
            let found = index.and_then(|index| all.get(index)).copied();
            found.ok_or_else(|| NotFound::TooFew(all.to_vec()))
        }
    }
}

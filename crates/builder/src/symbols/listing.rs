use std::{collections::HashMap, fmt};

use elivepatch_elf::{ListedLine, SymbolBinding, SymbolKind};

/// The symbols that vmlinux or a module defines, as `readelf --symbols --wide` lists them, in the
/// order of the symbol table.
#[derive(Debug, Default)]
pub(crate) struct SymbolListing {
    symbols: Vec<ListedSymbol>,
    by_name: HashMap<String, Vec<usize>>,
    /// The names before the local symbols of each compiled file, in the order of the table. There
    /// are many files of one name.
    files: Vec<String>,
}

/// A symbol of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListedSymbol {
    pub name: String,
    /// In vmlinux its address; in a module its offset in its section, in bytes.
    pub value: u64,
    /// In bytes.
    pub size: u64,
    pub kind: SymbolKind,
    pub binding: SymbolBinding,
    /// The number of its section; `None` for a mere number (`ABS`) and the like.
    pub section: Option<u32>,
    /// For a local symbol the file that it is from: an index into [`SymbolListing::files`].
    pub file: Option<usize>,
}

impl SymbolListing {
    /// Reads a listing. Lines that are no symbols are passed over, as kpatch does (`lookup.c`,
    /// `symtab_read`), and so are names of sections.
    pub(crate) fn parse(text: &str) -> Self {
        let mut listing = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let number = words.next().unwrap_or_default();
            let is_numbered = number.strip_suffix(':').is_some_and(|n| n.parse::<u64>().is_ok());
            if is_numbered && let Some(symbol) = read_symbol(words) {
                listing.add(symbol);
            }
        }
        listing
    }

    fn add(&mut self, mut symbol: ListedSymbol) {
        match symbol.kind {
            SymbolKind::File => return self.files.push(symbol.name),
            SymbolKind::Section => return,
            _ => {}
        }
        if symbol.binding == SymbolBinding::Local {
            symbol.file = self.files.len().checked_sub(1);
        }
        self.by_name.entry(symbol.name.clone()).or_default().push(self.symbols.len());
        self.symbols.push(symbol);
    }

    /// All symbols, in the order of the table.
    pub(crate) fn symbols(&self) -> &[ListedSymbol] {
        &self.symbols
    }

    /// All symbols of a name, in the order of the table, by their indexes in it.
    pub(crate) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// The only symbol of a name that others see.
    pub(crate) fn seen_by_others(&self, name: &str) -> Option<&ListedSymbol> {
        let mut found = self.named(name).iter().map(|index| &self.symbols[*index]);
        found.find(|symbol| symbol.binding != SymbolBinding::Local)
    }

    /// The files of a name, by their indexes.
    pub(crate) fn files_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        let files = self.files.iter().enumerate();
        files.filter(move |(_, file)| *file == name).map(|(index, _)| index)
    }

    /// Says for people what a symbol is.
    pub(crate) fn describe(&self, index: usize) -> String {
        let symbol = &self.symbols[index];
        let file = symbol.file.map(|file| self.files[file].as_str());
        format!("{} {}", Seen(symbol.binding, file), Place(symbol))
    }
}

struct Seen<'a>(SymbolBinding, Option<&'a str>);

impl fmt::Display for Seen<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1) {
            (SymbolBinding::Local, Some(file)) => write!(formatter, "the static one of {file}"),
            (SymbolBinding::Local, None) => formatter.write_str("a static one"),
            (SymbolBinding::Weak, _) => formatter.write_str("the weak one"),
            _ => formatter.write_str("the global one"),
        }
    }
}

struct Place<'a>(&'a ListedSymbol);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListedSymbol { value, size, section, .. } = self.0;
        write!(formatter, "at {value:#x}")?;
        if let Some(section) = section {
            write!(formatter, " of section {section}")?;
        }
        write!(formatter, " ({size} bytes)")
    }
}

/// The words behind the number, as [`ListedLine::read`] takes them, with the name behind them.
fn read_symbol<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<ListedSymbol> {
    let ListedLine { value, size, kind, binding, section } = ListedLine::read(&mut words)?;
    let name = words.next().unwrap_or_default().to_owned();
    if name.is_empty() && kind != SymbolKind::File {
        return None;
    }
    Some(ListedSymbol { name, value, size, kind, binding, section, file: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "
Symbol table '.symtab' contains 7 entries:
   Num:    Value          Size Type    Bind   Vis      Ndx Name
     0: 0000000000000000     0 NOTYPE  LOCAL  DEFAULT  UND
     1: ffffffff81000000     0 SECTION LOCAL  DEFAULT    1 .text
     2: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS a.c
     3: ffffffff81000010    16 FUNC    LOCAL  DEFAULT    1 f
     4: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS a.c
     5: ffffffff81000020 0x186a0 OBJECT  LOCAL  DEFAULT    2 f
     6: ffffffff81000030    16 FUNC    GLOBAL DEFAULT    1 g
     7: 0000000000000000     0 NOTYPE  GLOBAL DEFAULT  UND h
";

    #[test]
    fn local_symbols_are_of_the_file_before_them() {
        let listing = SymbolListing::parse(LISTING);
        let files = listing.named("f").iter().map(|index| listing.symbols()[*index].file);
        assert_eq!(files.collect::<Vec<_>>(), [Some(0), Some(1)]);
        assert_eq!(listing.files_named("a.c").collect::<Vec<_>>(), [0, 1]);
        assert_eq!(listing.symbols()[1].size, 100_000);
        assert_eq!(
            listing.seen_by_others("g").map(|symbol| symbol.value),
            Some(0xffff_ffff_8100_0030)
        );
        assert!(listing.seen_by_others("f").is_none() && listing.named("h").is_empty());
        assert_eq!(
            listing.describe(0),
            "the static one of a.c at 0xffffffff81000010 of section 1 (16 bytes)"
        );
    }
}

use std::collections::{HashMap, HashSet};

use super::image::Place;
use crate::{ListedLine, SymbolBinding, SymbolKind};

/// The symbols of an image, as far as the objects name them that are compared with it.
#[derive(Debug, Default)]
pub struct ImageSymbols {
    by_name: HashMap<Box<str>, Vec<ImageSymbol>>,
    files: Vec<Box<str>>,
}

/// A symbol of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ImageSymbol {
    pub place: Place,
    /// In bytes.
    pub size: u64,
    pub kind: SymbolKind,
    pub binding: SymbolBinding,
    /// Which file a local symbol is from: a number in the order of the table.
    pub file: Option<u32>,
}

impl ImageSymbols {
    /// Takes those symbols of vmlinux out of the text of `readelf --symbols --wide` whose names are
    /// wanted. Lines that are no symbols are passed over.
    ///
    /// A kernel has 200,000, an object names some hundred.
    pub fn from_listing(text: &str, wanted: &HashSet<&str>) -> Self {
        let mut symbols = Self::default();
        for line in text.lines() {
            // `NUMBER: VALUE SIZE TYPE BIND VISIBILITY SECTION NAME`
            let Some((before, name)) = line.rsplit_once(' ') else { continue };
            // The name of a file is a mere number to the table.
            if before.ends_with(" ABS") && before.contains(" FILE ") {
                symbols.files.push(name.into());
            } else if wanted.contains(name)
                && let Some(symbol) = read(before, symbols.files.len())
            {
                symbols.add(name, symbol);
            }
        }
        symbols
    }

    pub(super) fn add(&mut self, name: &str, symbol: ImageSymbol) {
        match self.by_name.get_mut(name) {
            Some(symbols) => symbols.push(symbol),
            None => drop(self.by_name.insert(name.into(), vec![symbol])),
        }
    }

    pub(super) fn add_file(&mut self, name: &str) {
        self.files.push(name.into());
    }

    /// How many files were before now.
    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    pub(super) fn named(&self, name: &str) -> &[ImageSymbol] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn file_of(&self, symbol: &ImageSymbol) -> Option<&str> {
        let file = self.files.get(symbol.file? as usize)?;
        Some(file)
    }
}

/// The words before the name.
fn read(line: &str, files: usize) -> Option<ImageSymbol> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let ListedLine { value: at, size, kind, binding, .. } = ListedLine::read(&mut words)?;
    if kind == SymbolKind::Section {
        return None;
    }
    let is_local = binding == SymbolBinding::Local;
    let file = files.checked_sub(1).filter(|_| is_local).and_then(|file| file.try_into().ok());
    Some(ImageSymbol { place: Place { section: 0, at }, size, kind, binding, file })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "
Symbol table '.symtab' contains 7 entries:
   Num:    Value          Size Type    Bind   Vis      Ndx Name
     1: ffffffff81000000     0 SECTION LOCAL  DEFAULT    1 .text
     2: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS a.c
     3: ffffffff81000010    16 FUNC    LOCAL  DEFAULT    1 f
     4: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS b.c
     5: ffffffff81000020 0x186a0 OBJECT  LOCAL  DEFAULT    2 f
     6: ffffffff81000030    16 FUNC    WEAK   DEFAULT    1 g
     7: 0000000000000000     0 NOTYPE  GLOBAL DEFAULT  UND f
     8: ffffffff81000040    16 FUNC    GLOBAL DEFAULT    1 other
";

    #[test]
    fn only_wanted_symbols_are_taken_with_their_files() {
        let symbols = ImageSymbols::from_listing(LISTING, &HashSet::from(["f", "g"]));
        let f = symbols.named("f");
        assert_eq!(f.iter().map(|symbol| symbol.size).collect::<Vec<_>>(), [16, 100_000]);
        let files: Vec<_> = f.iter().map(|symbol| symbols.file_of(symbol)).collect();
        assert_eq!(files, [Some("a.c"), Some("b.c")]);
        assert_eq!(symbols.named("g")[0].binding, SymbolBinding::Weak);
        assert_eq!(symbols.file_of(&symbols.named("g")[0]), None);
        assert!(symbols.named("other").is_empty() && symbols.named(".text").is_empty());
    }
}

//! The modules of kpatch-build and of elivepatch's kpatch engine, side by side: for the same patch
//! both must replace the same functions, with the same livepatch symbols and relocations.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_elf::Module;

/// An object and a section of it.
type Section = (String, String);

/// Offset, type, symbol and addend.
type Relocation = (u64, u32, String, i64);

/// What of a module must not depend on who drove kpatch's tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparable {
    /// Object and name of each function that is replaced, with its position among equal names.
    pub functions: BTreeSet<(String, String, u64)>,
    /// Object, name and position of each symbol that the kernel's livepatch code looks up.
    pub symbols: BTreeSet<(String, String, u64)>,
    /// The relocations.
    pub relocations: BTreeMap<Section, BTreeSet<Relocation>>,
}

impl Comparable {
    /// Reads a module.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let module = Module::read(bytes)?;
        let functions = module.replaced_functions.into_iter();
        let mut this = Self {
            functions: functions.map(|f| (f.object, f.name, f.position)).collect(),
            symbols: BTreeSet::new(),
            relocations: BTreeMap::new(),
        };
        for section in module.livepatch_relocations {
            let name = |symbol: usize| {
                let symbol = &section.symbols[symbol];
                format!("{}.{},{}", symbol.object, symbol.name, symbol.position)
            };
            let entries = section.entries.iter();
            let entries = entries.map(|e| (e.offset, e.kind, name(e.symbol), e.addend)).collect();
            this.relocations.insert((section.object.clone(), section.section.clone()), entries);
            let symbols = section.symbols.into_iter();
            this.symbols.extend(symbols.map(|s| (s.object, s.name, s.position)));
        }
        Ok(this)
    }

    /// How many relocations.
    pub fn relocation_count(&self) -> usize {
        self.relocations.values().map(BTreeSet::len).sum()
    }

    /// What differs, a line each; empty when nothing does. `self` is ours, `reference` is
    /// kpatch-build's.
    pub fn differences(&self, reference: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        only("replaced function", &self.functions, &reference.functions, &mut lines);
        only("livepatch symbol", &self.symbols, &reference.symbols, &mut lines);
        let sections: BTreeSet<_> =
            self.relocations.keys().chain(reference.relocations.keys()).collect();
        let none = BTreeSet::new();
        for section in sections {
            let ours = self.relocations.get(section).unwrap_or(&none);
            let theirs = reference.relocations.get(section).unwrap_or(&none);
            only(&format!("relocation in {} {}", section.0, section.1), ours, theirs, &mut lines);
        }
        lines
    }
}

fn only<T: Ord + std::fmt::Debug>(
    what: &str,
    ours: &BTreeSet<T>,
    theirs: &BTreeSet<T>,
    lines: &mut Vec<String>,
) {
    lines.extend(ours.difference(theirs).map(|item| format!("only ours: {what} {item:?}")));
    lines.extend(
        theirs.difference(ours).map(|item| format!("only kpatch-build's: {what} {item:?}")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replacing(names: &[&str]) -> Comparable {
        Comparable {
            functions: names.iter().map(|name| ("vmlinux".into(), (*name).into(), 1)).collect(),
            symbols: BTreeSet::new(),
            relocations: BTreeMap::new(),
        }
    }

    #[test]
    fn every_difference_is_named_with_its_side() {
        let lines = replacing(&["a", "b"]).differences(&replacing(&["b", "c"]));
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("only ours: replaced function") && lines[0].contains("\"a\""));
        assert!(lines[1].starts_with("only kpatch-build's:") && lines[1].contains("\"c\""));
        assert!(replacing(&["a"]).differences(&replacing(&["a"])).is_empty());
    }

    #[test]
    fn bytes_that_are_no_module_are_refused() {
        assert!(Comparable::read(b"no module").is_err());
    }
}

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::Sha256Digest;

/// The loadable modules of a kernel by name, with what must be loaded before each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ModuleTable {
    modules: BTreeMap<String, KernelModule>,
}

/// One loadable module. Names are as `lsmod` shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KernelModule {
    /// Its file below `lib/modules/RELEASE`, without compression: `kernel/fs/nfs/nfs.ko`.
    pub file: String,
    /// The modules whose symbols it uses.
    pub depends: Vec<String>,
    /// The modules that should be there before it, and without which it loads as well.
    pub wants: Vec<String>,
    /// The digest of the list of its symbols.
    pub symbols: Sha256Digest,
    /// The digest of the module as it is loaded; absent when it was not at hand.
    pub loadable: Option<Sha256Digest>,
}

impl ModuleTable {
    /// Adds a module.
    pub(crate) fn add(&mut self, name: String, module: KernelModule) {
        self.modules.insert(name, module);
    }

    /// The module of that name.
    pub(crate) fn get(&self, name: &str) -> Option<&KernelModule> {
        self.modules.get(name)
    }

    /// These modules and all that they need and want, each after what it needs.
    pub(crate) fn load_order<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Vec<&'a str> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        // With a stack of our own: how deep it goes is decided by a file.
        for name in names {
            let mut stack = vec![(name, false)];
            while let Some((name, needs_are_done)) = stack.pop() {
                let Some(module) = self.modules.get(name) else { continue };
                if needs_are_done {
                    order.push(name);
                } else if seen.insert(name) {
                    stack.push((name, true));
                    let needs = module.wants.iter().chain(&module.depends).rev();
                    stack.extend(needs.map(|needed| (needed.as_str(), false)));
                }
            }
        }
        order
    }

    /// The modules without which `name` cannot be loaded, and itself.
    pub(crate) fn needed_by<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut needed = BTreeSet::from([name]);
        let mut stack = vec![name];
        while let Some(name) = stack.pop() {
            let Some(module) = self.modules.get(name) else { continue };
            let new = module.depends.iter().map(String::as_str).filter(|name| needed.insert(name));
            stack.extend(new.collect::<Vec<_>>());
        }
        needed
    }

    /// Reads what [`ModuleTable::to_text`] wrote.
    pub(crate) fn parse(text: &str) -> Self {
        let names = |field: Option<&str>| {
            let names = field.unwrap_or_default().split(',').filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        let mut table = Self::default();
        for line in text.lines() {
            let mut fields = line.split('\t');
            let (Some(name), Some(file)) = (fields.next(), fields.next()) else { continue };
            let (depends, wants) = (names(fields.next()), names(fields.next()));
            let mut digest = || fields.next()?.parse().ok();
            let (Some(symbols), loadable) = (digest(), digest()) else { continue };
            let file = file.to_owned();
            let module = KernelModule { file, depends, wants, symbols, loadable };
            table.add(name.to_owned(), module);
        }
        table
    }

    /// A line `NAME<TAB>FILE<TAB>DEPENDS<TAB>WANTS<TAB>SYMBOLS<TAB>LOADABLE` for each module. What
    /// it depends on and wants are names with commas between them; the last two are digests.
    pub(crate) fn to_text(&self) -> String {
        let line = |(name, module): (&String, &KernelModule)| {
            let (depends, wants) = (module.depends.join(","), module.wants.join(","));
            let loadable = module.loadable.map(|digest| digest.to_string()).unwrap_or_default();
            let symbols = module.symbols;
            format!("{name}\t{}\t{depends}\t{wants}\t{symbols}\t{loadable}\n", module.file)
        };
        self.modules.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(modules: &[(&str, &str, &str)]) -> ModuleTable {
        let symbols = Sha256Digest::of(b"symbols");
        let text: String = modules
            .iter()
            .map(|(name, depends, wants)| {
                // One that was not in the package of loadable modules.
                let loadable = if *name == "other" {
                    String::new()
                } else {
                    Sha256Digest::of(b"").to_string()
                };
                format!("{name}\tkernel/{name}.ko\t{depends}\t{wants}\t{symbols}\t{loadable}\n")
            })
            .collect();
        let table = ModuleTable::parse(&text);
        assert_eq!(ModuleTable::parse(&table.to_text()), table);
        assert_eq!(table.to_text().len(), text.len());
        table
    }

    #[test]
    fn module_comes_after_all_that_it_needs() {
        let table = table(&[
            ("crc", "", ""),
            ("nf_tables", "nfnetlink,libcrc", "helper"),
            ("nfnetlink", "", ""),
            ("libcrc", "crc", ""),
            ("helper", "nfnetlink", ""),
            ("other", "", ""),
        ]);
        let order = table.load_order(["libcrc", "nf_tables"]);
        assert_eq!(order, ["crc", "libcrc", "nfnetlink", "helper", "nf_tables"]);
        assert!(table.load_order(["unknown"]).is_empty());
    }

    #[test]
    fn modules_that_want_each_other_are_loaded_once() {
        let table = table(&[("a", "b", ""), ("b", "", "a")]);
        assert_eq!(table.load_order(["a", "b"]), ["b", "a"]);
    }
}

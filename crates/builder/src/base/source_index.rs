use std::collections::{BTreeMap, BTreeSet};

/// Which source files are compiled into vmlinux, and in which of them each file's code ends up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceIndex {
    units: BTreeMap<String, BTreeSet<String>>,
}

impl SourceIndex {
    /// Makes the index from the compiled files and the C files that they include.
    pub(super) fn new(
        compiled: BTreeSet<String>,
        included: BTreeMap<String, BTreeSet<String>>,
    ) -> Self {
        let mut units = included;
        for unit in compiled {
            units.entry(unit.clone()).or_default().insert(unit);
        }
        Self { units }
    }

    /// The compiled files that hold the code of `source`: the file itself when it is compiled, and
    /// every one that includes it. Empty when vmlinux holds none of it.
    pub fn units_of(&self, source: &str) -> Vec<String> {
        self.units.get(source).into_iter().flatten().cloned().collect()
    }

    /// Reads what [`SourceIndex::to_text`] wrote.
    pub(super) fn parse(text: &str) -> Self {
        let mut units: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (source, unit) in text.lines().filter_map(|line| line.split_once('\t')) {
            units.entry(source.to_owned()).or_default().insert(unit.to_owned());
        }
        Self { units }
    }

    /// A line `SOURCE<TAB>UNIT` for each file and each unit that holds its code.
    pub(super) fn to_text(&self) -> String {
        let pairs = self.units.iter().flat_map(|(source, units)| {
            units.iter().map(move |unit| format!("{source}\t{unit}\n"))
        });
        pairs.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_that_is_compiled_and_included_has_all_its_units() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let compiled = set(&["fs/binfmt_elf.c", "fs/compat_binfmt_elf.c"]);
        let included =
            BTreeMap::from([("fs/binfmt_elf.c".to_owned(), set(&["fs/compat_binfmt_elf.c"]))]);
        let index = SourceIndex::new(compiled, included);
        assert_eq!(
            index.units_of("fs/binfmt_elf.c"),
            ["fs/binfmt_elf.c", "fs/compat_binfmt_elf.c"]
        );
        assert_eq!(index.units_of("fs/compat_binfmt_elf.c"), ["fs/compat_binfmt_elf.c"]);
        assert_eq!(index.units_of("fs/exec.c"), Vec::<String>::new());
        assert_eq!(SourceIndex::parse(&index.to_text()), index);
    }
}

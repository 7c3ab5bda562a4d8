use std::collections::{BTreeMap, BTreeSet};

use crate::unit::{Parent, Unit};

/// Which compiled files hold the code of each source file of a kernel, and what they are linked
/// into: vmlinux, or a loadable module.
///
/// A prepared base fills it from the debug information of the target's own vmlinux and modules, a
/// built one from what Kbuild wrote down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SourceIndex {
    units: BTreeMap<String, BTreeSet<Unit>>,
}

impl SourceIndex {
    /// The compiled files that hold the code of `source`, sorted: the file itself when it is
    /// compiled, and every one that includes it, in whatever they are linked into. Empty when the
    /// kernel holds none of it.
    pub(crate) fn units_of(&self, source: &str) -> Vec<Unit> {
        self.units.get(source).into_iter().flatten().cloned().collect()
    }

    /// All compiled files, sorted, each once for each parent.
    pub(crate) fn units(&self) -> BTreeSet<&Unit> {
        self.units.values().flatten().collect()
    }

    /// Notes that `unit` holds code of `source`.
    pub(crate) fn add(&mut self, source: String, unit: Unit) {
        self.units.entry(source).or_default().insert(unit);
    }

    /// Adds the compiled files of one parent and the C files that each includes.
    pub(crate) fn add_parent(
        &mut self,
        parent: &Parent,
        units_by_source: BTreeMap<String, BTreeSet<String>>,
    ) {
        for (source, units) in units_by_source {
            for unit in units {
                self.add(source.clone(), Unit { source: unit, parent: parent.clone() });
            }
        }
    }

    /// Reads what [`SourceIndex::to_text`] wrote.
    pub(crate) fn parse(text: &str) -> Self {
        let mut index = Self::default();
        for line in text.lines() {
            let mut fields = line.split('\t');
            let (Some(source), Some(unit)) = (fields.next(), fields.next()) else { continue };
            let parent = match fields.next() {
                None => Parent::Vmlinux,
                Some(module) => Parent::Module(module.to_owned()),
            };
            index.add(source.to_owned(), Unit { source: unit.to_owned(), parent });
        }
        index
    }

    /// A line `SOURCE<TAB>UNIT` for each file and each unit of vmlinux that holds its code, and
    /// `SOURCE<TAB>UNIT<TAB>MODULE` for one of a module.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (source, unit) in
            self.units.iter().flat_map(|(source, units)| units.iter().map(move |u| (source, u)))
        {
            text.push_str(&format!("{source}\t{}", unit.source));
            if let Parent::Module(module) = &unit.parent {
                text.push_str(&format!("\t{module}"));
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_source(pairs: &[(&str, &[&str])]) -> BTreeMap<String, BTreeSet<String>> {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        pairs.iter().map(|(source, units)| ((*source).to_owned(), set(units))).collect()
    }

    fn shown(index: &SourceIndex, source: &str) -> Vec<String> {
        let units = index.units_of(source);
        units.iter().map(|unit| format!("{} in {}", unit.source, unit.parent)).collect()
    }

    #[test]
    fn file_that_is_compiled_and_included_has_all_its_units() {
        let mut index = SourceIndex::default();
        let (whole, compat) = ("fs/binfmt_elf.c", "fs/compat_binfmt_elf.c");
        index.add_parent(
            &Parent::Vmlinux,
            by_source(&[(whole, &[whole, compat]), (compat, &[compat])]),
        );
        assert_eq!(
            shown(&index, whole),
            ["fs/binfmt_elf.c in vmlinux", "fs/compat_binfmt_elf.c in vmlinux"]
        );
        assert_eq!(shown(&index, compat), ["fs/compat_binfmt_elf.c in vmlinux"]);
        assert!(shown(&index, "fs/exec.c").is_empty());
        assert_eq!(SourceIndex::parse(&index.to_text()), index);
    }

    #[test]
    fn file_in_several_parents_has_a_unit_for_each() {
        let mut index = SourceIndex::default();
        let part = "drivers/md/raid1-10.c";
        for module in ["raid1", "raid10"] {
            let unit = format!("drivers/md/{module}.c");
            let parent = Parent::Module(module.to_owned());
            index.add_parent(&parent, by_source(&[(part, &[&unit]), (&unit, &[&unit])]));
        }
        // One object that is linked into both, and into vmlinux.
        let shared = |parent| Unit { source: "lib/shared.c".to_owned(), parent };
        for parent in [Parent::Module("raid1".to_owned()), Parent::Vmlinux] {
            index.add("lib/shared.c".to_owned(), shared(parent));
        }
        assert_eq!(
            shown(&index, part),
            ["drivers/md/raid1.c in raid1", "drivers/md/raid10.c in raid10"]
        );
        assert_eq!(
            shown(&index, "lib/shared.c"),
            ["lib/shared.c in vmlinux", "lib/shared.c in raid1"]
        );
        assert_eq!(index.units().len(), 4);
        assert_eq!(SourceIndex::parse(&index.to_text()), index);
    }
}

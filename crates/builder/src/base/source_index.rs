use std::collections::{BTreeMap, BTreeSet};

use super::ObjectRules;
use crate::unit::{Parent, Unit};

/// The compiled files of one parent, as the compiler was given them, by the files whose code they
/// hold.
pub(super) type UnitsOfParent = (Parent, BTreeMap<String, BTreeSet<String>>);

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

    /// Each source file with each compiled file that holds its code.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&String, &Unit)> {
        self.units.iter().flat_map(|(source, units)| units.iter().map(move |unit| (source, unit)))
    }

    /// Notes that `unit` holds code of `source`.
    pub(crate) fn add(&mut self, source: String, unit: Unit) {
        self.units.entry(source).or_default().insert(unit);
    }

    /// Adds the compiled files of one parent, as the compiler was given them, and the C files that
    /// each includes.
    pub(super) fn add_parent(
        &mut self,
        (parent, units_by_source): &UnitsOfParent,
        rules: &ObjectRules,
    ) {
        for (source, units) in units_by_source {
            for spelled in units {
                let unit = Unit::with_goal(spelled, parent.clone(), &rules.goal(spelled));
                if unit.is_in_tree() {
                    self.add(source.clone(), unit);
                }
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
                None | Some("") => Parent::Vmlinux,
                Some(module) => Parent::Module(module.to_owned()),
            };
            let unit = match fields.next() {
                None => Unit::beside(unit, parent),
                Some(goal) => Unit::with_goal(unit, parent, goal),
            };
            index.add(source.to_owned(), unit);
        }
        index
    }

    /// A line `SOURCE<TAB>UNIT` for each file and each unit of vmlinux that holds its code, and
    /// `SOURCE<TAB>UNIT<TAB>MODULE` for one of a module. Where Kbuild has another name for the
    /// object than that of the unit, it follows (behind an empty module for vmlinux).
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        for (source, unit) in
            self.units.iter().flat_map(|(source, units)| units.iter().map(move |u| (source, u)))
        {
            text.push_str(&format!("{source}\t{}", unit.source));
            match &unit.parent {
                Parent::Module(module) => text.push_str(&format!("\t{module}")),
                Parent::Vmlinux if !unit.is_beside() => text.push('\t'),
                Parent::Vmlinux => {}
            }
            if !unit.is_beside() {
                text.push_str(&format!("\t{}", unit.goal()));
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
        let units = by_source(&[(whole, &[whole, compat]), (compat, &[compat])]);
        index.add_parent(&(Parent::Vmlinux, units), &ObjectRules::default());
        assert_eq!(
            shown(&index, whole),
            ["fs/binfmt_elf.c in vmlinux", "fs/compat_binfmt_elf.c in vmlinux"]
        );
        assert_eq!(shown(&index, compat), ["fs/compat_binfmt_elf.c in vmlinux"]);
        assert!(shown(&index, "fs/exec.c").is_empty());
        assert_eq!(SourceIndex::parse(&index.to_text()), index);
    }

    #[test]
    fn unit_whose_object_has_another_name_keeps_it() {
        let mut index = SourceIndex::default();
        let spelled = "arch/x86/kvm/../../../virt/kvm/kvm_main.c";
        let (main, rules) = ("virt/kvm/kvm_main.c", ObjectRules::default());
        let kvm = Parent::Module("kvm".to_owned());
        let of_main = by_source(&[(main, &[spelled])]);
        index.add_parent(&(kvm.clone(), of_main.clone()), &rules);
        index.add_parent(&(Parent::Vmlinux, of_main), &rules);
        index.add_parent(&(kvm, by_source(&[("etc/x.c", &["fs/../../etc/x.c"])])), &rules);
        let goals: Vec<String> =
            index.units_of(main).iter().map(|unit| unit.goal().to_owned()).collect();
        assert_eq!(goals, ["arch/x86/kvm/../../../virt/kvm/kvm_main.o"; 2]);
        assert!(index.units_of("etc/x.c").is_empty(), "it is outside of the tree");
        assert_eq!(SourceIndex::parse(&index.to_text()), index);
    }

    #[test]
    fn file_in_several_parents_has_a_unit_for_each() {
        let mut index = SourceIndex::default();
        let part = "drivers/md/raid1-10.c";
        for module in ["raid1", "raid10"] {
            let unit = format!("drivers/md/{module}.c");
            let parent = Parent::Module(module.to_owned());
            let units = by_source(&[(part, &[&unit]), (&unit, &[&unit])]);
            index.add_parent(&(parent, units), &ObjectRules::default());
        }
        // One object that is linked into both, and into vmlinux.
        let shared = |parent| Unit::beside("lib/shared.c", parent);
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

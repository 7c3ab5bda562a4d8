//! The static look at indirect branches in a livepatch for a kernel with indirect branch tracking:
//! the trial's emulator does not enforce it, so a wrong module would load there without a word.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_elf::{BranchTargets, OutsideSymbol};
use elivepatch_model::{BranchAudit, Engine};

/// Functions that must not be branched to indirectly, by name and position, of vmlinux and of
/// modules. The kernel takes the ENDBR of a sealed one away, of its own when it boots and of a
/// module's when that is loaded.
#[derive(Debug, Default)]
pub(crate) struct WithoutEndbr {
    by_object: BTreeMap<String, BTreeSet<(String, u64)>>,
}

impl WithoutEndbr {
    /// Adds one; `object` is `vmlinux` or a module's name.
    pub(crate) fn add(&mut self, object: &str, name: &str, position: u64) {
        let functions = self.by_object.entry(object.to_owned()).or_default();
        functions.insert((name.to_owned(), position));
    }

    fn holds(&self, object: &str, symbol: &OutsideSymbol) -> bool {
        let Some(functions) = self.by_object.get(object) else { return false };
        let name = || symbol.name.clone();
        match symbol.position {
            0 => functions.range((name(), 0)..=(name(), u64::MAX)).next().is_some(),
            position => functions.contains(&(name(), position)),
        }
    }
}

/// The objects whose functions a module takes the addresses of; `exporter` knows which exports what.
pub(crate) fn objects_taken_from(
    targets: &BranchTargets,
    exporter: &dyn Fn(&str) -> Option<String>,
) -> BTreeSet<String> {
    targets.outside.iter().map(|symbol| object_of(symbol, exporter)).collect()
}

fn object_of(symbol: &OutsideSymbol, exporter: &dyn Fn(&str) -> Option<String>) -> String {
    let named = symbol.object.clone().or_else(|| exporter(&symbol.name));
    named.unwrap_or_else(|| "vmlinux".to_owned())
}

/// Looks at what a module may have branched to indirectly. `without_endbr` is what the base knows
/// of vmlinux and of the modules in [`objects_taken_from`].
///
/// # Errors
/// With everything that is wrong.
pub(crate) fn audit(
    targets: &BranchTargets,
    without_endbr: &WithoutEndbr,
    exporter: &dyn Fn(&str) -> Option<String>,
    engine: Engine,
) -> Result<BranchAudit, Vec<String>> {
    let mut problems: Vec<String> = targets
        .functions
        .iter()
        .filter(|function| !function.has_endbr)
        .map(|function| {
            format!(
                "{} does not begin with ENDBR64, or loses it when the module is loaded, and its \
                 address is taken: a call by it would crash a machine with indirect branch tracking",
                function.name
            )
        })
        .collect();
    // objtool lists functions only when it sees the whole: for the kpatch engine it does not run so.
    if targets.is_sealed && engine == Engine::Kpatch {
        problems.push("it has a section .ibt_endbr_seal, which takes ENDBR away".to_owned());
    }
    for symbol in &targets.outside {
        let object = object_of(symbol, exporter);
        if without_endbr.holds(&object, symbol) {
            let whose = match object.as_str() {
                "vmlinux" => "the kernel's".to_owned(),
                module => format!("the module {module}'s"),
            };
            problems.push(format!(
                "it takes the address of {whose} {}, which must not be called by a pointer: the \
                 kernel takes its ENDBR away",
                symbol.name
            ));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(BranchAudit {
        functions_checked: targets.functions.len() as u64,
        note:
            "Every function of the module whose address is taken begins with ENDBR64. Looked at, \
               too: functions of vmlinux and of other modules whose address the module takes. Not \
               tried: that the processor enforces it, for the trial's machine need not have \
               indirect branch tracking."
                .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use elivepatch_elf::BranchTarget;

    use super::*;

    fn targets(functions: &[(&str, bool)], outside: &[(Option<&str>, &str, u64)]) -> BranchTargets {
        BranchTargets {
            functions: functions
                .iter()
                .map(|(name, has_endbr)| BranchTarget {
                    name: (*name).to_owned(),
                    has_endbr: *has_endbr,
                })
                .collect(),
            outside: outside
                .iter()
                .map(|(object, name, position)| OutsideSymbol {
                    object: object.map(str::to_owned),
                    name: (*name).to_owned(),
                    position: *position,
                })
                .collect(),
            is_sealed: false,
        }
    }

    fn without(functions: &[(&str, &str, u64)]) -> WithoutEndbr {
        let mut without = WithoutEndbr::default();
        for (object, name, position) in functions {
            without.add(object, name, *position);
        }
        without
    }

    /// What Module.symvers says.
    fn exporter(name: &str) -> Option<String> {
        (name == "exported_by_ext4").then(|| "ext4".to_owned())
    }

    #[test]
    fn sound_module_passes_and_says_what_was_looked_at() {
        let targets = targets(&[("show", true)], &[(None, "printk", 0)]);
        let known = without(&[("vmlinux", "hidden", 1)]);
        let audit = audit(&targets, &known, &exporter, Engine::Kpatch).expect("sound");
        assert_eq!(audit.functions_checked, 1);
        assert!(audit.note.contains("Looked at, too"));
    }

    #[test]
    fn function_without_endbr_is_refused_by_name() {
        let targets = targets(&[("bare", false)], &[]);
        let problems = audit(&targets, &WithoutEndbr::default(), &exporter, Engine::Kpatch);
        assert!(problems.expect_err("no ENDBR")[0].starts_with("bare "));
    }

    #[test]
    fn list_of_endbr_to_take_away_is_refused_where_nothing_may_make_one() {
        let sealed = BranchTargets { is_sealed: true, ..BranchTargets::default() };
        let known = WithoutEndbr::default();
        assert!(audit(&sealed, &known, &exporter, Engine::Kpatch).is_err());
        assert!(audit(&sealed, &known, &exporter, Engine::KlpBuild).is_ok());
    }

    #[test]
    fn function_of_kernel_or_module_without_endbr_is_refused_where_its_address_is_taken() {
        let known = without(&[
            ("vmlinux", "worker", 2),
            ("ext4", "ext4_helper", 1),
            ("ext4", "exported_by_ext4", 1),
        ]);
        let problem = |object, name, position| {
            let targets = targets(&[], &[(object, name, position)]);
            audit(&targets, &known, &exporter, Engine::Kpatch).err().map(|all| all[0].clone())
        };
        assert!(problem(None, "worker", 0).expect("sealed").contains("the kernel's worker,"));
        assert!(problem(Some("vmlinux"), "worker", 2).is_some());
        assert_eq!(problem(Some("vmlinux"), "worker", 1), None);
        assert_eq!(problem(Some("ext4"), "worker", 2), None);
        assert_eq!(problem(None, "work", 0), None);
        let of_module = problem(Some("ext4"), "ext4_helper", 1).expect("sealed");
        assert!(of_module.contains("the module ext4's ext4_helper,"), "{of_module}");
        assert_eq!(problem(Some("xfs"), "ext4_helper", 1), None);
        assert_eq!(problem(None, "ext4_helper", 0), None);
        assert!(problem(None, "exported_by_ext4", 0).is_some());
    }

    #[test]
    fn objects_that_addresses_are_taken_from_are_told() {
        let symbols = [(None, "printk", 0), (None, "exported_by_ext4", 0), (Some("xfs"), "f", 0)];
        let found = objects_taken_from(&targets(&[], &symbols), &exporter);
        assert_eq!(found.iter().collect::<Vec<_>>(), ["ext4", "vmlinux", "xfs"]);
    }
}

//! The static look at indirect branches in a livepatch for a kernel with indirect branch tracking:
//! the trial's emulator does not enforce it, so a wrong module would load there without a word.

use std::collections::BTreeSet;

use elivepatch_elf::{BranchTargets, OutsideSymbol};
use elivepatch_model::{BranchAudit, Engine};

/// Functions of vmlinux that must not be branched to indirectly, by name and position.
pub(crate) type KernelFunctions = BTreeSet<(String, u64)>;

/// Looks at what a module may have branched to indirectly. `without_endbr` is what the base knows
/// of its vmlinux; bases of earlier versions know nothing.
///
/// # Errors
/// With everything that is wrong.
pub(crate) fn audit(
    targets: &BranchTargets,
    without_endbr: Option<&KernelFunctions>,
    engine: Engine,
) -> Result<BranchAudit, Vec<String>> {
    let mut problems: Vec<String> = targets
        .functions
        .iter()
        .filter(|function| !function.has_endbr)
        .map(|function| {
            format!(
                "{} does not begin with ENDBR64, and its address is taken: a call by it would \
                 crash a machine with indirect branch tracking",
                function.name
            )
        })
        .collect();
    // objtool lists functions only when it sees the whole: for the kpatch engine it does not run so.
    if targets.is_sealed && engine == Engine::Kpatch {
        problems.push("it has a section .ibt_endbr_seal, which takes ENDBR away".to_owned());
    }
    if let Some(without_endbr) = without_endbr {
        let wrong = targets.outside.iter().filter(|symbol| is_one_of(symbol, without_endbr));
        problems.extend(wrong.map(|symbol| {
            format!(
                "it takes the address of the kernel's {}, which must not be called by a pointer: \
                 the kernel takes its ENDBR away",
                symbol.name
            )
        }));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let outside = match without_endbr {
        Some(_) => "Looked at, too: functions of vmlinux whose address the module takes.",
        None => "Not looked at: functions of vmlinux whose address the module takes.",
    };
    Ok(BranchAudit {
        functions_checked: targets.functions.len() as u64,
        note: format!(
            "Every function of the module whose address is taken begins with ENDBR64. {outside} Not \
             looked at: functions of other modules. Not tried: that the processor enforces it, for \
             the trial's machine need not have indirect branch tracking."
        ),
    })
}

fn is_one_of(symbol: &OutsideSymbol, functions: &KernelFunctions) -> bool {
    let is_of_the_kernel = symbol.object.as_deref().is_none_or(|object| object == "vmlinux");
    let name = || symbol.name.clone();
    is_of_the_kernel
        && match symbol.position {
            0 => functions.range((name(), 0)..=(name(), u64::MAX)).next().is_some(),
            position => functions.contains(&(name(), position)),
        }
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

    #[test]
    fn sound_module_passes_and_says_what_was_looked_at() {
        let targets = targets(&[("show", true)], &[(None, "printk", 0)]);
        let without = BTreeSet::from([("hidden".to_owned(), 1)]);
        let audit_of = |known| audit(&targets, known, Engine::Kpatch).expect("sound");
        assert_eq!(audit_of(Some(&without)).functions_checked, 1);
        assert!(audit_of(Some(&without)).note.contains("Looked at, too"));
        assert!(audit_of(None).note.contains("Not looked at: functions of vmlinux"));
    }

    #[test]
    fn function_without_endbr_is_refused_by_name() {
        let problems = audit(&targets(&[("bare", false)], &[]), None, Engine::Kpatch);
        assert!(problems.expect_err("no ENDBR")[0].starts_with("bare "));
    }

    #[test]
    fn list_of_endbr_to_take_away_is_refused_where_nothing_may_make_one() {
        let sealed = BranchTargets { is_sealed: true, ..BranchTargets::default() };
        assert!(audit(&sealed, None, Engine::Kpatch).is_err());
        assert!(audit(&sealed, None, Engine::KlpBuild).is_ok());
    }

    #[test]
    fn function_of_the_kernel_without_endbr_is_refused_where_its_address_is_taken() {
        let without = BTreeSet::from([("worker".to_owned(), 2)]);
        let refused = |object, name, position| {
            let targets = targets(&[], &[(object, name, position)]);
            audit(&targets, Some(&without), Engine::Kpatch).is_err()
        };
        assert!(refused(None, "worker", 0));
        assert!(refused(Some("vmlinux"), "worker", 2));
        assert!(!refused(Some("vmlinux"), "worker", 1));
        assert!(!refused(Some("ext4"), "worker", 2));
        assert!(!refused(None, "work", 0));
    }
}

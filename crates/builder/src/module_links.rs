//! How a livepatch refers to loadable modules: never so that loading it, or loading one of them,
//! depends on a module that need not be there.

use elivepatch_elf::Module;
use elivepatch_model::{Failure, FailureClass};

use crate::base::ModuleTable;

const VMLINUX: &str = "vmlinux";

/// Looks at what the livepatch refers to. `modules` is asked for only when it replaces code of one.
///
/// References to a module must be livepatch relocations, which the kernel resolves when the patched
/// module is there. They may refer to that module and to those that it needs: while it is loaded, so
/// are they. A symbol of any other module would keep the patched one from being loaded
/// (`klp_resolve_symbols` in kernel/livepatch/core.c).
///
/// # Errors
/// `module-dependency`, with all such references.
pub(crate) fn check_module_links(module: &Module, modules: &ModuleTable) -> Result<(), Failure> {
    let mut problems: Vec<String> = module
        .modinfo
        .depends()
        .map(|needed| format!("the livepatch could be loaded together with {needed} only"))
        .collect();
    for relocations in &module.livepatch_relocations {
        let object = relocations.object.as_str();
        let needed = modules.needed_by(object);
        for symbol in &relocations.symbols {
            let owner = symbol.object.as_str();
            if owner != VMLINUX && !needed.contains(owner) {
                problems.push(format!(
                    "the new code of {object} uses {} of the module {owner}, on which {object} \
                     does not depend",
                    symbol.name
                ));
            }
        }
    }
    problems.dedup();
    match problems.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(
            FailureClass::ModuleDependency,
            first.clone(),
            "use only what vmlinux, the patched module or the modules that it depends on export",
        )
        .with_details(problems)),
    }
}

#[cfg(test)]
mod tests {
    use elivepatch_elf::{LivepatchRelocations, LivepatchSymbol, Modinfo};

    use super::*;

    fn livepatch(object: &str, owner: &str) -> Module {
        let symbol =
            LivepatchSymbol { object: owner.to_owned(), name: "f".to_owned(), position: 0 };
        Module {
            modinfo: Modinfo::default(),
            build_id: None,
            undefined_symbols: Vec::new(),
            versions: Vec::new(),
            livepatch_relocations: vec![LivepatchRelocations {
                object: object.to_owned(),
                section: ".text.g".to_owned(),
                symbols: vec![symbol],
                entries: Vec::new(),
            }],
            maker: None,
            replaced_functions: Vec::new(),
        }
    }

    #[test]
    fn patched_module_may_use_itself_and_what_it_needs_only() {
        let digest = elivepatch_model::Sha256Digest::of(b"");
        let line =
            |name: &str, needs: &str| format!("{name}\tkernel/{name}.ko\t{needs}\t\t{digest}\t\n");
        let table =
            line("vlan", "garp,gone") + &line("garp", "stp") + &line("stp", "") + &line("xfs", "");
        let table = ModuleTable::parse(&table);
        for owner in ["vlan", "garp", "stp", "vmlinux"] {
            assert_eq!(check_module_links(&livepatch("vlan", owner), &table), Ok(()), "{owner}");
        }
        for (object, owner) in [("vlan", "xfs"), ("vmlinux", "vlan"), ("stp", "garp")] {
            let failure = check_module_links(&livepatch(object, owner), &table).expect_err("not");
            assert_eq!(failure.class, FailureClass::ModuleDependency);
            assert!(failure.message.contains(&format!("of the module {owner}")), "{failure}");
        }
    }
}

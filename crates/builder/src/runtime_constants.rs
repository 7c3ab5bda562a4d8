//! Constants that the kernel writes into its own code when it boots: `runtime_const_ptr()` and
//! `runtime_const_shift_right_32()`, on x86-64 since Linux 6.11.
//!
//! The code of a module never gets them (the kernel's header refuses to be compiled into one since
//! 6.12.62 and 6.19), and neither kpatch nor objtool knows the sections that list the places. A
//! replaced function would go on with the placeholder: an address that is none, or a limit of user
//! addresses that lets kernel addresses through.
//!
//! # Other code that is changed where it lies
//!
//! A function that is moved to a module must have done to it there what the kernel does to its own.
//! Of the sections that the linker scripts collect (arch/x86/kernel/vmlinux.lds.S,
//! include/asm-generic/vmlinux.lds.h, 6.1 to 7.3) this is who sees to each:
//!
//! - `module_finalize` (arch/x86/kernel/module.c) treats those of a module as those of the kernel:
//!   `.altinstructions`, `.smp_locks`, `.parainstructions` (before 6.8), `.retpoline_sites`,
//!   `.return_sites`, `.call_sites`, `.cfi_sites`, `.orc_unwind` and `.orc_unwind_ip`.
//!   create-diff-object takes the entries of changed functions along. `objtool klp diff` does so with
//!   the first two; the others objtool makes anew when the module is linked. `.ibt_endbr_seal` is
//!   treated, too: see [`crate::branch_audit`].
//! - The module loader (kernel/module, and notifiers of its owners) treats `__jump_table`,
//!   `.static_call_sites`, `__ex_table`, `__bug_table`, `.kcfi_traps`, `__mcount_loc`,
//!   `.printk_index`, `__tracepoints`, `__tracepoints_ptrs`, `_ftrace_events`, `__dyndbg`, `__param`
//!   and `_error_injection_whitelist`. Both engines take those of the first four along that belong
//!   to changed functions, and refuse keys of loadable modules in the first two. For `__mcount_loc`
//!   both make entries. Those about tracing, printing and parameters the code itself does not need.
//! - `.data..percpu` is the kernel's alone: kpatch refuses a changed one, objtool refers to the
//!   kernel's variable and puts new ones into the module's own.
//! - `.initcall*`, `.con_initcall*`, `.init.setup`, `.x86_cpu_dev.init`, `.apicdrivers` and other
//!   tables that are read once at boot: see `engine/lost_sections.rs`.
//! - `runtime_ptr_*`, `runtime_shift_*`: nobody. Hence this module.

use elivepatch_elf::unwritten_runtime_constants;
use elivepatch_model::{Failure, FailureClass};

/// Functions that a failure lists.
const LISTED: usize = 20;

/// Refuses functions with such constants, each with the constant's name, of which a livepatch would
/// hold a copy. `holder` is what they are in.
///
/// # Errors
/// `runtime-constant`, when there are some.
pub(crate) fn refuse(copied: &[(String, String)], holder: &str) -> Result<(), Failure> {
    let Some((function, constant)) = copied.first() else { return Ok(()) };
    let details = copied.iter().map(|(function, constant)| format!("{function}: {constant}"));
    Err(Failure::new(
        FailureClass::RuntimeConstant,
        format!(
            "{function} in {holder} holds the constant {constant}, which the kernel writes into its \
             own code when it boots and into no livepatch"
        ),
        FailureClass::RuntimeConstant.hint(),
    )
    .with_details(details.take(LISTED)))
}

/// Looks at a finished module: whatever an engine did, nothing in it may wait for such a constant.
///
/// # Errors
/// `runtime-constant`, with the places; `module-invalid` when it cannot be read.
pub(crate) fn check_module(module: &[u8]) -> Result<(), Failure> {
    let places = unwritten_runtime_constants(module).map_err(|error| {
        Failure::new(
            FailureClass::ModuleInvalid,
            format!("the code of the module cannot be read: {error}"),
            "nothing of it is published; please report it with the build's log",
        )
    })?;
    let Some(first) = places.first() else { return Ok(()) };
    Err(Failure::new(
        FailureClass::RuntimeConstant,
        format!(
            "{first} in the module waits for a constant that the kernel writes into its own code \
             when it boots and into no livepatch"
        ),
        FailureClass::RuntimeConstant.hint(),
    )
    .with_details(places.into_iter().take(LISTED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_told_with_their_constants() {
        assert_eq!(refuse(&[], "fs/dcache.o"), Ok(()));
        let copied = [
            ("__d_lookup".to_owned(), "d_hash_shift".to_owned()),
            ("__d_lookup".to_owned(), "dentry_hashtable".to_owned()),
        ];
        let failure = refuse(&copied, "fs/dcache.o").expect_err("it has some");
        assert_eq!(failure.class, FailureClass::RuntimeConstant);
        assert!(failure.message.starts_with("__d_lookup in fs/dcache.o holds the constant d_hash"));
        assert_eq!(failure.details, ["__d_lookup: d_hash_shift", "__d_lookup: dentry_hashtable"]);
    }
}

use std::collections::BTreeMap;

use camino::Utf8Path;
use elivepatch_elf::Vmlinux;
use elivepatch_model::{ElfBuildId, Failure, FailureClass, KernelConfig, KernelRelease};

use super::facts::{NO_ENDBR, base_io};

/// What the engines must know of a target's vmlinux.
#[derive(Debug)]
pub(super) struct VmlinuxFacts {
    /// Its build-id.
    pub build_id: ElfBuildId,
    /// The sizes of the kernel's special structures by name, in bytes.
    pub struct_sizes: BTreeMap<String, u64>,
}

impl VmlinuxFacts {
    /// Reads them from a vmlinux with debug information. Puts the list of functions that must not be
    /// branched to indirectly into `staging`; it is empty where branches are not tracked.
    ///
    /// # Errors
    /// `base-failed` when it cannot be read, has no build-id, or lacks a structure that must be
    /// there with this config.
    pub(super) fn read(
        vmlinux: &Vmlinux,
        config: &KernelConfig,
        release: &KernelRelease,
        staging: &Utf8Path,
    ) -> Result<Self, Failure> {
        let names = special_structs(config, release);
        let struct_sizes = vmlinux.struct_sizes(&names).map_err(unreadable)?;
        if let Some(name) = names.iter().find(|name| !struct_sizes.contains_key(**name)) {
            return Err(Failure::new(
                FailureClass::BaseFailed,
                format!("the target's debug information has no struct {name}"),
                "kpatch needs its size: please report this kernel",
            ));
        }
        let build_id = vmlinux.build_id().map_err(unreadable)?.ok_or_else(|| {
            Failure::new(
                FailureClass::BaseFailed,
                "the target's vmlinux has no build-id",
                "a livepatch could not be tied to it: please report this kernel",
            )
        })?;
        let mut no_endbr = String::new();
        if config.is_yes("X86_KERNEL_IBT") {
            for (name, position) in vmlinux.functions_without_endbr().map_err(unreadable)? {
                no_endbr.push_str(&format!("{name}\t{position}\n"));
            }
        }
        let path = staging.join(NO_ENDBR);
        fs_err::write(&path, no_endbr).map_err(|error| base_io("write", &path, &error))?;
        Ok(Self { build_id, struct_sizes })
    }
}

/// The failure of a vmlinux that cannot be read.
pub(super) fn unreadable(error: elivepatch_elf::ElfError) -> Failure {
    Failure::new(
        FailureClass::BaseFailed,
        format!("cannot read the target's vmlinux: {error}"),
        "the kernel was built or packaged differently: please report it",
    )
}

/// The structures of the kernel's special sections that are there with this config, as
/// kpatch-build 0.9.10 looks for them on x86-64.
fn special_structs(config: &KernelConfig, release: &KernelRelease) -> Vec<&'static str> {
    let mut names = vec!["alt_instr", "bug_entry", "exception_table_entry"];
    let version = release.version();
    let optional = [
        ("jump_entry", config.is_yes("JUMP_LABEL")),
        ("orc_entry", config.is_yes("UNWINDER_ORC")),
        // Paravirt sites became alternatives in 6.8.
        ("paravirt_patch_site", config.is_yes("PARAVIRT") && version < (6, 8, 0)),
        ("static_call_site", config.is_yes("HAVE_STATIC_CALL_INLINE") && version >= (5, 10, 0)),
        ("pi_entry", config.is_yes("PRINTK_INDEX")),
    ];
    names.extend(optional.into_iter().filter(|(_, present)| *present).map(|(name, _)| name));
    names
}

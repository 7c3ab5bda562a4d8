//! The facts of a real kernel, when ELIVEPATCH_TEST_VMLINUX names the vmlinux of Debian's
//! linux-image-6.1.0-50-cloud-amd64-dbg 6.1.176-1. It has 588 MB, so that it is not brought along.

use std::path::PathBuf;

use elivepatch_elf::{SPECIAL_STRUCTS, Vmlinux};

#[test]
fn stock_kernel_has_the_known_facts() {
    let Some(path) = std::env::var_os("ELIVEPATCH_TEST_VMLINUX").map(PathBuf::from) else {
        eprintln!("ELIVEPATCH_TEST_VMLINUX is not set: nothing is tested");
        return;
    };
    let vmlinux = Vmlinux::open(&path).expect("a kernel");
    let sizes = vmlinux.struct_sizes(&SPECIAL_STRUCTS).expect("debug information");
    let sizes: Vec<(&str, u64)> = sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    assert_eq!(
        sizes,
        [
            ("alt_instr", 12),
            ("bug_entry", 12),
            ("exception_table_entry", 12),
            ("jump_entry", 16),
            ("orc_entry", 6),
            ("paravirt_patch_site", 16),
            ("static_call_site", 8),
        ]
    );
    let units = vmlinux.compile_units().expect("debug information");
    for unit in ["fs/proc/meminfo.c", "security/keys/keyctl_pkey.c", "arch/x86/kernel/head_64.S"] {
        assert!(units.contains(unit), "{unit}");
    }
    assert!(units.iter().all(|unit| !unit.starts_with('/') && !unit.starts_with("../")));
    let mut both = vmlinux.included_sources().expect("debug information");
    for unit in units {
        both.entry(unit.clone()).or_default().insert(unit);
    }
    assert_eq!(vmlinux.units_by_source().expect("debug information"), both);
    let banner = vmlinux.linux_banner().expect("a symbol table").expect("a banner");
    assert!(banner.starts_with("Linux version 6.1.0-50-cloud-amd64 "), "{banner}");
    let symbols = vmlinux.symbols().expect("a symbol table");
    assert!(symbols.iter().any(|symbol| symbol.name == "meminfo_proc_show"));
}

//! What a change to a file means, judged by the file's path in a kernel tree.

use elivepatch_model::FailureClass;

use crate::TreePath;

/// What a change to a file means for a livepatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// C code that may be in the kernel image: files that are compiled, and those that they include.
    Code,
    /// Never in the kernel image; the reason completes "FILE …".
    NotInKernel(&'static str),
    /// Matters to the kernel and cannot be live-patched.
    Refused { class: FailureClass, reason: &'static str, hint: &'static str },
    /// The same, when the kernel is built with it; else it is as if the file were not there.
    RefusedIfBuilt { class: FailureClass, reason: &'static str, hint: &'static str },
}

const DOCUMENTATION: Place = Place::NotInKernel("is documentation");
const TOOLS: Place = Place::NotInKernel("is a tool or a test outside the kernel");
const SAMPLES: Place = Place::NotInKernel("is a sample");
const HOUSEKEEPING: Place = Place::NotInKernel("is about the source tree itself");
const AUTHORS_TOOL: Place = Place::NotInKernel("is a script for authors, unused in a build");
const DEFAULT_CONFIG: Place =
    Place::NotInKernel("is a config to start from; the target has its own config");
const OTHER_ARCHITECTURE: Place = Place::NotInKernel("is for another architecture than x86_64");

/// Directories whose files are never linked into a kernel image.
const NEVER_IN_KERNEL: [(&str, Place); 7] = [
    ("Documentation/", DOCUMENTATION),
    ("LICENSES/", HOUSEKEEPING),
    ("samples/", SAMPLES),
    ("tools/", TOOLS),
    ("arch/x86/configs/", DEFAULT_CONFIG),
    ("kernel/configs/", DEFAULT_CONFIG),
    // User-mode Linux is an architecture of its own.
    ("arch/x86/um/", OTHER_ARCHITECTURE),
];

/// Code under the directories above that is linked into kernels all the same: kernel/bpf/Makefile
/// builds it (`relo_core.c` from 5.17, the others from 6.11 on).
const IN_KERNEL_ALL_THE_SAME: [&str; 3] =
    ["tools/lib/bpf/btf_iter.c", "tools/lib/bpf/btf_relocate.c", "tools/lib/bpf/relo_core.c"];

/// Where the headers are that this code shares with the kernel's own: kernel/bpf includes
/// `relo_core.h` by its path, and kernel/bpf/preload/Makefile has this directory searched
/// (`LIBBPF_INCLUDE`).
const HEADERS_IN_KERNEL_ALL_THE_SAME: &str = "tools/lib/bpf/";

/// C files that are compiled only for what is read out of them while the kernel is built (the
/// `offsets-file` rules of the top-level Kbuild).
const COMPILED_FOR_CONSTANTS: [&str; 2] = ["kernel/bounds.c", "kernel/sched/rq-offsets.c"];

/// Files and directories in scripts/ that serve authors. The rest of scripts/ runs in a build.
const AUTHORS_SCRIPTS: [&str; 11] = [
    "scripts/bloat-o-meter",
    "scripts/checkpatch.pl",
    "scripts/coccinelle/",
    "scripts/const_structs.checkpatch",
    "scripts/decode_stacktrace.sh",
    "scripts/decodecode",
    "scripts/faddr2line",
    "scripts/gdb/",
    "scripts/get_maintainer.pl",
    "scripts/kernel-doc",
    "scripts/spelling.txt",
];

/// Of this library the kernel links what its config asks for; the base knows which.
const LIBRARY: &str = "lib/";

/// But this part is compiled into the vdso, which no base knows of.
const LIBRARY_FOR_VDSO: &str = "lib/vdso/";

/// Code that kpatch never compares (kpatch-cc of kpatch 0.9.10), and why.
const UNPATCHABLE: [(&str, &str); 10] = [
    (LIBRARY, "is in lib/, whose objects kpatch cannot compare"),
    ("arch/x86/boot/", "is boot code, which has already run"),
    ("arch/x86/entry/vdso/", "is vdso code, which runs in user space"),
    ("arch/x86/purgatory/", "is code of the kexec purgatory, outside the running kernel"),
    ("arch/x86/realmode/", "is real-mode code, outside the kernel proper"),
    ("arch/x86/tools/", "is a host program of the build"),
    ("drivers/firmware/efi/libstub/", "is code of the EFI stub, which has already run"),
    ("init/version.c", "holds the kernel's version text, which must stay as it is"),
    ("init/version-timestamp.c", "holds the kernel's version text, which must stay as it is"),
    ("kernel/system_certificates.c", "holds certificates, not code"),
];

/// Why the code of a compiled file can be neither compared nor replaced, for files that a patch
/// reaches by way of a header; completes "which …".
pub fn cannot_be_compared(path: &str) -> Option<&'static str> {
    if path.ends_with(".S") {
        return Some("is assembly, which cannot be live-patched");
    }
    if is_in_kernel_all_the_same(path) {
        return None;
    }
    UNPATCHABLE.iter().find(|(prefix, _)| path.starts_with(prefix)).map(|(_, reason)| *reason)
}

fn is_in_kernel_all_the_same(path: &str) -> bool {
    IN_KERNEL_ALL_THE_SAME.contains(&path)
        || (path.starts_with(HEADERS_IN_KERNEL_ALL_THE_SAME) && path.ends_with(".h"))
}

/// Judges a path.
pub(crate) fn of(path: &TreePath) -> Place {
    never_in_kernel(path).or_else(|| refused_by_name(path)).unwrap_or_else(|| by_extension(path))
}

fn never_in_kernel(path: &TreePath) -> Option<Place> {
    let text = path.as_str();
    if is_in_kernel_all_the_same(text) {
        return None;
    }
    if let Some((_, place)) = NEVER_IN_KERNEL.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return Some(*place);
    }
    if AUTHORS_SCRIPTS.iter().any(|script| text.starts_with(script)) {
        return Some(AUTHORS_TOOL);
    }
    if let Some((architecture, _)) = text.strip_prefix("arch/").and_then(|t| t.split_once('/'))
        && architecture != "x86"
    {
        return Some(OTHER_ARCHITECTURE);
    }
    let name = path.file_name();
    match name {
        "MAINTAINERS" | "CREDITS" | "COPYING" => return Some(HOUSEKEEPING),
        "README" | "TODO" => return Some(DOCUMENTATION),
        _ if name.starts_with('.') => return Some(HOUSEKEEPING),
        _ => {}
    }
    // Not *.txt: arch/x86/lib/x86-opcode-map.txt and the like are what code is generated from.
    let notes = matches!(path.extension(), "rst" | "md");
    (notes || path.file_name() == "notes.txt").then_some(DOCUMENTATION)
}

fn refused_by_name(path: &TreePath) -> Option<Place> {
    let text = path.as_str();
    let name = path.file_name();
    let build_file = ["Makefile", "Kbuild", "Kconfig"].iter().any(|stem| name.starts_with(stem));
    if build_file || name.contains(".lds") || text.starts_with("scripts/") {
        return Some(build_system("changes how the kernel is built"));
    }
    if COMPILED_FOR_CONSTANTS.contains(&text) || name.starts_with("asm-offsets") {
        return Some(build_system(
            "is compiled only for the constants that the build reads from it",
        ));
    }
    let (prefix, reason) = UNPATCHABLE.iter().find(|(prefix, _)| text.starts_with(prefix))?;
    let is_known_to_base = *prefix == LIBRARY && !text.starts_with(LIBRARY_FOR_VDSO);
    Some(match path.extension() {
        "c" | "h" | "inc" | "S" if is_known_to_base => if_built(unpatchable(reason)),
        _ => unpatchable(reason),
    })
}

/// What is refused when the kernel is built with it.
fn if_built(place: Place) -> Place {
    match place {
        Place::Refused { class, reason, hint } => Place::RefusedIfBuilt { class, reason, hint },
        other => other,
    }
}

fn by_extension(path: &TreePath) -> Place {
    match path.extension() {
        "c" | "h" | "inc" => Place::Code,
        "S" => if_built(assembly()),
        // Kbuild takes these for what the compiler made of C code.
        "s" => assembly(),
        "rs" => unpatchable("is Rust code, which kpatch cannot compare"),
        "dts" | "dtsi" | "dtso" => unpatchable("is a device tree, which is read at boot"),
        "y" | "l" | "pl" | "py" | "sh" | "awk" | "tbl" | "asn1" => {
            build_system("is an input or a tool of the build, from which code is generated")
        }
        _ => build_system("is not C code: what a change to it does is decided by a whole build"),
    }
}

fn assembly() -> Place {
    Place::Refused {
        class: FailureClass::PatchAssembly,
        reason: "is assembly, which cannot be live-patched",
        hint: "change the C code that calls it instead, or leave this file out of the patch",
    }
}

fn build_system(reason: &'static str) -> Place {
    Place::Refused {
        class: FailureClass::PatchBuildSystem,
        reason,
        hint: "leave this file out of the patch; a change of how the kernel is built needs a reboot",
    }
}

fn unpatchable(reason: &'static str) -> Place {
    Place::Refused {
        class: FailureClass::PatchUnpatchableCode,
        reason,
        hint: "leave this file out of the patch, or install a fixed kernel and reboot",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> Place {
        of(&TreePath::new(path).expect("a valid path"))
    }

    fn class(path: &str) -> Option<FailureClass> {
        match place(path) {
            Place::Refused { class, .. } | Place::RefusedIfBuilt { class, .. } => Some(class),
            _ => None,
        }
    }

    #[test]
    fn c_code_of_the_image_is_built() {
        for path in [
            "fs/proc/meminfo.c",
            "arch/x86/kvm/svm/svm.c",
            "init/main.c",
            "drivers/firmware/efi/efi.c",
            "arch/x86/lib/delay.c",
            "tools/lib/bpf/relo_core.c",
            "tools/lib/bpf/btf_relocate.c",
            "tools/lib/bpf/relo_core.h",
            "include/net/sock.h",
            "include/uapi/linux/fs.h",
            "fs/proc/internal.h",
            "drivers/ata/ahci.inc",
        ] {
            assert_eq!(place(path), Place::Code, "{path}");
        }
    }

    #[test]
    fn files_outside_the_kernel_are_dropped() {
        for path in [
            "Documentation/Makefile",
            "tools/objtool/check.c",
            "tools/lib/bpf/libbpf.c",
            "tools/objtool/include/objtool/check.h",
            "tools/testing/selftests/net/tls.c",
            "samples/bpf/hbm.c",
            "MAINTAINERS",
            "drivers/staging/README",
            "net/ceph/notes.txt",
            ".mailmap",
            "scripts/checkpatch.pl",
            "arch/arm64/kernel/signal.c",
            "arch/um/kernel/trap.c",
            "arch/x86/um/signal.c",
            "arch/x86/configs/x86_64_defconfig",
        ] {
            assert!(matches!(place(path), Place::NotInKernel(_)), "{path}");
        }
    }

    #[test]
    fn files_that_cannot_be_live_patched_are_refused_by_class() {
        for (path, expected) in [
            ("arch/x86/entry/entry_64.S", FailureClass::PatchAssembly),
            ("fs/Makefile", FailureClass::PatchBuildSystem),
            ("arch/x86/Kconfig.cpu", FailureClass::PatchBuildSystem),
            ("arch/Kconfig", FailureClass::PatchBuildSystem),
            ("arch/x86/kernel/vmlinux.lds.S", FailureClass::PatchBuildSystem),
            ("include/asm-generic/vmlinux.lds.h", FailureClass::PatchBuildSystem),
            ("arch/x86/lib/x86-opcode-map.txt", FailureClass::PatchBuildSystem),
            ("kernel/bounds.c", FailureClass::PatchBuildSystem),
            ("arch/x86/kernel/asm-offsets_64.c", FailureClass::PatchBuildSystem),
            ("scripts/mod/modpost.c", FailureClass::PatchBuildSystem),
            ("arch/x86/entry/syscalls/syscall_64.tbl", FailureClass::PatchBuildSystem),
            ("lib/iov_iter.c", FailureClass::PatchUnpatchableCode),
            ("arch/x86/boot/compressed/kaslr.c", FailureClass::PatchUnpatchableCode),
            ("init/version.c", FailureClass::PatchUnpatchableCode),
            ("drivers/net/phy/ax88796b_rust.rs", FailureClass::PatchUnpatchableCode),
        ] {
            assert_eq!(class(path), Some(expected), "{path}");
        }
    }

    #[test]
    fn base_decides_of_what_it_knows_to_be_built_or_not() {
        let is_open = |path: &str| matches!(place(path), Place::RefusedIfBuilt { .. });
        for path in ["lib/iov_iter.c", "lib/zstd/zstd_internal.h", "lib/raid6/x.S"] {
            assert!(is_open(path), "{path}");
        }
        assert!(is_open("arch/x86/crypto/aesni-intel_asm.S"));
        for path in [
            "lib/vdso/gettimeofday.c",
            "lib/Makefile",
            "lib/build_OID_registry",
            "arch/x86/boot/header.S",
            "arch/x86/entry/vdso/note.S",
            "arch/x86/realmode/rmpiggy.S",
            "arch/x86/kernel/vmlinux.lds.S",
        ] {
            assert!(matches!(place(path), Place::Refused { .. }), "{path}");
        }
    }
}

//! What patch authors send, one patch for each behaviour: the functions that are replaced, what the
//! patch was adapted by, and what the guest shows. Or why there is no livepatch.

use elivepatch_end_to_end::{Case, Refusal, StockKernel, all_are_refused, all_become_livepatches};
use elivepatch_model::{AdaptationKind, FailureClass, StepName};

#[test]
fn lines_that_a_patch_leaves_alone_keep_their_numbers() {
    use AdaptationKind::LineNumbers;
    let patches = ["lines-above-warnings"];
    all_become_livepatches(&[
        Case {
            patches: &patches,
            checks: &[("stat -c size=%s /proc/driver", "size=0", "size=4242")],
            functions: &["__ext4_check_dir_entry", "proc_getattr"],
            adaptations: &[(LineNumbers, "fs/ext4/dir.c"), (LineNumbers, "fs/proc/generic.c")],
            ..Case::PLAIN
        },
        Case {
            patches: &patches,
            functions: &[
                "__ext4_check_dir_entry",
                "call_filldir",
                "ext4_check_all_de",
                "ext4_readdir",
                "proc_getattr",
            ],
            without: &[LineNumbers],
            ..Case::PLAIN
        },
    ]);
}

#[test]
fn inline_function_of_a_header_is_replaced_wherever_it_is_compiled_in() {
    let uptime = "read up rest < /proc/uptime; [ ${up%.*} -gt 1000000 ] && echo late || echo early";
    all_become_livepatches(&[Case {
        patches: &["header-inline"],
        checks: &[(uptime, "early", "late")],
        functions: &[
            "do_sysinfo.isra.0",
            "get_boottime_timespec",
            "posix_get_boottime_timespec",
            "uptime_proc_show",
        ],
        adaptations: &[(AdaptationKind::LineNumbers, "include/linux/time_namespace.h")],
        ..Case::PLAIN
    }]);
}

#[test]
fn changed_system_calls_are_defined_as_kpatch_needs_it() {
    use AdaptationKind::{LineNumbers, SyscallDefine};
    all_become_livepatches(&[Case {
        patches: &["syscall"],
        checks: &[("uname -s", "Linux", "Linux-live")],
        functions: &["__ia32_sys_newuname", "__x64_sys_newuname"],
        adaptations: &[(SyscallDefine, "kernel/sys.c"), (LineNumbers, "kernel/sys.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn system_call_that_takes_in_a_changed_helper_is_defined_as_kpatch_needs_it() {
    all_become_livepatches(&[Case {
        // The objects are compared twice, the new one too.
        patches: &["syscall-helper", "new-file"],
        checks: &[
            ("cd /proc/driver && busybox pwd -P | sed 's/.*/at:&:/'", "at:/proc/driver:", "at:/:"),
            ("grep -o 'note 4. 1 1' /proc/uptime || echo none", "none", "note 4"),
        ],
        functions: &["__ia32_sys_getcwd", "__x64_sys_getcwd", "uptime_proc_show"],
        adaptations: &[
            (AdaptationKind::SyscallDefine, "fs/d_path.c"),
            (AdaptationKind::LineNumbers, "fs/proc/uptime.c"),
        ],
        ..Case::PLAIN
    }]);
    all_are_refused(&[Refusal {
        kernel: StockKernel::Debian12,
        patch: "syscall-helper",
        checks: &[],
        class: FailureClass::FunctionNotTraceable,
        step: StepName::Diff,
        parts: &["__do_sys_getcwd"],
        without: &[AdaptationKind::SyscallDefine],
    }]);
}

#[test]
fn new_files_and_parts_outside_the_kernel() {
    use AdaptationKind::{LineNumbers, OutsideKernel, RemovedFile};
    all_become_livepatches(&[Case {
        patches: &["new-file", "parts-outside-this-kernel"],
        checks: &[
            // A function and a variable that the kernel does not export, and data of its own.
            ("grep -o 'note 4. 1 1' /proc/uptime || echo none", "none", "note 4"),
            ("grep -c outside /proc/loadavg", "0", "1"),
        ],
        functions: &["loadavg_proc_show", "uptime_proc_show"],
        adaptations: &[
            (OutsideKernel, "Documentation/filesystems/proc.rst"),
            (OutsideKernel, "arch/arm64/kernel/setup.c"),
            (OutsideKernel, "tools/perf/builtin-stat.c"),
            (OutsideKernel, "arch/x86/crypto/sm4-aesni-avx-asm_64.S"),
            (OutsideKernel, "lib/bch.c"),
            (OutsideKernel, "drivers/gpu/drm/i915/i915_driver.c"),
            (OutsideKernel, "drivers/gpu/drm/i915/i915_drv.h"),
            (RemovedFile, "fs/proc/nommu.c"),
            (RemovedFile, "fs/proc/devices.c"),
            (LineNumbers, "fs/proc/uptime.c"),
        ],
        ..Case::PLAIN
    }]);
}

#[test]
fn later_fix_may_change_a_file_that_an_earlier_one_adds() {
    all_become_livepatches(&[Case {
        patches: &["new-file", "new-file-changed"],
        checks: &[("grep -o 'remark 4. 1 1' /proc/uptime || echo none", "none", "remark 4")],
        functions: &["uptime_proc_show"],
        adaptations: &[(AdaptationKind::LineNumbers, "fs/proc/uptime.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn init_code_is_left_out_where_nothing_hangs_on_it() {
    use AdaptationKind::{InitOnly, LineNumbers};
    all_become_livepatches(&[Case {
        patches: &["init-only"],
        checks: &[
            ("grep -c fixed /proc/version", "0", "1"),
            // What would have been another mode waits for the next boot.
            ("stat -c %a: /proc/version", "444:", "444:"),
        ],
        functions: &["version_proc_show"],
        adaptations: &[(InitOnly, "fs/proc/version.c"), (LineNumbers, "fs/proc/version.c")],
        ..Case::PLAIN
    }]);
    let refused = |patch, parts, without| Refusal {
        kernel: StockKernel::Debian12,
        patch,
        checks: &[],
        class: FailureClass::InitCode,
        step: StepName::Diff,
        parts,
        without,
    };
    let tie = "is tied to version_proc_show() in fs/proc/version.c by shown_lines";
    let parts = ["section .init.text", "fs/proc/version.o", tie];
    all_are_refused(&[
        refused("init-needed", &parts, &[]),
        refused("init-only", &parts[..2], &[InitOnly]),
    ]);
}

#[test]
fn what_no_livepatch_can_do_is_refused() {
    use AdaptationKind::{OutsideKernel, RemovedFile, SyscallDefine};
    let outside = "parts-outside-this-kernel";
    all_are_refused(&[
        Refusal {
            kernel: StockKernel::Debian12,
            patch: "new-file-with-initcall",
            checks: &[],
            class: FailureClass::InitCode,
            step: StepName::Diff,
            parts: &["fs/proc/live_note.o (.initcall7.init)", "KPATCH_PRE_PATCH_CALLBACK"],
            without: &[],
        },
        Refusal {
            kernel: StockKernel::Debian12,
            patch: "library-code-in-this-kernel",
            checks: &[],
            class: FailureClass::PatchUnpatchableCode,
            step: StepName::Check,
            parts: &["lib/glob.c is in lib/"],
            without: &[],
        },
        Refusal {
            kernel: StockKernel::Debian12,
            patch: outside,
            checks: &[],
            class: FailureClass::CodeNotBuilt,
            step: StepName::Check,
            parts: &["Documentation/filesystems/proc.rst is documentation", "outside-kernel"],
            without: &[OutsideKernel],
        },
        Refusal {
            kernel: StockKernel::Debian12,
            patch: outside,
            checks: &[],
            class: FailureClass::PatchFileSet,
            step: StepName::Check,
            parts: &["fs/proc/nommu.c is taken away", "removed-file"],
            without: &[RemovedFile],
        },
        Refusal {
            kernel: StockKernel::Debian12,
            patch: "syscall",
            checks: &[],
            class: FailureClass::FunctionNotTraceable,
            step: StepName::Diff,
            parts: &["__do_sys_newuname"],
            without: &[SyscallDefine],
        },
    ]);
}

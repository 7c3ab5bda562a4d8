//! Kinds of code and data that a changed function may hold or use. Patches that go together are one
//! livepatch, each with what the guest shows of it.

use elivepatch_end_to_end::{Case, Refusal, StockKernel, all_are_refused, all_become_livepatches};
use elivepatch_model::{AdaptationKind::LineNumbers, FailureClass, StepName};

#[test]
fn data_of_the_kernel_is_used_where_it_is() {
    // Files of a ramfs have numbers of get_next_ino; it takes 1024 of them to reach the static local.
    let numbers = "mkdir -p /tmp/ramfs; mount -t ramfs ramfs /tmp/ramfs; cd /tmp/ramfs; \
                   seq 1 1100 | xargs touch; number=$(stat -c %i 1100); cd /; umount /tmp/ramfs; \
                   last=$(cat /tmp/last || echo 0); low=$((number % 500000000)); \
                   echo $low >/tmp/last; [ $low -gt $((last + 1000)) ] && \
                   echo from $((number / 500000000)) on || echo $number after $last";
    let size = "set -- $(cat /proc/sys/fs/dentry-state); size=$(($5 - 1000000000)); \
                [ $size -ge 1024 ] && [ $size -lt 2147483648 ] && echo size || echo other";
    all_become_livepatches(&[Case {
        patches: &["static-local-kept", "unchanged-data"],
        checks: &[(numbers, "from 0 on", "from 1 on"), (size, "other", "size")],
        functions: &["get_next_ino", "proc_nr_dentry"],
        adaptations: &[(LineNumbers, "fs/dcache.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn clones_warnings_and_messages() {
    // /proc/uptime is read by the guest itself, too: so what was said before is put aside.
    let messages = "dmesg -c >/dev/null; mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null; \
                    cat /proc/uptime >/dev/null; \
                    echo 'file fs/proc/uptime.c +p' >/sys/kernel/debug/dynamic_debug/control; \
                    cat /proc/uptime >/dev/null; \
                    dmesg | grep -o 'live.*message.*' | xargs echo said:";
    let said = "said: live message of uptime_proc_show live message of uptime_proc_show \
                live debug message";
    all_become_livepatches(&[Case {
        patches: &["compiler-clones", "warning-in-function", "messages", "ext4"],
        checks: &[
            ("true | grep flags: /proc/self/fdinfo/0", "flags:\t00", "flags:\t01000000"),
            ("grep -m 2 Ip: /proc/net/snmp", "Ip: Forwarding", "Ip: Live Forwarding"),
            ("echo [$(cat /sys/class/net/lo/statistics/rx_packets)]", "[0]", "[0 live]"),
            (messages, "said:", said),
            // A mount would need a disk; this file is there without.
            ("cat /sys/fs/ext4/features/lazy_itable_init", "supported", "supported and patched"),
        ],
        functions: &[
            "__do_pipe_flags.part.0",
            "ext4_attr_show",
            "netstat_show.constprop.0",
            "snmp_seq_show_ipstats.constprop.0.isra.0",
            "uptime_proc_show",
        ],
        adaptations: &[
            (LineNumbers, "fs/pipe.c"),
            (LineNumbers, "fs/proc/uptime.c"),
            (LineNumbers, "net/core/net-sysfs.c"),
        ],
        ..Case::PLAIN
    }]);
}

#[test]
fn warning_that_is_hit_is_named_with_its_place_in_the_source() {
    let file = "net/core/net-sysfs.c:675";
    all_are_refused(&[Refusal {
        checks: &[("cat /sys/class/net/lo/statistics/rx_packets", "0", "0")],
        ..refused(
            "warning-hit",
            FailureClass::TrialKernelFault,
            StepName::Trial,
            &[file, "netstat_show"],
        )
    }]);
}

#[test]
fn module_has_callbacks_whenever_it_is_loaded() {
    all_become_livepatches(&[Case {
        patches: &["module-callbacks"],
        checks: &[
            // Once more with the module loaded after the livepatch.
            ("echo [$(cat /proc/sys/vm/vfs_cache_pressure)]", "[100]", "[1007]"),
            ("head -n 1 /proc/net/vlan/config", "VLAN Dev name", "VLAN device"),
        ],
        functions: &["vlan_seq_show"],
        adaptations: &[(LineNumbers, "net/8021q/vlanproc.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn code_of_modules_is_rewritten_and_calls_other_modules() {
    let rewritten = "for steered in 0 1 0; do \
                     echo $steered >/sys/class/net/lo/queues/rx-0/rps_cpus; \
                     grep rewritten /proc/net/vlan/config || echo none; done | xargs echo";
    let line = |steered| format!("rewritten 2, fxsr 1, shown 1, preempted 0, {steered}");
    let (off, on) = (line("not steered"), line("steered"));
    let shown = format!("{off} {on} {off}");
    all_become_livepatches(&[Case {
        patches: &["module-special-sections", "module-calls-module", "module-nf-tables"],
        checks: &[
            (rewritten, "none none none", &shown),
            (
                "echo huge: $(grep -c 'huge from [0-9]' /sys/block/zram0/mm_stat)",
                "huge: 0",
                "huge: 1",
            ),
            // Without the program nft nothing asks for a register.
            ("cat /sys/kernel/livepatch/*/nf_tables/patched || echo none", "none", "1"),
        ],
        functions: &[
            "mm_stat_show",
            "nft_parse_register_load",
            "nft_parse_register_store",
            "vlan_seq_show",
        ],
        adaptations: &[
            (LineNumbers, "drivers/block/zram/zram_drv.c"),
            (LineNumbers, "net/8021q/vlanproc.c"),
            (LineNumbers, "net/netfilter/nf_tables_api.c"),
        ],
        ..Case::PLAIN
    }]);
}

/// A refusal on Debian 12's kernel.
fn refused<'a>(
    patch: &'a str,
    class: FailureClass,
    step: StepName,
    parts: &'a [&'a str],
) -> Refusal<'a> {
    let kernel = StockKernel::Debian12;
    Refusal { kernel, patch, checks: &[], class, step, parts, without: &[] }
}

#[test]
fn code_that_cannot_be_redirected_is_refused() {
    use FailureClass::{FunctionNotTraceable, JumpLabelUnsupported, SymbolChanged};
    let in_diff = |patch, class, parts| refused(patch, class, StepName::Diff, parts);
    all_are_refused(&[
        in_diff("not-traced", FunctionNotTraceable, &["core_kernel_text", "__fentry__"]),
        in_diff("not-instrumented", FunctionNotTraceable, &["section .noinstr.text"]),
        in_diff(
            "module-static-key",
            JumpLabelUnsupported,
            &[
                "nft_do_chain()",
                "of the module nf_tables",
                "nft_trace_enabled",
                "static_key_enabled",
            ],
        ),
        in_diff("local-becomes-global", SymbolChanged, &["loadavg_proc_show"]),
    ]);
}

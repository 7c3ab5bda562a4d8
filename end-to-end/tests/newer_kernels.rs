//! The kinds of code on stock kernels with indirect branch tracking, call depth tracking, prefix
//! symbols and return thunks: Debian 13's 6.12, and the 7.3 of its backports. Patches that go
//! together are one livepatch, each with what the guest shows of it.

use elivepatch_end_to_end::{Case, Refusal, StockKernel, all_are_refused, all_become_livepatches};
use elivepatch_model::{
    AdaptationKind::{InitOnly, LineNumbers, RuntimeConstants, SyscallDefine},
    FailureClass, StepName,
};

/// Whether the kernel of the backports is to be tested: that takes some minutes.
fn tests_backports() -> bool {
    let is_wanted = std::env::var_os("ELIVEPATCH_TEST_ALL_STOCK_KERNELS").is_some();
    if !is_wanted {
        println!("skipped: scripts/test.sh --full runs it");
    }
    is_wanted
}

/// Alternatives, a static key of the kernel and a new one, a tracepoint, and a system call.
fn code_that_is_rewritten(kernel: StockKernel) {
    let switched = "for on in 1 0 1; do echo $on >/proc/sys/vm/numa_stat; \
                    grep counted /proc/meminfo || echo none; done | xargs echo";
    let traced = "mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing; \
                  echo >trace; echo 1 >events/sched/sched_process_exec/enable; /bin/busybox true; \
                  echo 0 >events/sched/sched_process_exec/enable; \
                  grep -c 'sched_process_exec: .*old_pid=7000' trace; \
                  grep -m 1 -o 'sched_process_exec: filename=/bin/busybox' trace";
    all_become_livepatches(&[Case {
        kernel,
        patches: &["alternatives", "static-key", "tracepoint", "syscall"],
        checks: &[
            ("grep alternative /proc/version || echo none", "none", "alternative 2, fxsr 1"),
            (switched, "none none none", "counted, patched not counted, patched counted, patched"),
            (
                traced,
                "0\nsched_process_exec: filename=/bin/busybox",
                "1\nsched_process_exec: filename=/bin/busybox",
            ),
            ("uname -s", "Linux", "Linux-live"),
        ],
        functions: &[
            "__ia32_sys_newuname",
            "__x64_sys_newuname",
            "bprm_execve",
            "meminfo_proc_show",
            "version_proc_show",
        ],
        adaptations: &[
            (LineNumbers, "fs/proc/meminfo.c"),
            (LineNumbers, "fs/proc/version.c"),
            (SyscallDefine, "kernel/sys.c"),
            (LineNumbers, "kernel/sys.c"),
        ],
        ..Case::PLAIN
    }]);
}

/// New files, code that runs at boot beside code that does not, shadow variables, and a module with
/// code that the kernel rewrites.
fn additions_and_a_module(kernel: StockKernel, shadow_variable: &str) {
    let mut functions = vec![
        "alloc_pipe_info",
        "free_pipe_info",
        "pipefs_dname",
        "uptime_proc_show",
        "version_proc_show",
        "vlan_seq_show",
    ];
    if kernel == StockKernel::Debian13Backports {
        // UBSAN's data about it gets another number when a function comes before it, and kpatch takes
        // that for a change.
        functions.push("vlandev_seq_show");
    }
    let mark =
        "true | readlink /proc/self/fd/0 | grep -q ' of 16 buffers' && echo marked || echo plain";
    let rewritten = "for steered in 0 1 0; do \
                     echo $steered >/sys/class/net/lo/queues/rx-0/rps_cpus; \
                     grep rewritten /proc/net/vlan/config || echo none; done | xargs echo";
    let line = |steered| format!("rewritten 2, fxsr 1, shown 1, preempted 0, {steered}");
    let (off, on) = (line("not steered"), line("steered"));
    let shown = format!("{off} {on} {off}");
    all_become_livepatches(&[Case {
        kernel,
        patches: &["init-only", "new-file", shadow_variable, "module-special-sections"],
        checks: &[
            ("grep -c fixed /proc/version", "0", "1"),
            ("grep -o 'note 4. 1 1' /proc/uptime || echo none", "none", "note 4"),
            (mark, "plain", "marked"),
            (rewritten, "none none none", &shown),
        ],
        functions: &functions,
        adaptations: &[
            (LineNumbers, "fs/pipe.c"),
            (LineNumbers, "fs/proc/uptime.c"),
            (LineNumbers, "net/8021q/vlanproc.c"),
            (InitOnly, "fs/proc/version.c"),
            (LineNumbers, "fs/proc/version.c"),
        ],
        ..Case::PLAIN
    }]);
}

#[test]
fn rewritten_code_on_debian_13() {
    code_that_is_rewritten(StockKernel::Debian13);
}

#[test]
fn additions_and_a_module_on_debian_13() {
    additions_and_a_module(StockKernel::Debian13, "shadow-variable");
}

#[test]
fn callbacks_a_header_and_user_memory_on_debian_13() {
    let listed = "mkdir -p /tmp/faults /tmp/others; touch /tmp/faults/live-fault /tmp/others/file; \
                  ls /tmp/faults | wc -l; ls /tmp/others";
    all_become_livepatches(&[Case {
        kernel: StockKernel::Debian13,
        patches: &["callbacks", "proc-fd", "exception-table"],
        checks: &[
            ("echo [$(cat /proc/sys/vm/vfs_cache_pressure)]", "[100]", "[1007]"),
            ("grep -c 'after 1 callbacks' /proc/version", "0", "1"),
            // Only the fault keeps the file from being listed.
            (listed, "1\nfile", "0\nfile"),
        ],
        // All functions of fs/readdir.c that begin an access to user memory hold a constant.
        functions: &[
            "compat_filldir",
            "compat_fillonedir",
            "filldir",
            "filldir64",
            "fillonedir",
            "proc_fd_link",
            "seq_show",
            "tid_fd_revalidate",
            "version_proc_show",
        ],
        adaptations: &[
            (LineNumbers, "fs/proc/version.c"),
            (LineNumbers, "fs/readdir.c"),
            (RuntimeConstants, "fs/readdir.c"),
        ],
        ..Case::PLAIN
    }]);
}

/// What the kernel writes into its own code at boot, it writes into no module: the limit of user
/// addresses and the place of the dentry hash table must be read where they are.
#[test]
fn limit_of_user_addresses_holds_in_livepatches_on_debian_13() {
    limit_of_user_addresses_holds(StockKernel::Debian13);
}

fn limit_of_user_addresses_holds(kernel: StockKernel) {
    all_become_livepatches(&[Case {
        kernel,
        patches: &["runtime-constant"],
        checks: &[("grep accessible /proc/version || echo none", "none", "accessible: 0")],
        functions: &["version_proc_show"],
        adaptations: &[(LineNumbers, "fs/proc/version.c"), (RuntimeConstants, "fs/proc/version.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn kinds_of_code_on_debian_13_backports() {
    if !tests_backports() {
        return;
    }
    let kernel = StockKernel::Debian13Backports;
    code_that_is_rewritten(kernel);
    additions_and_a_module(kernel, "shadow-variable-7.3");
    limit_of_user_addresses_holds(kernel);
    all_become_livepatches(&[Case {
        kernel,
        patches: &["tracepoints-and-user-memory"],
        functions: &[
            "__rseq_handle_slowpath",
            "__rseq_signal_deliver",
            "rseq_debug_update_user_cs",
            "rseq_register.isra.0",
            "rseq_unregister",
            "rseq_update_user_cs",
        ],
        adaptations: &[(RuntimeConstants, "kernel/rseq.c")],
        ..Case::PLAIN
    }]);
    // In 7.3, code with a `WARN` refers to its entry in `__bug_table` by an offset for which kpatch
    // finds no symbol.
    all_are_refused(&[Refusal {
        kernel,
        patch: "warning-7.3",
        checks: &[],
        class: FailureClass::RelocationUnsupported,
        step: StepName::Diff,
        parts: &["fs/proc/"],
        without: &[],
    }]);
}

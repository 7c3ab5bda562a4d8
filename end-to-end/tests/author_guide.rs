//! What an author can use in a livepatch, and what the code that it replaces may hold: one patch for
//! each, and what the guest shows of it.

use elivepatch_end_to_end::{Case, Refusal, StockKernel, all_are_refused, all_become_livepatches};
use elivepatch_model::{AdaptationKind::LineNumbers, FailureClass, StepName};

#[test]
fn callbacks_run_in_their_order_when_it_is_loaded_and_when_it_is_taken_back() {
    all_become_livepatches(&[Case {
        patches: &["callbacks"],
        checks: &[
            // Back at 100 only when all four have run, each at its time.
            ("echo [$(cat /proc/sys/vm/vfs_cache_pressure)]", "[100]", "[1007]"),
            ("grep -c 'after 1 callbacks' /proc/version", "0", "1"),
        ],
        functions: &["version_proc_show"],
        adaptations: &[(LineNumbers, "fs/proc/version.c")],
        ..Case::PLAIN
    }]);
    all_are_refused(&[Refusal {
        kernel: StockKernel::Debian12,
        patch: "callback-refuses",
        checks: &[],
        class: FailureClass::TrialLoadFailed,
        step: StepName::Trial,
        parts: &["pre-patch callback failed for object 'vmlinux'"],
        without: &[],
    }]);
}

#[test]
fn shadow_variable_is_on_objects_that_are_made_while_it_is_active() {
    let new =
        "true | readlink /proc/self/fd/0 | grep -q ' of 16 buffers' && echo marked || echo plain";
    all_become_livepatches(&[Case {
        patches: &["shadow-variable"],
        checks: &[(new, "plain", "marked")],
        functions: &["alloc_pipe_info", "free_pipe_info", "pipefs_dname"],
        adaptations: &[(LineNumbers, "fs/pipe.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn functions_may_vanish() {
    all_become_livepatches(&[Case {
        patches: &["static-functions-gone"],
        checks: &[
            ("grep ' /proc proc rw' /proc/mounts", " 0 0", " 0 1"),
            ("grep -c live /proc/tty/drivers | grep -x 0 || echo live", "0", "live"),
        ],
        functions: &["show_mountinfo", "show_tty_driver", "show_vfsmnt", "show_vfsstat"],
        adaptations: &[(LineNumbers, "fs/proc_namespace.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn new_data_and_functions_are_shared_by_objects() {
    all_become_livepatches(&[Case {
        patches: &["new-data-and-functions"],
        checks: &[
            ("grep -c . /proc/cmdline", "1", "2"),
            (
                "grep -h two /proc/meminfo /proc/cmdline | xargs echo shown:",
                "shown:",
                "shown: meminfo two cmdline two",
            ),
            ("grep -c 'first 42, called 1' /proc/meminfo", "0", "1"),
        ],
        functions: &["cmdline_proc_show", "meminfo_proc_show"],
        adaptations: &[(LineNumbers, "fs/proc/cmdline.c"), (LineNumbers, "fs/proc/meminfo.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn static_keys_switch_patched_code() {
    let switched = "for on in 1 0 1; do echo $on >/proc/sys/vm/numa_stat; \
                    grep counted /proc/meminfo || echo none; done | xargs echo";
    all_become_livepatches(&[Case {
        patches: &["static-key"],
        checks: &[(
            switched,
            "none none none",
            "counted, patched not counted, patched counted, patched",
        )],
        functions: &["meminfo_proc_show"],
        adaptations: &[(LineNumbers, "fs/proc/meminfo.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn tracepoints_are_hit_in_patched_code() {
    let traced = "mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing; \
                  echo >trace; echo 1 >events/sched/sched_process_exec/enable; /bin/busybox true; \
                  echo 0 >events/sched/sched_process_exec/enable; \
                  grep -c 'sched_process_exec: .*old_pid=7000' trace; \
                  grep -m 1 -o 'sched_process_exec: filename=/bin/busybox' trace";
    all_become_livepatches(&[Case {
        patches: &["tracepoint"],
        checks: &[(
            traced,
            "0\nsched_process_exec: filename=/bin/busybox",
            "1\nsched_process_exec: filename=/bin/busybox",
        )],
        functions: &["bprm_execve"],
        ..Case::PLAIN
    }]);
}

#[test]
fn faults_in_patched_code_are_handled() {
    // Only the fault keeps the file from being listed.
    let listed = "mkdir -p /tmp/faults /tmp/others; touch /tmp/faults/live-fault /tmp/others/file; \
                  ls /tmp/faults | wc -l; ls /tmp/others";
    all_become_livepatches(&[Case {
        patches: &["exception-table"],
        checks: &[(listed, "1\nfile", "0\nfile")],
        functions: &["filldir64"],
        adaptations: &[(LineNumbers, "fs/readdir.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn alternatives_are_put_into_patched_code() {
    all_become_livepatches(&[Case {
        patches: &["alternatives"],
        checks: &[("grep alternative /proc/version || echo none", "none", "alternative 2, fxsr 1")],
        functions: &["version_proc_show"],
        adaptations: &[(LineNumbers, "fs/proc/version.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn module_gets_a_new_file() {
    all_become_livepatches(&[Case {
        patches: &["module-new-file"],
        checks: &[("grep -o 'note 4. 1' /proc/net/vlan/config || echo none", "none", "note 4")],
        functions: &["vlan_seq_show"],
        adaptations: &[(LineNumbers, "net/8021q/vlanproc.c")],
        ..Case::PLAIN
    }]);
}

#[test]
fn state_that_would_be_lost_is_refused() {
    all_are_refused(&[Refusal {
        kernel: StockKernel::Debian12,
        patch: "static-local-removed",
        checks: &[],
        class: FailureClass::StaticLocalRemoved,
        step: StepName::Diff,
        parts: &["counter.0 is used no more", "fs/inode.o", "READ_ONCE"],
        without: &[],
    }]);
}

#[test]
fn exported_function_with_another_signature_is_refused() {
    all_are_refused(&[Refusal {
        kernel: StockKernel::Debian12,
        patch: "exported-signature",
        checks: &[],
        class: FailureClass::ExportedSignatureChanged,
        step: StepName::Diff,
        parts: &[
            "fsstack_copy_inode_size was void (struct inode *, struct inode *)",
            "becomes void (struct inode *, struct inode *, loff_t)",
        ],
        without: &[],
    }]);
}

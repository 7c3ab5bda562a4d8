use proptest::prelude::*;

use super::*;

/// Real lines of Linux 6.1, shortened.
const BOOT: &str = "[    0.000000] Linux version 6.1.0-50-cloud-amd64\r\n\
    [    0.500000] Spectre V2 : WARNING: Unprivileged eBPF is enabled\r\n\
    [    1.500000] elivepatch-trial: m1 before\r\n\
    [    1.600000] elivepatch-trial: m1 load\r\n\
    [    1.610000] trial_good: loading out-of-tree module taints kernel.\r\n\
    [    1.620000] trial_good: module verification failed: signature and/or required key missing - tainting kernel\r\n\
    [    1.630000] livepatch: enabling patch 'trial_good'\r\n\
    [    1.640000] livepatch: 'trial_good': patching complete\r\n";

fn findings(rest: &str) -> ConsoleFindings {
    ConsoleLog::read(format!("{BOOT}{rest}").as_bytes()).findings("m1")
}

#[test]
fn clean_log_has_notes_and_no_fault() {
    let found =
        findings("[    2.000000] elivepatch-trial: m1 after\n[    3.0] reboot: Power down\n");
    assert_eq!(found.fault, None);
    assert_eq!(found.load_problems, Vec::<String>::new());
    assert_eq!(
        found.notes[0],
        "before loading: Spectre V2 : WARNING: Unprivileged eBPF is enabled"
    );
    assert!(found.notes[2].contains("module verification failed"), "{:?}", found.notes);
    assert_eq!(found.notes.len(), 5);
}

#[test]
fn warning_is_a_fault_of_its_phase_with_its_lines() {
    let fault = findings(
        "[    2.000000] elivepatch-trial: m1 after\n\
         [    2.100000] ------------[ cut here ]------------\n\
         [    2.100001] made for the test\n\
         [    2.100002] WARNING: CPU: 0 PID: 70 at fs/proc/cmdline.c:12 replacement+0x10/0x20\n\
         [    2.100003] Call Trace:\n\
         [    2.100004] ---[ end trace 0000000000000000 ]---\n\
         [    2.200000] something else\n",
    )
    .fault
    .expect("a fault");
    assert_eq!(
        fault.headline,
        "WARNING: CPU: 0 PID: 70 at fs/proc/cmdline.c:12 replacement+0x10/0x20"
    );
    assert_eq!(fault.during, "running the checks with the livepatch active");
    assert_eq!(fault.lines.len(), 5);
    assert!(fault.lines[0].contains("cut here"));
}

#[test]
fn every_kind_of_fault_is_found() {
    for line in [
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "kernel BUG at mm/slub.c:123!",
        "Oops: 0002 [#1] PREEMPT SMP PTI",
        "Call Trace:",
        "general protection fault, probably for non-canonical address 0xdead",
        "BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2",
        "rcu: INFO: rcu_sched self-detected stall on CPU",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "unchecked MSR access error: WRMSR to 0x10a",
        "Kernel panic - not syncing: Fatal exception",
        "WARNING: CPU: 0 PID: 1 at arch/x86/kernel/cpu/bugs.c:3 __warn_thunk+0x2a/0x40",
        "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:70]",
    ] {
        let found = findings(&format!("[    2.5] {line}\n"));
        assert_eq!(found.fault.map(|fault| fault.headline).as_deref(), Some(line));
    }
}

#[test]
fn refusals_of_the_module_are_load_problems() {
    for line in [
        "lp: Unknown symbol no_such_symbol (err -2)",
        "lp: disagrees about version of symbol seq_printf",
        "livepatch: symbol 'no_such_function' not found in symbol table",
        "livepatch: failed to initialize patch 'lp' (-22)",
    ] {
        assert_eq!(findings(&format!("[    2.5][   T70] {line}\n")).load_problems, [line]);
    }
}

#[test]
fn mark_with_another_secret_is_no_mark() {
    let log = ConsoleLog::read(b"[ 1.0] elivepatch-trial: m2 load\n[ 1.1] WARNING: x\n");
    assert_eq!(log.findings("m1").fault, None);
    assert_eq!(log.findings("m1").notes, ["before loading: WARNING: x"]);
    assert!(!log.reached("m1", Phase::Load));
}

#[test]
fn escape_sequences_and_returns_are_dropped() {
    let log = ConsoleLog::read(b"\x1b[2J\x1b[1;1H[    1.0] \x1b[31mhi\x1b[0m\x07\r\r\n\n\x1b[\n");
    assert_eq!(log.tail(9), ["[    1.0] hi"]);
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let log = ConsoleLog::read(&bytes);
        let _ = log.findings("m1");
        prop_assert!(log.lines.iter().all(|line| !line.chars().any(char::is_control)));
    }

    #[test]
    fn any_text_after_the_load_mark_is_searched(text in "[ -~\\n\\[\\]]{0,300}") {
        let found = findings(&format!("{text}\nOops: 0000\n"));
        prop_assert!(found.fault.is_some());
    }

    #[test]
    fn since_loading_never_shows_what_came_before(count in 0usize..20) {
        let log = ConsoleLog::read(BOOT.as_bytes());
        let lines = log.since_loading("m1", count);
        prop_assert!(lines.len() <= count);
        prop_assert!(lines.iter().all(|line| !line.contains("Spectre")));
    }
}

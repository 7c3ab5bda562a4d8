use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use elivepatch_model::BehaviourCheck;

use super::*;
use crate::trial::Accelerator;

/// What a guest says in a trial without a fault, line by line.
const GOOD: [&str; 15] = [
    "release x362e31",
    "taint 0",
    "phase before 1.00",
    "check before 00 0 x6f6c64 x",
    "phase load 1.50",
    "phase transition 1.60",
    "phase after 1.75",
    "livepatch 1 1",
    "check after 00 0 x6e6577 x",
    "phase revert 1.90",
    "phase unload 2.00",
    "phase reverted 2.10",
    "check reverted 00 0 x6f6c64 x",
    "taint 45056",
    "end",
];

const CONSOLE: &str = "[ 1.5] elivepatch-trial: m load\n[ 1.5] lp: tainting kernel\n";

/// Judges a guest that said `spoken`, printed [`CONSOLE`] and `printed`, and ended by `end`.
fn judged(spoken: &[&str], printed: &str, end: GuestEnd) -> Result<TrialEvidence, Failure> {
    judged_with(spoken.iter().copied(), printed, end, &[])
}

/// Judges a livepatch of these modules.
fn judged_with<'a>(
    spoken: impl Iterator<Item = &'a str>,
    printed: &str,
    end: GuestEnd,
    modules: &[crate::TrialModule<'_>],
) -> Result<TrialEvidence, Failure> {
    let mut transcript = Transcript::new("n");
    for line in spoken {
        transcript.feed(format!("n {line}\n").as_bytes());
    }
    let input = TrialInput {
        kernel_image: "/vmlinuz".into(),
        busybox: "/busybox".into(),
        module: "/lp.ko".into(),
        module_name: "lp",
        release: &"6.1".parse().expect("a release"),
        checks: &[BehaviourCheck {
            command: "show".into(),
            before: "old".into(),
            after: "new".into(),
        }],
        functions_expected: 1,
        modules,
    };
    judge(&Course {
        input: &input,
        options: &TrialOptions::new(Accelerator::Tcg),
        transcript: &transcript,
        console: &ConsoleLog::read(format!("{CONSOLE}{printed}").as_bytes()),
        mark: "m",
        run: &GuestRun {
            end,
            duration: Duration::from_secs(3),
            console: Vec::new(),
            qemu_log: "qemu: a word\n".to_owned(),
        },
        kernel_image: Sha256Digest::of(b""),
    })
}

fn off() -> GuestEnd {
    GuestEnd::Exited(ExitStatus::from_raw(0))
}

/// The good trial with each line that begins with a key replaced by its value.
fn but(changes: &[(&str, &str)]) -> Vec<String> {
    let changed = |line: &&str| {
        let change = changes.iter().find(|(key, _)| line.starts_with(key));
        change.map_or_else(|| (*line).to_owned(), |(_, new)| (*new).to_owned())
    };
    GOOD.iter().map(changed).collect()
}

fn fails(spoken: &[String], class: FailureClass, part: &str) {
    let spoken: Vec<&str> = spoken.iter().map(String::as_str).collect();
    let failure = judged(&spoken, "", off()).expect_err("a failure");
    assert_eq!(failure.class, class, "{failure:#?}");
    assert!(failure.message.contains(part), "{failure:#?}");
}

/// The first lines of the good trial, up to and with the one that begins with `last`, and then.
fn until(last: &str, then: &[&str]) -> Vec<String> {
    let count = GOOD.iter().position(|line| line.starts_with(last)).expect("a line") + 1;
    GOOD[..count].iter().chain(then).map(|line| (*line).to_owned()).collect()
}

#[test]
fn good_trial_gives_evidence() {
    let evidence = judged(&GOOD, "", off()).expect("evidence");
    assert!((evidence.transition_seconds - 0.25).abs() < 1e-9, "{evidence:?}");
    assert_eq!(evidence.checks[0].output_after, "new");
    assert_eq!(evidence.console_notes, ["lp: tainting kernel"]);
}

#[test]
fn guest_of_another_release_is_no_trial() {
    let spoken = but(&[("release", "release x372e30")]);
    fails(&spoken, FailureClass::TrialBootFailed, "the guest runs 7.0, the trial is for 6.1");
}

#[test]
fn refused_module_is_a_load_failure() {
    let class = FailureClass::TrialLoadFailed;
    fails(&until("phase load", &["load-failed x6e6f", "taint 0", "end"]), class, "refused lp: no");
    fails(&until("phase load", &["no-livepatch", "taint 0", "end"]), class, "no livepatch");
    fails(&but(&[("livepatch", "livepatch 0 1")]), class, "not enabled");
    fails(&but(&[("livepatch", "livepatch 1 4")]), class, "with 4 functions");
}

#[test]
fn new_taint_flag_of_a_warning_is_a_kernel_fault() {
    let class = FailureClass::TrialKernelFault;
    fails(&but(&[("taint 45056", "taint 45568")]), class, "from 0 to 45568");
    // A kernel that warned before is not the livepatch's fault.
    let spoken = but(&[("taint 0", "taint 512"), ("taint 45056", "taint 45568")]);
    let spoken: Vec<&str> = spoken.iter().map(String::as_str).collect();
    assert!(judged(&spoken, "", off()).is_ok());
}

#[test]
fn livepatch_that_does_not_come_or_go_is_a_stall() {
    let class = FailureClass::TrialTransitionStalled;
    let stalled = ["blocked x3720736c x", "stalled transition", "taint 0", "end"];
    fails(&until("phase transition", &stalled), class, "the transition did not end within 60 s");
    fails(&until("phase transition", &stalled), class, "waits for: 7 sl");
    let back = ["stalled revert", "taint 0", "end"];
    fails(&until("phase revert", &back), class, "the transition back did not end");
    let refused = ["disable-failed", "taint 0", "end"];
    fails(&until("phase revert", &refused), class, "refused to disable lp");
    let kept = ["unload-failed x62757379", "taint 0", "end"];
    fails(&until("phase unload", &kept), class, "could not be unloaded: busy");
}

#[test]
fn guest_without_an_end_is_classed_by_its_phase() {
    fails(&until("phase load", &[]), FailureClass::TrialKernelFault, "while loading the module");
    fails(&until("phase transition", &[]), FailureClass::TrialTransitionStalled, "went off");
    fails(&until("phase before", &[]), FailureClass::TrialKernelFault, "while loading the module");
    fails(&[], FailureClass::TrialBootFailed, "while booting");
    for (end, part) in [
        (GuestEnd::TimedOut, "not done within 300 s"),
        (GuestEnd::Silent, "stood still"),
        (GuestEnd::TooMuchOutput, "printed without end"),
        (GuestEnd::Exited(ExitStatus::from_raw(1 << 8)), "QEMU ended with exit status: 1"),
    ] {
        let failure = judged(&[], "", end).expect_err("a failure");
        assert_eq!(failure.class, FailureClass::TrialBootFailed);
        assert!(failure.message.contains(part), "{failure:#?}");
        assert!(failure.details.contains(&"qemu: a word".to_owned()), "{failure:#?}");
    }
}

#[test]
fn fault_on_the_console_comes_before_what_follows_from_it() {
    let spoken = but(&[("check after", "check after 00 0 x x")]);
    let spoken: Vec<&str> = spoken.iter().map(String::as_str).collect();
    let failure = judged(&spoken, "[ 1.8] WARNING: CPU: 0\n", off()).expect_err("a failure");
    assert_eq!(failure.class, FailureClass::TrialKernelFault);
    let failure =
        judged(&spoken, "[ 1.8] livepatch: failed at it\n", off()).expect_err("a failure");
    assert!(failure.message.contains("complained: livepatch: failed at it"), "{failure:#?}");
    let failure = judged(&spoken, "", off()).expect_err("a failure");
    assert_eq!(failure.class, FailureClass::TrialCheckFailed);
}

#[test]
fn check_that_the_guest_does_not_report_is_no_success() {
    let spoken = but(&[("check reverted", "noise")]);
    fails(&spoken, FailureClass::TrialBootFailed, "did not report on check 1");
}

/// Judges a livepatch of the module `zram` whose guest said `spoken` before its end.
fn judged_with_zram(spoken: &[&str]) -> Result<TrialEvidence, Failure> {
    let (begin, ended) = GOOD.split_at(GOOD.len() - 2);
    let modules =
        [crate::TrialModule { name: "zram", file: Some("/zram.ko".into()), is_patched: true }];
    let all = begin.iter().chain(spoken).chain(ended).copied();
    judged_with(all, "", off(), &modules)
}

#[test]
fn patched_module_must_be_patched_whichever_comes_first() {
    let first = ["module-loaded zram", "object first zram 1"];
    let late = ["phase away 3.0", "phase again 3.1", "phase coming 3.2", "object late zram 1"];
    let check = "check late 00 0 x6e6577 x";
    let good = [&first[..], &late, &[check, "phase leaving 3.3", "late-done"]].concat();
    let evidence = judged_with_zram(&good).expect("no fault");
    assert_eq!(
        (evidence.modules_loaded, evidence.modules_late),
        (vec!["zram".to_owned()], vec!["zram".to_owned()])
    );

    let replaced = |from: &str, to: &'static str| -> Vec<&str> {
        good.iter().map(|line| if *line == from { to } else { line }).collect()
    };
    for (spoken, part) in [
        (
            replaced("object first zram 1", "object first zram 0"),
            "zram, that was there, is not patched",
        ),
        (replaced("object late zram 1", "object late zram 0"), "zram, that was loaded after it"),
        (
            replaced("object late zram 1", "late-refused zram x613a2062"),
            "cannot be loaded while the livepatch is: b",
        ),
        (replaced("late-done", "taint 0"), "the guest ended while unloading the livepatch"),
        (replaced(check, "check late 00 0 x6f6c64 x"), "that was loaded before the modules"),
        (replaced("module-loaded zram", "taint 0"), "did not report on the module zram"),
    ] {
        let failure = judged_with_zram(&spoken).expect_err(part);
        assert!(failure.message.contains(part), "{part}: {failure}");
    }
}

#[test]
fn module_that_the_guest_cannot_load_is_named_with_the_reason() {
    let said = hex::encode("insmod: can't insert '/trial/modules/zram.ko': No such device");
    let line = format!("module-absent zram x{said}");
    let evidence = judged_with_zram(&[&line]).expect("no fault");
    assert_eq!(evidence.modules_absent, ["zram: No such device"]);
    assert!(evidence.modules_loaded.is_empty() && evidence.modules_late.is_empty());
}

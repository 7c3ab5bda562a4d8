use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use elivepatch_model::{BehaviourCheck, SignatureTrial};

use super::*;
use crate::trial::{Accelerator, EarlierLivepatch};

/// What a guest says in a trial without a fault, line by line.
const GOOD: [&str; 15] = [
    "release x362e31",
    "taint 0",
    "phase before 1.00",
    "check before 00 0 x6f6c64 x",
    "phase load 1.50",
    "phase transition 1.60",
    "phase after 1.75",
    "livepatch first 1 1",
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
    judged_with(spoken.iter().copied(), printed, end, &[], None)
}

/// Judges a livepatch of these modules that replaces an earlier one.
fn judged_with<'a>(
    spoken: impl Iterator<Item = &'a str>,
    printed: &str,
    end: GuestEnd,
    modules: &[crate::TrialModule<'_>],
    earlier: Option<EarlierLivepatch<'_>>,
) -> Result<TrialEvidence, Failure> {
    judged_of(false, spoken, printed, end, modules, earlier)
}

/// The same of a livepatch that is signed, or is not.
fn judged_of<'a>(
    is_signed: bool,
    spoken: impl Iterator<Item = &'a str>,
    printed: &str,
    end: GuestEnd,
    modules: &[crate::TrialModule<'_>],
    earlier: Option<EarlierLivepatch<'_>>,
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
        earlier,
        modules,
    };
    judge(&Course {
        input: &input,
        options: &TrialOptions::new(Accelerator::Tcg),
        transcript: &transcript,
        console: &ConsoleLog::read(format!("{CONSOLE}{printed}").as_bytes()),
        mark: "m",
        is_signed,
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
    fails(&but(&[("livepatch", "livepatch first 0 1")]), class, "not enabled");
    fails(&but(&[("livepatch", "livepatch first 1 4")]), class, "with 4 functions");
}

#[test]
fn signed_module_that_is_refused_without_a_word_lacks_an_algorithm_and_no_symbol() {
    let said =
        "insmod: can't insert '/trial/module.ko': unknown symbol in module, or unknown parameter";
    let line = format!("load-failed x{}", hex::encode(said));
    let spoken = until("phase load", &[&line, "taint 0", "end"]);
    let hint = |is_signed, printed: &str| {
        let spoken = spoken.iter().map(String::as_str);
        let judged = judged_of(is_signed, spoken, printed, off(), &[], None);
        judged.expect_err("it was refused").hint
    };
    assert!(hint(true, "").contains("CONFIG_CRYPTO_SHA256=y"));
    for (is_signed, printed) in
        [(false, ""), (true, "[ 1.6] lp: Unknown symbol no_such_symbol (err -2)\n")]
    {
        assert!(hint(is_signed, printed).contains("do not load this livepatch"), "{printed:?}");
    }
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
    judged_with(all, "", off(), &modules, None)
}

#[test]
fn signature_is_tried_last_and_what_should_have_been_refused_is_a_fault() {
    for (word, shown) in [
        ("enforced", SignatureTrial::Enforced),
        ("not-trusted", SignatureTrial::NotTrusted),
        ("not-checked", SignatureTrial::NotChecked),
    ] {
        let said = format!("signature {word}");
        // Without modules there is no second round before it.
        let spoken = ["phase signature 3.0", said.as_str()];
        let (begin, ended) = GOOD.split_at(GOOD.len() - 2);
        let all: Vec<&str> = begin.iter().chain(&spoken).chain(ended).copied().collect();
        assert_eq!(judged(&all, "", off()).expect("no fault").signature, Some(shown));
    }
    assert_eq!(judged(&GOOD, "", off()).expect("no fault").signature, None);
    for (said, part) in [
        ("signature-accepted unsigned", "took the unsigned copy of"),
        ("load-failed x6e6f", "while it takes only signed modules: no"),
    ] {
        let (begin, ended) = GOOD.split_at(GOOD.len() - 2);
        let spoken = ["phase signature 3.0", said];
        let all = begin.iter().chain(&spoken).chain(ended).map(|line| (*line).to_owned());
        fails(&all.collect::<Vec<_>>(), FailureClass::TrialLoadFailed, part);
    }
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

/// What a guest says of the replacing of the livepatch `old`.
const REPLACED: [&str; 9] = [
    "phase earlier 2.20",
    "phase replace 2.50",
    "phase replaced 3.25",
    "livepatch over 1 1",
    "replaced 17",
    "check replaced 00 0 x6e6577 x",
    "phase retire 3.50",
    "phase retired 3.75",
    "check retired 00 0 x6f6c64 x",
];

/// Judges the good trial with, before its end, this on the replacing of the livepatch `old`.
fn judged_over_old(spoken: &[&str], printed: &str) -> Result<TrialEvidence, Failure> {
    let (begin, ended) = GOOD.split_at(GOOD.len() - 2);
    let all = begin.iter().chain(spoken).chain(ended).copied();
    judged_with(all, printed, off(), &[], Some(EarlierLivepatch { module: b"old", name: "old" }))
}

#[test]
fn replacing_of_an_earlier_livepatch_is_in_the_evidence() {
    let evidence = judged_over_old(&REPLACED, "").expect("no fault");
    let replaced = evidence.replaced.expect("evidence");
    assert_eq!((replaced.name.as_str(), replaced.looks), ("old", 17));
    assert_eq!(replaced.digest, Sha256Digest::of(b"old"));
    assert!((replaced.transition_seconds - 0.75).abs() < 1e-9, "{replaced:?}");
    let failure = judged_over_old(&[], "").expect_err("nothing was said of it");
    assert_eq!(failure.class, FailureClass::TrialBootFailed, "{failure}");
    assert_eq!(judged(&GOOD, "", off()).expect("evidence").replaced, None);
}

#[test]
fn each_fault_of_the_replacing_is_told_with_its_part() {
    use FailureClass::*;
    let replaced = |from: &str, to: &'static str| -> Vec<&str> {
        REPLACED.iter().map(|line| if line.starts_with(from) { to } else { line }).collect()
    };
    let upto = |last: &str, then: &[&'static str]| -> Vec<&str> {
        let count = REPLACED.iter().position(|line| line.starts_with(last)).expect("a line") + 1;
        REPLACED[..count].iter().chain(then).copied().collect()
    };
    for (spoken, class, part) in [
        (upto("phase earlier", &["load-failed x6e6f"]), TrialEarlierFailed, "old, which is to be"),
        (upto("phase earlier", &["load-failed x6e6f"]), TrialEarlierFailed, "in the trial: no"),
        (upto("phase earlier", &["no-livepatch"]), TrialEarlierFailed, "it is no livepatch"),
        (
            upto("phase earlier", &["stalled earlier"]),
            TrialEarlierFailed,
            "its transition did not end",
        ),
        (upto("phase earlier", &[]), TrialEarlierFailed, "in the trial: the guest went off"),
        (
            upto("phase replace", &["load-failed x6e6f"]),
            TrialLoadFailed,
            "refused lp over the earlier livepatch old: no",
        ),
        (
            upto("phase replace", &["stalled replace"]),
            TrialTransitionStalled,
            "the transition over the earlier livepatch old did not end",
        ),
        (upto("phase replace", &["gap"]), TrialLoadFailed, "neither was enabled at one moment"),
        (
            replaced("livepatch over", "livepatch over 1 2"),
            TrialLoadFailed,
            "enabled with 2 functions",
        ),
        (
            upto("livepatch over", &["not-replaced 1"]),
            TrialLoadFailed,
            "did not replace the earlier livepatch old, which is still there (enabled: 1)",
        ),
        (
            upto("livepatch over", &["earlier-stays x62757379"]),
            TrialTransitionStalled,
            "lp replaced old, which could not be unloaded after that: busy",
        ),
        (
            replaced("check replaced", "check replaced 00 0 x6f6c64 x"),
            TrialCheckFailed,
            "in the place of the earlier one",
        ),
        (
            replaced("check retired", "check retired 00 0 x6e6577 x"),
            TrialCheckFailed,
            "that had replaced the earlier one",
        ),
        (replaced("check replaced", "noise"), TrialCheckFailed, "in the place of the earlier one"),
    ] {
        let failure = judged_over_old(&spoken, "").expect_err(part);
        assert_eq!(failure.class, class, "{part}: {failure}");
        assert!(failure.message.contains(part), "{part}: {failure}");
    }
}

#[test]
fn what_the_earlier_livepatch_does_is_not_held_against_the_new_one() {
    let of_old = "[ 2.2] elivepatch-trial: m earlier\n[ 2.3] WARNING: CPU: 0\n";
    let failure = judged_over_old(&REPLACED, of_old).expect_err("a failure");
    assert_eq!(failure.class, FailureClass::TrialEarlierFailed);
    assert!(failure.message.contains("in the trial: WARNING: CPU: 0"), "{failure}");
    let of_new = "[ 2.2] elivepatch-trial: m replace\n[ 2.3] WARNING: CPU: 0\n";
    let failure = judged_over_old(&REPLACED, of_new).expect_err("a failure");
    assert_eq!(failure.class, FailureClass::TrialKernelFault);
    assert!(failure.message.contains("while replacing the earlier livepatch"), "{failure}");
}

//! The behaviour checks of the request: did the guest's outputs hold what they must?

use elivepatch_model::{BehaviourCheck, CheckEvidence, Failure, FailureClass};

use super::{
    CHECK_OUTPUT_BYTES, CHECK_SECONDS,
    protocol::CheckRun,
    transcript::{CheckOutput, Transcript, one_line},
};

/// How many lines of a check's output go with a failure.
const OUTPUT_LINES: usize = 20;

/// Every check must hold in each of its three runs, and once more where the livepatch was tried
/// before the modules that it patches, and where it replaced an earlier one.
///
/// # Errors
/// `trial-check-failed` of the first check that did not hold, and `trial-check-unusable` when that was before
/// the livepatch was loaded.
pub(crate) fn check_behaviour(
    checks: &[BehaviourCheck],
    transcript: &Transcript,
) -> Result<Vec<CheckEvidence>, Failure> {
    let mut evidence = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        let mut outputs = Vec::new();
        for run in CheckRun::ALL {
            let Some(given) = transcript.checks.get(&(run, index)) else {
                return Err(Failure::new(
                    FailureClass::TrialBootFailed,
                    format!(
                        "the guest did not report on check {} (`{}`)",
                        index + 1,
                        check.command
                    ),
                    "submit the build again; report a bug of elivepatch if it happens again",
                ));
            };
            let kept = &given.output[..given.output.len().min(CHECK_OUTPUT_BYTES)];
            let output = String::from_utf8_lossy(kept).into_owned();
            if !output.contains(expected(check, run)) {
                return Err(check_failure(check, index, run, given, &output));
            }
            outputs.push(output);
        }
        let late = [CheckRun::Late].into_iter().filter(|_| transcript.late_done);
        let replaced = [CheckRun::Replaced, CheckRun::Retired].into_iter();
        let replaced = replaced.filter(|_| transcript.replaced.is_some());
        for run in replaced.chain(late) {
            let given = transcript.checks.get(&(run, index)).cloned().unwrap_or_default();
            let kept = &given.output[..given.output.len().min(CHECK_OUTPUT_BYTES)];
            let output = String::from_utf8_lossy(kept);
            if !output.contains(expected(check, run)) {
                return Err(check_failure(check, index, run, &given, &output));
            }
        }
        let [output_before, output_after, output_reverted]: [String; 3] =
            outputs.try_into().expect("invariant: one output for each of the three runs");
        let check = check.clone();
        evidence.push(CheckEvidence { check, output_before, output_after, output_reverted });
    }
    Ok(evidence)
}

/// What the check's output must hold in that run.
fn expected(check: &BehaviourCheck, run: CheckRun) -> &str {
    match run {
        CheckRun::Before | CheckRun::Reverted | CheckRun::Retired => &check.before,
        CheckRun::After | CheckRun::Late | CheckRun::Replaced => &check.after,
    }
}

fn check_failure(
    check: &BehaviourCheck,
    index: usize,
    run: CheckRun,
    given: &CheckOutput,
    output: &str,
) -> Failure {
    let number = index + 1;
    let expected = expected(check, run).escape_debug().to_string();
    let (when, hint) = match run {
        CheckRun::Before => (
            "before the livepatch was loaded",
            "correct the check: its text must be there on the kernel as shipped",
        ),
        CheckRun::After => (
            "with the livepatch active",
            "the livepatch does not do what the check expects: correct the patch or the check",
        ),
        CheckRun::Late => (
            "with the livepatch active that was loaded before the modules",
            "the livepatch does nothing where it is there before the modules that it patches",
        ),
        CheckRun::Replaced => (
            "with the livepatch active in the place of the earlier one",
            "the livepatch does something else where an earlier one is active: do not load it there",
        ),
        CheckRun::Retired => (
            "after the livepatch was unloaded that had replaced the earlier one",
            "the replacing leaves something behind: do not load it where it may have to go again",
        ),
        CheckRun::Reverted => (
            "after the livepatch was unloaded",
            "the livepatch leaves something behind: do not load it where it may have to go again",
        ),
    };
    let mut details = vec![format!("command: {}", one_line(check.command.as_bytes()))];
    match given.status {
        Some(0) => {}
        // 128 + SIGKILL, from the guest's timeout.
        Some(137) => details.push(format!("the command was stopped after {CHECK_SECONDS} s")),
        Some(status) => details.push(format!("the command's exit status: {status}")),
        None => details.push("the command had no exit status: it was stopped".to_owned()),
    }
    if given.output.len() > CHECK_OUTPUT_BYTES {
        details
            .push(format!("only the first {CHECK_OUTPUT_BYTES} bytes of its output are searched"));
    }
    let lines = |name: &'static str, text: &str| -> Vec<String> {
        let lines = text.lines().take(OUTPUT_LINES);
        lines.map(|line| format!("{name}: {}", one_line(line.as_bytes()))).collect()
    };
    details.extend(lines("output", output));
    if output.is_empty() {
        details.push("the command printed nothing".to_owned());
    }
    details.extend(lines("error output", &String::from_utf8_lossy(&given.errors)));
    Failure::new(
        match run {
            CheckRun::Before => FailureClass::TrialCheckUnusable,
            _ => FailureClass::TrialCheckFailed,
        },
        format!("check {number} did not hold {when}: its output lacks \"{expected}\""),
        hint,
    )
    .with_details(details)
}

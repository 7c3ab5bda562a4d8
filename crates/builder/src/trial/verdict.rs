//! From what a guest said and printed to evidence or a failure.

use elivepatch_model::{Failure, FailureClass, KernelRelease, Sha256Digest, TrialEvidence};

use super::{
    ConsoleFindings, ConsoleLog, TrialInput, TrialOptions,
    behaviour::check_behaviour,
    guest::{GuestEnd, GuestRun},
    modules::check_modules,
    protocol::Phase,
    replacing::{check_earlier, check_replaced, replaced},
    signature::{NO_ALGORITHM, lacks_an_algorithm, shown_signature},
    transcript::{Transcript, one_line},
};

/// How many lines of the console go with a failure.
pub(super) const CONSOLE_LINES: usize = 40;

/// Taint flags that tell of a fault: bad page, die, warning, soft lockup
/// (Documentation/admin-guide/tainted-kernels.rst: bits 5, 7, 9 and 14).
const TAINT_FAULTS: u64 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14;

/// All that is known of a trial that has run.
pub(crate) struct Course<'a> {
    pub(crate) input: &'a TrialInput<'a>,
    pub(crate) options: &'a TrialOptions,
    pub(crate) transcript: &'a Transcript,
    pub(crate) console: &'a ConsoleLog,
    pub(crate) mark: &'a str,
    pub(crate) is_signed: bool,
    pub(crate) run: &'a GuestRun,
    pub(crate) kernel_image: Sha256Digest,
}

/// Decides what a trial showed. Of several faults the one closest to the cause is told: a kernel
/// that oopsed also fails its checks.
///
/// # Errors
/// The failure that the trial showed.
pub(crate) fn judge(course: &Course<'_>) -> Result<TrialEvidence, Failure> {
    if matches!(course.run.end, GuestEnd::Stopped) {
        return Err(Failure::new(
            FailureClass::TrialBootFailed,
            "the trial was cancelled",
            "submit the build again to have it tried",
        ));
    }
    let guest_release = check_boot(course)?;
    let findings = course.console.findings(course.mark);
    check_loading(course, &findings)?;
    check_kernel(&findings)?;
    check_earlier(course, &findings)?;
    check_taints(course)?;
    check_livepatch(course)?;
    check_replaced(course)?;
    check_end(course)?;
    let modules = check_modules(course)?;
    let checks = check_behaviour(course.input.checks, course.transcript)?;
    let replaced = replaced(course)?;
    let began = |phase| course.transcript.began(phase);
    let (Some(load), Some(after)) = (began(Phase::Load), began(Phase::After)) else {
        return Err(Failure::new(
            FailureClass::Internal,
            "the guest ended the trial without saying when the transition took place",
            "report this as a bug of elivepatch, with the build's log",
        ));
    };
    Ok(TrialEvidence {
        modules_loaded: modules.loaded,
        modules_late: modules.late,
        modules_absent: modules.absent,
        guest_release,
        kernel_image: course.kernel_image,
        accelerator: course.options.accelerator.as_str().to_owned(),
        duration_seconds: course.run.duration.as_secs_f64(),
        transition_seconds: (after - load).max(0.0),
        replaced,
        signature: shown_signature(course)?,
        checks,
        console_notes: findings.notes,
    })
}

/// The guest must have come up with the right kernel, as far as the loading of the module.
fn check_boot(course: &Course<'_>) -> Result<KernelRelease, Failure> {
    let failure = |message: String, hint: &str| {
        let mut details = course.console.tail(CONSOLE_LINES);
        details.extend(course.run.qemu_log.lines().take(8).map(|l| one_line(l.as_bytes())));
        Err(Failure::new(FailureClass::TrialBootFailed, message, hint).with_details(details))
    };
    let wanted = course.input.release;
    if let Some(given) = &course.transcript.release
        && given != wanted.as_str()
    {
        let given = one_line(given.as_bytes());
        return failure(
            format!("the guest runs {given}, the trial is for {wanted}"),
            "the worker took the kernel image of another release: clear its cache of packages",
        );
    }
    let loading = course.transcript.phase() >= Phase::Load
        || course.console.reached(course.mark, Phase::Load);
    if !loading || course.transcript.release.is_none() {
        return failure(
            format!(
                "the guest did not get as far as loading the module: {} while {}",
                describe_end(course),
                course.transcript.phase().describe()
            ),
            "look at the last lines of the console; a busy worker may need a longer time limit",
        );
    }
    Ok(wanted.clone())
}

/// The kernel must have accepted the module.
fn check_loading(course: &Course<'_>, findings: &ConsoleFindings) -> Result<(), Failure> {
    if course.transcript.phase() == Phase::Earlier {
        return Ok(());
    }
    let name = course.input.module_name;
    let message = if let Some(said) = &course.transcript.load_failure {
        let reason = findings.load_problems.first().unwrap_or(said);
        let over = over_earlier(course);
        format!("the kernel refused {name}{over}: {reason}")
    } else if course.transcript.no_livepatch {
        format!("{name} was loaded but is no livepatch: it is not in /sys/kernel/livepatch")
    } else {
        return Ok(());
    };
    let said = course.transcript.load_failure.iter().cloned();
    let console = course.console.since_loading(course.mark, CONSOLE_LINES);
    let hint = match lacks_an_algorithm(course, findings) {
        true => NO_ALGORITHM,
        false => "do not load this livepatch: the running kernel would refuse it as well",
    };
    Err(Failure::new(FailureClass::TrialLoadFailed, message, hint)
        .with_details(said.chain(console)))
}

/// The kernel must not have complained since.
fn check_kernel(findings: &ConsoleFindings) -> Result<(), Failure> {
    let hint = "do not load this livepatch; the console lines name the function at fault";
    let failure = |message: String| Failure::new(FailureClass::TrialKernelFault, message, hint);
    if let Some(fault) = &findings.fault {
        let message = format!("the kernel failed while {}: {}", fault.during, fault.headline);
        return Err(failure(message).with_details(fault.lines.iter().cloned()));
    }
    if let Some(problem) = findings.load_problems.first() {
        let message = format!("the kernel took the livepatch but complained: {problem}");
        return Err(failure(message).with_details(findings.load_problems.iter().cloned()));
    }
    Ok(())
}

/// What is added to a sentence on the loading, when it took place over an earlier livepatch.
fn over_earlier(course: &Course<'_>) -> String {
    if course.transcript.phase() == Phase::Signature {
        return " while it takes only signed modules".to_owned();
    }
    match course.input.earlier {
        Some(earlier) if course.transcript.phase() == Phase::Replace => {
            format!(" over the earlier livepatch {}", earlier.name)
        }
        _ => String::new(),
    }
}

/// The kernel must not have marked itself as faulty.
fn check_taints(course: &Course<'_>) -> Result<(), Failure> {
    if let [at_begin, at_end] = course.transcript.taints[..]
        && (at_end & !at_begin) & TAINT_FAULTS != 0
    {
        let message = format!(
            "the kernel marked itself as faulty: its taint flags went from {at_begin} to {at_end}"
        );
        let hint = "do not load this livepatch; the console lines name the function at fault";
        let console = course.console.since_loading(course.mark, CONSOLE_LINES);
        return Err(
            Failure::new(FailureClass::TrialKernelFault, message, hint).with_details(console)
        );
    }
    Ok(())
}

/// The livepatch must have become active, whole, and have gone again.
fn check_livepatch(course: &Course<'_>) -> Result<(), Failure> {
    let name = course.input.module_name;
    let transcript = course.transcript;
    let stalled = |message: String, hint: &str| {
        Failure::new(FailureClass::TrialTransitionStalled, message, hint)
    };
    if transcript.stalled {
        let way = match transcript.phase() {
            Phase::Transition | Phase::Again | Phase::Signature => "transition".to_owned(),
            Phase::Replace => format!("transition{}", over_earlier(course)),
            _ => "transition back".to_owned(),
        };
        let limit = course.options.transition_limit.as_secs();
        let names: Vec<&str> =
            transcript.blocked.iter().map(|blocked| blocked.task.as_str()).collect();
        let details = transcript.blocked.iter().flat_map(|blocked| {
            let stack = blocked.stack.iter().map(|line| format!("  {line}"));
            std::iter::once(format!("task {}", blocked.task)).chain(stack)
        });
        return Err(stalled(
            format!(
                "the {way} did not end within {limit} s; it waits for: {}",
                if names.is_empty() {
                    "no task that could be named".into()
                } else {
                    names.join(", ")
                }
            ),
            "a task sleeps in a function that is replaced: leave that function out of the patch",
        )
        .with_details(details));
    }
    check_functions(course, transcript.livepatch)?;
    let console = || course.console.since_loading(course.mark, CONSOLE_LINES);
    if transcript.disable_failed {
        return Err(stalled(
            format!("the kernel refused to disable {name}"),
            "do not load this livepatch: only a reboot would take it away again",
        )
        .with_details(console()));
    }
    if let Some(said) = &transcript.unload_failure {
        return Err(stalled(
            format!("{name} was disabled but could not be unloaded: {said}"),
            "do not load this livepatch: only a reboot would take it away again",
        )
        .with_details(console()));
    }
    Ok(())
}

/// The livepatch must be enabled with all its functions.
pub(super) fn check_functions(
    course: &Course<'_>,
    shown: Option<(bool, usize)>,
) -> Result<(), Failure> {
    let Some((enabled, functions)) = shown else { return Ok(()) };
    let (name, expected) = (course.input.module_name, course.input.functions_expected);
    if enabled && functions == expected {
        return Ok(());
    }
    let state = if enabled { "enabled" } else { "not enabled" };
    Err(Failure::new(
        FailureClass::TrialLoadFailed,
        format!(
            "the kernel shows {name} as {state} with {functions} functions; enabled with {expected} \
             was expected"
        ),
        "report this as a bug of elivepatch, with the build's log",
    )
    .with_details(course.console.since_loading(course.mark, CONSOLE_LINES)))
}

/// The guest must have come to its own end.
fn check_end(course: &Course<'_>) -> Result<(), Failure> {
    if course.transcript.ended {
        return Ok(());
    }
    let phase = course.transcript.phase().max(Phase::Load);
    let class = match phase {
        Phase::Transition
        | Phase::Revert
        | Phase::Replace
        | Phase::Retire
        | Phase::Again
        | Phase::Leaving
        | Phase::Signature => FailureClass::TrialTransitionStalled,
        _ => FailureClass::TrialKernelFault,
    };
    Err(Failure::new(
        class,
        format!("{} while {}", describe_end(course), phase.describe()),
        "do not load this livepatch: it may stop the machine without a word",
    )
    .with_details(course.console.since_loading(course.mark, CONSOLE_LINES)))
}

/// How the guest ended, as the beginning of a sentence.
pub(super) fn describe_end(course: &Course<'_>) -> String {
    match &course.run.end {
        GuestEnd::Exited(status) if status.success() => "the guest went off".to_owned(),
        GuestEnd::Exited(status) => format!("QEMU ended with {status}"),
        GuestEnd::TimedOut => {
            format!("the guest was not done within {} s", course.options.time_limit.as_secs())
        }
        GuestEnd::Silent => "the guest stood still".to_owned(),
        GuestEnd::TooMuchOutput => "the guest printed without end".to_owned(),
        GuestEnd::Stopped => "the guest was stopped".to_owned(),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;

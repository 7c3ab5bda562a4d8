//! An earlier livepatch of the target, in the trial of the one that replaces it: did it go, and was
//! one of the two active all the while?

use std::io;

use elivepatch_model::{Failure, FailureClass, ReplacedLivepatch, Sha256Digest};

use super::{
    ConsoleFindings,
    initrd::Initrd,
    kernel_name,
    protocol::Phase,
    verdict::{CONSOLE_LINES, Course, check_functions, describe_end},
};

/// The livepatch that is active where the new one is to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct EarlierLivepatch<'a> {
    /// Its module.
    pub module: &'a [u8],
    /// The module's name, as `lsmod` shows it.
    pub name: &'a str,
}

/// Puts the earlier livepatch into the guest.
pub(super) fn add_earlier(initrd: &mut Initrd, earlier: &EarlierLivepatch<'_>) -> io::Result<()> {
    initrd.file("trial/earlier.ko", earlier.module)?;
    initrd.file("trial/earlier-name", format!("{}\n", kernel_name(earlier.name)?).as_bytes())
}

/// The earlier livepatch must have become active: what goes wrong before that is not the new one's.
///
/// # Errors
/// `trial-earlier-failed`.
pub(super) fn check_earlier(
    course: &Course<'_>,
    findings: &ConsoleFindings,
) -> Result<(), Failure> {
    let (Some(earlier), transcript) = (course.input.earlier, course.transcript) else {
        return Ok(());
    };
    let is_stuck = transcript.phase() == Phase::Earlier;
    let why = match (findings.earlier_problems.first(), &transcript.load_failure) {
        (Some(problem), _) => problem.clone(),
        (None, Some(said)) if is_stuck => said.clone(),
        _ if !is_stuck => return Ok(()),
        _ if transcript.no_livepatch => "it is no livepatch".to_owned(),
        _ if transcript.stalled => "its transition did not end".to_owned(),
        _ => describe_end(course),
    };
    Err(Failure::new(
        FailureClass::TrialEarlierFailed,
        format!(
            "the earlier livepatch {}, which is to be replaced, did not become active in the trial: {why}",
            earlier.name
        ),
        "look at the details: they are of the earlier livepatch, not of the new one",
    )
    .with_details(course.console.since_loading(course.mark, CONSOLE_LINES)))
}

/// The earlier livepatch must have gone, with one of the two active all the while.
///
/// # Errors
/// `trial-load-failed` when it did not, or when there was a moment without either;
/// `trial-transition-stalled` when its module could not be unloaded.
pub(super) fn check_replaced(course: &Course<'_>) -> Result<(), Failure> {
    let (Some(earlier), transcript) = (course.input.earlier, course.transcript) else {
        return Ok(());
    };
    let (name, earlier) = (course.input.module_name, earlier.name);
    let hint = "do not load this livepatch where the earlier one is active";
    let failure = |class, message: String| {
        let console = course.console.since_loading(course.mark, CONSOLE_LINES);
        Err(Failure::new(class, message, hint).with_details(console))
    };
    if transcript.gap {
        return failure(
            FailureClass::TrialLoadFailed,
            format!(
                "while {name} replaced the earlier livepatch {earlier}, neither was enabled at one moment"
            ),
        );
    }
    check_functions(course, transcript.livepatch_over)?;
    if let Some(state) = &transcript.not_replaced {
        return failure(
            FailureClass::TrialLoadFailed,
            format!(
                "{name} is active but did not replace the earlier livepatch {earlier}, which is still \
                 there (enabled: {state})"
            ),
        );
    }
    if let Some(said) = &transcript.earlier_stays {
        return failure(
            FailureClass::TrialTransitionStalled,
            format!("{name} replaced {earlier}, which could not be unloaded after that: {said}"),
        );
    }
    Ok(())
}

/// What the replacing showed, where an earlier livepatch was to be replaced.
///
/// # Errors
/// `trial-boot-failed` when the guest did not report on it.
pub(super) fn replaced(course: &Course<'_>) -> Result<Option<ReplacedLivepatch>, Failure> {
    let Some(earlier) = course.input.earlier else { return Ok(None) };
    let transcript = course.transcript;
    let began = |phase| transcript.began(phase);
    let (Some(looks), Some(begin), Some(end)) =
        (transcript.replaced, began(Phase::Replace), began(Phase::Replaced))
    else {
        return Err(Failure::new(
            FailureClass::TrialBootFailed,
            format!("the guest did not report on the replacing of {}", earlier.name),
            "submit the build again; report a bug of elivepatch if it happens again",
        ));
    };
    Ok(Some(ReplacedLivepatch {
        name: earlier.name.to_owned(),
        digest: Sha256Digest::of(earlier.module),
        transition_seconds: (end - begin).max(0.0),
        looks,
    }))
}

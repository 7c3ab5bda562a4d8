//! The words for verdicts and groups: the same on the terminal, in HTML and in OpenVEX.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_api::{CveSelection, RunCve, RunGrounds};
use elivepatch_cve::{Applicability, CveId, Fixes, Group, Outcome};
use elivepatch_model::LeftOut;

/// How many reasons for which files are not in a kernel are told of a CVE: most have one.
const MOST_REASONS: usize = 4;

/// Of what time the words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tense {
    /// Nothing was tried: what may matter.
    DryRun,
    /// A run is under way.
    Running,
    /// A run is finished.
    Finished,
}

/// The groups in the order in which a sentence names them: what is done, what is to be planned, what needs
/// nothing, and last what the reader has to do.
pub const SPOKEN: [Group; 7] = [
    Group::FixedLive,
    Group::NeedsReboot,
    Group::Open,
    Group::NoFixYet,
    Group::NotInKernel,
    Group::LeftOut,
    Group::WaitsForPerson,
];

/// What each verdict means, the most important first.
const MEANINGS: [(&str, &str); 21] = [
    ("candidate", "the code is or may be in this kernel, and its branch has a fix"),
    ("mainline-only", "likewise, and only mainline has a fix: a person has to decide"),
    ("no-fix", "likewise, and there is no fix in mainline yet"),
    ("not-loaded", "the code is in modules that are not loaded"),
    ("not-built", "the code is not in this kernel"),
    ("already-fixed", "the kernel has the fix"),
    ("already-live", "a livepatch that is active on this machine has the fix"),
    ("not-affected", "the flaw came in later, or into other branches"),
    ("rejected", "it is no CVE, or not any more"),
    ("livepatch", "the fix is in the livepatch"),
    ("not-patchable", "no livepatch can be made of the fix: it needs a newer kernel"),
    ("does-not-apply", "the fix does not apply to this kernel's source: it needs a newer kernel"),
    ("build-failed", "the fix cannot be built for this kernel: it needs a newer one"),
    ("could-not-try", "the machine that was to try the fix failed: it may pass another time"),
    ("conflicts", "the fix works alone, but not with the others: it needs a newer kernel"),
    ("needs-approval", "only mainline has a fix: a person has to decide whether it is right here"),
    ("fix-unavailable", "the branch has a fix, and the server cannot get its text"),
    ("not-tried", "the run ended before the fix was tried"),
    ("waiting", "the fix is still to be tried"),
    ("denied", "the server's policy leaves it out"),
    ("left-out", "you left it out"),
];

/// What a verdict means; empty for one that is not known here.
pub fn meaning(verdict: &str) -> &'static str {
    MEANINGS.iter().find(|(known, _)| *known == verdict).map_or("", |(_, text)| *text)
}

/// The group of a verdict. What a newer server says counts as open.
pub fn group_of(verdict: &str) -> Group {
    match verdict {
        "livepatch" | "already-live" => Group::FixedLive,
        "does-not-apply" | "not-patchable" | "build-failed" | "conflicts" => Group::NeedsReboot,
        "needs-approval" | "mainline-only" => Group::WaitsForPerson,
        "no-fix" => Group::NoFixYet,
        "denied" | "left-out" => Group::LeftOut,
        "not-built" => Group::NotInKernel,
        "already-fixed" | "not-affected" | "rejected" => Group::NotAffected,
        _ => Group::Open,
    }
}

/// Whether a CVE with this verdict leaves the kernel exposed, other than by the user's own choice.
pub fn is_exposed(verdict: &str) -> bool {
    match group_of(verdict) {
        Group::NeedsReboot | Group::WaitsForPerson | Group::NoFixYet | Group::Open => true,
        Group::LeftOut => verdict == "denied",
        Group::FixedLive | Group::NotInKernel | Group::NotAffected => false,
    }
}

/// The name of a group on the command line.
pub fn group_name(group: Group) -> &'static str {
    match group {
        Group::FixedLive => "fixed-live",
        Group::NeedsReboot => "needs-reboot",
        Group::WaitsForPerson => "waits-for-person",
        Group::NoFixYet => "no-fix-yet",
        Group::Open => "open",
        Group::LeftOut => "left-out",
        Group::NotInKernel => "not-in-kernel",
        Group::NotAffected => "not-affected",
    }
}

/// What is so of this many CVEs of a group, as it follows the number: "need a reboot".
pub fn predicate(group: Group, count: u64, tense: Tense) -> &'static str {
    let is_one = count == 1;
    match (group, tense) {
        (Group::FixedLive, Tense::Running) => "in the livepatch",
        (Group::FixedLive, _) => "fixed live",
        (Group::NeedsReboot, _) if is_one => "needs a reboot",
        (Group::NeedsReboot, _) => "need a reboot",
        (Group::WaitsForPerson, _) if is_one => "waits for you",
        (Group::WaitsForPerson, _) => "wait for you",
        (Group::NoFixYet, _) if is_one => "has no fix yet",
        (Group::NoFixYet, _) => "have no fix yet",
        (Group::Open, Tense::DryRun) => "may be fixed live",
        (Group::Open, Tense::Running) => "to be tried",
        (Group::Open, Tense::Finished) => "could not be tried",
        (Group::LeftOut, _) => "left out",
        (Group::NotInKernel, _) if is_one => "is not in this kernel",
        (Group::NotInKernel, _) => "are not in this kernel",
        (Group::NotAffected, _) if is_one => "is not in this version, or fixed in it",
        (Group::NotAffected, _) => "are not in this version, or fixed in it",
    }
}

/// The summary: "31 fixed live, 12 need a reboot, 254 are not in this kernel, 3 wait for you".
pub fn sentence(groups: &BTreeMap<Group, u64>, tense: Tense) -> String {
    let told: Vec<String> = SPOKEN
        .into_iter()
        .filter_map(|group| {
            let count = groups.get(&group).copied().filter(|count| *count > 0)?;
            Some(format!("{count} {}", predicate(group, count, tense)))
        })
        .collect();
    match told.is_empty() {
        true => "no known CVE is in this kernel".to_owned(),
        false => told.join(", "),
    }
}

/// What a selection limits a report to; `None`: nothing.
pub fn limits(selection: &CveSelection) -> Option<String> {
    let names = |ids: &[CveId]| ids.iter().map(CveId::to_string).collect::<Vec<_>>().join(", ");
    let CveSelection { only, exclude, severity } = selection;
    let mut told = Vec::new();
    if let Some(least) = severity {
        told.push(format!("only with a CVSS score of {least:.1} or more, or without any"));
    }
    if !only.is_empty() {
        told.push(format!("only {}", names(only)));
    }
    if !exclude.is_empty() {
        told.push(format!("without {}", names(exclude)));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

/// Why a CVE has its verdict, in words, without foreign control characters being taken out.
pub fn reason(cve: &RunCve) -> String {
    match &cve.result.outcome {
        Some(
            Outcome::DoesNotApply { failure }
            | Outcome::NotPatchable { failure }
            | Outcome::BuildFailed { failure }
            | Outcome::CouldNotTry { failure }
            | Outcome::NotBuilt { failure }
            | Outcome::Conflicts { failure },
        ) => failure.message.clone(),
        Some(Outcome::FixUnavailable { reason, .. }) => reason.clone(),
        Some(Outcome::Denied { rule }) => format!("the server's rule: {rule}"),
        Some(_) => meaning(cve.result.verdict()).to_owned(),
        None => match &cve.result.applicability {
            Applicability::AlreadyLive { livepatch, .. } => {
                format!("fixed by the livepatch {livepatch}, which is active on this machine")
            }
            Applicability::NotBuilt { files, left_out } => not_compiled(files, left_out),
            Applicability::NotLoaded { modules, .. } => format!("modules {}", modules.join(", ")),
            Applicability::Candidate { doubt: Some(doubt), .. } => doubt.clone(),
            Applicability::Candidate { parents, .. } => format!("in {}", parents.join(", ")),
            _ => meaning(cve.result.verdict()).to_owned(),
        },
    }
}

/// Why files are not in the kernel: what leaves them out, each reason once.
fn not_compiled(files: &[String], left_out: &[LeftOut]) -> String {
    let told = format!("not compiled: {}", files.join(", "));
    match left_out_by(left_out) {
        Some(reasons) => format!("{told}: {reasons}"),
        None => told,
    }
}

/// What leaves files out of a kernel, each reason once.
pub fn left_out_by(left_out: &[LeftOut]) -> Option<String> {
    let reasons: BTreeSet<String> = left_out.iter().map(LeftOut::to_string).collect();
    let more = reasons.len().saturating_sub(MOST_REASONS);
    let told: Vec<String> = reasons.into_iter().take(MOST_REASONS).collect();
    let more = if more == 0 { String::new() } else { format!("; and {more} more") };
    (!told.is_empty()).then(|| told.join("; ") + &more)
}

/// What to do about a CVE that stays open.
pub fn action(cve: &RunCve) -> String {
    let version = cve.result.fixed_in();
    let is_mainline =
        matches!(cve.result.applicability.fixes(), Some(Fixes::MainlineOnly(_)) | None);
    let newer = match version {
        Some(version) if is_mainline => format!("a kernel from Linux {version} on has the fix"),
        Some(version) => format!("boot Linux {version} or later of this branch"),
        None => "no version is known to have the fix".to_owned(),
    };
    match group_of(cve.result.verdict()) {
        Group::NeedsReboot => format!("no livepatch can fix it here: {newer}"),
        Group::WaitsForPerson => {
            format!("decide whether mainline's fix is right for this branch; {newer}")
        }
        Group::NoFixYet => "there is no fix yet: look again when the CVE feed is newer".to_owned(),
        Group::LeftOut if cve.result.verdict() == "denied" => {
            format!("the server's policy leaves it out: change it there, or {newer}")
        }
        Group::LeftOut => format!("it was left out on request: take it in, or {newer}"),
        _ => format!("have elivepatch try to fix it live, or {newer}"),
    }
}

/// What makes an answer less sure than it looks.
pub fn doubts(grounds: &RunGrounds) -> Vec<String> {
    let date = |at: &jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let mut doubts = Vec::new();
    if grounds.feed_is_stale {
        doubts.push(format!(
            "the server's CVE feed is of {} and was last read at {}: newer CVEs are not in this",
            date(&grounds.feed_data_at),
            date(&grounds.feed_read_at)
        ));
    }
    if grounds.faulty > 0 {
        doubts.push(format!(
            "{} records of the server's feed cannot be used: what is new in them is not in this \
             (elivepatch-server feed faults)",
            grounds.faulty
        ));
    }
    if grounds.is_upper_bound {
        doubts.push(
            "this distribution may carry fixes that the version does not tell: the kernel may have fewer \
             flaws than this says"
                .to_owned(),
        );
    }
    match (&grounds.base, &grounds.base_doubt) {
        (_, Some(doubt)) => doubts
            .push(format!("no base of this kernel is used: {doubt}; all code counts as built")),
        (None, None) => doubts.push(
            "the server has no base of this kernel: all code counts as built (elivepatch-server base warm \
             makes one)"
                .to_owned(),
        ),
        (Some(_), None) => {}
    }
    doubts
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;

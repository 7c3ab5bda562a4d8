//! Lists of CVEs on standard output, in 80 columns.

use elivepatch_api::RunCve;
use elivepatch_cve::{Applicability, CveId, Outcome};

use super::{
    report::Report,
    words::{group_name, group_of, left_out_by},
};
use crate::{
    output::data,
    problem::Problem,
    text::{printable, wrapped},
};

/// How wide a list may be, in columns: as narrow as the narrowest terminal that is used.
pub const WIDTH: usize = 80;

/// How far the second line of a CVE is moved in.
const INDENT: usize = 18;

/// The verdicts and groups that a list can be limited to.
pub const VERDICTS: [&str; 25] = [
    "livepatch",
    "not-patchable",
    "does-not-apply",
    "build-failed",
    "conflicts",
    "needs-approval",
    "fix-unavailable",
    "not-tried",
    "could-not-try",
    "denied",
    "left-out",
    "candidate",
    "mainline-only",
    "not-loaded",
    "no-fix",
    "not-built",
    "already-live",
    "already-fixed",
    "fixed-live",
    "needs-reboot",
    "waits-for-person",
    "no-fix-yet",
    "open",
    "not-in-kernel",
    "all",
];

/// What a list is limited to.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    /// Verdicts and groups.
    pub verdicts: &'a [String],
    /// CVEs, whatever their verdict.
    pub only: &'a [CveId],
    /// The least score; CVEs without any are listed all the same.
    pub severity: Option<f32>,
}

/// The CVEs that are to be listed.
pub fn listed<'a>(report: &'a Report, filter: &Filter<'_>) -> Vec<&'a RunCve> {
    let is_asked = |cve: &&RunCve| {
        let verdict = cve.result.verdict();
        let group = group_name(group_of(verdict));
        let is_named = filter
            .verdicts
            .iter()
            .any(|asked| asked == verdict || asked == group || asked == "all");
        let score = cve.cvss.as_ref().map(|cvss| cvss.score);
        (is_named || filter.only.contains(&cve.result.id))
            && filter.severity.is_none_or(|least| score.is_none_or(|score| score >= least))
    };
    report.cves.iter().filter(is_asked).collect()
}

/// Two lines and more for each CVE: name, score, verdict, the version that fixes it, and why; then what it is
/// about.
pub fn list(cves: &[&RunCve]) -> Result<(), Problem> {
    for cve in cves {
        data(&lines(cve))?;
    }
    Ok(())
}

fn lines(cve: &RunCve) -> String {
    let score = cve.cvss.as_ref().map_or_else(|| "  - ".to_owned(), |c| format!("{:4.1}", c.score));
    let version = match cve.result.fixed_in() {
        Some(version) => version.to_string(),
        None => "-".to_owned(),
    };
    let head = format!(
        "{:<16} {score}  {:<15} {version:<10} {}",
        cve.result.id.to_string(),
        cve.result.verdict(),
        place(cve)
    );
    let mut lines = wrapped(&head, WIDTH, INDENT);
    let indented = format!("{}{}", " ".repeat(INDENT), printable(&cve.title));
    lines.extend(wrapped(&indented, WIDTH, INDENT));
    lines.join("\n")
}

/// What stands against the fix, or where the code is.
fn place(cve: &RunCve) -> String {
    if let Some(failure) = cve.result.outcome.as_ref().and_then(Outcome::failure) {
        return failure.class.to_string();
    }
    match &cve.result.applicability {
        Applicability::Candidate { parents, .. } if !parents.is_empty() => {
            printable(&parents.join(", "))
        }
        Applicability::AlreadyLive { livepatch, .. } => printable(livepatch),
        Applicability::NotLoaded { modules, .. } => printable(&modules.join(", ")),
        Applicability::NotBuilt { left_out, .. } => match left_out_by(left_out) {
            Some(reasons) => printable(&reasons),
            None => "-".to_owned(),
        },
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn lists_are_limited_by_verdict_group_name_and_score() {
        let report = fixtures::finished();
        let ids = |filter: &Filter<'_>| {
            let found = listed(&report, filter);
            found.iter().map(|cve| cve.result.id.to_string()).collect::<Vec<_>>()
        };
        let verdicts = ["needs-reboot".to_owned()];
        let reboot = Filter { verdicts: &verdicts, ..Filter::default() };
        assert_eq!(ids(&reboot), ["CVE-2026-1002", "CVE-2026-1003"]);
        let severe = Filter { verdicts: &verdicts, severity: Some(7.5), only: &[] };
        assert_eq!(ids(&severe), ["CVE-2026-1002"], "what is not judged is told, 7.1 is less");
        let only = ["CVE-2026-1001".parse().expect("a name")];
        assert_eq!(ids(&Filter { only: &only, ..Filter::default() }), ["CVE-2026-1001"]);
        assert!(ids(&Filter::default()).is_empty());
        let all = ["all".to_owned()];
        let all = Filter { verdicts: &all, ..Filter::default() };
        assert_eq!(ids(&all).len(), report.cves.len());
    }

    #[test]
    fn lines_fit_and_hostile_titles_are_harmless() {
        let mut report = fixtures::finished();
        report.cves[0].title = format!("a\u{1b}]0;x\u{7} {}", "long word ".repeat(30));
        for cve in &report.cves {
            for line in lines(cve).lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
                assert!(!line.contains('\u{1b}'), "{line}");
            }
        }
    }
}

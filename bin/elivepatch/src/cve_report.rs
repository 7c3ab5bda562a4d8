//! Which CVEs matter on a kernel, on standard output.

use elivepatch_api::{AssessedCve, AssessmentResource};
use elivepatch_cve::{Applicability, Commit, Fixes};
use elivepatch_model::KernelRelease;

use crate::{
    output::data,
    problem::Problem,
    report::{row, table},
    text::{printable, printable_lines},
};

/// The verdicts in the order of how much they matter, with what each means.
const MEANINGS: [(&str, &str); 8] = [
    ("candidate", "the code is or may be in this kernel, and its branch has a fix"),
    ("mainline-only", "likewise, and only mainline has a fix: a person has to decide"),
    ("no-fix", "likewise, and there is no fix in mainline yet"),
    ("not-loaded", "the code is in modules that are not loaded"),
    ("not-built", "the code is not in this kernel"),
    ("already-fixed", "the version has the fix"),
    ("not-affected", "the flaw came in later, or into other branches"),
    ("rejected", "it is no CVE, or not any more"),
];

/// How many CVEs there are with each verdict.
pub fn summary(release: &KernelRelease, assessed: &AssessmentResource) -> Result<(), Problem> {
    let AssessmentResource { linux_version, version_origin, feed_data_at, .. } = assessed;
    data(&format!(
        "{release} is Linux {} ({}); CVE feed of {}",
        printable(linux_version),
        printable(version_origin),
        feed_data_at.strftime("%Y-%m-%d %H:%M UTC")
    ))?;
    let mut table = table();
    for (name, meaning) in MEANINGS {
        let count = assessed.counts.get(name).copied().unwrap_or_default();
        row(&mut table, name, &format!("{count:>6}  {meaning}"));
    }
    data(&table.to_string())
}

/// A line for each CVE.
pub fn list(cves: &[&AssessedCve]) -> Result<(), Problem> {
    for cve in cves {
        let score =
            cve.cvss.as_ref().map_or_else(|| "  - ".to_owned(), |c| format!("{:4.1}", c.score));
        data(&format!(
            "{:<16} {score}  {:<13} {:<24} {}",
            cve.id.to_string(),
            cve.applicability.verdict(),
            printable(&place(&cve.applicability)),
            printable(&cve.title)
        ))?;
    }
    Ok(())
}

/// Where the code is.
fn place(applicability: &Applicability) -> String {
    match applicability {
        Applicability::Candidate { parents, .. } if !parents.is_empty() => parents.join(","),
        Applicability::NotLoaded { modules, .. } => modules.join(","),
        _ => "-".to_owned(),
    }
}

/// All that is known of a CVE.
pub fn explain(cve: &AssessedCve, assessed: &AssessmentResource) -> Result<(), Problem> {
    let mut table = table();
    let name = cve.applicability.verdict();
    let meaning = MEANINGS.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    row(&mut table, &cve.id.to_string(), &printable(&cve.title));
    row(&mut table, "verdict", &format!("{name}: {meaning}"));
    row(&mut table, "kernel", &format!("Linux {}", printable(&assessed.linux_version)));
    let score = cve.cvss.as_ref();
    let score = score.map_or_else(
        || "not judged: that does not mean harmless".to_owned(),
        |cvss| format!("{:.1}, {}", cvss.score, printable(&cvss.vector)),
    );
    row(&mut table, "CVSS", &score);
    row(&mut table, "files", &printable(&cve.program_files.join(", ")));
    match &cve.applicability {
        Applicability::Candidate { parents, doubt, fixes } => {
            if !parents.is_empty() {
                row(&mut table, "linked into", &printable(&parents.join(", ")));
            }
            if let Some(doubt) = doubt {
                row(&mut table, "not sure", &printable(doubt));
            }
            row(&mut table, "fix", &fix(fixes));
        }
        Applicability::NotLoaded { modules, fixes } => {
            row(&mut table, "linked into", &printable(&modules.join(", ")));
            row(&mut table, "fix", &fix(fixes));
        }
        Applicability::AlreadyFixed { by } => row(&mut table, "fix", &commits("", &[by])),
        Applicability::NotBuilt { .. } | Applicability::NotAffected | Applicability::Rejected => {}
    }
    data(&table.to_string())?;
    if let Some(description) = &cve.description {
        data(&printable_lines(description))?;
    }
    Ok(())
}

fn fix(fixes: &Fixes) -> String {
    match fixes {
        Fixes::OwnBranch(found) => commits("", &found.iter().collect::<Vec<_>>()),
        Fixes::MainlineOnly(found) => commits("mainline ", &found.iter().collect::<Vec<_>>()),
        Fixes::None => "no fix in mainline yet".to_owned(),
    }
}

fn commits(what: &str, found: &[&Commit]) -> String {
    let shown = found.iter().map(|commit| {
        let hash = commit.hash.get(..12).unwrap_or(&commit.hash);
        format!("{what}{} ({})", commit.version, printable(hash))
    });
    shown.collect::<Vec<_>>().join(", ")
}

use elivepatch_api::{AssessedCve, RunCve};
use elivepatch_cve::{Applicability, Commit, Fixes, Outcome};
use elivepatch_model::PatchedFunction;

use super::{
    report::Report,
    words::{action, is_exposed, meaning},
};
use crate::{
    output::data,
    problem::Problem,
    report::{row, table},
    text::{printable, printable_lines},
};

/// Prints all that is known of a CVE. `known` is what became of it in a run, where it was in one.
pub fn explain(
    assessed: &AssessedCve,
    known: Option<&RunCve>,
    report: &Report,
) -> Result<(), Problem> {
    let mut table = table();
    let verdict = known.map_or(assessed.applicability.verdict(), |cve| cve.result.verdict());
    row(&mut table, &assessed.id.to_string(), &printable(&assessed.title));
    row(&mut table, "verdict", &format!("{verdict}: {}", meaning(verdict)));
    row(&mut table, "kernel", &format!("Linux {}", printable(&report.grounds.linux_version)));
    let score = assessed.cvss.as_ref().map_or_else(
        || "not judged: that does not mean harmless".to_owned(),
        |cvss| format!("{:.1}, {}", cvss.score, printable(&cvss.vector)),
    );
    row(&mut table, "CVSS", &score);
    row(&mut table, "files", &printable(&assessed.program_files.join(", ")));
    match &assessed.applicability {
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
        Applicability::AlreadyLive { livepatch, fixes } => {
            row(&mut table, "livepatch", &printable(livepatch));
            row(&mut table, "fix", &fix(fixes));
        }
        Applicability::AlreadyFixed { by } => row(&mut table, "fix", &commits("", &[by])),
        Applicability::NotBuilt { left_out, .. } => {
            let reasons = left_out.iter().map(|one| format!("{}: {one}", one.file));
            let reasons: Vec<_> = reasons.map(|reason| printable(&reason).to_string()).collect();
            if !reasons.is_empty() {
                row(&mut table, "left out", &reasons.join("\n"));
            }
        }
        Applicability::NotAffected | Applicability::Rejected => {}
    }
    if let Some(cve) = known {
        outcome_rows(&mut table, cve, report);
    }
    data(&table.to_string())?;
    if let Some(description) = &assessed.description {
        data(&printable_lines(description))?;
    }
    Ok(())
}

fn outcome_rows(table: &mut comfy_table::Table, cve: &RunCve, report: &Report) {
    let outcome = cve.result.outcome.as_ref();
    if let Some(failure) = outcome.and_then(Outcome::failure) {
        row(table, "why", &format!("{} ({})", printable(&failure.message), failure.class));
        if !failure.details.is_empty() {
            let details = failure.details.iter().map(|line| printable(line));
            row(table, "details", &details.collect::<Vec<_>>().join("\n"));
        }
        row(table, "hint", &printable(&failure.hint));
    }
    match outcome {
        Some(Outcome::Livepatch { functions }) if !functions.is_empty() => {
            row(table, "functions replaced", &names(functions));
        }
        Some(Outcome::FixUnavailable { reason, .. }) => row(table, "why", &printable(reason)),
        Some(Outcome::Denied { rule }) => row(table, "rule", &printable(rule)),
        _ => {}
    }
    for fix in &cve.result.fixes {
        let text = format!("{} from {}", fix.commit, fix.source);
        row(table, "patch", &format!("{}\nsha256 {}", printable(&text), fix.digest));
    }
    if let Some(build) = cve.result.probe {
        row(table, "tried alone", &format!("build {build}"));
    }
    if is_exposed(cve.result.verdict()) && report.run.is_some() {
        row(table, "to do", &action(cve));
    }
}

fn names(functions: &[PatchedFunction]) -> String {
    let shown = functions
        .iter()
        .map(|function| printable(&format!("{} ({})", function.name, function.object)).to_string());
    shown.collect::<Vec<_>>().join("\n")
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

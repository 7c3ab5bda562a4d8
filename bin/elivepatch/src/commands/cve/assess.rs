use elivepatch_api::AssessmentResource;
use elivepatch_cve::CveId;
use jiff::Timestamp;

use super::{CveArgs, assessed, order, reports::Reports};
use crate::{
    cve::{self, Report, doubts},
    exit::Exit,
    problem::{Problem, warn},
    report,
    text::printable,
};

/// Says which CVEs matter on a kernel. Nothing is built.
pub async fn run(arguments: &CveArgs) -> Result<Exit, Problem> {
    let reports = Reports::open(arguments)?;
    let target = order::facts(arguments)?;
    let server = arguments.server.open()?;
    let named: Vec<CveId> = arguments.explain.iter().chain(&arguments.only).copied().collect();
    let version = arguments.linux_version.as_deref();
    let answer = assessed(&server, &target, version, &named).await?;
    let answer = limited(answer, arguments);
    let report = Report::of_assessment(target, &answer, Timestamp::now());
    say_doubts(&answer, &report);
    reports.write(&report, &server)?;
    if arguments.json {
        report::print_json(&answer)?;
        return Ok(Exit::Done);
    }
    for id in &arguments.explain {
        let cve = answer.cves.iter().find(|cve| cve.id == *id);
        cve::explain(cve.expect("it was asked for"), None, &report)?;
    }
    if arguments.explain.is_empty() {
        cve::dry_run(&report)?;
        cve::list(&cve::listed(&report, &arguments.filter()))?;
    }
    Ok(Exit::Done)
}

fn say_doubts(answer: &AssessmentResource, report: &Report) {
    for doubt in doubts(&report.grounds).into_iter().chain(faults(answer)) {
        warn(&printable(&doubt));
    }
}

/// What is told as it was before its record became unusable.
pub(super) fn faults(answer: &AssessmentResource) -> Vec<String> {
    let is_told = |id: CveId| answer.cves.iter().any(|cve| cve.id == id);
    let told = answer.faults.iter().filter(|fault| is_told(fault.id)).map(|fault| {
        format!(
            "{} is told as it was before its record became unusable: {}",
            fault.id, fault.reason
        )
    });
    told.collect()
}

/// The CVEs that the command line is about. The counts stay those of all.
fn limited(mut answer: AssessmentResource, arguments: &CveArgs) -> AssessmentResource {
    let least = arguments.severity;
    answer.cves.retain(|cve| {
        let score = cve.cvss.as_ref().map(|cvss| cvss.score);
        let is_severe = least.is_none_or(|least| score.is_none_or(|score| score >= least));
        (arguments.only.is_empty() || arguments.only.contains(&cve.id))
            && !arguments.exclude.contains(&cve.id)
            && is_severe
            || arguments.explain.contains(&cve.id)
    });
    answer
}

//! The report as one page that needs nothing else: no script, no network.

use askama::Template;
use elivepatch_api::RunCve;
use elivepatch_cve::{Group, Outcome};

use super::{
    chart::{self, Chart, Severity},
    report::Report,
    words::{SPOKEN, Tense, action, doubts, group_name, limits, predicate, reason, sentence},
};

/// By what an earlier page is known as elivepatch's own.
pub const MARK: &str = "<meta name=\"generator\" content=\"elivepatch ";

/// How many rows of a table are shown at once: what a reader looks through. The others open on a click.
const ROWS_SHOWN: usize = 25;

/// The page. All text is escaped by the template engine: titles come from the feed, reasons from the server.
#[derive(Template)]
#[template(path = "cve.html")]
struct Page<'a> {
    version: &'a str,
    release: &'a str,
    linux_version: &'a str,
    version_origin: &'a str,
    server: &'a str,
    is_dry_run: bool,
    run: String,
    headline: String,
    at: String,
    feed: String,
    feed_age: String,
    limits: Option<String>,
    doubts: Vec<String>,
    to_do: Vec<String>,
    by_group: Chart,
    by_severity: Chart,
    legend: Vec<(&'static str, &'static str)>,
    sections: Vec<Section>,
    rest: Vec<String>,
    not_in_kernel: Vec<Row>,
}

/// A table of CVEs.
struct Section {
    title: String,
    explained: &'static str,
    class: &'static str,
    shown: Vec<Row>,
    more: Vec<Row>,
}

struct Row {
    id: String,
    title: String,
    score: String,
    severity: &'static str,
    verdict: String,
    reason: String,
    fixed_in: String,
    to_do: String,
}

/// The page's text.
pub fn html(report: &Report, server: &str) -> String {
    let tense = if report.run.is_some() { Tense::Finished } else { Tense::DryRun };
    let groups = report.groups();
    let date = |at: &jiff::Timestamp| at.strftime("%Y-%m-%d %H:%M UTC").to_string();
    let tables = [
        Group::FixedLive,
        Group::NeedsReboot,
        Group::WaitsForPerson,
        Group::Open,
        Group::NoFixYet,
        Group::LeftOut,
    ];
    let count = |group: Group| groups.get(&group).copied().unwrap_or_default();
    let told = |group: Group| format!("{} {}", count(group), predicate(group, count(group), tense));
    let page = Page {
        version: env!("CARGO_PKG_VERSION"),
        release: report.target.release.as_str(),
        linux_version: &report.grounds.linux_version,
        version_origin: &report.grounds.version_origin,
        server,
        is_dry_run: report.run.is_none(),
        run: report.run.as_ref().map_or_else(String::new, |run| run.number.to_string()),
        headline: sentence(&groups, tense),
        at: date(&report.at),
        feed: date(&report.grounds.feed_data_at),
        feed_age: age(report),
        limits: report.run.as_ref().and_then(|run| limits(&run.selection)),
        doubts: doubts(&report.grounds),
        to_do: to_do(report),
        by_group: chart::by_group(report, tense),
        by_severity: chart::by_severity(report, tense),
        legend: SPOKEN
            .into_iter()
            .filter(|group| *group != Group::NotInKernel && count(*group) > 0)
            .map(|group| (group_name(group), predicate(group, 2, tense)))
            .collect(),
        sections: tables.into_iter().filter_map(|group| section(report, group, tense)).collect(),
        rest: [Group::NotInKernel, Group::NotAffected]
            .into_iter()
            .filter(|group| count(*group) > 0)
            .map(told)
            .collect(),
        not_in_kernel: report
            .in_group(Group::NotInKernel)
            .map(|cve| row(cve, Group::NotInKernel))
            .collect(),
    };
    page.render().expect("the template has all that it names")
}

/// How old the feed's data was when the report was made.
fn age(report: &Report) -> String {
    let hours = report.at.duration_since(report.grounds.feed_data_at).as_hours().max(0);
    match hours {
        0..48 => format!("{hours} hours old when this report was made"),
        _ => format!("{} days old when this report was made", hours / 24),
    }
}

/// What the reader is to do.
fn to_do(report: &Report) -> Vec<String> {
    let count = |group| report.in_group(group).count();
    let mut to_do = Vec::new();
    let livepatch = report.run.as_ref().and_then(|run| run.livepatch.as_ref());
    if let Some(livepatch) = livepatch {
        to_do.push(format!(
            "Load the livepatch {} (sha256 {}) where {} runs: until then nothing is fixed there.",
            livepatch.name, livepatch.digest, report.target.release
        ));
    }
    if let Some(version) = report.reboot_into() {
        let all = count(Group::NeedsReboot);
        let here = report
            .in_group(Group::NeedsReboot)
            .filter(|cve| {
                cve.result.fixed_in().is_some_and(|fixed| fixed.branch() == version.branch())
            })
            .count();
        let most = match here == all {
            true => format!("all {all}"),
            false => format!("{here} of the {all}"),
        };
        to_do.push(format!(
            "Plan a reboot into Linux {version} or later: it has the fixes of {most} that need one."
        ));
    }
    match count(Group::WaitsForPerson) {
        0 => {}
        1 => to_do.push("Decide about the one that waits for you.".to_owned()),
        waiting => to_do.push(format!("Decide about the {waiting} that wait for you.")),
    }
    to_do
}

fn section(report: &Report, group: Group, tense: Tense) -> Option<Section> {
    let mut shown: Vec<_> = report.in_group(group).map(|cve| row(cve, group)).collect();
    if shown.is_empty() {
        return None;
    }
    let more = shown.split_off(shown.len().min(ROWS_SHOWN));
    let count = shown.len() + more.len();
    Some(Section {
        title: format!("{count} {}", predicate(group, count as u64, tense)),
        explained: explained(group, tense),
        class: group_name(group),
        shown,
        more,
    })
}

fn explained(group: Group, tense: Tense) -> &'static str {
    match (group, tense) {
        (Group::FixedLive, Tense::DryRun) => {
            "A livepatch that is active on this machine has their fixes."
        }
        (Group::FixedLive, _) => {
            "Their fixes are in the livepatch, and act as soon as it is loaded."
        }
        (Group::NeedsReboot, _) => {
            "Their fixes cannot be had as a livepatch for this kernel, for the reason that is given. A \
             newer kernel has them."
        }
        (Group::WaitsForPerson, _) => {
            "Mainline Linux has a fix, and the branch of this kernel has none. A person has to judge \
             whether it is right here."
        }
        (Group::Open, Tense::DryRun) => {
            "Their code is in this kernel, or may be, and there is a fix. Nothing was tried yet."
        }
        (Group::Open, _) => "Their fixes could not be tried.",
        (Group::NoFixYet, _) => "Nobody has published a fix yet.",
        _ => "They were left out by the server's policy or on request.",
    }
}

fn row(cve: &RunCve, group: Group) -> Row {
    let failure = cve.result.outcome.as_ref().and_then(Outcome::failure);
    let verdict = cve.result.verdict();
    Row {
        id: cve.result.id.to_string(),
        title: cve.title.clone(),
        score: cve.cvss.as_ref().map_or_else(String::new, |cvss| format!("{:.1}", cvss.score)),
        severity: Severity::of(cve).word(),
        verdict: failure.map_or(verdict.to_owned(), |failure| failure.class.to_string()),
        reason: reason(cve),
        fixed_in: cve.result.fixed_in().map_or_else(String::new, |version| version.to_string()),
        to_do: match group {
            Group::FixedLive | Group::NotInKernel => String::new(),
            _ => action(cve),
        },
    }
}

#[cfg(test)]
#[path = "html_tests.rs"]
mod tests;

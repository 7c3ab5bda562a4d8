//! The short summary on standard output.

use std::collections::BTreeMap;

use elivepatch_cve::{Group, Outcome};

use super::{
    changes::Changes,
    report::Report,
    tables::WIDTH,
    words::{Tense, group_name, limits, meaning, sentence},
};
use crate::{
    output::data,
    problem::Problem,
    text::{printable, wrapped},
};

/// The verdicts of a dry run in the order of how much they matter.
const DRY_RUN_VERDICTS: [&str; 9] = [
    "candidate",
    "mainline-only",
    "no-fix",
    "not-loaded",
    "not-built",
    "already-live",
    "already-fixed",
    "not-affected",
    "rejected",
];

/// What an assessment says: how many CVEs there are with each verdict.
pub fn dry_run(report: &Report) -> Result<(), Problem> {
    data(&dry_run_text(report))
}

/// What a run came to, and what is new since the last one.
pub fn finished(report: &Report, changes: Option<&Changes>) -> Result<(), Problem> {
    data(&finished_text(report, changes))
}

fn dry_run_text(report: &Report) -> String {
    let mut lines = head(report, Tense::DryRun);
    for verdict in DRY_RUN_VERDICTS {
        let count = report.counts.get(verdict).copied().unwrap_or_default();
        let text = format!("{verdict:<14}{count:>6}  {}", meaning(verdict));
        lines.extend(wrapped(&text, WIDTH, 22));
    }
    lines.join("\n")
}

fn finished_text(report: &Report, changes: Option<&Changes>) -> String {
    let mut lines = head(report, Tense::Finished);
    let reboot: Vec<_> = report.in_group(Group::NeedsReboot).collect();
    if !reboot.is_empty() {
        let mut classes = BTreeMap::<String, u64>::new();
        for cve in &reboot {
            let failure = cve.result.outcome.as_ref().and_then(Outcome::failure);
            let class = failure.map_or(cve.result.verdict().to_owned(), |f| f.class.to_string());
            *classes.entry(class).or_default() += 1;
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by(|(one, ones), (other, others)| others.cmp(ones).then(one.cmp(other)));
        let told: Vec<_> =
            classes.iter().map(|(class, count)| format!("{count} {class}")).collect();
        lines.extend(wrapped(&format!("  need a reboot: {}", told.join(", ")), WIDTH, 4));
        if let Some(version) = report.reboot_into() {
            let elsewhere = reboot.iter().filter(|cve| {
                cve.result.fixed_in().is_none_or(|fixed| fixed.branch() != version.branch())
            });
            let most = match elsewhere.count() {
                0 => "all of these".to_owned(),
                left => format!("these but {left}"),
            };
            let text =
                format!("  the next reboot: Linux {version} or later has the fixes of {most}");
            lines.extend(wrapped(&text, WIDTH, 4));
        }
    }
    if let Some(changes) = changes {
        lines.extend(changes.lines());
    }
    lines.join("\n")
}

/// The sentence, and what it rests on.
fn head(report: &Report, tense: Tense) -> Vec<String> {
    let mut lines = wrapped(&sentence(&report.groups(), tense), WIDTH, 2);
    let grounds = &report.grounds;
    let text = format!(
        "  {} is Linux {} ({})",
        report.target.release,
        printable(&grounds.linux_version),
        printable(&grounds.version_origin)
    );
    lines.extend(wrapped(&text, WIDTH, 4));
    let feed = grounds.feed_data_at.strftime("%Y-%m-%d %H:%M UTC");
    lines.push(format!("  CVE feed of {feed}"));
    if let Some(limits) = report.run.as_ref().and_then(|run| limits(&run.selection)) {
        lines.extend(wrapped(&format!("  {limits}"), WIDTH, 4));
    }
    lines
}

/// How to see more.
pub fn hints(report: &Report, command: &str) -> Option<String> {
    let group = [Group::NeedsReboot, Group::WaitsForPerson, Group::Open, Group::FixedLive]
        .into_iter()
        .find(|group| report.in_group(*group).next().is_some())?;
    let cve = report.in_group(group).next()?;
    Some(format!(
        "more: {command} --verdict {}\n      {command} --explain {}",
        group_name(group),
        cve.result.id
    ))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn summary_begins_with_the_sentence_and_fits() {
        let text = finished_text(&fixtures::finished(), None);
        assert_eq!(
            text,
            "1 fixed live, 2 need a reboot, 1 has no fix yet, 254 are not in this kernel, 1\n  waits \
             for you\n  6.1.0-50-cloud-amd64 is Linux 6.1.176 (uname -v)\n  CVE feed of 2026-08-21 \
             00:00 UTC\n  need a reboot: 1 data-structure-changed, 1 init-code\n  the next \
             reboot: Linux 6.1.183 or later has the fixes of all of these"
        );
    }
}

//! Two charts: how many CVEs there are in each group, and how bad they are.

use elivepatch_api::RunCve;
use elivepatch_cve::Group;

use super::{
    report::Report,
    words::{SPOKEN, Tense, group_name, group_of, predicate, sentence},
};

/// How high a bar with its text is, in pixels.
const ROW_PIXELS: usize = 46;

/// A bar of one or more parts.
#[derive(Debug)]
pub struct Bar {
    /// What it stands for, with its numbers, as short as a telephone is narrow.
    pub label: String,
    /// Where its text is, in pixels from the top.
    pub text_y: usize,
    /// Where it begins, in pixels from the top.
    pub bar_y: usize,
    /// Its parts from left to right.
    pub parts: Vec<Part>,
}

/// A part of a bar.
#[derive(Debug)]
pub struct Part {
    /// The group, as the style sheet calls it.
    pub class: &'static str,
    /// Where it begins, in percent of the width.
    pub x: String,
    /// How wide it is, in percent.
    pub width: String,
    /// What it says.
    pub title: String,
}

/// A chart.
#[derive(Debug)]
pub struct Chart {
    /// Its bars from the top.
    pub bars: Vec<Bar>,
    /// How high it is, in pixels.
    pub height: usize,
    /// All that it shows, as a text.
    pub text: String,
}

/// How bad a CVE is, by the ranges of CVSS 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// 9.0 and more.
    Critical,
    /// 7.0 and more.
    High,
    /// 4.0 and more.
    Medium,
    /// Less than that.
    Low,
    /// Nobody has judged it.
    NotJudged,
}

impl Severity {
    const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::NotJudged];

    /// That of a CVE.
    pub fn of(cve: &RunCve) -> Self {
        match cve.cvss.as_ref().map(|cvss| cvss.score) {
            None => Self::NotJudged,
            Some(score) if score >= 9.0 => Self::Critical,
            Some(score) if score >= 7.0 => Self::High,
            Some(score) if score >= 4.0 => Self::Medium,
            Some(_) => Self::Low,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::NotJudged => "not judged",
        }
    }
}

/// The groups that a chart shows: what is not in the kernel would make all else too small to be seen.
fn shown() -> impl Iterator<Item = Group> {
    SPOKEN.into_iter().filter(|group| *group != Group::NotInKernel)
}

/// A bar for each group that has CVEs.
pub fn by_group(report: &Report, tense: Tense) -> Chart {
    let groups = report.groups();
    let counts: Vec<_> = shown()
        .map(|group| (group, groups.get(&group).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect();
    let rows = counts
        .iter()
        .map(|(group, count)| {
            let label = format!("{count} {}", predicate(*group, *count, tense));
            Row { text: label.clone(), label, parts: vec![(*group, *count)] }
        })
        .collect();
    chart(rows, tense)
}

/// A bar for each severity, with the groups as its parts.
pub fn by_severity(report: &Report, tense: Tense) -> Chart {
    let rows = Severity::ALL.into_iter().filter_map(|severity| {
        let of_severity = report.cves.iter().filter(|cve| Severity::of(cve) == severity);
        let groups: Vec<_> = of_severity.map(|cve| group_of(cve.result.verdict())).collect();
        let count = |group: Group| groups.iter().filter(|found| **found == group).count() as u64;
        let parts: Vec<_> =
            shown().map(|group| (group, count(group))).filter(|(_, count)| *count > 0).collect();
        let told = sentence(&parts.iter().copied().collect(), tense);
        let word = severity.word();
        // No line breaks in SVG: the label is short, and the legend tells the rest.
        let label = match (count(Group::FixedLive), total(&parts)) {
            (0, all) => format!("{word}: {all}"),
            (fixed, all) => format!("{word}: {fixed} fixed live, {} not", all - fixed),
        };
        (!parts.is_empty()).then(|| Row { label, text: format!("{word}: {told}"), parts })
    });
    chart(rows.collect(), tense)
}

/// What a bar stands for.
struct Row {
    /// What is written above it.
    label: String,
    /// The same in full.
    text: String,
    parts: Vec<(Group, u64)>,
}

fn total(parts: &[(Group, u64)]) -> u64 {
    parts.iter().map(|(_, count)| count).sum()
}

fn chart(rows: Vec<Row>, tense: Tense) -> Chart {
    let most = rows.iter().map(|row| total(&row.parts)).max().unwrap_or(1).max(1);
    let percent = |count: u64| format!("{:.2}", count as f64 * 100.0 / most as f64);
    let text = rows.iter().map(|row| row.text.as_str()).collect::<Vec<_>>().join("; ");
    let height = rows.len() * ROW_PIXELS;
    let bars = rows.into_iter().enumerate().map(|(row, Row { label, parts, .. })| {
        let mut before = 0;
        let parts = parts.into_iter().map(|(group, count)| {
            let x = percent(before);
            before += count;
            Part {
                class: group_name(group),
                x,
                width: percent(count),
                title: format!("{count} {}", predicate(group, count, tense)),
            }
        });
        let parts = parts.collect();
        Bar { label, text_y: row * ROW_PIXELS + 15, bar_y: row * ROW_PIXELS + 22, parts }
    });
    Chart { bars: bars.collect(), height, text }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn charts_tell_in_words_what_they_show() {
        let report = fixtures::finished();
        let chart = by_group(&report, Tense::Finished);
        assert_eq!(chart.text, "1 fixed live; 2 need a reboot; 1 has no fix yet; 1 waits for you");
        assert_eq!(chart.bars[1].parts[0].width, "100.00");
        assert_eq!(chart.bars[0].parts[0].width, "50.00");
        let chart = by_severity(&report, Tense::Finished);
        assert_eq!(
            chart.text,
            "critical: 1 fixed live; high: 1 needs a reboot; medium: 1 waits for you; low: 1 has no fix \
             yet; not judged: 1 needs a reboot"
        );
        assert_eq!(chart.bars[0].label, "critical: 1 fixed live, 0 not");
        assert_eq!(chart.bars[1].label, "high: 1");
        assert_eq!(chart.height, 5 * ROW_PIXELS);
    }
}

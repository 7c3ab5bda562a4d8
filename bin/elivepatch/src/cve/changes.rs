use elivepatch_api::RunResource;
use elivepatch_cve::CveId;
use jiff::Timestamp;

use super::{state::Remembered, tables::WIDTH};
use crate::text::{printable, wrapped};

/// How many CVEs are told by name.
const MOST_TOLD: usize = 20;

/// What is new since the last run for the same kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Changes {
    since: Timestamp,
    news: Vec<Change>,
}

/// A CVE with another verdict than before.
#[derive(Debug, PartialEq, Eq)]
struct Change {
    id: CveId,
    /// Absent: it was not in the kernel, or not known.
    before: Option<String>,
    /// Absent: it is not in the kernel any more.
    now: Option<String>,
}

impl Changes {
    /// Compares what is remembered with a run.
    pub fn between(before: &Remembered, server: &str, run: &RunResource) -> Self {
        let now = Remembered::new(server, run, None).verdicts;
        // In the run's order, which is the worst first; then those that are gone.
        let known = run.cves.iter().map(|cve| cve.result.id);
        let gone = before.verdicts.keys().copied().filter(|id| !now.contains_key(id));
        let known = known.filter(|id| now.contains_key(id));
        let news = known.chain(gone).filter_map(|id| {
            let (before, now) = (before.verdicts.get(&id).cloned(), now.get(&id).cloned());
            (before != now).then_some(Change { id, before, now })
        });
        Self { since: before.at, news: news.collect() }
    }

    /// It in lines that fit.
    pub fn lines(&self) -> Vec<String> {
        let since = self.since.strftime("%Y-%m-%d %H:%M UTC");
        if self.news.is_empty() {
            return vec![format!("  no verdict has changed since {since}")];
        }
        let mut lines = vec![format!("  new since {since}:")];
        for Change { id, before, now } in self.news.iter().take(MOST_TOLD) {
            let now = now.as_deref().unwrap_or("not in this kernel any more");
            let before = before.as_deref().map(|before| format!(" (was {before})"));
            let text =
                format!("    {id}: {}{}", printable(now), printable(&before.unwrap_or_default()));
            lines.extend(wrapped(&text, WIDTH, 6));
        }
        if let Some(more) = self.news.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
            lines.push(format!("    and {more} more"));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn news_are_new_changed_and_gone_verdicts() {
        let run = fixtures::run();
        let mut before = Remembered::new("http://a", &run, None);
        assert_eq!(
            Changes::between(&before, "http://a", &run).lines(),
            ["  no verdict has changed since 2026-11-23 10:05 UTC"]
        );
        let id = |text: &str| text.parse::<CveId>().expect("a name");
        before.verdicts.remove(&id("CVE-2026-1002"));
        before.verdicts.insert(id("CVE-2026-1001"), "waiting".to_owned());
        before.verdicts.insert(id("CVE-2025-9999"), "no-\u{1b}fix".to_owned());
        assert_eq!(
            Changes::between(&before, "http://a", &run).lines(),
            [
                "  new since 2026-11-23 10:05 UTC:",
                "    CVE-2026-1001: livepatch (was waiting)",
                "    CVE-2026-1002: not-patchable",
                "    CVE-2025-9999: not in this kernel any more (was no-\\u{1b}fix)",
            ]
        );
    }
}

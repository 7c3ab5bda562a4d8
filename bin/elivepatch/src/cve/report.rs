use std::collections::BTreeMap;

use elivepatch_api::{
    AssessedCve, AssessmentResource, CveSelection, RunCve, RunGrounds, RunResource,
};
use elivepatch_cve::{CveResult, Group, LinuxVersion};
use elivepatch_model::{RunNumber, Sha256Digest, TargetFacts};
use jiff::Timestamp;

use super::words::{group_of, is_exposed};

/// What is reported of a kernel's CVEs: what an assessment says, or what became of them in a run.
#[derive(Debug)]
pub struct Report {
    /// The kernel.
    pub target: TargetFacts,
    /// What it rests on.
    pub grounds: RunGrounds,
    /// The run; `None`: nothing was tried, the report says what may matter.
    pub run: Option<RunNote>,
    /// How many CVEs there are with each verdict.
    pub counts: BTreeMap<String, u64>,
    /// The CVEs that may matter, the worst first.
    pub cves: Vec<RunCve>,
    /// When it was so.
    pub at: Timestamp,
}

/// What a run adds.
#[derive(Debug)]
pub struct RunNote {
    /// Its number.
    pub number: RunNumber,
    /// Which CVEs were wanted.
    pub selection: CveSelection,
    /// What it made; absent when nothing can be fixed live.
    pub livepatch: Option<LivepatchNote>,
}

/// The livepatch of a run, as far as its server tells.
#[derive(Debug, Clone)]
pub struct LivepatchNote {
    /// The name of the module.
    pub name: String,
    /// The digest of the module.
    pub digest: Sha256Digest,
}

impl Report {
    /// The report of a run that is finished.
    pub fn of_run(run: RunResource, livepatch: Option<LivepatchNote>) -> Self {
        let at = run.finished_at.unwrap_or(run.submitted_at);
        let note = RunNote { number: run.number, selection: run.selection, livepatch };
        Self {
            target: run.target,
            grounds: run.grounds,
            run: Some(note),
            counts: run.counts,
            cves: run.cves,
            at,
        }
    }

    /// The report of an assessment, which was made at this time.
    pub fn of_assessment(
        target: TargetFacts,
        assessed: &AssessmentResource,
        at: Timestamp,
    ) -> Self {
        let grounds = RunGrounds {
            linux_version: assessed.linux_version.clone(),
            version_origin: assessed.version_origin.clone(),
            is_upper_bound: assessed.is_upper_bound,
            base: assessed.base.clone(),
            base_doubt: assessed.base_doubt.clone(),
            feed_data_at: assessed.feed_data_at,
            feed_read_at: assessed.feed_read_at,
            feed_is_stale: assessed.feed_is_stale,
            faulty: assessed.faulty,
        };
        let cves = assessed.cves.iter().map(of_assessed).collect();
        Self { target, grounds, run: None, counts: assessed.counts.clone(), cves, at }
    }

    /// How many CVEs there are in each group.
    pub fn groups(&self) -> BTreeMap<Group, u64> {
        groups(&self.counts)
    }

    /// Whether some CVE stays open that the user has not left out.
    pub fn is_exposed(&self) -> bool {
        self.counts.iter().any(|(verdict, count)| *count > 0 && is_exposed(verdict))
    }

    /// The CVEs of a group, the worst first.
    pub fn in_group(&self, group: Group) -> impl Iterator<Item = &RunCve> {
        self.cves.iter().filter(move |cve| group_of(cve.result.verdict()) == group)
    }

    /// The version of the kernel's own branch that has the fixes of all CVEs that need a reboot, as far as
    /// its branch has them.
    pub fn reboot_into(&self) -> Option<LinuxVersion> {
        let branch = self.grounds.linux_version.parse::<LinuxVersion>().ok()?.branch();
        let versions = self.in_group(Group::NeedsReboot).filter_map(|cve| cve.result.fixed_in());
        versions.filter(|version| version.branch() == branch).max()
    }
}

/// How many CVEs there are in each group, from how many there are with each verdict.
pub fn groups(counts: &BTreeMap<String, u64>) -> BTreeMap<Group, u64> {
    let mut groups = BTreeMap::new();
    for (verdict, count) in counts.iter().filter(|(_, count)| **count > 0) {
        *groups.entry(group_of(verdict)).or_default() += count;
    }
    groups
}

fn of_assessed(cve: &AssessedCve) -> RunCve {
    RunCve {
        result: CveResult {
            id: cve.id,
            applicability: cve.applicability.clone(),
            outcome: None,
            fixes: Vec::new(),
            probe: None,
            probe_seconds: None,
        },
        title: cve.title.clone(),
        cvss: cve.cvss.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    #[test]
    fn next_kernel_is_the_one_that_has_all_fixes_of_the_own_branch() {
        let report = fixtures::finished();
        assert_eq!(report.reboot_into().expect("a version").to_string(), "6.1.183");
    }

    #[test]
    fn only_what_the_user_left_out_is_no_exposure() {
        let mut report = fixtures::finished();
        assert!(report.is_exposed());
        for (verdict, exposed) in [
            ("not-patchable", true),
            ("needs-approval", true),
            ("no-fix", true),
            ("not-tried", true),
            ("fix-unavailable", true),
            ("denied", true),
            ("left-out", false),
            ("livepatch", false),
            ("not-built", false),
            ("already-fixed", false),
        ] {
            report.counts = BTreeMap::from([(verdict.to_owned(), 1)]);
            assert_eq!(report.is_exposed(), exposed, "{verdict}");
            report.counts = BTreeMap::from([(verdict.to_owned(), 0)]);
            assert!(!report.is_exposed());
        }
    }
}

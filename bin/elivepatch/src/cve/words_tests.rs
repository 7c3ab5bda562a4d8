use elivepatch_cve::CveResult;
use elivepatch_model::{Failure, FailureClass};

use super::*;

#[test]
fn sentence_is_that_of_the_documentation() {
    let groups = BTreeMap::from([
        (Group::FixedLive, 31),
        (Group::NeedsReboot, 12),
        (Group::NotInKernel, 254),
        (Group::WaitsForPerson, 3),
        (Group::NotAffected, 9000),
        (Group::Open, 0),
    ]);
    assert_eq!(
        sentence(&groups, Tense::Finished),
        "31 fixed live, 12 need a reboot, 254 are not in this kernel, 3 wait for you"
    );
    let one = BTreeMap::from([(Group::NeedsReboot, 1), (Group::WaitsForPerson, 1)]);
    assert_eq!(sentence(&one, Tense::Finished), "1 needs a reboot, 1 waits for you");
    let open = BTreeMap::from([(Group::Open, 2)]);
    assert_eq!(sentence(&open, Tense::DryRun), "2 may be fixed live");
    assert_eq!(sentence(&BTreeMap::new(), Tense::DryRun), "no known CVE is in this kernel");
}

#[test]
fn groups_by_name_are_those_of_the_results() {
    let failure = Failure::new(FailureClass::Internal, "m", "h");
    let failed = || failure.clone();
    let outcomes = [
        Outcome::Waiting,
        Outcome::Livepatch { functions: Vec::new() },
        Outcome::AlreadyInSource,
        Outcome::DoesNotApply { failure: failed() },
        Outcome::NotPatchable { failure: failed() },
        Outcome::BuildFailed { failure: failed() },
        Outcome::NotBuilt { failure: failed() },
        Outcome::Conflicts { failure: failed() },
        Outcome::FixUnavailable { reason: String::new(), is_transient: false },
        Outcome::NeedsApproval,
        Outcome::NoFix,
        Outcome::Denied { rule: String::new() },
        Outcome::LeftOut,
        Outcome::NotTried,
    ];
    let mut result = CveResult {
        id: "CVE-2026-1001".parse().expect("a name"),
        applicability: Applicability::Rejected,
        outcome: None,
        fixes: Vec::new(),
        probe: None,
        probe_seconds: None,
    };
    for outcome in outcomes {
        result.outcome = Some(outcome);
        assert_eq!(group_of(result.verdict()), result.group(), "{}", result.verdict());
        assert!(!meaning(result.verdict()).is_empty(), "{}", result.verdict());
    }
}

#[test]
fn each_doubt_is_told() {
    let mut grounds = super::super::fixtures::run().grounds;
    assert_eq!(doubts(&grounds), Vec::<String>::new());
    grounds.base = None;
    assert!(doubts(&grounds)[0].starts_with("the server has no base of this kernel"));
    grounds.feed_is_stale = true;
    grounds.faulty = 2;
    grounds.is_upper_bound = true;
    grounds.base_doubt = Some("the bases one and two differ".to_owned());
    let told = doubts(&grounds);
    for (line, part) in told.iter().zip([
        "is of 2026-08-21 00:00 UTC and was last read at 2026-08-22 00:00 UTC",
        "2 records of the server's feed cannot be used",
        "may carry fixes",
        "the bases one and two differ; all code counts as built",
    ]) {
        assert!(line.contains(part), "{line}");
    }
    assert_eq!(told.len(), 4);
}

#[test]
fn selection_is_told() {
    assert_eq!(limits(&CveSelection::default()), None);
    let selection = CveSelection {
        only: vec!["CVE-2026-1001".parse().expect("a name")],
        exclude: vec!["CVE-2026-1002".parse().expect("a name")],
        severity: Some(7.0),
    };
    assert_eq!(
        limits(&selection).expect("limits"),
        "only with a CVSS score of 7.0 or more, or without any; only CVE-2026-1001; without \
         CVE-2026-1002"
    );
}

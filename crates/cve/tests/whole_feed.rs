//! The real feed, whole. `ELIVEPATCH_TEST_CVE_FEED` names it, a directory or a tarball; `make test` runs
//! this where it is set, and says so where it is not.

use std::path::PathBuf;

use elivepatch_cve::{LinuxVersion, Standing, feed, standing};

/// Versions, and the CVEs of which dyads and version ranges may say otherwise there. Of CVE-2024-38635,
/// CVE-2025-40190 and CVE-2025-40197 it is not known what brought them: the dyads have the fix of the branch,
/// which holds, and the ranges say that all before another branch's fix is affected. CVE-2021-47645 has a fix
/// in an older version than what brought it.
const MAY_DIFFER: [(&str, &[&str]); 9] = [
    ("5.10.200", &[]),
    ("5.15.180", &["CVE-2024-38635"]),
    ("6.1.176", &["CVE-2021-47645", "CVE-2024-38635", "CVE-2025-40190", "CVE-2025-40197"]),
    ("6.6.80", &["CVE-2021-47645", "CVE-2024-38635"]),
    ("6.6.100", &["CVE-2021-47645", "CVE-2024-38635"]),
    ("6.12.50", &["CVE-2021-47645"]),
    ("6.12.72", &["CVE-2021-47645", "CVE-2025-40190", "CVE-2025-40197"]),
    ("6.18.10", &["CVE-2021-47645"]),
    ("7.1", &["CVE-2021-47645"]),
];

fn snapshot() -> feed::Snapshot {
    let name = "ELIVEPATCH_TEST_CVE_FEED";
    let path = std::env::var(name).unwrap_or_else(|_| panic!("{name} names no feed"));
    feed::read(&PathBuf::from(path)).expect("a feed")
}

#[test]
#[ignore = "needs the whole feed: ELIVEPATCH_TEST_CVE_FEED"]
fn every_record_is_read_and_dyads_agree_with_ranges_but_for_those_that_are_known() {
    let snapshot = snapshot();
    assert_eq!(snapshot.faults, [], "of {} records", snapshot.entries.len());
    let entries = snapshot.entries.load().expect("it was kept");
    let rejected = entries.iter().filter(|entry| entry.rejected).count();
    assert!(entries.len() - rejected > 14_000 && rejected > 300, "is it whole?");
    for (version, may_differ) in MAY_DIFFER {
        let target: LinuxVersion = version.parse().expect("a version");
        let published = || entries.iter().filter(|entry| !entry.rejected);
        let differ = published().filter(|entry| {
            let by_dyads = standing(&entry.dyads, target).is_affected();
            by_dyads != entry.record.ranges_say_affected(target)
        });
        let differ: Vec<String> = differ.map(|entry| entry.record.id.to_string()).collect();
        let others: Vec<&String> =
            differ.iter().filter(|id| !may_differ.contains(&id.as_str())).collect();
        assert!(others.is_empty(), "{version}: {others:?}");
        let affected = published()
            .filter(|entry| matches!(standing(&entry.dyads, target), Standing::Affected { .. }));
        assert!(affected.count() > 1000, "{version}");
    }
}

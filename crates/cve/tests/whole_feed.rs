//! The real feed, whole. `ELIVEPATCH_TEST_CVE_FEED` names it, a directory or a tarball; `make test` runs
//! this where it is set, and says so where it is not.

use std::path::PathBuf;

use elivepatch_cve::{LinuxVersion, Standing, feed, standing};

/// For how many CVEs dyads and version ranges may say otherwise, of one version: in the feed of August
/// 2026 four at most, which were taken out and brought back in, or whose introducer is not known.
const FEW: usize = 8;

fn snapshot() -> feed::Snapshot {
    let name = "ELIVEPATCH_TEST_CVE_FEED";
    let path = std::env::var(name).unwrap_or_else(|_| panic!("{name} names no feed"));
    feed::read(&PathBuf::from(path)).expect("a feed")
}

#[test]
#[ignore = "needs the whole feed: ELIVEPATCH_TEST_CVE_FEED"]
fn every_record_is_read_and_dyads_agree_with_ranges_but_for_a_few() {
    let snapshot = snapshot();
    assert_eq!(snapshot.faults, [], "of {} records", snapshot.entries.len());
    let rejected = snapshot.entries.iter().filter(|entry| entry.rejected).count();
    assert!(snapshot.entries.len() - rejected > 14_000 && rejected > 300, "is it whole?");
    for version in ["5.10.200", "5.15.180", "6.1.176", "6.6.100", "6.12.50", "6.18.10", "7.1"] {
        let target: LinuxVersion = version.parse().expect("a version");
        let published = || snapshot.entries.iter().filter(|entry| !entry.rejected);
        let differ = published().filter(|entry| {
            let by_dyads = standing(&entry.dyads, target).is_affected();
            by_dyads != entry.record.ranges_say_affected(target)
        });
        let differ: Vec<String> = differ.map(|entry| entry.record.id.to_string()).collect();
        assert!(differ.len() <= FEW, "{version}: {differ:?}");
        let affected = published()
            .filter(|entry| matches!(standing(&entry.dyads, target), Standing::Affected { .. }));
        assert!(affected.count() > 1000, "{version}");
    }
}

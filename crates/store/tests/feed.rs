//! The CVE feed in the store.

use camino::Utf8Path;
use elivepatch_cve::feed::{Entry, FeedFile, Snapshot, SnapshotBuilder};
use elivepatch_store::{FeedChange, FeedCounts, FeedExtent, FeedState, Store, StoreError};
use jiff::Timestamp;

const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

async fn store(directory: &tempfile::TempDir) -> Store {
    let path = Utf8Path::from_path(directory.path()).expect("UTF-8");
    Store::open(path).await.expect("a store")
}

/// A snapshot of CVEs with the versions that they came with; without a version it is faulty.
fn snapshot(cves: &[(&str, &str)]) -> Snapshot {
    let mut builder = SnapshotBuilder::default();
    for (id, version) in cves {
        let folder = if *version == "rejected" { "rejected" } else { "published" };
        let file = |part: &str| {
            let path = format!("{folder}/{}/{id}.{part}", &id[4..8]);
            FeedFile::of(&path).expect("a file of the feed")
        };
        let text = format!(
            "{{\"containers\": {{\"cna\": {{\"title\": \"of {id}\", \"descriptions\": [{{\"value\": \
             \"all of it\"}}]}}}}, \"cveMetadata\": {{\"cveId\": {id:?}}}}}"
        );
        match *version {
            "" => builder.add(file("json"), b"{"),
            "gone" => builder.expect(id.parse().expect("a name")),
            version => {
                builder.add(file("json"), text.as_bytes());
                if version != "rejected" {
                    let dyads = format!("{version}:{HASH}:0:0\n");
                    builder.add(file("dyad"), dyads.as_bytes());
                }
            }
        }
    }
    builder.finish().expect("there is room")
}

fn entries(snapshot: &Snapshot) -> Vec<Entry> {
    snapshot.entries.load().expect("it was kept")
}

fn state(second: i64, revision: &str) -> FeedState {
    let time = Timestamp::from_second(second).expect("a time");
    FeedState {
        source: "https://example.org/vulns.git".to_owned(),
        revision: Some(revision.to_owned()),
        parser: 1,
        data_at: time,
        read_at: time,
        changed_at: time,
    }
}

fn change(added: usize, changed: usize, removed: usize) -> FeedChange {
    FeedChange { added, changed, removed }
}

#[tokio::test]
async fn feed_is_taken_over_whole_and_then_by_its_changes() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    assert_eq!(store.feed_state().await.expect("a store"), None);
    let first = snapshot(&[
        ("CVE-2026-1001", "6.1"),
        ("CVE-2026-1002", "6.2"),
        ("CVE-2024-1003", "rejected"),
        ("CVE-2026-1004", ""),
    ]);
    let made = store.apply_feed(&first, FeedExtent::Whole, &state(100, "a")).await;
    assert_eq!(made.expect("taken over"), change(3, 0, 0));
    let counts = FeedCounts { published: 2, rejected: 1, faulty: 1 };
    assert_eq!(store.feed_counts().await.expect("counted"), counts);

    // Nothing new: only the time of reading is another.
    let made = store.apply_feed(&first, FeedExtent::Whole, &state(200, "a")).await;
    assert_eq!(made.expect("taken over"), FeedChange::default());
    let found = store.feed_state().await.expect("a store").expect("a feed");
    assert_eq!((found.read_at.as_second(), found.changed_at.as_second()), (200, 100));

    let changes = snapshot(&[
        ("CVE-2026-1001", "6.3"),
        ("CVE-2026-1002", "gone"),
        ("CVE-2026-1004", "6.6"),
        ("CVE-2026-1005", ""),
    ]);
    let made = store.apply_feed(&changes, FeedExtent::Changes, &state(300, "b")).await;
    assert_eq!(made.expect("taken over"), change(1, 1, 1));
    let counts = FeedCounts { published: 2, rejected: 1, faulty: 1 };
    assert_eq!(store.feed_counts().await.expect("counted"), counts);
    let faults = store.feed_faults().await.expect("listed");
    assert_eq!(faults[0].id.to_string(), "CVE-2026-1005");
    assert!(faults[0].what.contains("no CVE record"), "{faults:?}");

    assert_eq!(store.feed_state().await.expect("a store"), Some(state(300, "b")));

    // The whole says what is not there any more.
    let whole = snapshot(&[("CVE-2026-1001", "6.3")]);
    let made = store.apply_feed(&whole, FeedExtent::Whole, &state(400, "c")).await;
    assert_eq!(made.expect("taken over"), change(0, 0, 2));
    assert_eq!(store.feed_faults().await.expect("listed"), []);
}

/// Of what a snapshot may be about there is more than the 32,766 values of a statement.
#[tokio::test]
async fn more_changes_than_a_statement_has_values_are_taken_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let name = |number: u32| format!("CVE-2026-{number}");
    let of = |numbers: std::ops::Range<u32>, version: &'static str| {
        let names = numbers.map(|number| (name(number), version));
        names.collect::<Vec<_>>()
    };
    let snapshot_of = |cves: &[(String, &str)]| {
        snapshot(&cves.iter().map(|(id, version)| (id.as_str(), *version)).collect::<Vec<_>>())
    };
    let whole = snapshot_of(&of(10_000..12_500, "6.1"));
    let made = store.apply_feed(&whole, FeedExtent::Whole, &state(100, "a")).await;
    assert_eq!(made.expect("taken over"), change(2500, 0, 0));

    // 1,300 are other ones, 100 are as they were, 1,050 are gone, 50 are faulty; all others never were.
    let parts = [
        of(10_000..11_300, "6.2"),
        of(11_300..11_400, "6.1"),
        of(11_400..12_450, "gone"),
        of(12_450..12_500, ""),
        of(20_000..54_000, "gone"),
    ];
    let changes = snapshot_of(&parts.concat());
    let losses = store.feed_losses(&changes, FeedExtent::Changes).await;
    assert_eq!(losses.expect("counted"), 1100);
    let made = store.apply_feed(&changes, FeedExtent::Changes, &state(200, "b")).await;
    assert_eq!(made.expect("taken over"), change(0, 1300, 1050));
    let counts = FeedCounts { published: 1450, rejected: 0, faulty: 50 };
    assert_eq!(store.feed_counts().await.expect("counted"), counts);
    for entry in entries(&changes).iter().step_by(99) {
        let found = store.cve(entry.record.id).await.expect("a store");
        assert_eq!(found.as_ref(), Some(entry));
    }
    let gone = store.cve(name(12_449).parse().expect("a name")).await;
    assert_eq!(gone.expect("a store"), None);
}

#[tokio::test]
async fn record_that_cannot_be_used_any_more_stays_as_it_was() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let good = snapshot(&[("CVE-2026-1001", "6.1"), ("CVE-2026-1002", "6.1")]);
    store.apply_feed(&good, FeedExtent::Whole, &state(100, "a")).await.expect("taken over");
    for extent in [FeedExtent::Changes, FeedExtent::Whole] {
        let broken = snapshot(&[("CVE-2026-1001", ""), ("CVE-2026-1002", "6.1")]);
        let made = store.apply_feed(&broken, extent, &state(200, "b")).await.expect("taken over");
        assert_eq!(made, FeedChange::default());
        let first = &entries(&good)[0];
        let found = store.cve(first.record.id).await.expect("a store");
        assert_eq!(found.as_ref(), Some(first));
        let counts = FeedCounts { published: 2, rejected: 0, faulty: 1 };
        assert_eq!(store.feed_counts().await.expect("counted"), counts);
        assert_eq!(store.feed_faults().await.expect("listed").len(), 1);
    }
    store.apply_feed(&good, FeedExtent::Changes, &state(300, "c")).await.expect("taken over");
    assert_eq!(store.feed_counts().await.expect("counted").faulty, 0);
}

#[tokio::test]
async fn losses_are_what_is_gone_or_newly_faulty() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let first = [("CVE-2026-1001", "6.1"), ("CVE-2026-1002", "6.1"), ("CVE-2026-1003", "6.1")];
    let good = snapshot(&first);
    store.apply_feed(&good, FeedExtent::Whole, &state(100, "a")).await.expect("taken over");
    let broken = snapshot(&[("CVE-2026-1003", "")]);
    store.apply_feed(&broken, FeedExtent::Changes, &state(200, "b")).await.expect("taken over");

    let next = snapshot(&[
        ("CVE-2026-1001", ""),
        ("CVE-2026-1002", "gone"),
        ("CVE-2026-1003", ""),
        ("CVE-2026-1004", ""),
    ]);
    for extent in [FeedExtent::Changes, FeedExtent::Whole] {
        assert_eq!(store.feed_losses(&next, extent).await.expect("counted"), 2, "{extent:?}");
    }
    let same = snapshot(&first);
    assert_eq!(store.feed_losses(&same, FeedExtent::Whole).await.expect("counted"), 0);
    let changed = snapshot(&[("CVE-2026-1001", "6.2")]);
    assert_eq!(store.feed_losses(&changed, FeedExtent::Changes).await.expect("counted"), 0);
}

#[tokio::test]
async fn record_comes_back_as_it_was_read_also_after_a_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let read = snapshot(&[("CVE-2026-1001", "6.1"), ("CVE-2024-1003", "rejected")]);
    let first = store(&directory).await;
    first.apply_feed(&read, FeedExtent::Whole, &state(100, "a")).await.expect("taken over");
    first.close().await;
    let store = store(&directory).await;
    for entry in entries(&read) {
        let found = store.cve(entry.record.id).await.expect("a store");
        assert_eq!(found.as_ref(), Some(&entry));
    }
    let facts = store.cve_facts().await.expect("a store");
    let titles: Vec<&str> = facts.iter().map(|facts| facts.title.as_str()).collect();
    assert_eq!(titles, ["of CVE-2024-1003", "of CVE-2026-1001"]);
    let unknown = "CVE-2020-1234".parse().expect("a name");
    assert_eq!(store.cve(unknown).await.expect("a store"), None);
}

#[tokio::test]
async fn whole_feed_is_given_as_it_is_at_one_time_and_can_be_taken_over_by_another_store() {
    let (first, second) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let (there, here) = (store(&first).await, store(&second).await);
    let none = there.whole_feed(|_| Ok::<_, StoreError>(())).await;
    assert_eq!(none.expect("a store"), None);
    let names: Vec<String> = (1000..2201).map(|number| format!("CVE-2026-{number}")).collect();
    let mut cves: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "6.1")).collect();
    cves.push(("CVE-2025-99999", "rejected"));
    let read = snapshot(&cves);
    there.apply_feed(&read, FeedExtent::Whole, &state(100, "a")).await.expect("taken over");
    // The last good state of it goes along, with its fault.
    let broken = snapshot(&[("CVE-2026-1001", "")]);
    there.apply_feed(&broken, FeedExtent::Changes, &state(200, "b")).await.expect("taken over");

    let (mut entries, mut parts) = (Vec::new(), 0);
    let whole = there.whole_feed(|more| {
        if parts == 0 {
            assert!(more.len() < 1202, "they come some at a time");
        }
        parts += 1;
        entries.extend(more);
        Ok::<_, StoreError>(())
    });
    let whole = whole.await.expect("a store").expect("a feed");
    assert_eq!(
        whole.state,
        FeedState { changed_at: state(100, "a").changed_at, ..state(200, "b") }
    );
    assert_eq!(whole.counts, there.feed_counts().await.expect("counted"));
    assert_eq!((entries.len(), whole.faults.len()), (1202, 1));
    assert_eq!(entries, read.entries.load().expect("a file"), "in the order of their names");

    let carried = Snapshot::carried(entries, whole.faults).expect("it has room");
    here.apply_feed(&carried, FeedExtent::Whole, &whole.state).await.expect("taken over");
    assert_eq!(here.cve_facts().await.expect("a store"), there.cve_facts().await.expect("a store"));
    assert_eq!(
        here.feed_faults().await.expect("listed"),
        there.feed_faults().await.expect("listed")
    );
    assert_eq!(here.feed_counts().await.expect("counted"), whole.counts);

    let failed = here.whole_feed(|_| Err(StoreError::DiskFull)).await;
    assert!(matches!(failed, Err(StoreError::DiskFull)), "what takes it may fail");
}

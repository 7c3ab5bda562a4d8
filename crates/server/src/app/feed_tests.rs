use std::{fs, path::PathBuf};

use elivepatch_api::AssessmentRequest;
use elivepatch_model::{Architecture, BuilderIdentity, TargetFacts};

use super::*;
use crate::app::AppOptions;

const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("own directory");
        let data = Utf8Path::from_path(&data).expect("UTF-8");
        let store = Store::open(data).await.expect("a store");
        Self { directory, store }
    }

    fn feed(&self) -> PathBuf {
        self.directory.path().join("vulns")
    }

    /// Writes records with these numbers, all with a flaw since a version.
    fn publish(&self, numbers: impl IntoIterator<Item = u32>, version: &str) {
        for number in numbers {
            let path = self.feed().join(format!("published/2026/CVE-2026-{number}"));
            fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
            let record = format!(
                "{{\"containers\": {{\"cna\": {{\"title\": \"t\"}}}}, \"cveMetadata\": {{\"cveId\": \
                 \"CVE-2026-{number}\"}}}}"
            );
            fs::write(path.with_extension("json"), record).expect("own file");
            let dyads = format!("{version}:{HASH}:0:0\n");
            fs::write(path.with_extension("dyad"), dyads).expect("own file");
        }
    }

    fn options(&self) -> FeedOptions {
        FeedOptions {
            source: self.feed().to_str().expect("UTF-8").to_owned(),
            mirror: Utf8PathBuf::from_path_buf(self.directory.path().join("mirror"))
                .expect("UTF-8"),
            every: Duration::from_secs(3600),
            stale_after: Duration::from_secs(24 * 3600),
        }
    }

    async fn update(&self) -> Result<FeedUpdate, FeedError> {
        update_feed(&self.store, &self.options(), false).await
    }

    /// A server with the same store, with or without a feed in its config.
    async fn app(&self, feed: Option<FeedOptions>) -> App {
        let data = Utf8PathBuf::from_path_buf(self.directory.path().join("data")).expect("UTF-8");
        let options = AppOptions {
            data_directory: data,
            queue_limit: 1,
            allow_unproven: false,
            feed,
            cve: crate::app::CveOptions::default(),
            manifest_key: None,
            inventories: None,
            host_report_seconds: 900,
            v1: None,
            builder_identity: BuilderIdentity {
                common: "test".to_owned(),
                ..BuilderIdentity::default()
            },
        };
        App::open(options).await.expect("an app")
    }

    fn git(&self, arguments: &[&str]) {
        let status = std::process::Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .current_dir(self.feed())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .expect("git is installed");
        assert!(status.success(), "{arguments:?}");
    }
}

#[tokio::test]
async fn directory_is_read_whole_each_time_and_a_wrong_one_is_refused() {
    let place = Place::new().await;
    place.publish(1000..1200, "6.1");
    let update = place.update().await.expect("it is there");
    assert_eq!((update.change.added, update.counts.published), (200, 200));
    place.publish([1001], "6.2");
    assert_eq!(place.update().await.expect("it is there").change.changed, 1);

    // Somebody has put something else there.
    fs::remove_dir_all(place.feed()).expect("own directory");
    place.publish(1000..1010, "6.1");
    let error = place.update().await.expect_err("most is gone");
    assert!(matches!(error, FeedError::Shrunk { before: 200, lost: 190, .. }), "{error}");
    assert!(error.hint().contains("feed update --force"), "{}", error.hint());
    assert_eq!(place.store.feed_counts().await.expect("a store").published, 200);
    let forced = update_feed(&place.store, &place.options(), true).await.expect("as it is");
    assert_eq!(forced.counts.published, 10);
    fs::remove_dir_all(place.feed()).expect("own directory");
    let error = place.update().await.expect_err("it is not there");
    assert!(with_causes(&error).contains("vulns: No such file"), "{}", with_causes(&error));
}

#[tokio::test]
async fn repository_is_read_by_its_changes_and_whole_when_the_mirror_is_gone() {
    let place = Place::new().await;
    place.publish(1000..1020, "6.1");
    commit(&place);
    assert_eq!(place.update().await.expect("it is there").change.added, 20);
    place.publish([1001], "6.2");
    place.publish([2001], "6.1");
    commit(&place);
    let change = place.update().await.expect("it is there").change;
    assert_eq!(change, FeedChange { added: 1, changed: 1, removed: 0 });
    assert!(!place.update().await.expect("it is there").change.is_any());

    fs::remove_dir_all(place.directory.path().join("mirror")).expect("own directory");
    place.publish([1002], "6.2");
    commit(&place);
    let change = place.update().await.expect("it is there").change;
    assert_eq!(change, FeedChange { added: 0, changed: 1, removed: 0 });
}

/// Makes a repository of the feed, or a commit in it.
fn commit(place: &Place) {
    place.git(&["init", "--quiet"]);
    place.git(&["add", "--all"]);
    place.git(&["commit", "--quiet", "--allow-empty", "--message", "feed"]);
}

#[tokio::test]
async fn repository_that_lost_most_of_its_records_is_refused_and_taken_by_force() {
    let place = Place::new().await;
    place.publish(1000..1200, "6.1");
    commit(&place);
    place.update().await.expect("it is there");
    let good = place.feed().join("published/2026");
    for number in 1000..1060 {
        fs::remove_file(good.join(format!("CVE-2026-{number}.json"))).expect("own file");
        fs::remove_file(good.join(format!("CVE-2026-{number}.dyad"))).expect("own file");
    }
    for number in 1060..1120 {
        fs::write(good.join(format!("CVE-2026-{number}.json")), "{").expect("own file");
    }
    commit(&place);
    for _ in 0..2 {
        let error = place.update().await.expect_err("most is gone");
        assert!(matches!(error, FeedError::Shrunk { before: 200, lost: 120, .. }), "{error}");
    }
    let forced = update_feed(&place.store, &place.options(), true).await.expect("as it is");
    // Those that are malformed now stay as they were.
    let counts = FeedCounts { published: 140, rejected: 0, faulty: 60 };
    assert_eq!((forced.counts, forced.change.removed), (counts, 60));
}

#[tokio::test]
async fn another_parser_reads_all_again() {
    let place = Place::new().await;
    place.publish(1000..1003, "6.1");
    commit(&place);
    place.update().await.expect("it is there");
    let state = place.store.feed_state().await.expect("a store").expect("a feed");
    assert_eq!(state.parser, PARSER);
    // As an earlier program left it, which saw one record less.
    let gone =
        Snapshot { gone: vec!["CVE-2026-1001".parse().expect("a name")], ..Snapshot::default() };
    let earlier = FeedState { parser: PARSER - 1, ..state };
    place.store.apply_feed(&gone, FeedExtent::Changes, &earlier).await.expect("kept");
    assert_eq!(place.update().await.expect("it is there").change.added, 1);
    assert!(!place.update().await.expect("it is there").change.is_any());
}

#[tokio::test]
async fn mirror_without_what_it_has_fetched_is_made_anew() {
    let place = Place::new().await;
    place.publish(1000..1003, "6.1");
    commit(&place);
    place.update().await.expect("it is there");
    let mirror = place.directory.path().join("mirror");
    for entry in fs::read_dir(mirror.join("objects/pack")).expect("own directory") {
        fs::remove_file(entry.expect("own file").path()).expect("own file");
    }
    place.publish([1001], "6.2");
    commit(&place);
    assert_eq!(place.update().await.expect("it is there").change.changed, 1);
}

#[tokio::test]
async fn password_of_a_source_is_neither_kept_nor_told() {
    let place = Place::new().await;
    let source = "http://me:s3cret@127.0.0.1:9/vulns.git".to_owned();
    let options = FeedOptions { source, ..place.options() };
    let error = update_feed(&place.store, &options, false).await.expect_err("nobody there");
    let text = format!("{} {error:?}", with_causes(&error));
    assert!(!text.contains("s3cret") && text.contains("http://127.0.0.1:9"), "{text}");
}

#[tokio::test]
async fn old_data_is_stale_however_often_it_is_read() {
    let place = Place::new().await;
    place.publish([1001], "6.1");
    let time = std::time::SystemTime::now() - Duration::from_secs(10 * 24 * 3600);
    for ending in ["json", "dyad"] {
        let path = place.feed().join(format!("published/2026/CVE-2026-1001.{ending}"));
        let file = fs::File::options().append(true).open(path);
        file.and_then(|file| file.set_modified(time)).expect("own file");
    }
    place.update().await.expect("it is there");
    let status = feed_status(&place.store, STALE_AFTER).await.expect("a store").expect("a feed");
    assert!(status.is_stale && !is_older(status.read_at, STALE_AFTER), "{status:?}");
    let long = Duration::from_secs(20 * 24 * 3600);
    assert!(!feed_status(&place.store, long).await.expect("a store").expect("a feed").is_stale);
}

#[tokio::test]
async fn age_is_told_and_a_feed_that_was_not_read_for_long_is_stale() {
    let place = Place::new().await;
    let day = Duration::from_secs(24 * 3600);
    assert!(feed_status(&place.store, day).await.expect("a store").is_none());
    place.publish(1000..1002, "6.1");
    place.update().await.expect("it is there");
    let status = feed_status(&place.store, day).await.expect("a store").expect("a feed");
    assert!(!status.is_stale && status.counts.published == 2, "{status:?}");
    let status = feed_status(&place.store, Duration::ZERO).await.expect("a store");
    assert!(status.expect("a feed").is_stale);
}

#[tokio::test]
async fn failure_of_the_chore_is_over_when_the_feed_was_read_by_another() {
    let place = Place::new().await;
    let options = place.options();
    let app = place.app(Some(options.clone())).await;
    app.run_update_feed(&options).await;
    let problems = app.health().await.expect("a store").problems;
    assert!(problems.iter().any(|problem| problem.contains("update-feed failed")), "{problems:?}");

    // As `elivepatch-server feed update` does.
    place.publish([1001], "6.1");
    place.update().await.expect("it is there now");
    app.run_update_feed(&options).await;
    let problems = app.health().await.expect("a store").problems;
    assert!(!problems.iter().any(|problem| problem.contains("update-feed")), "{problems:?}");
}

#[tokio::test]
async fn feed_of_a_server_that_reads_none_any_more_becomes_stale_too() {
    let place = Place::new().await;
    place.publish([1001], "6.1");
    place.update().await.expect("it is there");
    let state = place.store.feed_state().await.expect("a store").expect("a feed");
    let old = Timestamp::from_second(1_000_000_000).expect("a time");
    let state = FeedState { read_at: old, ..state };
    let none = Snapshot::default();
    place.store.apply_feed(&none, FeedExtent::Changes, &state).await.expect("kept");
    let app = place.app(None).await;
    assert!(app.feed().await.expect("a store").expect("a feed").is_stale);
}

#[tokio::test]
async fn assessment_counts_faulty_records_and_tells_why_one_is() {
    let place = Place::new().await;
    place.publish(1001..1004, "6.1");
    place.update().await.expect("it is there");
    let record = |number: u32| place.feed().join(format!("published/2026/CVE-2026-{number}.json"));
    // One was good before, and one is new.
    place.publish([1005], "6.1");
    for number in [1001, 1005] {
        fs::write(record(number), "{").expect("own file");
    }
    place.update().await.expect("it is there");
    let app = place.app(None).await;
    let release = "6.1.50".parse().expect("a release");
    let ids =
        [1001, 1002, 1005].map(|number| format!("CVE-2026-{number}").parse().expect("a name"));
    let found = app.assess(AssessmentRequest {
        target: TargetFacts::new(release, Architecture::X86_64),
        linux_version: None,
        explain: ids.to_vec(),
    });
    let found = found.await.expect("it can be told");
    assert_eq!(found.faulty, 2);
    let faults: Vec<_> = found.faults.iter().map(|fault| fault.id).collect();
    assert_eq!(faults, [ids[0], ids[2]]);
    assert!(found.faults[0].reason.starts_with("it is no CVE record"), "{:?}", found.faults);
    assert!(found.cves.iter().any(|cve| cve.id == ids[0]), "as it was");
    assert!(found.feed_data_at <= found.feed_read_at && found.feed_data_at > Timestamp::UNIX_EPOCH);
}

use std::{fs, path::PathBuf};

use super::*;

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
    assert!(matches!(error, FeedError::Shrunk { before: 200, after: 10, .. }), "{error}");
    assert!(error.hint().contains("feed update --force"), "{}", error.hint());
    assert_eq!(place.store.feed_counts().await.expect("a store").published, 200);
    let forced = update_feed(&place.store, &place.options(), true).await.expect("as it is");
    assert_eq!(forced.counts.published, 10);
    fs::remove_dir_all(place.feed()).expect("own directory");
    let error = place.update().await.expect_err("it is not there");
    assert!(told(&error).contains("vulns: No such file"), "{}", told(&error));
}

#[tokio::test]
async fn repository_is_read_by_its_changes_and_whole_when_the_mirror_is_gone() {
    let place = Place::new().await;
    place.publish(1000..1020, "6.1");
    place.git(&["init", "--quiet"]);
    let commit = |place: &Place| {
        place.git(&["add", "--all"]);
        place.git(&["commit", "--quiet", "--allow-empty", "--message", "feed"]);
    };
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

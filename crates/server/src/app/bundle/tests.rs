use std::{fs, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_api::AssessmentRequest;
use elivepatch_bundle::{BundleWriter, FeedHeader, PublicKey, SecretKey, generate_keys};
use elivepatch_cve::feed::{Entry, PARSER};
use elivepatch_fixes::{FixSource, FixSourceOptions};
use elivepatch_model::{Architecture, BuilderIdentity, TargetFacts};
use elivepatch_store::{FeedCounts, KnownFix, Store, StoreError};
use jiff::Timestamp;

use super::*;
use crate::app::{App, AppOptions, CveOptions, FeedOptions, approve_fix, feed_status, update_feed};

const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

const FIX: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

const OTHER: &str = "1111111111111111111111111111111111111111";

const PATCH: &str = "--- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-a\n+b\n";

const DAY: u64 = 24 * 3600;

/// A server's data directory, with what it may read.
struct Place {
    directory: tempfile::TempDir,
    store: Store,
}

impl Place {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("own directory");
        fs::create_dir(directory.path().join("fixes")).expect("own directory");
        let data = Utf8Path::from_path(&data).expect("UTF-8");
        let store = Store::open(data).await.expect("a store");
        Self { directory, store }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.directory.path().join(name)).expect("UTF-8")
    }

    /// Publishes CVEs that 6.1.176 has and 6.1.177 does not, some days ago.
    async fn publish(&self, numbers: impl IntoIterator<Item = u32>, days: u64) {
        for number in numbers {
            let record = format!(
                "{{\"containers\": {{\"cna\": {{\"title\": \"t\"}}}}, \"cveMetadata\": {{\"cveId\": \
                 \"CVE-2026-{number}\"}}}}"
            );
            self.write(number, &record, &format!("5.10:{HASH}:6.1.177:{FIX}\n"), days);
        }
        self.update().await;
    }

    fn write(&self, number: u32, record: &str, dyads: &str, days: u64) {
        let path = self.path(&format!("vulns/published/2026/CVE-2026-{number}"));
        fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        let time = std::time::SystemTime::now() - Duration::from_secs(days * DAY);
        for (ending, text) in [("json", record), ("dyad", dyads)] {
            fs::write(path.with_extension(ending), text).expect("own file");
            let file = fs::File::options().append(true).open(path.with_extension(ending));
            file.and_then(|file| file.set_modified(time)).expect("own file");
        }
    }

    async fn update(&self) {
        let options = FeedOptions {
            source: self.path("vulns").into_string(),
            mirror: self.path("mirror"),
            every: Duration::from_secs(3600),
            stale_after: Duration::from_secs(DAY),
        };
        update_feed(&self.store, &options, true).await.expect("it can be read");
    }

    fn give_fix(&self, commit: &str, text: &str) {
        fs::write(self.path(&format!("fixes/{commit}.patch")), text).expect("own file");
    }

    /// Exports to a file, with a new pair of keys.
    async fn export(&self, wanted: WantedFixes) -> (Exported, Utf8PathBuf, PublicKey) {
        let (_, public) =
            generate_keys(&self.path("secret"), &self.path("public")).expect("new keys");
        let key = SecretKey::read(&self.path("secret")).expect("a key");
        let (file, sources) = (self.path("bundle"), [FixSource::new(&self.fixes())]);
        let exported = export_feed(&self.store, &sources, &wanted, &key, &file, |_, _| {}).await;
        let public = PublicKey::parse(&public).expect("a key");
        (exported.expect("it is exported"), file, public)
    }

    async fn import(
        &self,
        (_, file, key): &(Exported, Utf8PathBuf, PublicKey),
        force: bool,
    ) -> Result<Imported, ImportError> {
        import_feed(&self.store, read_bundle(file, std::slice::from_ref(key))?, force).await
    }

    fn fixes(&self) -> FixSourceOptions {
        FixSourceOptions::Directory { path: self.path("fixes") }
    }

    /// A server over the data directory whose config names no source of the feed, and these of fixes.
    async fn app(&self, fixes: Vec<FixSourceOptions>) -> App {
        let options = AppOptions {
            data_directory: self.path("data"),
            queue_limit: 1,
            allow_unproven: false,
            feed: None,
            cve: CveOptions { fixes, ..CveOptions::default() },
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

    /// All that is known of the feed, but for where it comes from and when it came here.
    async fn feed(&self) -> serde_json::Value {
        let status = feed_status(&self.store, Duration::MAX).await.expect("a store");
        let faults = self.store.feed_faults().await.expect("a store");
        let mut entries: Vec<Entry> = Vec::new();
        let whole = self.store.whole_feed(|more| {
            entries.extend(more);
            Ok::<_, StoreError>(())
        });
        whole.await.expect("a store");
        let mut status = serde_json::to_value(status).expect("plain data");
        for key in ["source", "changed_at", "is_imported"] {
            status.as_object_mut().expect("an object").remove(key);
        }
        serde_json::json!([status, faults, entries])
    }
}

fn assessment() -> AssessmentRequest {
    let release = "6.1.176".parse().expect("a release");
    AssessmentRequest {
        target: TargetFacts {
            kernel_version: None,
            machine: None,
            ..TargetFacts::new(release, Architecture::X86_64)
        },
        linux_version: None,
        explain: vec!["CVE-2026-1001".parse().expect("a name")],
    }
}

#[tokio::test]
async fn importing_server_says_of_a_kernel_what_the_exporting_one_says_and_has_the_fixes() {
    let (there, here) = (Place::new().await, Place::new().await);
    there.publish(1001..1004, 1).await;
    // What could be used once and cannot any more.
    there.write(1002, "{", "", 1);
    there.update().await;
    there.give_fix(FIX, PATCH);
    let id = "CVE-2026-1003".parse().expect("a name");
    approve_fix(&there.store, id, "own.patch", PATCH.replace("+b", "+c").into_bytes(), "")
        .await
        .expect("it is approved");
    let version = "6.1.176".parse().expect("a version");
    let bundle = there.export(WantedFixes::OpenIn(vec![version])).await;
    let Exported { counts, fixes, ref missing, approved, .. } = bundle.0;
    assert_eq!(counts, FeedCounts { published: 3, rejected: 0, faulty: 1 });
    assert_eq!((fixes, &missing[..], approved), (1, &[][..], 1));

    let imported = here.import(&bundle, false).await.expect("it is imported");
    assert_eq!((imported.change.added, imported.new_fixes), (3, 1));
    assert_eq!(here.feed().await, there.feed().await);
    let status = feed_status(&here.store, Duration::MAX).await.expect("a store").expect("a feed");
    assert!(
        status.source.starts_with("import of bundle, exported at 20")
            && status.source.ends_with(&format!(" by key {}", bundle.2.id())),
        "{}",
        status.source
    );
    assert_eq!(here.store.approved_fixes().await.expect("a store"), []);

    let (there_app, here_app) = (there.app(vec![there.fixes()]).await, here.app(vec![]).await);
    let said = there_app.assess(assessment()).await.expect("an assessment");
    let same = here_app.assess(assessment()).await.expect("an assessment");
    assert_eq!(
        serde_json::to_value(&said).expect("plain data"),
        serde_json::to_value(&same).expect("plain data")
    );
    assert_eq!(said.counts["candidate"], 3);
    assert_eq!(same.cves[0].program_files, ["mm/mmap.c"], "those of the fix");
    let found = here_app.fix_of_commit(FIX).await.expect("it is at hand");
    assert_eq!(found.files, ["mm/mmap.c"]);
    assert!(found.source.starts_with("imported, from the directory "), "{}", found.source);

    // The same once more changes nothing.
    let again = here.import(&bundle, false).await.expect("it is imported");
    assert!(!again.change.is_any(), "{again:?}");
    assert_eq!((again.new_fixes, again.known_fixes), (0, 1));
}

#[tokio::test]
async fn age_is_that_of_the_data_and_no_older_data_takes_its_place() {
    let (old, new, here) = (Place::new().await, Place::new().await, Place::new().await);
    old.publish([1001], 9).await;
    new.publish([1001, 1002], 2).await;
    let (old, new) =
        (old.export(WantedFixes::Remembered).await, new.export(WantedFixes::Remembered).await);
    here.import(&old, false).await.expect("it is imported");
    let status = feed_status(&here.store, Duration::from_secs(8 * DAY)).await;
    assert!(status.expect("a store").expect("a feed").is_stale, "it was read just now, elsewhere");
    let app = here.app(vec![]).await;
    assert!(app.feed().await.expect("a store").expect("a feed").is_stale);
    let health = app.health().await.expect("a store");
    assert!(
        health.problems.iter().any(|problem| problem.contains("(import of bundle, ")),
        "{health:?}"
    );
    here.import(&new, false).await.expect("it is imported");
    let status = app.feed().await.expect("a store").expect("a feed");
    assert!(!status.is_stale && status.is_imported, "{status:?}");
    let before = here.feed().await;
    let error = here.import(&old, false).await.expect_err("it is older").to_string();
    for date in [status.data_at, status.data_at - jiff::SignedDuration::from_hours(7 * 24)] {
        let day = date.strftime("%Y-%m-%d").to_string();
        assert!(error.contains(&day), "{day}: {error}");
    }
    assert_eq!(here.feed().await, before);
    here.import(&old, true).await.expect("it is wanted");
    assert_eq!(here.store.feed_counts().await.expect("a store").published, 1);
}

#[tokio::test]
async fn feed_that_has_lost_most_of_its_records_is_not_taken_over() {
    let (there, here) = (Place::new().await, Place::new().await);
    here.publish(1001..1121, 3).await;
    there.publish(1001..1011, 1).await;
    let bundle = there.export(WantedFixes::Remembered).await;
    let error = here.import(&bundle, false).await.expect_err("it is another feed").to_string();
    assert!(error.contains("110 of the 120 CVE records that are here are not in "), "{error}");
    assert_eq!(here.store.feed_counts().await.expect("a store").published, 120);
    here.import(&bundle, true).await.expect("it is wanted");
    assert_eq!(here.store.feed_counts().await.expect("a store").published, 10);
}

#[tokio::test]
async fn fixes_that_cannot_be_had_are_named_and_those_of_other_versions_not_asked_for() {
    let there = Place::new().await;
    there.publish([1001, 1002], 1).await;
    let record = "{\"containers\": {\"cna\": {}}, \"cveMetadata\": {\"cveId\": \"CVE-2026-1003\"}}";
    there.write(1003, record, &format!("5.10:{HASH}:7.2:{OTHER}\n"), 1);
    there.update().await;
    let version = |text: &str| text.parse().expect("a version");
    let (exported, ..) =
        there.export(WantedFixes::OpenIn(vec![version("6.1.176"), version("6.1.177")])).await;
    let [missing] = &exported.missing[..] else { panic!("{exported:?}") };
    assert_eq!((missing.commit.as_str(), missing.cves.len()), (FIX, 2));
    assert!(missing.why.contains("it does not have this commit"), "{}", missing.why);
    assert_eq!((exported.fixes, exported.without_fix), (0, 1));

    for name in ["secret", "public"] {
        fs::remove_file(there.path(name)).expect("own file");
    }
    there.give_fix(OTHER, PATCH);
    let (exported, ..) = there.export(WantedFixes::All).await;
    assert_eq!((exported.fixes, exported.missing.len(), exported.without_fix), (1, 1, 0));
}

/// Signs what is given, as an exporting server would that is broken.
async fn crafted(
    place: &Place,
    parser: u32,
    published: u64,
    records: &[serde_json::Value],
    fixes: &[(&str, &str)],
) -> Result<Imported, ImportError> {
    let _ = fs::remove_file(place.path("secret"));
    let _ = fs::remove_file(place.path("public"));
    let (_, key) = generate_keys(&place.path("secret"), &place.path("public")).expect("keys");
    let mut writer = BundleWriter::new().expect("there is room");
    writer.add_records(records).expect("there is room");
    writer.add_faults(&[""; 0]).expect("there is room");
    for (commit, text) in fixes {
        writer.add_fix(commit, "a test", text.as_bytes()).expect("there is room");
    }
    let time = Timestamp::now();
    let header = FeedHeader {
        source: "a test".to_owned(),
        revision: None,
        parser,
        // From the future.
        data_at: time + jiff::SignedDuration::from_hours(24),
        read_at: time + jiff::SignedDuration::from_hours(24),
        published,
        rejected: 0,
        faulty: 0,
    };
    let secret = SecretKey::read(&place.path("secret")).expect("a key");
    writer.finish(header, time, &secret, &place.path("crafted")).expect("it is written");
    let keys = [PublicKey::parse(&key).expect("a key")];
    import_feed(&place.store, read_bundle(&place.path("crafted"), &keys)?, false).await
}

#[tokio::test]
async fn content_that_does_not_fit_changes_nothing() {
    let (there, here) = (Place::new().await, Place::new().await);
    there.publish([1001], 1).await;
    let mut entries = Vec::new();
    let whole = there.store.whole_feed(|more| {
        entries.extend(more);
        Ok::<_, StoreError>(())
    });
    whole.await.expect("a store");
    let record = serde_json::to_value(&entries[0]).expect("plain data");
    let other = serde_json::json!({"record": "?"});
    for (parser, published, records, expected) in [
        (PARSER + 1, 1, vec![record.clone()], "reads other things of the records (version 2)"),
        (PARSER, 2, vec![record.clone(), record.clone()], "it has CVE-2026-1001 twice"),
        (
            PARSER,
            2,
            vec![record.clone()],
            "it has 1 published, 0 rejected and 0 faulty records, and says 2",
        ),
        (PARSER, 0, vec![], "there is no CVE record in it"),
        (PARSER, 1, vec![other], "record 1: "),
    ] {
        let error = crafted(&here, parser, published, &records, &[(FIX, PATCH)]).await;
        let error = error.expect_err(expected).to_string();
        assert!(error.contains(expected), "{expected}: {error}");
        assert_eq!(here.store.feed_state().await.expect("a store"), None);
        assert!(here.store.known_fixes().await.expect("a store").is_empty());
    }
    // Texts that are not the patch of their commit are left out, the rest is taken; what comes from the future
    // is from now; a text that is here stays.
    let known = |text: &'static str| async {
        let blob = here.store.place_blob(text.as_bytes().to_vec()).await.expect("there is room");
        KnownFix {
            blob,
            source: "here".to_owned(),
            files: vec!["mm/mmap.c".to_owned()],
            is_refused: false,
            fetched_at: Timestamp::UNIX_EPOCH,
        }
    };
    let own = known("another text\n").await;
    here.store
        .keep_fixes(&[(OTHER.to_owned(), own.clone())], &[], Timestamp::UNIX_EPOCH)
        .await
        .expect("there is room");
    let foreign = format!("From {OTHER} Mon Sep 17 00:00:00 2001\n{PATCH}");
    let fixes = [(FIX, &*foreign), (HASH, "no patch"), (OTHER, PATCH)];
    let imported = crafted(&here, PARSER, 1, &[record], &fixes).await.expect("it is imported");
    let left_out: Vec<&str> = imported.unusable.iter().map(|fix| fix.commit.as_str()).collect();
    assert_eq!(left_out, [FIX, HASH]);
    assert!(imported.unusable[0].why.contains("another commit"), "{imported:?}");
    assert_eq!((imported.other_fixes, imported.new_fixes), (vec![OTHER.to_owned()], 0));
    assert_eq!(here.store.known_fix(OTHER).await.expect("a store"), Some(own));
    assert!(imported.data_at <= Timestamp::now());
}

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_fixes::WebTimes;
use elivepatch_model::{BuilderIdentity, FailureClass, Sha256Digest};
use elivepatch_store::{ApprovedFix, Store};

use super::*;
use crate::app::{AppOptions, CveOptions};

const A: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
const B: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().expect("a directory") };
        for name in ["data", "fixes", "overlay"] {
            fs::create_dir(place.path(name)).expect("own directory");
        }
        place
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.directory.path()).expect("UTF-8").join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("own file");
    }

    fn fixes(&self) -> FixSourceOptions {
        FixSourceOptions::Directory { path: self.path("fixes") }
    }

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
            builder_identity: BuilderIdentity::default(),
        };
        App::open(options).await.expect("an app")
    }
}

fn patch(file: &str) -> String {
    format!("--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-a\n+b\n")
}

fn files(found: &FoundFix) -> Vec<&str> {
    found.files.iter().map(String::as_str).collect()
}

/// A web server that answers each question alike, and counts them.
fn web(answer: String) -> (FixSourceOptions, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let url = format!("http://{}/SHA", listener.local_addr().expect("bound"));
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let reader = BufReader::new(connection.try_clone().expect("a connection"));
            let head = reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            if head.count() > 0 {
                counter.fetch_add(1, Ordering::SeqCst);
                let _ = connection.write_all(answer.as_bytes());
            }
        }
    });
    let times = WebTimes {
        first_wait: Duration::from_millis(10),
        answer: Duration::from_secs(5),
        ..WebTimes::default()
    };
    (FixSourceOptions::Web { url, per_second: 1000.0, times }, asked)
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn fix_is_remembered_across_a_restart_and_no_source_is_asked_again() {
    let place = Place::new();
    let (source, asked) = web(answer("200 OK", &patch("mm/mmap.c")));
    let app = place.app(vec![source.clone()]).await;
    assert_eq!(app.fix_at_hand(A).await.expect("a store"), None, "that needs the network");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let found = app.fix_of_commit(A).await.expect("the server has it");
    assert_eq!(files(&found), ["mm/mmap.c"]);
    assert_eq!(found.blob.digest, Sha256Digest::of(patch("mm/mmap.c").as_bytes()));
    assert!(found.source.starts_with("http://127.0.0.1:"), "{}", found.source);
    // Before and after it is on the disk.
    assert_eq!(app.fix_at_hand(A).await.expect("a store"), Some(found.clone()));
    app.fixes_on_disk().await.expect("a disk");
    assert!(app.inner.store.known_fix(A).await.expect("a store").is_some());
    app.close().await;
    drop(app);
    let app = place.app(vec![]).await;
    app.store().remove_orphan_blobs(Duration::ZERO).await.expect("a store");
    assert_eq!(app.fix_at_hand(A).await.expect("a store"), Some(found.clone()));
    assert_eq!(app.fix_of_commit(&A.to_uppercase()).await.expect("remembered"), found);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    app.store().open_blob(found.blob.digest).await.expect("a record names it");
}

#[tokio::test]
async fn files_of_fixes_are_remembered_and_that_there_are_none_until_one_comes() {
    let place = Place::new();
    let app = place.app(vec![place.fixes()]).await;
    let at_hand = async || app.files_at_hand(A).await.expect("a store");
    assert_eq!(at_hand().await, None);
    place.put(&format!("fixes/{A}.patch"), &patch("mm/mmap.c"));
    assert_eq!(at_hand().await, None, "no source was asked again");
    // Whoever wants the text asks the sources, and what they give counts at once.
    app.fix_of_commit(A).await.expect("it is there");
    assert_eq!(at_hand().await.expect("it is there")[..], ["mm/mmap.c"]);
    let asked: std::path::PathBuf = place.path("fixes").into();
    fs::remove_dir_all(asked).expect("own directory");
    app.fixes_on_disk().await.expect("a disk");
    let blobs = app.inner.options.data_directory.join("blobs");
    fs::remove_dir_all(blobs).expect("own directory");
    assert_eq!(at_hand().await.expect("it was there")[..], ["mm/mmap.c"]);
}

#[tokio::test]
async fn text_that_is_gone_or_damaged_is_fetched_again() {
    let place = Place::new();
    place.put(&format!("fixes/{A}.patch"), &patch("mm/mmap.c"));
    let app = place.app(vec![place.fixes()]).await;
    let found = app.fix_of_commit(A).await.expect("it is there");
    app.fixes_on_disk().await.expect("a disk");
    let name = found.blob.digest.to_string();
    let blob = place.path("data/blobs").join(&name[..2]).join(&name);
    for damage in [None, Some("cut")] {
        fs::remove_file(&blob).expect("own file");
        if let Some(text) = damage {
            fs::write(&blob, text).expect("own file");
        }
        assert_eq!(app.fix_of_commit(A).await.expect("it is there"), found);
        assert_eq!(fs::read_to_string(&blob).expect("own file"), patch("mm/mmap.c"));
        app.fixes_on_disk().await.expect("a disk");
    }
    fs::remove_file(&blob).expect("own file");
    fs::remove_file(place.path(&format!("fixes/{A}.patch"))).expect("own file");
    let missing = app.fix_of_commit(A).await.expect_err("it is nowhere");
    assert!(matches!(missing, FixMissing::Nowhere { .. }), "{missing}");
}

#[tokio::test]
async fn text_that_was_lost_while_it_was_written_for_another_is_missed_and_fetched_again() {
    let place = Place::new();
    place.put(&format!("fixes/{A}.patch"), &patch("mm/mmap.c"));
    let app = place.app(vec![place.fixes()]).await;
    // So it is left by a writing that failed.
    let blob = app.store().place_blob(patch("mm/mmap.c").into_bytes()).await.expect("a disk");
    // Nothing waits to be written, and so nothing fails.
    app.fixes_on_disk().await.expect("a disk");
    assert!(!app.are_kept(&[blob.digest]).await.expect("a store"));
    let found = app.fix_of_commit(A).await.expect("it is there");
    assert_eq!(found.blob.digest, blob.digest);
    app.fixes_on_disk().await.expect("a disk");
    assert!(app.are_kept(&[found.blob.digest]).await.expect("a store"));
}

#[tokio::test]
async fn what_was_found_is_put_on_the_disk_by_itself() {
    let place = Place::new();
    place.put(&format!("fixes/{A}.patch"), &patch("mm/mmap.c"));
    let app = place.app(vec![place.fixes()]).await;
    app.fix_at_hand(A).await.expect("a store").expect("it is there");
    for _ in 0..200 {
        if app.store().known_fix(A).await.expect("a store").is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nobody remembered it");
}

#[tokio::test]
async fn sources_are_asked_in_their_order_and_each_says_why_it_has_nothing() {
    let place = Place::new();
    place.put(&format!("fixes/{A}.patch"), "<html>not here</html>");
    let (gone, _) = web(answer("404 Not Found", ""));
    let app = place.app(vec![place.fixes(), gone.clone()]).await;
    let missing = app.fix_of_commit(A).await.expect_err("it is nowhere");
    assert!(!missing.is_transient());
    let told = with_causes(&missing);
    assert!(
        told.starts_with("no source has it: the directory /")
            && told.contains("fixes: what it has holds no change of any file; http://127.0.0.1:")
            && told.ends_with("/SHA: it does not have this commit")
            && !told.contains('\n'),
        "{told}"
    );
    drop(app);

    let (broken, _) = web(answer("503 Busy", ""));
    let app = place.app(vec![place.fixes(), broken, gone]).await;
    let missing = app.fix_of_commit(B).await.expect_err("it cannot be told");
    assert!(missing.is_transient());
    let told = with_causes(&missing);
    assert!(told.starts_with("it cannot be had now: the directory /"), "{told}");
    assert!(told.contains("it did not answer 4 times: it answered with the status 503"), "{told}");
    // Another source has it, whatever the first one says.
    place.put(&format!("fixes/{B}.patch"), &format!("From {A} x\n{}", patch("mm/mmap.c")));
    let wrong = with_causes(&app.fix_of_commit(B).await.expect_err("it is another one's"));
    assert!(wrong.contains(&format!("the patch of another commit, {A}")), "{wrong}");
    drop(app);
    let (other, _) = web(answer("200 OK", &patch("fs/file.c")));
    let app = place.app(vec![place.fixes(), other]).await;
    assert_eq!(files(&app.fix_of_commit(B).await.expect("it has it")), ["fs/file.c"]);
}

#[tokio::test]
async fn without_a_source_or_a_commit_it_is_said() {
    let place = Place::new();
    place.put("overlay/elivepatch.yml", "livepatch_version: 0.1\n");
    let app = place.app(vec![FixSourceOptions::Overlay { path: place.path("overlay") }]).await;
    let missing = app.fix_of_commit(A).await.expect_err("there is none");
    assert!(matches!(missing, FixMissing::NoSource) && !missing.is_transient(), "{missing}");
    let missing = app.fix_of_commit("../../etc/passwd").await.expect_err("no commit");
    assert!(missing.to_string().contains("is no commit"), "{missing}");
    assert_eq!(app.fix_at_hand("master").await.expect("a store"), None);
}

#[tokio::test]
async fn fix_that_can_never_be_a_livepatch_is_remembered_as_that() {
    let place = Place::new();
    let (source, asked) = web(answer("200 OK", &patch("Documentation/admin-guide/mm.rst")));
    let app = place.app(vec![source]).await;
    for _ in 0..2 {
        let missing = app.fix_of_commit(A).await.expect_err("it changes no code");
        let FixMissing::Refused { source_label, failure } = &missing else { panic!("{missing}") };
        assert_eq!(failure.class, FailureClass::PatchNoCode);
        assert!(source_label.starts_with("http://") && !missing.is_transient());
        assert!(missing.to_string().contains(&failure.message), "{missing}");
        assert_eq!(app.fix_at_hand(A).await.expect("a store"), None);
        app.fixes_on_disk().await.expect("a disk");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn old_names_of_renamed_files_are_files_of_the_fix_too() {
    let place = Place::new();
    let renamed = "diff --git a/mm/old.c b/mm/new.c\nsimilarity index 90%\nrename from mm/old.c\nrename to \
                   mm/new.c\n--- a/mm/old.c\n+++ b/mm/new.c\n@@ -1 +1 @@\n-a\n+b\n";
    place.put(&format!("fixes/{A}.patch"), renamed);
    let app = place.app(vec![place.fixes()]).await;
    let found = app.fix_at_hand(A).await.expect("a store").expect("it is there");
    assert_eq!(files(&found), ["mm/new.c", "mm/old.c"]);
}

#[tokio::test]
async fn overlay_gives_its_own_patch_or_that_of_a_commit_for_its_version_only() {
    let place = Place::new();
    let list = format!(
        "livepatch_version: 0.1\n- 6.1.176\n- cve_id: CVE-2026-1001\n  path: mine.patch\n- cve_id: \
         CVE-2026-1002\n  commit_id: {A}\n- cve_id: CVE-2026-1003\n  path: none.patch\n- cve_id: \
         CVE-2026-1004\n  commit_id: {B}\n"
    );
    place.put("overlay/elivepatch.yml", &list);
    place.put("overlay/mine.patch", &patch("mm/mmap.c"));
    place.put(&format!("fixes/{A}.patch"), &patch("fs/file.c"));
    let overlay = FixSourceOptions::Overlay { path: place.path("overlay") };
    let app = place.app(vec![overlay, place.fixes()]).await;
    let fix = async |id: &str, version: &str| {
        let (id, version) = (id.parse().expect("a CVE"), version.parse().expect("a version"));
        app.overlay_fix(id, version).await.expect("a store")
    };
    let own = fix("CVE-2026-1001", "6.1.176").await.expect("a patch");
    assert_eq!(files(&own), ["mm/mmap.c"]);
    assert!(own.source.starts_with("the overlay /") && own.source.ends_with(", mine.patch"));
    let commit = fix("CVE-2026-1002", "6.1.176").await.expect("a patch");
    assert_eq!(files(&commit), ["fs/file.c"]);
    assert!(commit.source.contains(&format!(", commit {A}: the directory /")), "{}", commit.source);
    assert_eq!(fix("CVE-2026-1001", "6.1.177").await, None);
    assert_eq!(fix("CVE-2026-1003", "6.1.176").await, None);
    assert_eq!(fix("CVE-2026-1004", "6.1.176").await, None);
    app.fixes_on_disk().await.expect("a disk");
    app.store().remove_orphan_blobs(Duration::ZERO).await.expect("a store");
    app.store().open_blob(own.blob.digest).await.expect("a record names it");
}

#[tokio::test]
async fn approved_fix_is_found_and_one_that_is_damaged_is_an_error() {
    let place = Place::new();
    let app = place.app(vec![]).await;
    let id = "CVE-2026-1001".parse().expect("a CVE");
    assert_eq!(app.approved_fix(id).await.expect("a store"), None);
    // As `elivepatch-server fix approve` does, beside the server.
    let store = Store::open(&place.path("data")).await.expect("a store");
    let blob = store.place_blob(patch("mm/mmap.c").into_bytes()).await.expect("a disk");
    let fix = ApprovedFix {
        cve: id,
        digest: blob.digest,
        size_bytes: blob.size_bytes,
        name: "mine.patch".to_owned(),
        files: vec!["mm/mmap.c".to_owned()],
        note: String::new(),
        approved_at: crate::app::now(),
    };
    store.approve_fix(&fix).await.expect("a store");
    let found = app.approved_fix(id).await.expect("a store").expect("it is approved");
    assert_eq!((files(&found), found.source.as_str()), (vec!["mm/mmap.c"], "approved: mine.patch"));
    let name = blob.digest.to_string();
    fs::remove_file(place.path("data/blobs").join(&name[..2]).join(&name)).expect("own file");
    let error = app.approved_fix(id).await.expect_err("nobody else has it").to_string();
    assert!(error.contains("the approved fix of CVE-2026-1001 is missing"), "{error}");
}

/// The commits of a directory with fixes.
fn commits(directory: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| Some(name.strip_suffix(".patch")?.to_owned())).collect()
}

/// What this process has worked so far: time in which other programs had the processor is not in it.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.try_into().expect("it counts from zero")
}

#[tokio::test]
async fn four_hundred_fixes_are_had_in_well_under_half_a_second() {
    let place = Place::new();
    // The tests run side by side, and unoptimised: the best of some times is what it takes.
    let hash = |number: u32| format!("{number:040x}");
    for number in 0..400 {
        place.put(&format!("fixes/{}.patch", hash(number)), &patch("mm/mmap.c").repeat(20));
    }
    let app = place.app(vec![place.fixes()]).await;
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let (began, cpu_began) = (Instant::now(), processor_time());
        for number in 0..400 {
            app.fix_at_hand(&hash(number)).await.expect("a store").expect("it is there");
        }
        best = best.min(began.elapsed()).min(processor_time() - cpu_began);
        app.fixes_on_disk().await.expect("a disk");
    }
    assert!(best < Duration::from_millis(500), "{best:?}");
}

/// The fixes that stand for upstream's, as many as `ELIVEPATCH_TEST_FIXES` names.
#[tokio::test]
#[ignore = "needs a directory of fixes: ELIVEPATCH_TEST_FIXES"]
async fn every_fix_of_a_real_directory_is_read_or_refused_with_a_reason() {
    let name = "ELIVEPATCH_TEST_FIXES";
    let path = std::env::var_os(name).unwrap_or_else(|| panic!("{name} names no directory"));
    let path = PathBuf::from(path);
    let commits = commits(&path);
    assert!(commits.len() >= 100, "{} fixes are few", commits.len());
    let place = Place::new();
    let directory = Utf8PathBuf::from_path_buf(path).expect("UTF-8");
    let app = place.app(vec![FixSourceOptions::Directory { path: directory }]).await;
    let (mut found, mut refused) = (0, 0);
    let began = Instant::now();
    for commit in &commits {
        match app.fix_of_commit(commit).await {
            Ok(fix) => {
                assert!(!fix.files.is_empty());
                found += 1;
            }
            Err(FixMissing::Refused { failure, .. }) => {
                eprintln!("{commit}: {}", failure.message);
                refused += 1;
            }
            Err(other) => panic!("{commit}: {}", with_causes(&other)),
        }
    }
    eprintln!("{found} fixes, {refused} refused, in {:?}", began.elapsed());
    let began = Instant::now();
    app.fixes_on_disk().await.expect("a disk");
    eprintln!("on the disk after {:?}", began.elapsed());
    let began = Instant::now();
    for commit in &commits {
        let remembered = app.store().known_fix(commit).await.expect("a store").expect("kept");
        let is_there = app.fix_at_hand(commit).await.expect("a store").is_some();
        assert_eq!(is_there, !remembered.is_refused, "{commit}");
    }
    eprintln!("remembered in {:?}", began.elapsed());
}

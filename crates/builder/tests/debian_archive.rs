//! apt and curl against a small archive of the test's own: what is found in it, fetched and kept.

mod archive;

use std::{
    net::TcpListener,
    sync::Mutex,
    time::{Duration, SystemTime},
};

use archive::{Archive, Fault, file_digest};
use elivepatch_builder::{
    Apt, Cache, DebianOptions, Observer, PackageDirectory, SilentObserver, Sweep,
};
use elivepatch_model::{BuildEvent, FailureClass, Sha256Digest};

/// Keeps the lines of the log.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Log { line, .. } = event {
            self.0.lock().expect("no panic holds it").push(line);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

#[test]
fn index_past_its_time_is_accepted_only_where_the_config_says_so_and_signed_all_the_same() {
    let archive = Archive::with("Valid-Until: Fri, 02 Oct 2026 00:00:00 UTC\n");
    let apt = archive.apt_with("keyring.gpg", |_| {});
    let failure = apt.versions("elivepatch-sample", &SilentObserver).expect_err("it has expired");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("expired")), "{failure:?}");
    let apt = archive.apt_with("keyring.gpg", |options| options.valid_until = false);
    assert_eq!(apt.versions("elivepatch-sample", &SilentObserver).expect("a snapshot").len(), 1);
    let apt = archive.apt_with("other.gpg", |options| options.valid_until = false);
    apt.versions("elivepatch-sample", &SilentObserver).expect_err("signed by somebody else");
}

#[test]
fn file_that_was_kept_is_taken_instead_of_fetching_it() {
    let archive = Archive::new();
    let (packages, file) = archive.keep();
    let apt = archive.apt_with("keyring.gpg", |options| options.packages = Some(packages));
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is there");
    assert_eq!(file_digest(&path), versions[0].digest);
    assert_eq!(archive.faults().sent, 0, "it was fetched");

    std::fs::remove_file(path).expect("in the cache");
    std::fs::write(&file, "another file").expect("own file");
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("another digest");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains(file.as_str()), "{failure}");
}

#[test]
fn copy_of_a_kept_file_that_breaks_off_leaves_nothing() {
    let archive = Archive::new();
    let (packages, file) = archive.keep();
    let apt = archive.apt_with("keyring.gpg", |options| options.packages = Some(packages));
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    // A file that can be opened and not read, which ends the copy as a full disk does.
    std::fs::remove_file(&file).expect("own file");
    std::os::unix::fs::symlink("/proc/self/mem", &file).expect("own link");
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("it cannot be read");
    assert!(failure.message.contains(&format!("cannot copy {file}")), "{failure:?}");
    let left: Vec<_> = std::fs::read_dir(archive.path("cache/packages"))
        .expect("own directory")
        .flatten()
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .filter(|name| !name.ends_with(".lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn address_is_not_looked_up_in_an_index_that_somebody_else_writes() {
    let archive = Archive::new();
    let (cache, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let index = apt.configuration().with_file_name("index");
    let held = cache.lock(&index, &SilentObserver).expect("nobody has it");
    let log = Log::default();
    std::thread::scope(|scope| {
        let fetched = scope.spawn(|| apt.fetch(&versions[0], &log));
        let waits = || {
            log.0
                .lock()
                .expect("no panic holds it")
                .iter()
                .any(|line| line.starts_with("waiting for apt/") && line.contains("/index "))
        };
        while !waits() {
            assert!(!fetched.is_finished(), "it was fetched all the same");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(archive.faults().sent, 0);
        drop(held);
        fetched.join().expect("no panic").expect("it is there");
    });
}

#[test]
fn package_that_left_the_archive_is_served_from_where_it_was_kept() {
    let archive = Archive::new();
    let (mut packages, file) = archive.keep();
    let digest = file_digest(&file);
    packages.digests.insert("elivepatch-sample_1.0_amd64.deb".to_owned(), digest);
    let unused = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let open = |packages: &PackageDirectory| {
        archive.apt_with("keyring.gpg", |options| {
            options.mirror = Some(format!("http://{unused}/debian"));
            options.packages = Some(packages.clone());
        })
    };
    let apt = open(&packages);
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("nobody is asked");
    assert_eq!((versions[0].version.as_str(), versions[0].digest), ("1.0", digest));
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it was kept");
    assert_eq!(file_digest(&path), digest);

    // Without a digest in the config an index has to say what it is, and that does not answer.
    packages.digests.clear();
    let failure = open(&packages).versions("elivepatch-sample", &SilentObserver);
    assert_eq!(failure.expect_err("no index").class, FailureClass::FetchFailed);
    packages.digests.insert("elivepatch-sample_1.0_amd64.deb".to_owned(), Sha256Digest::of(b"x"));
    let failure = open(&packages).versions("elivepatch-sample", &SilentObserver);
    assert_eq!(failure.expect_err("another digest").class, FailureClass::SourceUnusable);
}

#[test]
fn package_is_fetched_verified_and_kept() {
    let archive = Archive::new();
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    assert_eq!(versions.len(), 1);
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is there");
    assert_eq!(file_digest(&path), versions[0].digest);
    apt.fetch(&versions[0], &SilentObserver).expect("it is in the cache");
    assert_eq!(archive.faults().sent, archive.package_bytes, "fetched twice");
}

#[test]
fn damaged_file_in_the_cache_is_fetched_again() {
    let archive = Archive::new();
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is there");
    std::fs::write(&path, "damaged").expect("own file");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is fetched again");
    assert_eq!(file_digest(&path), versions[0].digest);
}

#[test]
fn interrupted_download_is_resumed_where_it_stopped() {
    let archive = Archive::new();
    archive.faults().cuts = vec![100_000, 50_000];
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("the third attempt ends it");
    assert_eq!(file_digest(&path), versions[0].digest);
    let sent = archive.faults().sent;
    assert_eq!(sent, archive.package_bytes, "something was sent twice");
}

#[test]
fn what_an_earlier_run_left_is_resumed() {
    let archive = Archive::new();
    archive.faults().cuts = vec![100_000, 0];
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let failure =
        apt.fetch(&versions[0], &SilentObserver).expect_err("the line brings nothing more");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.hint.contains("kept"), "{failure:?}");
    let (_, apt) = archive.apt("keyring.gpg");
    apt.fetch(&versions[0], &SilentObserver).expect("the rest is fetched");
    let sent = archive.faults().sent;
    assert_eq!(sent, archive.package_bytes, "something was sent twice");
}

#[test]
fn mirror_that_cannot_resume_sends_all_again() {
    let archive = Archive::new();
    {
        let mut faults = archive.faults();
        faults.cuts = vec![100_000];
        faults.ignores_ranges = true;
    }
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("fetched from the beginning");
    assert_eq!(file_digest(&path), versions[0].digest);
}

#[test]
fn package_with_another_digest_than_the_index_is_refused() {
    let archive = Archive::new();
    let (cache, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    archive.faults().of.insert(".deb", Fault::Corrupt);
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("another digest");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.message.contains("elivepatch-sample 1.0"), "{failure}");
    let left: Vec<_> = std::fs::read_dir(cache.packages())
        .expect("own directory")
        .flatten()
        .filter(|entry| entry.path().extension().is_none_or(|extension| extension != "lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn redirect_to_a_file_of_this_machine_is_not_followed() {
    let archive = Archive::new();
    let (cache, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let elsewhere = Fault::Redirect("file:///etc/hostname".to_owned());
    archive.faults().of.insert(".deb", elsewhere);
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("another scheme");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("curl: (1)")), "{failure:?}");
    assert!(!cache.packages().join("elivepatch-sample_1.0_amd64.deb").exists());
}

#[test]
fn index_with_a_foreign_signature_is_refused() {
    let archive = Archive::new();
    let (_, apt) = archive.apt("other.gpg");
    let failure =
        apt.versions("elivepatch-sample", &SilentObserver).expect_err("signed by somebody else");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("sign")), "{failure:?}");
}

#[test]
fn suite_that_the_mirror_lacks_is_left_out_and_named() {
    let archive = Archive::new();
    let (_, apt) = archive.apt_with_suites("keyring.gpg", &["sample", "sample-backports"]);
    let log = Log::default();
    let versions = apt.versions("elivepatch-sample", &log).expect("the other suite is there");
    assert_eq!(versions.len(), 1);
    let log = log.0.lock().expect("unused");
    assert!(log.iter().any(|line| line.contains("sample-backports")), "{log:?}");

    // A server with other suites has an index of its own beside it.
    let (_, apt) = archive.apt_with_suites("keyring.gpg", &["sample"]);
    assert_eq!(apt.versions("elivepatch-sample", &SilentObserver).expect("signed").len(), 1);
}

#[test]
fn mirror_without_any_of_the_suites_is_refused() {
    let archive = Archive::new();
    let (_, apt) = archive.apt_with_suites("keyring.gpg", &["other", "sample-backports"]);
    let failure = apt.versions("elivepatch-sample", &SilentObserver).expect_err("neither is there");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("sample-backports")), "{failure:?}");
}

#[test]
fn package_is_taken_from_the_suite_that_is_wanted() {
    let archive =
        Archive::with_suites(&[("old", Some("1.0")), ("new", Some("2.0")), ("none", None)]);
    let (_, apt) = archive.apt_with_suites("keyring.gpg", &["old", "new", "none"]);
    let versions = |suite: &str| -> Vec<String> {
        let found = apt.versions_in(suite, "elivepatch-sample", &SilentObserver);
        found.expect("signed indexes").into_iter().map(|package| package.version).collect()
    };
    assert_eq!(versions("old"), ["1.0"]);
    assert_eq!(versions("new"), ["2.0"]);
    assert_eq!(versions("none"), [""; 0]);
}

#[test]
fn index_that_somebody_has_open_is_in_use_and_one_that_was_removed_is_fetched_again() {
    let archive = Archive::new();
    let (cache, apt) = archive.apt("keyring.gpg");
    let index = apt.configuration().parent().expect("it has one").to_owned();
    let sweep = || {
        // As if it had not been used for a month.
        let month_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
        for path in [index.clone(), format!("{index}.used").into()] {
            let file = std::fs::File::open(path).expect("it is there");
            file.set_modified(month_ago).expect("own file");
        }
        Sweep { at_once: true, ..Sweep::default() }.run(&cache).expect("own directory")
    };
    let found = |apt: &Apt| apt.versions("elivepatch-sample", &SilentObserver).map(|v| v.len());
    assert_eq!(found(&apt), Ok(1));
    let swept = sweep();
    assert!(swept.removed.is_empty() && swept.kept[0].reason == "it is in use", "{swept:?}");
    assert_eq!(found(&apt), Ok(1));
    drop(apt);
    assert_eq!(sweep().removed.len(), 1);
    assert!(!index.exists());
    assert_eq!(found(&archive.apt("keyring.gpg").1), Ok(1));
}

#[test]
fn suite_with_a_foreign_signature_is_refused_beside_a_missing_one() {
    let archive = Archive::new();
    let (_, apt) = archive.apt_with_suites("other.gpg", &["sample", "sample-backports"]);
    let failure =
        apt.versions("elivepatch-sample", &SilentObserver).expect_err("signed by somebody else");
    assert_eq!(failure.class, FailureClass::FetchFailed);
}

#[test]
fn mirror_that_does_not_answer_is_named() {
    let archive = Archive::new();
    let cache = Cache::open(&archive.path("cache")).expect("own directory");
    let unused = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mirror = format!("http://{unused}/debian");
    let options = DebianOptions {
        mirror: Some(mirror.clone()),
        security_mirror: Some(mirror),
        suites: vec!["sample".to_owned()],
        keyring: archive.path("keyring.gpg"),
        ..DebianOptions::default()
    };
    let apt = Apt::open(&cache, &options).expect("the mirror is given");
    let failure = apt.versions("elivepatch-sample", &SilentObserver).expect_err("nobody there");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains(&unused.to_string())), "{failure:?}");
}

use std::{fs, path::PathBuf, sync::mpsc::channel, thread};

use super::*;
use crate::feed::{Entry, Snapshot};

const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

/// A feed's repository, and a mirror of it.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().expect("a directory") };
        fs::create_dir(place.upstream()).expect("own directory");
        place.git(&["init", "--quiet"]);
        place
    }

    fn upstream(&self) -> PathBuf {
        self.directory.path().join("vulns")
    }

    fn git(&self, arguments: &[&str]) {
        let status = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .current_dir(self.upstream())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .status()
            .expect("git is installed");
        assert!(status.success(), "{arguments:?}");
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.upstream().join("cve").join(name);
        fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs::write(path, text).expect("own file");
    }

    /// A record that is published, with the version that has the flaw.
    fn publish(&self, number: u32, version: &str) {
        let name = format!("published/2026/CVE-2026-{number}");
        let record = format!(
            "{{\"containers\": {{\"cna\": {{\"title\": \"t\"}}}}, \"cveMetadata\": {{\"cveId\": \
             \"CVE-2026-{number}\"}}}}"
        );
        self.write(&format!("{name}.json"), &record);
        self.write(&format!("{name}.dyad"), &format!("{version}:{HASH}:0:0\n"));
    }

    fn commit(&self) {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "feed"]);
    }

    fn mirror(&self) -> FeedMirror {
        FeedMirror::open(&self.directory.path().join("mirror")).expect("own directory")
    }

    fn fetch(&self) -> String {
        self.mirror().fetch(self.upstream().to_str().expect("UTF-8")).expect("it is there")
    }

    fn read(&self, commit: &str, extent: &Extent) -> Snapshot {
        self.mirror().read(commit, extent).expect("it was fetched")
    }
}

fn ids(snapshot: &Snapshot) -> Vec<String> {
    snapshot.entries.iter().map(|entry| entry.id().to_string()).collect()
}

fn entries(snapshot: &Snapshot) -> Vec<Entry> {
    snapshot.entries.load().expect("it was kept")
}

#[test]
fn feed_is_read_whole_and_then_what_changed() {
    let place = Place::new();
    for number in 1001..1010 {
        place.publish(number, "6.1");
    }
    place.write("README", "no record");
    place.commit();
    let first = place.fetch();
    assert_eq!(place.read(&first, &Extent::Whole).entries.len(), 9);
    let same = place.fetch();
    assert_eq!(same, first);
    assert!(place.read(&same, &Extent::Since(first.clone())).entries.is_empty());

    // One is changed, one comes, one is rejected, one goes, one becomes unreadable.
    place.publish(1001, "6.2");
    place.publish(2001, "6.1");
    let (from, to) = ("published/2026/CVE-2026-1002", "rejected/2026/CVE-2026-1002");
    let upstream = place.upstream().join("cve");
    fs::create_dir_all(upstream.join("rejected/2026")).expect("own directory");
    for part in ["json", "dyad"] {
        fs::rename(upstream.join(format!("{from}.{part}")), upstream.join(format!("{to}.{part}")))
            .expect("own file");
        fs::remove_file(upstream.join(format!("published/2026/CVE-2026-1003.{part}")))
            .expect("own file");
    }
    place.write("published/2026/CVE-2026-1004.json", "{");
    place.commit();
    let second = place.fetch();
    let changed = place.read(&second, &Extent::Since(first));
    assert_eq!(ids(&changed), ["CVE-2026-1001", "CVE-2026-1002", "CVE-2026-2001"]);
    assert!(entries(&changed)[1].rejected);
    assert_eq!(changed.gone, ["CVE-2026-1003".parse().expect("a name")]);
    assert_eq!(changed.faults[0].id, "CVE-2026-1004".parse().expect("a name"));
    // What is read of a CVE is the same either way.
    let whole = entries(&place.read(&second, &Extent::Whole));
    for entry in entries(&changed) {
        assert!(whole.contains(&entry), "{}", entry.record.id);
    }
}

#[test]
fn rewritten_history_is_followed() {
    let place = Place::new();
    place.publish(1001, "6.1");
    place.commit();
    let first = place.fetch();
    place.publish(1001, "6.3");
    place.git(&["add", "--all"]);
    place.git(&["commit", "--quiet", "--amend", "--message", "another past"]);
    let second = place.fetch();
    assert_ne!(first, second);
    assert_eq!(ids(&place.read(&second, &Extent::Since(first))), ["CVE-2026-1001"]);
}

#[test]
fn what_a_strangers_repository_says_is_not_done() {
    let place = Place::new();
    place.publish(1001, "6.1");
    fs::write(place.upstream().join(".gitattributes"), "* export-ignore filter=evil\n")
        .expect("a file");
    let target = place.upstream().join("cve/published/2026/CVE-2026-1002.json");
    std::os::unix::fs::symlink("/etc/passwd", target).expect("own link");
    place.commit();
    let commit = place.fetch();
    let snapshot = place.read(&commit, &Extent::Whole);
    assert_eq!(ids(&snapshot), ["CVE-2026-1001"]);
    // A link is what it leads to in words, and that is no record.
    assert_eq!(snapshot.faults.len(), 1);
    for address in ["ext::sh -c id", "file:///etc", "/no/such/place", "--upload-pack=id"] {
        let error = place.mirror().fetch(address).expect_err(address);
        assert!(matches!(error, GitError::Address(_)), "{error}");
    }
}

#[test]
fn failure_says_what_git_said_and_leaves_what_was_there() {
    let place = Place::new();
    place.publish(1001, "6.1");
    place.commit();
    let commit = place.fetch();
    let error = place.mirror().fetch("http://127.0.0.1:9/vulns.git").expect_err("nobody there");
    assert!(error.to_string().contains("fatal: "), "{error}");
    assert_eq!(ids(&place.read(&commit, &Extent::Whole)), ["CVE-2026-1001"]);
    let unknown = Extent::Since(HASH.to_owned());
    place.mirror().read(&commit, &unknown).expect_err("never fetched");
}

#[test]
fn two_do_not_work_with_the_mirror_at_once() {
    let place = Place::new();
    let first = place.mirror();
    let path = place.directory.path().join("mirror");
    let (opened, told) = channel();
    let second = thread::spawn(move || {
        let mirror = FeedMirror::open(&path).expect("own directory");
        opened.send(()).expect("somebody listens");
        mirror
    });
    assert!(told.recv_timeout(Duration::from_millis(200)).is_err(), "the other one waits");
    drop(first);
    told.recv_timeout(Duration::from_secs(30)).expect("it has its turn");
    second.join().expect("it ends");
}

#[test]
fn what_a_git_that_was_killed_has_left_is_removed() {
    let place = Place::new();
    place.publish(1001, "6.1");
    place.commit();
    place.fetch();
    let mirror = place.directory.path().join("mirror");
    let leftovers = ["shallow.lock", "refs/elivepatch/feed.lock", "objects/pack/tmp_pack_x"];
    for name in leftovers {
        fs::write(mirror.join(name), "").expect("own file");
    }
    place.publish(1002, "6.1");
    place.commit();
    let commit = place.fetch();
    assert_eq!(place.read(&commit, &Extent::Whole).entries.len(), 2);
    assert!(leftovers.iter().all(|name| !mirror.join(name).exists()));
}

#[test]
fn broken_mirror_is_made_anew_and_one_with_many_packs_too() {
    let place = Place::new();
    place.publish(1001, "6.1");
    place.commit();
    place.fetch();
    let mirror = place.directory.path().join("mirror");
    for directory in ["refs", "objects"] {
        fs::remove_dir_all(mirror.join(directory)).expect("own directory");
        fs::write(mirror.join(directory), "broken").expect("own file");
        let commit = place.fetch();
        assert_eq!(ids(&place.read(&commit, &Extent::Whole)), ["CVE-2026-1001"]);
    }
    for number in 0..=MOST_PACKS {
        fs::write(mirror.join(format!("objects/pack/pack-{number}.pack")), "").expect("own file");
    }
    let commit = place.fetch();
    assert!(packs(&mirror) < 3);
    assert_eq!(ids(&place.read(&commit, &Extent::Whole)), ["CVE-2026-1001"]);
}

/// What a power cut leaves of files that were written just before it.
#[test]
fn mirror_with_zeroed_files_is_made_anew() {
    let place = Place::new();
    place.publish(1001, "6.1");
    place.commit();
    place.fetch();
    let mirror = place.directory.path().join("mirror");
    let (config, settings) = (mirror.join("config"), fs::read(mirror.join("config")));
    for name in ["config", "packed-refs", "HEAD", "shallow"] {
        for zeroed in [&[0; 64][..], &[]] {
            fs::write(mirror.join(name), zeroed).expect("own file");
            let commit = place.fetch();
            let snapshot = place.read(&commit, &Extent::Whole);
            assert_eq!(ids(&snapshot), ["CVE-2026-1001"], "{name}");
        }
    }
    // The fault is the network's when nobody is there, and the mirror stays.
    fs::write(&config, [0; 64]).expect("own file");
    place.mirror().fetch("http://127.0.0.1:9/vulns.git").expect_err("nobody there");
    assert_eq!(fs::read(&config).expect("own file"), [0; 64]);
    place.fetch();
    assert_eq!(fs::read(&config).expect("own file"), settings.expect("own file"));
}

#[test]
fn repository_of_another_user_is_read() {
    let place = Place::new();
    place.publish(1001, "6.1");
    place.commit();
    // Only root can give it away.
    if rustix::process::geteuid().is_root() {
        for entry in walkdir::WalkDir::new(place.upstream()) {
            let entry = entry.expect("own directory");
            std::os::unix::fs::lchown(entry.path(), Some(65534), Some(65534)).expect("own file");
        }
    } else {
        eprintln!("SKIPPED: only root can make a repository of another user");
    }
    let commit = place.fetch();
    assert_eq!(ids(&place.read(&commit, &Extent::Whole)), ["CVE-2026-1001"]);
}

#[test]
fn age_is_that_of_the_commit() {
    let place = Place::new();
    place.publish(1001, "6.1");
    place.git(&["add", "--all"]);
    place.git(&[
        "-c",
        "alias.at=!GIT_COMMITTER_DATE='@1000000000 +0000' git commit -qm feed",
        "at",
    ]);
    let commit = place.fetch();
    for extent in [Extent::Whole, Extent::Since(commit.clone())] {
        assert_eq!(place.read(&commit, &extent).newest, Some(1_000_000_000));
    }
}

#[test]
fn password_of_an_address_is_never_told() {
    let place = Place::new();
    for address in ["http://me:s3cret@127.0.0.1:9/vulns.git", "ftp://me:s3cret@127.0.0.1/v"] {
        let error = place.mirror().fetch(address).expect_err("nobody there");
        let text = format!("{error} {error:?}");
        assert!(!text.contains("s3cret") && text.contains("127.0.0.1"), "{text}");
    }
}

//! What goes wrong with a mirror of Debian's archive: real apt and curl against a small archive that is
//! signed and served here. Whatever it is, it ends in time, is told with the next step, and leaves nothing
//! that the next build would stumble over.

mod archive;

use std::time::{Duration, Instant};

use archive::{Archive, Fault, Signing, file_digest};
use elivepatch_builder::{Apt, Cache, MirrorTimes, Recipe, SilentObserver, Toolchains};
use elivepatch_model::{Failure, FailureClass};

/// The index and the package on the mirror.
const INDEX: &str = "InRelease";
const PACKAGE: &str = ".deb";

/// Times for mirrors that are to be given up.
const SHORT: MirrorTimes = MirrorTimes {
    silence_seconds: 2,
    retries: 1,
    slow_seconds: 2,
    index_seconds: 60,
    attempt_seconds: 60,
    package_seconds: 60,
};

/// An apt that waits for so long; it has found nothing yet.
fn apt(archive: &Archive, times: MirrorTimes) -> Apt {
    archive.apt_with("keyring.gpg", |options| options.times = times)
}

/// Asks for the index, which must fail and leave nothing that is taken for one.
fn index_failure(archive: &Archive, apt: &Apt) -> Failure {
    let failure = apt.versions("elivepatch-sample", &SilentObserver).expect_err("faulty");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    let state = apt.configuration().with_file_name("updated");
    assert!(!state.exists(), "taken for an index: {failure:?}");
    // The mirror is mended, and so is all.
    archive.faults().of.clear();
    failure
}

/// Makes the index work again, and says so.
fn works_again(apt: &Apt) {
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("it is mended");
    assert_eq!(versions.len(), 1);
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is mended");
    assert_eq!(file_digest(&path), versions[0].digest);
}

/// Fetches the package with a fault, which must fail; what is left is a part of it that is gone on with.
fn package_failure(archive: &Archive, fault: Fault) -> Failure {
    let apt = apt(archive, SHORT);
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("a good index");
    archive.faults().of.insert(PACKAGE, fault);
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("faulty");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(!archive.path("cache/packages/elivepatch-sample_1.0_amd64.deb").exists());
    archive.faults().of.clear();
    works_again(&apt);
    failure
}

fn is_told(failure: &Failure, meaning: &str, step: &str) {
    let told = format!("cannot fetch the package index from Debian's archive: {meaning}");
    assert_eq!(failure.message, told, "{failure:#?}");
    assert!(failure.hint.contains(step), "{failure:#?}");
    assert!(!failure.details.is_empty(), "apt's own words");
}

#[test]
fn mirror_that_hangs_in_the_index_is_given_up_in_time() {
    for bytes in [0, 20] {
        let archive = Archive::new();
        archive.faults().of.insert(INDEX, Fault::Hang(bytes));
        let began = Instant::now();
        let apt = apt(&archive, SHORT);
        let failure = index_failure(&archive, &apt);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        is_told(&failure, "the mirror hangs, or is too slow", "name another mirror");
        works_again(&apt);
    }
}

#[test]
fn mirror_that_trickles_the_index_is_given_up_in_time() {
    let archive = Archive::new();
    archive.faults().of.insert(INDEX, Fault::Trickle(200));
    let began = Instant::now();
    let apt = apt(&archive, MirrorTimes { index_seconds: 4, ..SHORT });
    let failure = index_failure(&archive, &apt);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    is_told(&failure, "the mirror is too slow: it ran for more than 4 s", "another mirror");
    // With the time that a busy machine needs.
    works_again(&self::apt(&archive, SHORT));
}

#[test]
fn index_that_has_expired_is_told_from_one_that_is_wrong() {
    let archive = Archive::with("Valid-Until: Fri, 02 Oct 2026 00:00:00 UTC\n");
    let failure = index_failure(&archive, &apt(&archive, SHORT));
    is_told(&failure, "its index has expired", "`valid_until = false`");
}

#[test]
fn index_whose_key_has_expired_is_refused_and_the_key_named() {
    let key = Some(("20200101T000000", "20200201T000000"));
    let archive = Archive::signed(&Signing { key, ..Signing::default() });
    let failure = index_failure(&archive, &apt(&archive, SHORT));
    is_told(
        &failure,
        "the key that its index is signed with has expired",
        "--only-upgrade debian-archive-keyring",
    );
    // Whoever accepts an index past its time does not accept such a key.
    let lenient = archive.apt_with("keyring.gpg", |options| options.valid_until = false);
    index_failure(&archive, &lenient);
}

#[test]
fn index_of_another_key_or_with_a_keyring_that_is_not_there_is_refused_with_the_next_step() {
    let archive = Archive::new();
    let failure = index_failure(&archive, &archive.apt_with("other.gpg", |_| {}));
    is_told(&failure, "its index is not signed by a key of the keyring", "name its keyring");
    let failure = index_failure(&archive, &archive.apt_with("no-such.gpg", |_| {}));
    let keyring = archive.path("no-such.gpg");
    let told =
        format!("cannot read the keyring {keyring} that Debian's archive must be signed by: ");
    assert!(failure.message.starts_with(&told), "{failure:#?}");
    assert!(failure.hint.starts_with("apt-get install debian-archive-keyring;"), "{failure:#?}");
    works_again(&apt(&archive, SHORT));
}

#[test]
fn index_whose_signed_text_was_changed_is_refused() {
    let archive = Archive::new();
    archive.faults().of.insert(INDEX, Fault::Corrupt);
    let apt = apt(&archive, SHORT);
    let failure = index_failure(&archive, &apt);
    is_told(&failure, "the signature of its index is wrong or missing", "log in");
    works_again(&apt);
}

#[test]
fn list_of_packages_that_is_not_the_signed_one_is_refused() {
    for fault in [Fault::Corrupt, Fault::Short(100)] {
        let archive = Archive::new();
        archive.faults().of.insert("Packages", fault);
        let apt = apt(&archive, SHORT);
        let failure = index_failure(&archive, &apt);
        let meaning = "its index files are not what its signed Release file says";
        is_told(&failure, meaning, "in some minutes");
        works_again(&apt);
    }
}

#[test]
fn index_is_not_fetched_from_another_scheme_nor_in_a_circle() {
    let archive = Archive::new();
    let circle = format!("{}/debian/dists/sample/InRelease", archive.address);
    for to in ["file:///etc/hostname", "ftp://127.0.0.1/InRelease", &circle] {
        // Also where apt looks for an index with the signature beside it.
        archive.faults().of.insert("Release", Fault::Redirect(to.to_owned()));
        let apt = apt(&archive, SHORT);
        let failure = index_failure(&archive, &apt);
        is_told(&failure, "the mirror leads elsewhere, where nothing is fetched from", "another");
    }
    works_again(&apt(&archive, SHORT));
}

#[test]
fn mirror_that_hangs_in_a_package_is_given_up_in_time_and_gone_on_with() {
    for bytes in [0, 100_000] {
        let archive = Archive::new();
        let began = Instant::now();
        let failure = package_failure(&archive, Fault::Hang(bytes));
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let told =
            "cannot fetch elivepatch-sample 1.0 from Debian's archive: the mirror hangs, or is";
        assert!(failure.message.starts_with(told), "{failure:#?}");
        assert!(failure.hint.contains("goes on with what was fetched"), "{failure:#?}");
    }
}

#[test]
fn mirror_that_brings_next_to_nothing_each_time_is_given_up() {
    let archive = Archive::new();
    let failure = package_failure(&archive, Fault::Cut(100));
    assert!(failure.message.starts_with("cannot fetch elivepatch-sample 1.0 "), "{failure:#?}");
    assert!(failure.hint.contains("what was fetched is kept"), "{failure:#?}");
    // Ten times 100 bytes; nothing of it was sent twice.
    assert_eq!(archive.faults().sent, archive.package_bytes);
}

#[test]
fn mirror_that_takes_longer_than_all_attempts_may_is_given_up() {
    let archive = Archive::new();
    let times = MirrorTimes { slow_seconds: 60, attempt_seconds: 2, package_seconds: 4, ..SHORT };
    let apt = apt(&archive, times);
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("a good index");
    archive.faults().of.insert(PACKAGE, Fault::Trickle(10));
    let began = Instant::now();
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("300 kB take 50 minutes");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert!(failure.message.contains("the mirror is too slow: it ran for more than "), "{failure}");
    archive.faults().of.clear();
    works_again(&apt);
}

#[test]
fn package_that_is_shorter_or_longer_than_the_index_says_is_refused_and_removed() {
    let lacks = "elivepatch-sample 1.0 does not have the digest of the archive's signed index";
    for fault in [Fault::Short(1000), Fault::Endless] {
        let archive = Archive::new();
        let began = Instant::now();
        let failure = package_failure(&archive, fault);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        assert_eq!(failure.message, lacks, "{failure:#?}");
        assert!(failure.hint.contains("try another one"), "{failure:#?}");
    }
}

#[test]
fn package_is_not_fetched_from_another_scheme_nor_in_a_circle() {
    let circle = "/debian/pool/elivepatch-sample_1.0_amd64.deb";
    for to in ["file:///etc/hostname", "ftp://127.0.0.1/x.deb", circle] {
        let failure = package_failure(&Archive::new(), Fault::Redirect(to.to_owned()));
        let told = "the mirror leads elsewhere, where nothing is fetched from";
        assert!(failure.message.ends_with(told), "{failure:#?}");
    }
}

#[test]
fn toolchain_root_that_the_mirror_does_not_bring_leaves_nothing() {
    let archive = Archive::new();
    let recipe = Recipe::parse(
        "name = \"mine\"\narchitecture = \"x86_64\"\ncompiler = \"gcc\"\n\
         compiler_text_begins = \"gcc (Mine) \"\nsuites = [\"sample\"]\npackages = [\"gcc\"]\n",
    )
    .expect("valid");
    let cache = Cache::open(&archive.path("cache")).expect("own directory");
    let toolchains = Toolchains::of(&cache, vec![recipe]);
    let began = Instant::now();
    for (fault, meaning) in [
        (Fault::Hang(20), "the mirror hangs, or is too slow"),
        (Fault::Corrupt, "the signature of its index is wrong or missing"),
    ] {
        archive.faults().of.insert("Release", fault);
        let apt = apt(&archive, SHORT);
        let failure = toolchains.root(&toolchains.recipes()[0], &|| Ok(&apt), &SilentObserver);
        let failure = failure.expect_err("nothing comes");
        assert_eq!(failure.class, FailureClass::ToolchainFailed);
        let told = format!("mmdebstrap could not install the toolchain root mine: {meaning}");
        assert_eq!(failure.message, told, "{failure:#?}");
        assert!(failure.hint.contains("another one in") || failure.hint.contains("another mirror"));
        for left in ["mine", "mine.partial"] {
            assert!(!cache.toolchain_roots().join(left).exists(), "{left}");
        }
    }
    // apt's own times would be 30 s, four times for each.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

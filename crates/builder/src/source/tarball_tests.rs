use super::*;
use crate::{
    SilentObserver,
    source::{
        test_place::TestPlace,
        test_web::{Answer, Key, Web},
    },
};

const NAME: &str = "linux-6.12.31.tar.xz";

struct Setting {
    place: TestPlace,
    web: Web,
}

impl Setting {
    fn new() -> Self {
        let place = TestPlace::new();
        Self { place, web: Web::new() }
    }

    /// A tarball of a tree with these files, its name below `linux-6.12/` and its text.
    fn tarball(&self, files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            let path = format!("linux-6.12/{name}");
            builder.append_data(&mut header, path, text.as_bytes()).expect("in memory");
        }
        builder.into_inner().expect("in memory")
    }

    fn xz(&self, content: &[u8]) -> Vec<u8> {
        let path = self.place.directory.join("to-pack");
        fs_err::write(&path, content).expect("own file");
        let output = std::process::Command::new("xz").args(["-0", "--stdout"]).arg(path).output();
        output.expect("xz is installed").stdout
    }

    fn url(&self) -> Place {
        Place::Url(format!("{}/linux-{{version}}.tar.xz", self.web.address).parse().expect("one"))
    }

    fn path(&self, name: &str) -> Place {
        Place::Path(format!("{}/{name}", self.place.directory).parse().expect("a template"))
    }

    fn by_digests(&self, list: &str) -> TarballOptions {
        fs_err::write(self.place.directory.join("sums"), list).expect("own file");
        let check = TarballCheck::Sums { list: self.path("sums"), keyring: None };
        TarballOptions { place: self.url(), patches: None, check }
    }

    fn find(&self, options: &TarballOptions, release: &str) -> Result<TreeFacts, Failure> {
        let release = release.parse().expect("a release");
        let kind = crate::SourceKind::Tarball(options.clone());
        let source = crate::SourceOptions { name: "t".to_owned(), releases: Vec::new(), kind };
        let local = LocalFiles::open(&source.local_places(), &[], &self.place.cache);
        let mut tarballs = Tarballs::new(options, &local, &release, self.place.tools());
        tarballs.times.slow_seconds = 2;
        tarballs.find()
    }

    /// What is left of fetching, without locks.
    fn leftovers(&self) -> Vec<String> {
        let Ok(entries) = self.place.cache.sources().read_dir_utf8() else {
            return Vec::new();
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_owned());
        names.filter(|name| !name.ends_with(".lock")).collect()
    }
}

fn sums(content: &[u8]) -> String {
    format!("{}  {NAME}\n", Sha256Digest::of(content))
}

fn refused(result: Result<TreeFacts, Failure>, class: FailureClass, expected: &str) -> Failure {
    let failure = result.expect_err(expected);
    assert_eq!(failure.class, class, "{failure:?}");
    assert!(failure.message.contains(expected), "{failure:?}");
    failure
}

#[test]
fn tarball_is_fetched_once_checked_and_unpacked() {
    let setting = Setting::new();
    let content = setting.xz(&setting.tarball(&[("Makefile", "all:\n")]));
    setting.web.put_content(&format!("/{NAME}"), &content);
    let options = setting.by_digests(&sums(&content));
    let facts = setting.find(&options, "6.12.31-custom").expect("it is there");
    assert_eq!(facts.digest, Sha256Digest::of(&content));
    assert_eq!(setting.find(&options, "6.12.31-other"), Ok(facts.clone()));
    assert_eq!(setting.web.requests(&format!("/{NAME}")), 1, "fetched twice");
    let record = facts.record();
    assert_eq!((record.kind.as_str(), record.version.as_str()), ("tarball", "6.12.31"));
    let tree = setting.place.unpack(&facts).expect("it is whole");
    assert_eq!(fs_err::read_to_string(tree.join("Makefile")).expect("a file"), "all:\n");
    // What lies in the cache is looked at again, and fetched again when it is damaged.
    fs_err::write(&facts.path, "damaged").expect("own file");
    assert_eq!(setting.find(&options, "6.12.31-custom"), Ok(facts));
}

#[test]
fn file_that_is_not_there_is_left_to_other_sources() {
    let setting = Setting::new();
    let options = setting.by_digests(&sums(b"x"));
    refused(setting.find(&options, "6.12.31"), FailureClass::ReleaseUnknown, "is not there (404)");
    let local = TarballOptions {
        place: setting.path("linux-{version}.tar.xz"),
        patches: None,
        check: TarballCheck::None,
    };
    refused(setting.find(&local, "6.12.31"), FailureClass::ReleaseUnknown, "is not there");
}

#[test]
fn file_that_breaks_off_is_gone_on_with() {
    let setting = Setting::new();
    let content: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let answer =
        Answer { content: content.clone(), cuts: vec![1000, 200_000], ..Answer::default() };
    setting.web.put(&format!("/{NAME}"), answer);
    let options = setting.by_digests(&sums(&content));
    assert_eq!(
        setting.find(&options, "6.12.31").expect("all of it").digest,
        Sha256Digest::of(&content)
    );
    assert_eq!(setting.web.requests(&format!("/{NAME}")), 3);
}

#[test]
fn file_that_comes_short_without_a_word_is_refused_and_nothing_is_left() {
    let setting = Setting::new();
    let answer = Answer {
        content: vec![7; 50_000],
        cuts: vec![20_000],
        hides_size: true,
        ..Answer::default()
    };
    setting.web.put(&format!("/{NAME}"), answer);
    let options = setting.by_digests(&sums(&[7; 50_000]));
    let failure = refused(
        setting.find(&options, "6.12.31"),
        FailureClass::FetchFailed,
        "does not have the digest",
    );
    assert_eq!(failure.details.len(), 2);
    assert_eq!(setting.leftovers(), Vec::<String>::new());
}

#[test]
fn file_with_another_digest_is_refused_and_nothing_is_left() {
    let setting = Setting::new();
    setting.web.put_content(&format!("/{NAME}"), b"something else");
    let options = setting.by_digests(&sums(b"the kernel"));
    refused(
        setting.find(&options, "6.12.31"),
        FailureClass::FetchFailed,
        "does not have the digest",
    );
    assert_eq!(setting.leftovers(), Vec::<String>::new());
    // The list says nothing of the file: kernel.org's are complete.
    let options = setting.by_digests("no digests\n");
    let unusable = FailureClass::SourceUnusable;
    refused(setting.find(&options, "6.12.31"), unusable, "has no digest of");
    assert_eq!(setting.leftovers(), Vec::<String>::new());
}

#[test]
fn file_without_its_signature_or_list_is_not_left_to_other_sources() {
    let setting = Setting::new();
    setting.web.put_content(&format!("/{NAME}"), b"kernel");
    let key = Key::new(&setting.place.directory, "own");
    let missing = format!("{}/missing", setting.web.address);
    let list = Place::Url(missing.parse().expect("a template"));
    let checks = [
        TarballCheck::Signature { signature: None, keyring: key.keyring.clone() },
        TarballCheck::Sums { list, keyring: None },
    ];
    for check in checks {
        let options = TarballOptions { place: setting.url(), patches: None, check };
        let found = setting.find(&options, "6.12.31");
        let failure = refused(found, FailureClass::FetchFailed, "is not there (404)");
        assert!(failure.hint.contains("[[source]]"), "{failure:?}");
        // Where the kernel itself is missing, another source may have it.
        let found = setting.find(&options, "6.12.32");
        refused(found, FailureClass::ReleaseUnknown, "6.12.32.tar.xz is not there (404)");
        assert_eq!(setting.leftovers(), Vec::<String>::new());
    }
}

#[test]
fn slow_server_is_given_up_on() {
    let setting = Setting::new();
    let answer = Answer { content: vec![7; 1000], stalls: true, ..Answer::default() };
    setting.web.put(&format!("/{NAME}"), answer);
    let began = std::time::Instant::now();
    let options = setting.by_digests(&sums(&[7; 1000]));
    let failure =
        refused(setting.find(&options, "6.12.31"), FailureClass::FetchFailed, "is too slow");
    assert!(failure.hint.contains("submit"), "{failure:?}");
    assert!(began.elapsed().as_secs() < 20);
}

#[test]
fn redirect_to_another_protocol_is_refused() {
    let setting = Setting::new();
    let secret = setting.place.directory.join("secret");
    fs_err::write(&secret, "secret").expect("own file");
    for to in [
        format!("file://{secret}"),
        "ftp://127.0.0.1/x".to_owned(),
        "https://127.0.0.1:1/".to_owned(),
    ] {
        let answer = Answer { redirect: Some(to.clone()), ..Answer::default() };
        setting.web.put(&format!("/{NAME}"), answer);
        let options = setting.by_digests(&sums(b"secret"));
        let failure = refused(
            setting.find(&options, "6.12.31"),
            FailureClass::FetchFailed,
            "leads to another protocol",
        );
        let scheme = to.split(':').next().expect("it has one");
        assert!(failure.message.contains(scheme), "{failure}");
        assert_eq!(setting.leftovers(), Vec::<String>::new(), "{to}");
    }
    // Within the protocol it is followed.
    let there = format!("{}/there", setting.web.address);
    setting.web.put(&format!("/{NAME}"), Answer { redirect: Some(there), ..Answer::default() });
    setting.web.put_content("/there", b"kernel");
    setting.find(&setting.by_digests(&sums(b"kernel")), "6.12.31").expect("it is there");
}

#[test]
fn download_without_end_is_stopped_at_its_limit() {
    let setting = Setting::new();
    let partial = setting.place.directory.join("x.partial");
    for hides_size in [false, true] {
        let answer = Answer { content: vec![7; 9 << 20], hides_size, ..Answer::default() };
        setting.web.put("/x", answer);
        let url = format!("{}/x", setting.web.address);
        let (limit_bytes, times) = (1 << 20, FetchTimes { slow_seconds: 5, total_seconds: 60 });
        let download = Download { url: &url, partial: &partial, limit_bytes, times };
        let failure = download.run(&SilentObserver).expect_err("too large");
        assert!(failure.message.contains("has more than 1 MiB"), "{failure:?}");
        assert!(!partial.exists());
    }
}

#[test]
fn list_must_be_signed_by_a_key_of_the_keyring() {
    let setting = Setting::new();
    setting.web.put_content(&format!("/{NAME}"), b"kernel");
    let (key, other) =
        (Key::new(&setting.place.directory, "own"), Key::new(&setting.place.directory, "other"));
    let expired = Key::expired(&setting.place.directory, "expired");
    let list = sums(b"kernel");
    let options = |signed: &[u8], keyring: &Utf8Path| {
        let text = String::from_utf8_lossy(signed).into_owned();
        let TarballOptions { place, patches, .. } = setting.by_digests(&text);
        let (list, keyring) = (setting.path("sums"), Some(keyring.to_owned()));
        TarballOptions { place, patches, check: TarballCheck::Sums { list, keyring } }
    };
    let find =
        |signed: &[u8], keyring: &Utf8Path| setting.find(&options(signed, keyring), "6.12.31");
    let signed = key.sign_clear(list.as_bytes());
    let failed = FailureClass::FetchFailed;
    refused(find(&signed, &other.keyring), failed, "is not signed by a key of the keyring");
    refused(find(list.as_bytes(), &key.keyring), failed, "signature");
    let old = expired.sign_clear(list.as_bytes());
    refused(find(&old, &expired.keyring), failed, "key that has expired");
    // What stands beside the signed text is not signed.
    let other_list = sums(b"evil");
    setting.web.put_content(&format!("/{NAME}"), b"evil");
    let around = [other_list.as_bytes(), &signed, other_list.as_bytes()].concat();
    find(&around, &key.keyring).expect_err("it is not what was signed");
    let changed = String::from_utf8_lossy(&signed).replace(&list, &other_list);
    refused(find(changed.as_bytes(), &key.keyring), failed, "content that was signed");
    assert_eq!(setting.leftovers(), Vec::<String>::new());
    setting.web.put_content(&format!("/{NAME}"), b"kernel");
    find(&signed, &key.keyring).expect("signed");
}

#[test]
fn signature_is_that_of_the_uncompressed_file() {
    let setting = Setting::new();
    let key = Key::new(&setting.place.directory, "own");
    let expired = Key::expired(&setting.place.directory, "expired");
    let plain = setting.tarball(&[("Makefile", "all:\n")]);
    let packed = setting.xz(&plain);
    setting.web.put_content(&format!("/{NAME}"), &packed);
    let find = |signature: &[u8], keyring: &Utf8Path| {
        setting.web.put_content("/linux-6.12.31.tar.sign", signature);
        let check = TarballCheck::Signature { signature: None, keyring: keyring.to_owned() };
        let options = TarballOptions { place: setting.url(), patches: None, check };
        setting.find(&options, "6.12.31")
    };
    let failed = FailureClass::FetchFailed;
    refused(find(&key.sign(&packed), &key.keyring), failed, "content that was signed");
    refused(find(&expired.sign(&plain), &expired.keyring), failed, "key that has expired");
    refused(find(&expired.sign(&plain), &key.keyring), failed, "is not signed by a key");
    refused(find(b"no signature", &key.keyring), failed, "signature");
    let armoured = setting.place.directory.join("armoured");
    fs_err::write(&armoured, "-----BEGIN PGP PUBLIC KEY BLOCK-----\n").expect("own file");
    refused(find(&key.sign(&plain), &armoured), FailureClass::SourceUnusable, "gpg --dearmor");
    assert_eq!(setting.leftovers(), Vec::<String>::new());
    let facts = find(&key.sign(&plain), &key.keyring).expect("signed");
    assert_eq!(facts.digest, Sha256Digest::of(&packed));
    // It was checked already.
    find(b"no signature", &key.keyring).expect("it lies in the cache");
}

#[test]
fn patch_of_the_stable_branch_leads_from_the_series_to_the_version() {
    let setting = Setting::new();
    let place = |name: &str| setting.place.directory.join(name);
    let tarball = setting.tarball(&[("Makefile", "SUBLEVEL = 0\n"), ("a.c", "int a;\n")]);
    fs_err::write(place("linux-6.12.tar"), tarball).expect("own file");
    let patch = |from: &str| {
        format!("--- a/Makefile\n+++ b/Makefile\n@@ -1 +1 @@\n-SUBLEVEL = {from}\n+SUBLEVEL = 31\n")
    };
    let write = |from: &str| {
        let packed = setting.xz(patch(from).as_bytes());
        fs_err::write(place("patch-6.12.31.xz"), packed).expect("own file");
    };
    write("0");
    let options = TarballOptions {
        place: setting.path("linux-{series}.tar"),
        patches: Some(setting.path("patch-{version}.xz")),
        check: TarballCheck::None,
    };
    let facts = setting.find(&options, "6.12.31-custom").expect("both are there");
    let record = facts.record();
    let names: Vec<&str> = record.packages.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["linux-6.12.tar", "patch-6.12.31.xz"]);
    let tree = setting.place.unpack(&facts).expect("it fits");
    let makefile = fs_err::read_to_string(tree.join("Makefile")).expect("a file");
    assert_eq!(makefile, "SUBLEVEL = 31\n");
    let series = setting.find(&options, "6.12.0-custom").expect("the tarball alone");
    assert_ne!(series.identity(), facts.identity());
    assert!(series.increments.is_empty());
    refused(setting.find(&options, "6.12.32"), FailureClass::ReleaseUnknown, "patch-6.12.32.xz");

    fs_err::remove_dir_all(tree).expect("own directory");
    let changed = setting.place.unpack(&facts).map(drop);
    assert_eq!(changed, Ok(()));
    fs_err::remove_dir_all(setting.place.directory.join("tree")).expect("own directory");
    write("5");
    let facts = setting.find(&options, "6.12.31-custom").expect("both are there");
    let failure = setting.place.unpack(&facts).expect_err("it does not fit");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains("hunk 1 does not fit Makefile"), "{failure}");
}

#[test]
fn tarball_that_is_not_whole_is_told_when_it_is_unpacked() {
    let setting = Setting::new();
    let mut content = setting.xz(&setting.tarball(&[("Makefile", &"all:\n".repeat(50_000))]));
    content.truncate(content.len() - 30);
    fs_err::write(setting.place.directory.join(NAME), content).expect("own file");
    let place = setting.path("linux-{version}.tar.xz");
    let options = TarballOptions { place, patches: None, check: TarballCheck::None };
    let facts = setting.find(&options, "6.12.31").expect("a file");
    let failure = setting.place.unpack(&facts).expect_err("it is cut");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains("cannot be unpacked"), "{failure}");
}

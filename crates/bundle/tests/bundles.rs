//! Bundles that are what they say, and others.

use std::{fs, io::Read};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_bundle::{
    Bundle, BundleError, BundleWriter, Content, FeedHeader, PublicKey, SecretKey, generate_keys,
};
use elivepatch_model::Sha256Digest;
use jiff::Timestamp;

const COMMIT: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

const PATCH: &str = "--- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-a\n+b\n";

struct Place {
    _directory: tempfile::TempDir,
    path: Utf8PathBuf,
    public: PublicKey,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).expect("UTF-8");
        let (_, public) = generate_keys(&path.join("key"), &path.join("pub")).expect("keys");
        let public = PublicKey::parse(&public).expect("a key");
        Self { _directory: directory, path, public }
    }

    fn file(&self) -> Utf8PathBuf {
        self.path.join("bundle")
    }

    fn key(&self) -> SecretKey {
        SecretKey::read(&self.path.join("key")).expect("a key")
    }

    /// Writes a bundle with two records and a fix.
    fn write(&self) {
        let mut writer = BundleWriter::new().expect("there is room");
        writer.add_records(&["one"]).expect("there is room");
        writer.add_records(&["two"]).expect("there is room");
        writer.add_faults(&["a fault"]).expect("there is room");
        writer.add_fix(COMMIT, "somewhere", PATCH.as_bytes()).expect("there is room");
        let written = writer.finish(header(), Timestamp::UNIX_EPOCH, &self.key(), &self.file());
        assert_eq!(written.expect("it is written").fixes, 1);
    }

    /// Signs a tarball with these members and puts it into the file.
    fn sign(&self, members: &[(&str, &[u8])]) {
        self.sign_tarball(&tarball(members));
    }

    fn sign_tarball(&self, tarball: &[u8]) {
        let inner = zstd::encode_all(tarball, 3).expect("in memory");
        self.wrap(&[("feed.tar.zst.minisig", &self.signature(&inner)), ("feed.tar.zst", &inner)]);
    }

    fn signature(&self, of: &[u8]) -> Vec<u8> {
        let text = fs::read_to_string(self.path.join("key")).expect("own file");
        let key = minisign::SecretKeyBox::from(text).into_unencrypted_secret_key().expect("a key");
        minisign::sign(None, &key, of, None, None).expect("it is signed").to_bytes()
    }

    fn wrap(&self, members: &[(&str, &[u8])]) {
        fs::write(self.file(), tarball(members)).expect("own file");
    }

    fn open(&self) -> Result<Bundle, BundleError> {
        Bundle::open(&self.file(), std::slice::from_ref(&self.public))
    }

    /// Why the bundle cannot be read to its end.
    fn error(&self) -> BundleError {
        let read = self.open().and_then(|bundle| bundle.read::<BundleError>(|_| Ok(())));
        read.expect_err("it is not to be used")
    }

    fn says(&self, expected: &str) {
        let error = self.error().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

fn header() -> FeedHeader {
    FeedHeader {
        source: "https://example.org/vulns.git".to_owned(),
        revision: Some(COMMIT.to_owned()),
        parser: 1,
        data_at: Timestamp::UNIX_EPOCH,
        read_at: Timestamp::UNIX_EPOCH,
        published: 2,
        rejected: 0,
        faulty: 1,
    }
}

fn tarball(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tarball = tar::Builder::new(Vec::new());
    for (name, content) in members {
        append(&mut tarball, name, content.len() as u64, content, tar::EntryType::Regular);
    }
    tarball.into_inner().expect("in memory")
}

/// Adds a member with any name and size, also those that the library does not make.
fn append(
    tarball: &mut tar::Builder<Vec<u8>>,
    name: &str,
    size: u64,
    content: &[u8],
    kind: tar::EntryType,
) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(kind);
    header.set_cksum();
    tarball.append(&header, content).expect("in memory");
}

/// An index of these members.
fn index(members: &[(&str, &[u8])]) -> Vec<u8> {
    let members: Vec<serde_json::Value> = members
        .iter()
        .map(|(name, content)| {
            serde_json::json!({
                "name": name,
                "size_bytes": content.len(),
                "sha256": Sha256Digest::of(content).to_string(),
            })
        })
        .collect();
    let index = serde_json::json!({
        "form": "elivepatch-feed-bundle",
        "version": 1,
        "exported_at": "2026-11-26T06:00:00Z",
        "exported_by": "a test",
        "feed": header(),
        "members": members,
    });
    serde_json::to_vec(&index).expect("plain data")
}

#[test]
fn what_was_written_is_read() {
    let place = Place::new();
    place.write();
    let bundle = place.open().expect("a bundle");
    assert_eq!(bundle.key(), place.public.id());
    assert_eq!((&bundle.index().feed, bundle.index().fixes()), (&header(), 1));
    // Also a second time.
    for _ in 0..2 {
        let mut seen = Vec::new();
        let read = bundle.read::<BundleError>(|content| {
            seen.push(match content {
                Content::Record(line) => String::from_utf8_lossy(line).into_owned(),
                Content::Faults(text) => String::from_utf8_lossy(text).into_owned(),
                Content::Fix { commit, source, text } => {
                    format!("{commit} {source} {}", String::from_utf8_lossy(&text))
                }
            });
            Ok(())
        });
        read.expect("it is whole");
        let fix = format!("{COMMIT} somewhere {PATCH}");
        assert_eq!(seen, ["\"one\"\n", "\"two\"\n", "[\"a fault\"]", &fix]);
    }
}

#[test]
fn only_the_signature_of_a_trusted_key_counts() {
    let place = Place::new();
    place.write();
    let other = Place::new();
    let error = Bundle::open(&place.file(), std::slice::from_ref(&other.public));
    let error = error.expect_err("it is another one's").to_string();
    for part in [place.public.id(), other.public.id()] {
        assert!(error.contains(&part.to_string()), "{error}");
    }
    let both = [other.public.clone(), place.public.clone()];
    assert_eq!(Bundle::open(&place.file(), &both).expect("one fits").key(), place.public.id());
    assert!(matches!(Bundle::open(&place.file(), &[]), Err(BundleError::NoKey { .. })));
    // A key that only says that it has this number.
    let mut forged = base64_of(&other.path.join("pub"));
    forged[2..10].copy_from_slice(&base64_of(&place.path.join("pub"))[2..10]);
    let forged = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, forged);
    let forged = PublicKey::parse(&forged).expect("it looks like one");
    assert_eq!(forged.id(), place.public.id());
    let error = Bundle::open(&place.file(), &[forged]).expect_err("it is another one");
    assert!(matches!(error, BundleError::Signature { .. }), "{error}");
}

fn base64_of(path: &Utf8Path) -> Vec<u8> {
    let text = fs::read_to_string(path).expect("own file");
    let line = text.lines().nth(1).expect("a key");
    base64::Engine::decode(&base64::prelude::BASE64_STANDARD, line).expect("base64")
}

#[test]
fn every_changed_byte_of_the_signed_part_is_seen_and_every_cut() {
    let place = Place::new();
    place.write();
    let whole = fs::read(place.file()).expect("own file");
    // The tarball begins after its header, which follows that of the signature and its block.
    let begin = 3 * 512;
    let size = place_of_size(&whole);
    for at in (begin..begin + size).step_by(37).chain([begin, begin + size - 1]) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(place.file(), changed).expect("own file");
        assert!(matches!(place.error(), BundleError::Signature { .. }), "byte {at}");
    }
    for length in (0..begin + size).step_by(101).chain([512, 1024, begin, begin + size - 1]) {
        fs::write(place.file(), &whole[..length]).expect("own file");
        let error = place.error();
        assert!(
            matches!(error, BundleError::CutOff { .. } | BundleError::NoBundle { .. }),
            "{length}: {error}"
        );
    }
    // Whatever is changed in the signature: no panic, and never a bundle, but for the comment that nothing
    // signs.
    let comment = String::from_utf8_lossy(&whole[512..1024]).find('\n').expect("it has lines");
    for at in 512 + comment + 1..1024 {
        let mut changed = whole.clone();
        changed[at] ^= 0x01;
        if whole[at] == 0 {
            continue;
        }
        fs::write(place.file(), changed).expect("own file");
        place.error();
    }
}

/// The size that the header of the second member says.
fn place_of_size(whole: &[u8]) -> usize {
    let header = tar::Header::from_byte_slice(&whole[2 * 512..3 * 512]);
    usize::try_from(header.size().expect("a size")).expect("it fits")
}

#[test]
fn the_outside_is_a_signature_and_a_tarball_and_nothing_else() {
    let place = Place::new();
    let inner = zstd::encode_all(&tarball(&[])[..], 3).expect("in memory");
    let signature = place.signature(&inner);
    let (signature, inner) = (&signature[..], &inner[..]);
    let (a, b) = ("feed.tar.zst.minisig", "feed.tar.zst");
    for (members, expected) in [
        (vec![], "feed.tar.zst.minisig is missing"),
        (vec![(b, inner), (a, signature)], "it has \"feed.tar.zst\" in the place"),
        (vec![(a, signature)], "feed.tar.zst is missing"),
        (vec![(a, signature), (b, inner), (b, inner)], "more than a tarball"),
        (vec![(a, signature), ("../feed.tar.zst", inner)], "it has \"../feed.tar.zst\""),
        (vec![("/etc/passwd", signature), (b, inner)], "it has \"/etc/passwd\""),
        (vec![(a, b"untrusted comment: x\n"), (b, inner)], "is no signature"),
        (vec![(a, &[0xff; 300]), (b, inner)], "is no signature"),
        (vec![(a, &[b'x'; 5000]), (b, inner)], "5000 bytes, and no bundle more than 4096"),
    ] {
        place.wrap(&members);
        place.says(expected);
    }
    fs::write(place.file(), "no tarball at all".repeat(100)).expect("own file");
    assert!(matches!(place.error(), BundleError::NoBundle { .. }));
    let mut links = tar::Builder::new(Vec::new());
    append(&mut links, a, 0, b"", tar::EntryType::Symlink);
    fs::write(place.file(), links.into_inner().expect("in memory")).expect("own file");
    place.says("feed.tar.zst.minisig in it is no file");
    // A header that announces a name of gigabytes is not read as one.
    let mut long = tar::Builder::new(Vec::new());
    append(&mut long, "././@LongLink", 1 << 40, b"x", tar::EntryType::GNULongName);
    fs::write(place.file(), long.into_inner().expect("in memory")).expect("own file");
    assert!(matches!(place.error(), BundleError::NoBundle { .. }));
    let mut large = tar::Builder::new(Vec::new());
    append(&mut large, a, signature.len() as u64, signature, tar::EntryType::Regular);
    append(&mut large, b, 3 << 30, b"x", tar::EntryType::Regular);
    fs::write(place.file(), large.into_inner().expect("in memory")).expect("own file");
    place.says("feed.tar.zst in");
    assert!(matches!(place.error(), BundleError::TooLarge { .. }));
}

#[test]
fn what_a_trusted_key_signed_is_not_believed_either() {
    let place = Place::new();
    let (records, faults) = (("feed.jsonl", &b"1\n2\n"[..]), ("faults.json", &b"[]"[..]));
    let name = format!("fixes/{COMMIT}.patch");
    let fix = (name.as_str(), PATCH.as_bytes());
    let sign = |listed: &[(&str, &[u8])], members: &[(&str, &[u8])]| {
        let index = index(listed);
        let mut all = vec![("index.json", &index[..])];
        all.extend(members);
        place.sign(&all);
    };
    let right = [records, faults, fix];
    sign(&right, &right);
    place.open().expect("a bundle").read::<BundleError>(|_| Ok(())).expect("it is right");

    sign(&[records, faults, fix, fix], &[records, faults, fix, fix]);
    place.says(&format!("it has {name} twice"));
    sign(&right, &[records, faults, fix, fix]);
    place.says("more members than its index");
    sign(&right, &[records, faults]);
    place.says("is missing");
    sign(&right, &[faults, records, fix]);
    place.says("in the place of feed.jsonl");
    for path in ["../../../etc/cron.d/x", "/etc/passwd", "fixes/../x.patch", "feed.jsonl"] {
        sign(&[records, faults, (path, b"x")], &[records, faults, (path, b"x")]);
        place.says("is not the name of a fix");
    }
    sign(&right, &[("feed.jsonl", b"1\n3\n"), faults, fix]);
    place.says("feed.jsonl does not have the digest");
    sign(&right, &[records, faults, (fix.0, &PATCH.replace("+b", "+c").into_bytes())]);
    place.says("does not have the digest");
    sign(&right, &[("feed.jsonl", b"1\n"), faults, fix]);
    place.says("feed.jsonl has 2 bytes, not 4");
    sign(&[records], &[records]);
    place.says("does not name records and faults");
    let large = vec![b'x'; (1 << 20) + 1];
    sign(&[records, faults, (fix.0, &large)], &[records, faults, (fix.0, &large)]);
    place.says("has more than 1048576 bytes");
    let long = vec![b' '; (8 << 20) + 1];
    sign(&[("feed.jsonl", &long), faults], &[("feed.jsonl", &long), faults]);
    place.says("record 1 has more than 8388608 bytes");
    let many = b"1\n".repeat(100_001);
    sign(&[("feed.jsonl", &many), faults], &[("feed.jsonl", &many), faults]);
    place.says("more than 100000 records");

    place.sign(&[("index.json", b"{"), records, faults]);
    place.says("its index: EOF");
    place.sign(&[("feed.jsonl", b"1\n")]);
    place.says("it has \"feed.jsonl\" in the place of index.json");
    place.sign(&[]);
    place.says("it is empty");
    let other = br#"{"form": "backup", "version": 1}"#;
    place.sign(&[("index.json", other)]);
    place.says("it is \"backup\"");
    let later = br#"{"form": "elivepatch-feed-bundle", "version": 2}"#;
    place.sign(&[("index.json", later)]);
    assert!(matches!(place.error(), BundleError::Newer { version: 2, .. }));
}

#[test]
fn bombs_end_at_what_the_index_may_say() {
    let place = Place::new();
    // An index of 65 MiB, which compresses to nothing.
    let mut zeros = tar::Builder::new(Vec::new());
    let size = (64 << 20) + 1;
    append(&mut zeros, "index.json", size, &vec![b' '; size as usize], tar::EntryType::Regular);
    place.sign_tarball(&zeros.into_inner().expect("in memory"));
    assert!(fs::metadata(place.file()).expect("it is there").len() < 1 << 20);
    place.says("index.json has more than 67108864 bytes");
    // An index that says that there is more than there may be.
    let index = String::from_utf8(index(&[("feed.jsonl", b""), ("faults.json", b"[]")]));
    let index = index.expect("UTF-8").replacen("\"size_bytes\":0", "\"size_bytes\":9000000000", 1);
    place.sign(&[("index.json", index.as_bytes())]);
    place.says("more than 8589934592 bytes together");
    // What is no tarball, and no zstd.
    let inner = b"not compressed".repeat(100);
    place.wrap(&[("feed.tar.zst.minisig", &place.signature(&inner)), ("feed.tar.zst", &inner)]);
    assert!(matches!(place.error(), BundleError::Inside { .. }));
}

#[test]
fn bundle_that_cannot_be_written_leaves_what_was_there() {
    let place = Place::new();
    place.write();
    let before = fs::read(place.file()).expect("own file");
    let writer = || {
        let mut writer = BundleWriter::new().expect("there is room");
        writer.add_records(&["one"]).expect("there is room");
        writer.add_faults(&[""; 0]).expect("there is room");
        writer
    };
    let none = place.path.join("none/bundle");
    let failed = writer().finish(header(), Timestamp::UNIX_EPOCH, &place.key(), &none);
    assert!(matches!(failed, Err(BundleError::Write { .. })));
    // A bundle that could not be read again.
    let mut twice = writer();
    twice.add_fix(COMMIT, "a", PATCH.as_bytes()).expect("there is room");
    twice.add_fix(COMMIT, "b", PATCH.as_bytes()).expect("there is room");
    let failed = twice.finish(header(), Timestamp::UNIX_EPOCH, &place.key(), &place.file());
    assert!(failed.expect_err("it is twice there").to_string().contains("twice"));
    assert_eq!(fs::read(place.file()).expect("own file"), before);
    let names = fs::read_dir(&place.path).expect("own directory").count();
    assert_eq!(names, 3, "nothing is left beside the bundle and the keys");
    // The program tar and the signature's own form.
    let mut outside = tar::Archive::new(&before[..]);
    let mut text = String::new();
    let mut entries = outside.entries().expect("a tarball");
    let mut first = entries.next().expect("a member").expect("a member");
    first.read_to_string(&mut text).expect("a text");
    assert!(
        text.contains(
            "\ntrusted comment: elivepatch feed bundle, exported at 1970-01-01T00:00:00Z\n"
        )
    );
}

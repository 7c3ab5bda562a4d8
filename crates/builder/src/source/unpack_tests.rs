use camino::Utf8PathBuf;

use super::*;
use crate::source::test_place::TestPlace;

struct Setting {
    place: TestPlace,
    tree: Utf8PathBuf,
    scratch: Utf8PathBuf,
}

impl Setting {
    fn new() -> Self {
        let place = TestPlace::new();
        let (tree, scratch) = place.empty_tree();
        Self { place, tree, scratch }
    }

    fn unpacking(&self) -> Unpacking<'_> {
        self.place.unpacking(&self.tree, &self.scratch)
    }

    fn file(&self, name: &str, content: &[u8]) -> FileFacts {
        let path = self.place.directory.join(name);
        fs_err::write(&path, content).expect("own file");
        FileFacts { path, digest: Sha256Digest::of(content) }
    }
}

#[test]
fn bomb_is_stopped_at_the_limit() {
    let setting = Setting::new();
    let bomb = setting.place.directory.join("bomb");
    // 300 MB in 50 kB; the same works for a hundred times as much.
    let script = format!("head --bytes=300000000 /dev/zero | xz -0 > {bomb}");
    let made = std::process::Command::new("sh").args(["-c", &script]).status();
    assert!(made.expect("a shell").success());
    let unpacking = setting.unpacking();
    let (packed, _) = copy(&bomb, &unpacking).expect("own file");
    let program = decompressor("linux.tar.xz").expect("a known ending");
    let source = Utf8Path::new("/srv/linux.tar.xz");
    let failure = decompress(&unpacking, source, program, (&packed, "plain"), 10 << 20);
    let failure = failure.expect_err("a bomb");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains("/srv/linux.tar.xz unpacks to more than 10 MiB"), "{failure}");
    let size = fs_err::metadata(setting.scratch.join("plain")).expect("a file").len();
    assert_eq!(size, (10 << 20) + 1);
}

#[test]
fn links_and_pipes_that_a_tool_left_lead_nobody_elsewhere() {
    let setting = Setting::new();
    let victim = setting.file("victim", b"what the server's user may write");
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    builder.append_data(&mut header, "linux-6.12/a", &b"one\n"[..]).expect("in memory");
    let tarball = setting.file("linux-6.12.tar", &builder.into_inner().expect("in memory"));
    let patch = setting.file("patch", b"--- a/a\n+++ b/a\n@@ -1 +1 @@\n-one\n+two\n");
    // What a decompressor or tar that was taken over can do, whatever names are used.
    for name in ["source.packed", "packed"] {
        let link = setting.scratch.join(name);
        std::os::unix::fs::symlink(&victim.path, link).expect("own link");
    }
    let facts = TreeFacts::of(&tarball.path, tarball.digest);
    assert_eq!(unpack(&facts, &setting.unpacking()), Ok(tarball.digest));
    assert_eq!(apply_increment(&patch, &setting.unpacking()), Ok(()));
    assert_eq!(fs_err::read_to_string(setting.tree.join("a")).expect("a file"), "two\n");
    let content = fs_err::read(&victim.path).expect("own file");
    assert_eq!(Sha256Digest::of(&content), victim.digest);
    // The outputs' places: the tool's shell writes through the link, as a nobody in the sandbox.
    for name in ["source.tar", "plain"] {
        let link = setting.scratch.join(name);
        std::os::unix::fs::symlink(&victim.path, link).expect("own link");
    }
    let empty = setting.place.directory.join("tree-too");
    setting.place.sandbox.make_directory(&empty).expect("own directory");
    let unpacking = Unpacking { tree: &empty, ..setting.unpacking() };
    unpack(&facts, &unpacking).expect_err("a link is not followed");
    apply_increment(&patch, &unpacking).expect_err("a link is not followed");
    let content = fs_err::read(&victim.path).expect("own file");
    assert_eq!(Sha256Digest::of(&content), victim.digest);
    let names = setting.place.directory.read_dir_utf8().expect("own directory").flatten();
    assert!(!names.into_iter().any(|entry| entry.file_name().starts_with("packed-")));
}

use super::*;
use crate::{Sandbox, SandboxLimits, SilentObserver};

#[test]
fn bomb_is_stopped_at_the_limit() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    let sandbox = Sandbox::probe(SandboxLimits::default(), &directory.join("probe"));
    let sandbox = sandbox.expect("a sandbox");
    let (tree, scratch) = (directory.join("tree"), directory.join("scratch"));
    sandbox.make_directory(&tree).expect("own directory");
    sandbox.make_directory(&scratch).expect("own directory");
    let unpacking = Unpacking {
        tree: &tree,
        scratch: &scratch,
        toolchain_root: Utf8Path::new("/"),
        sandbox: &sandbox,
        observer: &SilentObserver,
    };
    // 300 MB in 50 kB; the same works for a hundred times as much.
    let script = format!("head --bytes=300000000 /dev/zero | xz -0 > {scratch}/packed");
    let made = std::process::Command::new("sh").args(["-c", &script]).status();
    assert!(made.expect("a shell").success());
    let program = decompressor("linux.tar.xz").expect("a known ending");
    let source = Utf8Path::new("/srv/linux.tar.xz");
    let unpack = |limit| decompress(&unpacking, source, program, ("packed", "plain"), limit);
    let failure = unpack(10 << 20).expect_err("a bomb");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains("/srv/linux.tar.xz unpacks to more than 10 MiB"), "{failure}");
    let size = fs_err::metadata(scratch.join("plain")).expect("a file").len();
    assert_eq!(size, (10 << 20) + 1);
}

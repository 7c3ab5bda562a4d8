//! The proof that a base is the running kernel's, on a real kernel: a base that is not gives no
//! livepatch.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use elivepatch_end_to_end::{RELEASE, ServerOptions, TestServer, cache_directory, patch};
use elivepatch_model::FailureClass;

/// A cache that shares packages and toolchain roots with all others. Its bases are theirs, but for one
/// line of source: what a distribution's patch that nobody knows of is.
fn cache_with_another_source() -> tempfile::TempDir {
    let all = cache_directory();
    let servers = all.join("test/servers");
    fs::create_dir_all(&servers).expect("the cache can be written");
    let own = tempfile::tempdir_in(&servers).expect("the cache can be written");
    for name in ["apt", "packages", "toolchain-roots"] {
        symlink(all.join(name), own.path().join(name)).expect("own directory");
    }
    fs::create_dir(own.path().join("bases")).expect("own directory");
    for base in bases(&all.join("bases")) {
        let copy = own.path().join("bases").join(base.file_name().expect("a base's name"));
        copy_base(&base, &copy);
        let source = copy.join("tree/fs/proc/meminfo.c");
        let text = fs::read_to_string(&source).expect("the kernel's source");
        let line = "show_val_kb(m, \"MemFree:        \", i.freeram";
        assert!(text.contains(line), "the kernel's source is another one");
        let metadata = fs::metadata(&source).expect("own file");
        // Not through the hard link.
        fs::remove_file(&source).expect("own file");
        fs::write(&source, text.replace(line, &format!("{line} + 1"))).expect("own file");
        // The sandbox's user works on it.
        chown(&source, Some(metadata.uid()), Some(metadata.gid())).expect("own file");
    }
    own
}

/// The complete bases of the stock kernel.
fn bases(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the bases").flatten().map(|entry| entry.path());
    let of_release = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(RELEASE) && path.join("base.json").is_file()
    };
    entries.filter(of_release).collect()
}

/// Copies a base without what builds add to it, which changes meanwhile; its files are hard links.
fn copy_base(base: &Path, copy: &Path) {
    fs::create_dir(copy).expect("own directory");
    for entry in fs::read_dir(base).expect("the base").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if ["fit", "originals"].contains(&name.as_str()) || name.starts_with("includes-") {
            continue;
        }
        let mut copied = Command::new("cp");
        copied.args(["--archive", "--link"]).args([entry.path(), copy.join(&name)]);
        assert!(copied.status().expect("cp").success(), "{name} cannot be copied");
    }
}

#[test]
fn source_that_the_kernel_was_not_built_from_gives_no_livepatch() {
    // The base is there after this.
    let label = patch("demo/meminfo-label");
    let _ = TestServer::start(ServerOptions::default()).build().patch(&label).run().succeeds();

    let cache = cache_with_another_source();
    let shared_cache = Some(cache.path().to_owned());
    let server = TestServer::start(ServerOptions { shared_cache, ..ServerOptions::default() });
    let run = server.build().patch(&label).run();
    run.fails_with(1, FailureClass::BaseDoesNotFit);
    for part in ["meminfo_proc_show", "fs/proc/meminfo.o", "baseline patch"] {
        assert!(run.stderr.contains(part), "{part:?} is missing: {}", run.stderr);
    }
    // Who takes the risk, where the server's policy allows it, gets one that says what was not proven.
    let config = "[policy]\nallow_unproven = true\n".to_owned();
    let shared_cache = Some(cache.path().to_owned());
    let options = ServerOptions { config, shared_cache, ..ServerOptions::default() };
    let accepting = TestServer::start(options);
    let run = accepting.build().args(["--accept-unproven"]).patch(&label).run().succeeds();
    let (_, manifest) = run.livepatch();
    let fit = manifest.fit.as_ref().expect("every livepatch has one");
    assert!(!fit.is_proven() && fit.accepted_unproven, "{fit:?}");
    assert!(fit.not_proven.iter().any(|line| line.contains("meminfo_proc_show")), "{fit:?}");
    assert!(run.stdout.contains("accepted unproven"), "{}", run.stdout);
    // Nobody gets by with a wish that the server's policy does not allow.
    let run = server.build().args(["--accept-unproven"]).patch(&label).run();
    run.fails_with(1, FailureClass::UnprovenNotAllowed);
    assert!(run.stderr.contains("allow_unproven"), "{}", run.stderr);
}

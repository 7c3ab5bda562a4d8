//! The proof that a base is the running kernel's, on a real kernel: a base that is not gives no
//! livepatch.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
};

use elivepatch_end_to_end::{OwnCache, ServerOptions, TestServer, patch};
use elivepatch_model::FailureClass;

/// A cache whose bases are those of all tests but for one line of source: what a distribution's
/// patch that nobody knows of is.
fn cache_with_another_source() -> OwnCache {
    let own = OwnCache::with_own_bases();
    for base in own.bases() {
        let source = base.join("tree/fs/proc/meminfo.c");
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

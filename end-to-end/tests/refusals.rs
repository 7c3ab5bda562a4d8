//! What the server refuses at once, before it looks at any kernel.

use std::time::{Duration, Instant};

use elivepatch_end_to_end::{
    ClientRun, ServerOptions, TestServer, own_patch, patch, stock_config, unit_fixture,
};
use elivepatch_model::{FailureClass, limits};

/// What "at once" may take with both processes, on a machine that is busy with other tests. A build takes longer.
const AT_ONCE: Duration = Duration::from_secs(10);

fn nothing_was_queued(server: &TestServer) {
    let builds = server.api().builds();
    assert!(builds.is_empty(), "{builds:#?}");
}

#[test]
fn patches_are_refused_before_any_build() {
    use FailureClass::*;
    let server = TestServer::start(ServerOptions::default());
    let cases = [
        (unit_fixture("empty-FAIL"), PatchEmpty, "empty"),
        (unit_fixture("git-binary-FAIL"), PatchBinary, "line 3 of the patch"),
        (unit_fixture("path-traversal-FAIL"), PatchPathOutsideTree, "b/../../etc/pa"),
        (unit_fixture("absolute-path-FAIL"), PatchPathOutsideTree, "/etc/passwd"),
        (unit_fixture("new-symlink-FAIL"), PatchSymlink, "line 2 of the patch"),
        (own_patch("through-symlink-FAIL"), PatchBuildSystem, "scripts/dtc/include-prefixes/"),
        (unit_fixture("documentation-only-FAIL"), PatchNoCode, "is documentation"),
        (unit_fixture("assembly-FAIL"), PatchAssembly, "arch/x86/entry/entry_64.S"),
        (unit_fixture("makefile-and-library-FAIL"), PatchBuildSystem, "fs/Makefile"),
        (own_patch("kconfig-FAIL"), PatchBuildSystem, "fs/proc/Kconfig"),
        (unit_fixture("new-file-FAIL"), PatchFileSet, "fs/new.c is new"),
        (unit_fixture("library-code-FAIL"), PatchUnpatchableCode, "lib/iov_iter.c"),
        (unit_fixture("no-diff-FAIL"), PatchUnreadable, "not a unified diff"),
    ];
    for (patch, class, part) in cases {
        let run = server.build().patch(&patch).run();
        let said = refused_here_or_there(&run, class);
        assert!(said.contains(part), "{}: {said}", patch.display());
    }
    nothing_was_queued(&server);
}

/// The client refuses some patches itself, without a class; the server has the last word on all.
fn refused_here_or_there(run: &ClientRun, class: FailureClass) -> &str {
    let said = run.fails(1);
    if class != FailureClass::PatchEmpty {
        assert!(said.contains(&format!("({class})")), "not {class}: {said}");
    }
    said
}

#[test]
fn patch_above_the_limit_is_refused() {
    let server = TestServer::start(ServerOptions::default());
    let size = usize::try_from(limits::PATCH_BYTES).expect("a size in memory");
    let text = std::fs::read_to_string(patch("demo/meminfo-label")).expect("the patch");
    let large = format!("{}\n{text}", "x".repeat(size));
    let run = server.build().patch_text("large.patch", &large).run();
    let said = run.fails(1);
    assert!(said.contains("large.patch") && said.contains("1048576"), "{said}");
    nothing_was_queued(&server);
}

/// Orders a good patch for a config, and gives what was said against it, and how soon.
fn config_fails(server: &TestServer, config: &[u8]) -> (ClientRun, Duration) {
    let order = server.client("build").patch(&own_patch("old-style"));
    let order = order.args(["--kernel", elivepatch_end_to_end::RELEASE]);
    let path = order.file("config", config);
    let begin = Instant::now();
    let run = order.args(["--config".as_ref(), path.as_os_str()]).run();
    (run, begin.elapsed())
}

#[test]
fn config_that_kpatch_cannot_serve_is_refused_at_once_by_the_options_name() {
    let server = TestServer::start(ServerOptions::default());
    let stock = stock_config();
    let with = |line: &str| format!("{stock}{line}\n");
    let cases = [
        (with("CONFIG_RANDSTRUCT=y"), "CONFIG_RANDSTRUCT is on"),
        (with("CONFIG_LTO_CLANG=y"), "CONFIG_LTO_CLANG is on"),
        (with("CONFIG_CFI_CLANG=y"), "CONFIG_CFI_CLANG is on"),
        (stock.replace("CONFIG_LIVEPATCH=y\n", ""), "CONFIG_LIVEPATCH is off"),
    ];
    for (config, part) in cases {
        let (run, time) = config_fails(&server, config.as_bytes());
        let said = run.fails_with(1, FailureClass::ConfigUnsupported);
        assert!(said.contains(part), "{said}");
        assert!(time < AT_ONCE, "{part}: {time:?}");
    }
    nothing_was_queued(&server);
}

#[test]
fn config_of_another_architecture_and_one_that_is_none_are_refused() {
    let server = TestServer::start(ServerOptions::default());
    let arm = "# Linux/arm64 6.1.176 Kernel Configuration\nCONFIG_ARM64=y\n";
    let (run, _) = config_fails(&server, arm.as_bytes());
    assert!(run.fails(1).contains("arm64"), "{}", run.stderr);
    for garbage in [&b"this is no config\n"[..], b"\x00\x01\x02\x03", b""] {
        let (run, _) = config_fails(&server, garbage);
        assert!(run.fails(1).contains("config"), "{}", run.stderr);
    }
    nothing_was_queued(&server);
}

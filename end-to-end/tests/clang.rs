//! A kernel that clang and lld built, IBT included: the server builds it whole, from Debian's
//! linux-source-6.12, whose tarball `make test-full` names in `ELIVEPATCH_TEST_SOURCE_6_12`.

use std::path::PathBuf;

use elivepatch_end_to_end::{ClientRun, ServerOptions, TestServer, own_patch};
use elivepatch_model::{BaseKind, Manifest};

const RELEASE: &str = "6.12.117-small";

fn server() -> TestServer {
    let name = "ELIVEPATCH_TEST_SOURCE_6_12";
    let tarball = std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} names no source: make test-full does"));
    // The kernel runs nowhere but in the trial, so that nothing can prove that it fits.
    let config = format!(
        "[policy]\nallow_unproven = true\n\
         [[source]]\nrelease = \"{RELEASE}\"\npath = \"{tarball}\"\n"
    );
    TestServer::start(ServerOptions { config, ..ServerOptions::default() })
}

fn order(server: &TestServer, patches: &[&str], checks: &str) -> ClientRun {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/6.12-small-ibt-clang.config");
    let command = server.client("build").args(["--accept-unproven", "--kernel", RELEASE]);
    let command = command.args(["--config".into(), PathBuf::from(config)]);
    let checks = command.file("clang.checks.toml", checks);
    let command = command.args(["--checks".as_ref(), checks.as_os_str()]);
    patches.iter().fold(command, |command, patch| command.patch(&own_patch(patch))).run()
}

fn functions(manifest: &Manifest) -> Vec<(&str, &str)> {
    let functions = manifest.functions.iter();
    functions.map(|function| (function.object.as_str(), function.name.as_str())).collect()
}

/// What the guest shows of the livepatch, and that ftrace goes on: with it the function is traced twice,
/// at its beginning and at that of the one that replaces it. Where it met anything but a NOP there, it
/// would switch itself off with a warning, which ends the trial.
const FUNCTION_AND_TRACE: &str = r#"
[[check]]
command = "grep -i vmallocchunk /proc/meminfo"
before = "VmallocChunk:"
after = "VMALLOCCHUNK:"

[[check]]
command = "cat /sys/fs/ext4/features/lazy_itable_init"
before = "supported"
after = "supported and patched"

[[check]]
command = """
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null; cd /sys/kernel/tracing; \
echo meminfo_proc_show > set_ftrace_filter; echo function > current_tracer; echo > trace; \
cat /proc/meminfo > /dev/null; echo [$(grep -c 'meminfo_proc_show <-' trace)]; \
echo nop > current_tracer; echo > set_ftrace_filter"""
before = "[1]"
after = "[2]"
"#;

#[test]
#[ignore = "builds a kernel: make test-full"]
fn functions_of_the_image_and_of_a_module_are_replaced() {
    let run = order(&server(), &["built-meminfo", "ext4"], FUNCTION_AND_TRACE).succeeds();
    let (_, manifest) = run.livepatch();
    assert_eq!(manifest.base, BaseKind::Built);
    assert_eq!(manifest.toolchain.name, "debian-13-clang-19");
    assert_eq!(manifest.trial.guest_release.as_str(), RELEASE);
    assert_eq!(
        functions(&manifest),
        [("ext4", "ext4_attr_show"), ("vmlinux", "meminfo_proc_show")]
    );
    assert!(manifest.branch_audit.is_some(), "IBT is on");
}

//! Both engines on one kernel: Linux 7.3 with IBT, which the server builds from its source. For the
//! same fix they replace the same functions, and both livepatches pass the trial. That takes minutes,
//! so these tests are for `make test-full`, which names the tarball of Debian's linux-source-7.3 in
//! `ELIVEPATCH_TEST_SOURCE_7_3`.

use std::path::{Path, PathBuf};

use elivepatch_end_to_end::{ClientRun, ServerOptions, TestServer, own_patch, patch};
use elivepatch_model::{AdaptationKind, BaseKind, Engine, FailureClass, Manifest};

const RELEASE: &str = "7.3.4-small";

fn server() -> TestServer {
    let name = "ELIVEPATCH_TEST_SOURCE_7_3";
    let tarball = std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} names no source: make test-full does"));
    // The kernel runs nowhere but in the trial, so that nothing can prove that it fits.
    let config = format!(
        "[policy]\nallow_unproven = true\n\
         [[source]]\nrelease = \"{RELEASE}\"\npath = \"{tarball}\"\n"
    );
    TestServer::start(ServerOptions { config, ..ServerOptions::default() })
}

/// Where the configs of the small kernels are.
fn kernels() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

/// What the guest shows: a command, a text in its output before and after the livepatch is active,
/// and one in its output while it is.
type Check = (&'static str, &'static str, &'static str);

/// Without an engine, the server decides.
fn order(server: &TestServer, engine: Option<Engine>, patch: &Path, checks: &[Check]) -> ClientRun {
    let command = server
        .client("build")
        .args(["--accept-unproven", "--kernel", RELEASE, "--config"])
        .args([kernels().join("7.3-small-ibt.config")]);
    let command = match engine {
        None => command,
        Some(engine) => command.args(["--engine", engine.as_str()]),
    };
    let checks: String = checks
        .iter()
        .map(|(command, before, after)| {
            format!("[[check]]\ncommand = {command:?}\nbefore = {before:?}\nafter = {after:?}\n")
        })
        .collect();
    if checks.is_empty() {
        return command.patch(patch).run();
    }
    let file = command.file("checks.toml", checks);
    command.args(["--checks".as_ref(), file.as_os_str()]).patch(patch).run()
}

/// The functions, with their positions among symbols of the same name: for a name of which there is
/// one, kpatch says 1, and objtool 0.
fn positions(manifest: &Manifest) -> Vec<(&str, &str, u64)> {
    let functions = manifest.functions.iter();
    functions.map(|f| (f.object.as_str(), f.name.as_str(), f.position.max(1))).collect()
}

/// Builds a patch by both engines, and looks at what both must have in common; gives the manifest of
/// klp-build's.
fn built_by_both(patch: &Path, checks: &[Check], functions: &[&str]) -> Manifest {
    let server = server();
    let [kpatch, klp] = [Engine::Kpatch, Engine::KlpBuild].map(|engine| {
        let (_, manifest) = order(&server, Some(engine), patch, checks).succeeds().livepatch();
        assert_eq!(manifest.engine, engine);
        assert_eq!(manifest.base, BaseKind::Built);
        assert_eq!(manifest.trial.guest_release.as_str(), RELEASE);
        manifest
    });
    let names = |manifest: &Manifest| -> Vec<String> {
        manifest.functions.iter().map(|found| format!("{} {}", found.object, found.name)).collect()
    };
    assert_eq!(names(&klp), functions);
    assert_eq!(positions(&klp), positions(&kpatch));
    assert_eq!(klp.module.vermagic, kpatch.module.vermagic);
    assert_eq!(klp.trial.modules_loaded, kpatch.trial.modules_loaded);
    assert_eq!(klp.trial.modules_late, kpatch.trial.modules_late);
    assert_eq!(klp.trial.checks.len(), checks.len());
    klp
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn engines_agree_on_one_function() {
    let patch = patch("demo/meminfo-total");
    let checks = [("grep -i vmalloctotal /proc/meminfo", "VmallocTotal:", "VMALLOCTOTAL:")];
    let manifest = built_by_both(&patch, &checks, &["vmlinux meminfo_proc_show"]);
    assert!(manifest.branch_audit.is_some(), "the kernel has IBT");
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn engines_agree_on_two_objects() {
    let functions = ["vmlinux loadavg_proc_show", "vmlinux uptime_proc_show"];
    let checks = [
        ("echo [$(grep -c '  ' /proc/uptime)]", "[0]", "[1]"),
        ("echo [$(grep -c '  ' /proc/loadavg)]", "[0]", "[1]"),
    ];
    built_by_both(&patch("bench/compare/two-objects"), &checks, &functions);
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn engines_agree_on_a_new_function_with_a_static_variable() {
    let patch = patch("bench/compare/new-function");
    built_by_both(&patch, &[], &["vmlinux version_proc_show"]);
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn engines_agree_on_a_module() {
    let patch = patch("bench/compare/module");
    let manifest = built_by_both(&patch, &[], &["loop loop_attr_do_show_sizelimit"]);
    assert_eq!(manifest.trial.modules_loaded, ["loop"]);
}

/// In 7.3, code with a `WARN` refers to its entry in `__bug_table`, by an offset that kpatch 0.9.10
/// finds no symbol for.
#[test]
#[ignore = "builds a kernel: make test-full"]
fn header_changes_functions_with_warnings_and_only_klp_build_can_replace_them() {
    let server = server();
    let patch = own_patch("proc-fd");
    let run = order(&server, Some(Engine::Kpatch), &patch, &[]);
    run.fails_with(3, FailureClass::RelocationUnsupported);
    let run = order(&server, None, &patch, &[]).succeeds();
    let (_, manifest) = run.livepatch();
    assert_eq!(manifest.engine, Engine::KlpBuild, "chosen from the source and the config");
    let names: Vec<&str> = manifest.functions.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["proc_fd_link", "seq_show", "tid_fd_revalidate"]);
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn engines_agree_when_init_code_is_left_out() {
    let checks = [("echo [$(grep -c fixed /proc/version)]", "[0]", "[1]")];
    let manifest = built_by_both(&own_patch("init-only"), &checks, &["vmlinux version_proc_show"]);
    let kinds: Vec<AdaptationKind> = manifest.adaptations.iter().map(|made| made.kind).collect();
    assert!(kinds.contains(&AdaptationKind::InitOnly), "{kinds:?}");
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn patch_that_only_kpatch_serves_is_built_by_it_without_being_asked() {
    let server = server();
    for (name, check) in [
        ("new-file", ("echo [$(grep -c 'note 4' /proc/uptime)]", "[0]", "[1]")),
        ("kpatch-callback", ("echo [$(grep -c 'after 1 callbacks' /proc/version)]", "[0]", "[1]")),
    ] {
        let run = order(&server, None, &own_patch(name), &[check]).succeeds();
        let (_, manifest) = run.livepatch();
        assert_eq!(manifest.engine, Engine::Kpatch, "{name}");
    }
}

/// Builds a patch that is written for klp-build; gives the names of the replaced functions.
fn built_by_klp_build(name: &str, checks: &[Check]) -> Vec<String> {
    let run = order(&server(), None, &own_patch(name), checks).succeeds();
    let (_, manifest) = run.livepatch();
    assert_eq!(manifest.engine, Engine::KlpBuild, "chosen from the source and the config");
    assert_eq!(manifest.trial.checks.len(), checks.len());
    manifest.functions.iter().map(|found| format!("{} {}", found.object, found.name)).collect()
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn klp_build_has_callbacks() {
    let checks = [
        // Back at -1, with which the guest is started, only when all four have run, each at its time.
        ("echo [$(cat /proc/sys/kernel/panic)]", "[-1]", "[7]"),
        ("echo [$(grep -c 'with callbacks' /proc/version)]", "[0]", "[1]"),
    ];
    assert_eq!(built_by_klp_build("klp-callbacks", &checks), ["vmlinux version_proc_show"]);
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn klp_build_replaces_system_calls() {
    let names = built_by_klp_build("klp-syscall", &[("uname -s", "Linux", "Linux-live")]);
    assert!(names.iter().any(|name| name == "vmlinux __x64_sys_newuname"), "{names:?}");
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn klp_build_replaces_a_function_with_an_old_warning_and_a_new_one() {
    let check = ("echo [$(cat /sys/class/net/lo/statistics/rx_packets)]", "[0]", "[0 live]");
    let names = built_by_klp_build("klp-warning", &[check]);
    // With or without the mark of a clone.
    assert!(names.iter().any(|name| name.starts_with("vmlinux netstat_show")), "{names:?}");
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn static_local_variable_goes_on_with_klp_build() {
    // Files of a ramfs have numbers of get_next_ino; it takes 1024 of them to reach the static local.
    let numbers = "mkdir -p /tmp/ramfs; mount -t ramfs ramfs /tmp/ramfs; cd /tmp/ramfs; \
                   seq 1 1100 | xargs touch; number=$(stat -c %i 1100); cd /; umount /tmp/ramfs; \
                   last=$(cat /tmp/last || echo 0); low=$((number % 500000000)); \
                   echo $low >/tmp/last; [ $low -gt $((last + 1000)) ] && \
                   echo from $((number / 500000000)) on || echo $number after $last";
    let checks = [(numbers, "from 0 on", "from 1 on")];
    // The file uses tracepoints, whose names it holds for a check of the kernel's build only.
    built_by_both(&own_patch("static-local-kept"), &checks, &["vmlinux get_next_ino"]);
}

/// What the kernel writes into its own code at boot is written into no module.
#[test]
#[ignore = "builds a kernel: make test-full"]
fn engines_agree_on_the_limit_of_user_addresses() {
    let checks = [("grep accessible /proc/version || echo none", "none", "accessible: 0")];
    built_by_both(&own_patch("runtime-constant"), &checks, &["vmlinux version_proc_show"]);
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn livepatches_of_both_engines_are_rebuilt_to_the_same_bytes() {
    let patch = patch("bench/compare/two-objects");
    let config = kernels().join("7.3-small-ibt.config");
    for engine in [Engine::Kpatch, Engine::KlpBuild] {
        let run = order(&server(), Some(engine), &patch, &[]).succeeds();
        server().rebuilds_to_the_same_bytes(&run, &config, std::slice::from_ref(&patch));
    }
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn engines_refuse_the_same() {
    let server = server();
    for (name, class) in [
        ("header-layout-FAIL", FailureClass::DataStructureChanged),
        ("init-code-FAIL", FailureClass::InitCode),
    ] {
        for engine in [Engine::Kpatch, Engine::KlpBuild] {
            order(&server, Some(engine), &own_patch(name), &[]).fails_with(3, class);
        }
    }
}

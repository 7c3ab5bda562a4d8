//! Kernels that are not Debian's: the server builds the whole kernel from a source tree and the
//! config of the request. That takes minutes for each, so these tests are for `make test-full`, which
//! names the tarball of Debian's linux-source-6.12 in `ELIVEPATCH_TEST_SOURCE_6_12`.

use std::path::{Path, PathBuf};

use elivepatch_end_to_end::{
    ClientCommand, ClientRun, OldSession, ServerOptions, TargetMachine, TestServer,
    cache_directory, facts_of_running, own_patch, patch, program,
};
use elivepatch_model::{BaseKind, BuildIdFit, BuildNumber, FailureClass, Manifest};

const RELEASE: &str = "6.12.117-small";

fn tarball() -> String {
    let name = "ELIVEPATCH_TEST_SOURCE_6_12";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no source: make test-full does"))
}

fn server() -> TestServer {
    let tarball = tarball();
    // The kernel runs nowhere but in the trial, so that nothing can prove that it fits.
    let config = format!(
        "[policy]\nallow_unproven = true\n\
         [[source]]\nrelease = \"{RELEASE}\"\npath = \"{tarball}\"\n"
    );
    TestServer::start(ServerOptions { config, ..ServerOptions::default() })
}

fn kernel_config(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernels").join(format!("{name}.config"))
}

fn order(server: &TestServer, config: &str, patch_name: &str) -> ClientRun {
    order_of(server, config, patch_name).run()
}

fn order_of(server: &TestServer, config: &str, patch_name: &str) -> ClientCommand {
    let checks = patch("demo/meminfo-label").with_file_name("meminfo-label.checks.toml");
    let command =
        server.client("build").args(["--accept-unproven", "--kernel", RELEASE, "--config"]);
    let command = command.args([kernel_config(config)]);
    let command = match patch_name {
        "built-meminfo" => command.args(["--checks".as_ref(), checks.as_os_str()]),
        _ => command,
    };
    command.patch(&own_patch(patch_name))
}

/// From the source to the reverted livepatch, tried on the kernel that the server has built.
fn livepatch_on_a_built_base(config: &str) {
    let server = server();
    let run = order(&server, config, "built-meminfo").succeeds();
    let (_, manifest) = run.livepatch();
    check_manifest(&manifest);
    // Nobody has sent the symbols of a running kernel.
    let fit = manifest.fit.as_ref().expect("every livepatch has one");
    assert!(!fit.is_proven() && fit.accepted_unproven, "{fit:?}");
    assert!(run.stdout.contains("not proven: nothing proves that"), "{}", run.stdout);
}

fn check_manifest(manifest: &Manifest) {
    assert_eq!(manifest.release.as_str(), RELEASE);
    assert_eq!(manifest.base, BaseKind::Built);
    assert_eq!(manifest.source.kind, "tree");
    assert_eq!(manifest.trial.guest_release.as_str(), RELEASE);
    assert!(manifest.module.vermagic.starts_with(&format!("{RELEASE} SMP preempt")));
    let [function] = manifest.functions.as_slice() else { panic!("{:?}", manifest.functions) };
    assert_eq!(
        (function.object.as_str(), function.name.as_str()),
        ("vmlinux", "meminfo_proc_show")
    );
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn livepatch_is_made_on_a_kernel_that_was_built_without_ibt() {
    livepatch_on_a_built_base("6.12-small");
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn livepatch_is_made_on_a_kernel_that_was_built_with_ibt() {
    livepatch_on_a_built_base("6.12-small-ibt");
}

/// Two workers that share a cache; the second build finds its base in use.
#[test]
#[ignore = "builds a kernel: make test-full"]
fn builds_at_once_share_a_built_base_and_give_the_same_bytes_as_alone() {
    let alone = order(&server(), "6.12-small", "built-meminfo").succeeds();
    let (alone, manifest) = alone.livepatch();
    let servers = [server(), server()];
    let runs: Vec<ClientRun> = std::thread::scope(|scope| {
        let orders: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(|| order(server, "6.12-small", "built-meminfo")))
            .collect();
        orders.into_iter().map(|order| order.join().expect("the client runs")).collect()
    });
    for run in runs {
        let (module, other) = run.succeeds().livepatch();
        assert_eq!(module, alone);
        assert_eq!(other.source, manifest.source);
    }
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn livepatch_of_a_built_kernel_is_rebuilt_to_the_same_bytes() {
    let first = server();
    let run = order(&first, "6.12-small", "built-meminfo").succeeds();
    let patches = [own_patch("built-meminfo")];
    server().rebuilds_to_the_same_bytes(&run, &kernel_config("6.12-small"), &patches);
}

/// A header reaches the objects that Kbuild's records name, and no others.
#[test]
#[ignore = "builds a kernel: make test-full"]
fn header_of_a_built_kernel_reaches_the_objects_that_include_it() {
    let server = server();
    let run = order(&server, "6.12-small", "proc-fd").succeeds();
    let reaches = "applies to fs/proc/fd.h; fs/proc/fd.h reaches up to 2 objects: about ";
    assert!(run.stderr.contains(reaches), "{}", run.stderr);
    let (_, manifest) = run.livepatch();
    let names: Vec<&str> = manifest.functions.iter().map(|found| found.name.as_str()).collect();
    assert_eq!(names, ["proc_fd_link", "seq_show", "tid_fd_revalidate"]);
}

/// What the guest's own kernel tells proves that the server's build is the one that it runs; what the
/// kernel with IBT tells does not.
#[test]
#[ignore = "builds a kernel: make test-full"]
fn symbols_of_the_running_kernel_prove_the_one_that_was_built() {
    let config = format!("[[source]]\nrelease = \"{RELEASE}\"\npath = \"{}\"\n", tarball());
    let server = TestServer::start(ServerOptions { config, ..ServerOptions::default() });
    let order = |facts: &Path| {
        let command = server.client("build").args(["--facts".as_ref(), facts.as_os_str()]);
        command.patch(&own_patch("built-meminfo")).run()
    };
    // The bases are there: their images are what such machines run.
    let plain = facts_of_built("6.12-small", &[]);
    let run = order(plain.path().join("facts.json").as_path()).succeeds();
    let (_, manifest) = run.livepatch();
    let fit = manifest.fit.as_ref().expect("every livepatch has one");
    let symbols = fit.symbols.as_ref().expect("the symbols were compared");
    assert!(fit.is_proven() && symbols.sizes && symbols.names > 10_000, "{fit:?}");
    // The machine tells its build-id, which is another one: the client took the livepatch all the same.
    assert_eq!(fit.build_id, BuildIdFit::Different);
    let request = manifest.request.as_ref().expect("every livepatch has one");
    let build_id = request.target.build_id.as_ref().expect("it was sent");
    assert_eq!(build_id.as_str(), "cd".repeat(20));
    assert_ne!(*build_id, manifest.build_id);
    assert!(run.stdout.contains("equal the running kernel's"), "{}", run.stdout);

    let other = facts_of_built("6.12-small-ibt", &[]);
    let run = order(says(&other, "6.12-small", &[]).as_path());
    run.fails_with(1, FailureClass::BaseDoesNotFit);
    assert!(run.stderr.contains("or a config option that changes little"), "{}", run.stderr);
}

/// A kernel whose users have a patch of their own in it, as on Gentoo: it fits when it is built with that
/// patch, and no other build of it does.
#[test]
#[ignore = "builds a kernel: make test-full"]
fn kernel_with_a_baseline_patch_fits_only_what_is_built_with_it() {
    let config = format!("[[source]]\nrelease = \"{RELEASE}\"\npath = \"{}\"\n", tarball());
    let server = TestServer::start(ServerOptions { config, ..ServerOptions::default() });
    let order = |facts: &Path| {
        let command = server.client("build").args(["--facts".as_ref(), facts.as_os_str()]);
        let checks = command.file("local.checks.toml", CHECKS);
        let command = command.args(["--checks".as_ref(), checks.as_os_str()]);
        command.patch(&own_patch("built-meminfo")).run()
    };
    let baseline = [own_patch("baseline-meminfo")];
    let own = facts_of_built("6.12-small", &baseline);
    let run = order(own.path().join("facts.json").as_path());
    let run = run.succeeds();
    let (_, manifest) = run.livepatch();
    let fit = manifest.fit.as_ref().expect("every livepatch has one");
    assert!(fit.is_proven() && fit.symbols.is_some(), "{fit:?}");
    let [patch] = manifest.source.patches.as_slice() else { panic!("{:?}", manifest.source) };
    assert_eq!(patch.name, "baseline-meminfo.patch");
    let [check] = manifest.trial.checks.as_slice() else { panic!("{:?}", manifest.trial) };
    assert!(check.output_after.contains("LocalChange:          28 kB"), "{check:?}");

    // The same machine, which does not tell that it has it: its code is longer than what is built.
    let run = order(says(&own, "6.12-small", &[]).as_path());
    run.fails_with(1, FailureClass::BaseDoesNotFit);
    for part in ["from meminfo_proc_show to stat_open", "baseline patch"] {
        assert!(run.stderr.contains(part), "{part:?} is missing: {}", run.stderr);
    }
    // And one that says so, but was booted without it.
    let plain = facts_of_built("6.12-small", &[]);
    let run = order(says(&plain, "6.12-small", &baseline).as_path());
    run.fails_with(1, FailureClass::BaseDoesNotFit);
    assert!(run.stderr.contains("from meminfo_proc_show to stat_open"), "{}", run.stderr);
}

/// What users of the first elivepatch on Gentoo have: a kernel of their own with a patch of theirs, and a client that
/// sends what it has loaded already. Its second livepatch loads beside its first.
#[test]
#[ignore = "builds two kernels: make test-full"]
fn old_client_gets_livepatches_that_stack_on_a_kernel_with_its_users_patch() {
    let config = format!(
        "[policy]\nallow_unproven = true\n[compat]\naccept_unproven = true\n\
         [[source]]\nrelease = \"{RELEASE}\"\npath = \"{}\"\n",
        tarball()
    );
    let server = TestServer::start(ServerOptions { config, ..ServerOptions::default() });
    let session = |uuid, patch| {
        let session = OldSession::new(uuid, &kernel_config("6.12-small"), &own_patch(patch));
        session.has(0, &own_patch("baseline-meminfo"))
    };
    let first = session("61b48e53-a062-4c71-8e8a-52dff1c3b306", "built-meminfo");
    let second = session("72c59f64-b173-4d82-9f9b-63e002d4c417", "git-format-patch")
        .has(1, &own_patch("built-meminfo"));
    for session in [&first, &second] {
        // It knows the version of its source, and no release.
        let said = session.run(&server, "6.12.117");
        assert_eq!((&said["posted"], &said["fetched"]), (&201.into(), &200.into()), "{said}");
    }
    let build = server.api().build(BuildNumber(1));
    assert_eq!(build.target.release.as_str(), RELEASE);
    let manifest = build.manifest.expect("a livepatch");
    assert!(manifest.fit.as_ref().is_some_and(|fit| fit.accepted_unproven), "{manifest:?}");
    let image = base_of(&manifest).join("vmlinuz");
    let machine =
        TargetMachine::bare(&image, &[("a.ko", &first.module()), ("b.ko", &second.module())]);
    let said = machine.runs(
        "run first insmod /disk/a.ko
         run second insmod /disk/b.ko
         while grep -q 1 /sys/kernel/livepatch/*/transition; do sleep 1; done
         run enabled cat /sys/kernel/livepatch/*/enabled
         run own grep -c LocalChange /proc/meminfo
         run label grep -c VMALLOCCHUNK /proc/meminfo
         run uptime cat /proc/uptime",
    );
    said.done("first");
    said.done("second");
    assert_eq!(said.done("enabled").split_whitespace().collect::<Vec<_>>(), ["1", "1"]);
    assert_eq!((said.done("own").trim(), said.done("label").trim()), ("1", "1"));
    assert!(said.done("uptime").contains(" live"), "the second is at work");
}

/// What the trial of a kernel with the baseline patch sees: its line, beside the livepatch's.
const CHECKS: &str = "\
[[check]]
command = \"grep -i -A 3 localchange /proc/meminfo\"
before = \"VmallocChunk:\"
after = \"VMALLOCCHUNK:\"
";

/// The facts of a machine that runs what the server builds of the config and the patches, `facts.json` in
/// the directory.
fn facts_of_built(config: &str, baseline: &[PathBuf]) -> tempfile::TempDir {
    let unproven = server();
    let command = order_of(&unproven, config, "built-meminfo");
    let run = with_baseline(command, baseline).run().succeeds();
    let (_, manifest) = run.livepatch();
    let root = facts_of_running(&base_of(&manifest).join("vmlinuz"));
    // A real machine runs a build of its own, with another build-id. With that of the server's own build
    // nothing else would be asked for.
    std::fs::write(root.path().join("sys/kernel/notes"), notes([0xcd; 20])).expect("own file");
    says(&root, config, baseline);
    root
}

/// The base that a livepatch was made on.
fn base_of(manifest: &Manifest) -> PathBuf {
    let bases = std::fs::read_dir(cache_directory().join("bases")).expect("bases").flatten();
    let build_id = manifest.build_id.as_str();
    let base = bases.map(|entry| entry.path()).find(|path| {
        let facts = std::fs::read_to_string(path.join("base.json")).unwrap_or_default();
        facts.contains(build_id)
    });
    base.expect("the base")
}

/// What `/sys/kernel/notes` holds of a kernel with this build-id.
fn notes(build_id: [u8; 20]) -> Vec<u8> {
    // The sizes of name and content, the note's type (NT_GNU_BUILD_ID), and the name.
    let head = [4_u32, 20, 3].map(u32::to_le_bytes).concat();
    [&head[..], b"GNU\0", &build_id].concat()
}

/// Saves the facts of a machine that says of itself that it has this config and these patches.
fn says(root: &tempfile::TempDir, config: &str, baseline: &[PathBuf]) -> PathBuf {
    let config = kernel_config(config);
    let output = root.path().join("facts.json");
    let mut command = std::process::Command::new(program("elivepatch"));
    command
        .arg("facts")
        .args(["--root".as_ref(), root.path().as_os_str(), "--config".as_ref(), config.as_os_str()])
        .args(["--force".as_ref(), "--output".as_ref(), output.as_os_str()]);
    for patch in baseline {
        command.args(["--baseline".as_ref(), patch.as_os_str()]);
    }
    let ran = command.output().expect("elivepatch");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(told.contains("of vmlinux, with sizes"), "{told}");
    output
}

fn with_baseline(command: ClientCommand, baseline: &[PathBuf]) -> ClientCommand {
    let add = |command: ClientCommand, patch: &PathBuf| {
        command.args(["--baseline".as_ref(), patch.as_os_str()])
    };
    baseline.iter().fold(command, add)
}

#[test]
#[ignore = "needs a kernel's source: make test-full"]
fn config_of_another_kernel_is_refused_before_anything_is_built() {
    let server = server();
    let config = std::fs::read_to_string(kernel_config("6.12-small")).expect("a config");
    let other = config.replace("# Linux/x86 6.12.117 ", "# Linux/x86 6.12.107 ");
    assert_ne!(other, config);
    let command = server.client("build").args(["--kernel", RELEASE]);
    let file = command.file("other.config", other);
    let command = command.args(["--config".as_ref(), file.as_os_str()]);
    let run = command.patch(&own_patch("built-meminfo")).run();
    run.fails_with(1, FailureClass::ConfigMismatch);
    assert!(run.stderr.contains("made by Linux 6.12.107"), "{}", run.stderr);
}

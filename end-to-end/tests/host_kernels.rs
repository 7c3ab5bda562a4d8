//! The client on other kernels than Debian's: one that the server has built, and one without livepatching. Both are built
//! from the tarball that `ELIVEPATCH_TEST_SOURCE_6_12` names, for `make test-full`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use elivepatch_end_to_end::{
    ClientRun, ServerOptions, TargetMachine, TestServer, cache_directory, facts_of_running,
    manifest_of, module_name, own_patch, patch, program, trial_module,
};

const RELEASE: &str = "6.12.117-small";

fn tarball() -> String {
    let name = "ELIVEPATCH_TEST_SOURCE_6_12";
    std::env::var(name).unwrap_or_else(|_| panic!("{name} names no source: make test-full does"))
}

fn kernel_config() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("kernels/6.12-small.config")
}

/// The image of the base that a livepatch was made on.
fn image_of(run: &ClientRun) -> PathBuf {
    let (_, manifest) = run.livepatch();
    let bases = fs::read_dir(cache_directory().join("bases")).expect("bases").flatten();
    let base = bases.map(|entry| entry.path()).find(|path| {
        let facts = fs::read_to_string(path.join("base.json")).unwrap_or_default();
        facts.contains(manifest.build_id.as_str())
    });
    base.expect("the base").join("vmlinuz")
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn livepatches_of_a_kernel_that_the_server_built_are_loaded_replaced_and_taken_back() {
    let config = format!(
        "[policy]\nallow_unproven = true\n\
         [[source]]\nrelease = \"{RELEASE}\"\npath = \"{}\"\n",
        tarball()
    );
    let server = TestServer::start(ServerOptions { config, ..ServerOptions::default() });
    // The kernel must be there before it can run anywhere.
    let unproven = server.client("build").args(["--accept-unproven", "--kernel", RELEASE]);
    let unproven = unproven.args(["--config".as_ref(), kernel_config().as_os_str()]);
    let image = image_of(&unproven.patch(&own_patch("built-meminfo")).run().succeeds());
    let root = facts_of_running(&image);
    let facts = root.path().join("facts.json");
    let ran = Command::new(program("elivepatch"))
        .args(["facts", "--root"])
        .arg(root.path())
        .arg("--config")
        .arg(kernel_config())
        .arg("--output")
        .arg(&facts)
        .status();
    assert!(ran.expect("elivepatch").success());
    let place = tempfile::tempdir().expect("a directory");
    let build = |name: &str, patches: &[PathBuf]| {
        let output = place.path().join(name);
        fs::create_dir(&output).expect("own directory");
        let command = server.client("build").args(["--facts".as_ref(), facts.as_os_str()]);
        let command = command.args(["--output".as_ref(), output.as_os_str()]);
        let run = patches.iter().fold(command, |command, path| command.patch(path)).run();
        assert_eq!(run.succeeds().code, Some(0));
        let entries = fs::read_dir(&output).expect("own directory");
        let mut paths = entries.map(|entry| entry.expect("an entry").path());
        let is_module = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "ko");
        paths.find(is_module).expect("a module")
    };
    let first = build("first", &[own_patch("built-meminfo")]);
    let second = build("second", &[own_patch("built-meminfo"), patch("demo/meminfo-total")]);
    let (one, two) = (module_name(&first), module_name(&second));
    let (first_manifest, second_manifest) = (manifest_of(&first), manifest_of(&second));
    let files: [(&str, &Path); 4] = [
        ("a.ko", &first),
        ("a.ko.manifest.json", &first_manifest),
        ("b.ko", &second),
        ("b.ko.manifest.json", &second_manifest),
    ];
    let said = TargetMachine::bare(&image, &files).runs(&format!(
        "run first elivepatch apply /disk/a.ko
         run seen-first grep -c VMALLOCCHUNK /proc/meminfo
         run second elivepatch apply /disk/b.ko
         run seen-second grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
         run status elivepatch status
         run show elivepatch show {two}
         run to-first elivepatch revert --to {one}
         run seen-again grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
         run revert elivepatch revert
         run modules sh -c '! lsmod | grep livepatch_'
         run apply elivepatch apply {two}
         run boot elivepatch boot
         run history elivepatch history"
    ));
    assert!(said.done("first").contains(&format!("{one} is active")));
    assert_eq!(said.done("seen-first").trim(), "1");
    assert!(said.done("second").contains(&format!("it has replaced {one}")));
    assert_eq!(said.done("seen-second").trim(), "2");
    let status = said.done("status");
    assert!(status.contains("patched") && status.contains(RELEASE), "{status}");
    let show = said.done("show");
    assert!(show.contains("the server built this kernel itself"), "{show}");
    said.done("to-first");
    assert_eq!(said.done("seen-again").trim(), "1");
    assert!(said.done("revert").contains("as it was booted"));
    said.done("modules");
    said.done("apply");
    assert!(said.done("boot").contains(&format!("{two} is active (already)")));
    assert!(said.done("history").contains("loaded livepatch_"));
}

/// What a kernel needs beside `make tinyconfig` so that the client runs on it.
const OPTIONS: [&str; 26] = [
    "64BIT",
    "SMP",
    "MULTIUSER",
    "PRINTK",
    "TTY",
    "SERIAL_8250",
    "SERIAL_8250_CONSOLE",
    "ACPI",
    "PCI",
    "BLK_DEV_INITRD",
    "RD_GZIP",
    "BINFMT_ELF",
    "BINFMT_SCRIPT",
    "PROC_FS",
    "SYSFS",
    "DEVTMPFS",
    "TMPFS",
    "MODULES",
    "MODULE_UNLOAD",
    "FUTEX",
    "EPOLL",
    "EVENTFD",
    "POSIX_TIMERS",
    // The runtime tells itself of signals through a socket.
    "NET",
    "UNIX",
    "FILE_LOCKING",
];

/// A kernel whose config leaves livepatching out, built as anybody builds one.
fn kernel_without_livepatching(place: &Path) -> PathBuf {
    let run = |program: &str, arguments: &[&str]| {
        let ran = Command::new(program).args(arguments).current_dir(place).output();
        let ran = ran.unwrap_or_else(|error| panic!("{program}: {error}"));
        assert!(ran.status.success(), "{program}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    run("tar", &["-x", "--strip-components=1", "-f", &tarball()]);
    run("make", &["-s", "tinyconfig"]);
    let enabled = OPTIONS.iter().flat_map(|option| ["--enable", option]);
    run("scripts/config", &enabled.collect::<Vec<_>>());
    run("make", &["-s", "olddefconfig"]);
    let config = fs::read_to_string(place.join(".config")).expect("a config");
    assert!(config.contains("CONFIG_MODULES=y") && !config.contains("CONFIG_LIVEPATCH=y"));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    run("make", &["-s", "-j", &cores.to_string(), "bzImage"]);
    place.join("arch/x86/boot/bzImage")
}

#[test]
#[ignore = "builds a kernel: make test-full"]
fn kernel_without_livepatching_is_told_as_such() {
    let place = tempfile::tempdir().expect("a directory");
    let image = kernel_without_livepatching(place.path());
    let machine = TargetMachine::bare(&image, &[("a.ko", &trial_module("trial_good"))]);
    let said = machine.runs(
        "run apply elivepatch apply /disk/a.ko
         run dry elivepatch apply /disk/a.ko --dry-run
         run status elivepatch status
         run boot elivepatch boot
         run revert elivepatch revert
         run list elivepatch list",
    );
    for name in ["apply", "dry"] {
        let ran = said.of(name);
        assert_eq!(ran.code, 1, "{}", ran.output);
        for part in
            ["the running kernel has no livepatching", "hint: boot a kernel with CONFIG_LIVEPATCH"]
        {
            assert!(ran.output.contains(part), "{part}: {}", ran.output);
        }
    }
    assert!(said.done("status").contains("not patched"));
    assert!(said.done("boot").contains("no livepatch belongs to this kernel"));
    let revert = said.of("revert");
    assert!(revert.code == 1 && revert.output.contains("no livepatch is loaded"), "{revert:?}");
    said.done("list");
}

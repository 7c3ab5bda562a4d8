//! The client on a machine that is patched: the stock kernel in QEMU, with a disk and a network, on which livepatches
//! that the server has built are loaded, replaced, kept over a reboot, and taken back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use elivepatch_end_to_end::{ServerOptions, TargetMachine, TestServer, make_base_ready, patch};
use elivepatch_model::Sha256Digest;

/// Two livepatches on their server: the second holds the fix of the first, and one more.
struct Livepatches {
    server: TestServer,
    _place: tempfile::TempDir,
    first: PathBuf,
    second: PathBuf,
}

impl Livepatches {
    fn new() -> Self {
        make_base_ready();
        let server = TestServer::start(ServerOptions::default());
        let place = tempfile::tempdir().expect("a directory");
        let built = |name: &str, patches: &[&str]| {
            let output = place.path().join(name);
            fs::create_dir(&output).expect("own directory");
            let command = server.build().args(["--output".as_ref(), output.as_os_str()]);
            let patches = patches.iter().map(|name| patch(name));
            let run = patches.fold(command, |command, path| command.patch(&path)).run();
            assert_eq!(run.succeeds().code, Some(0));
            let entries = fs::read_dir(&output).expect("own directory");
            let mut paths = entries.map(|entry| entry.expect("an entry").path());
            let is_module = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "ko");
            paths.find(is_module).expect("a module")
        };
        let first = built("first", &["demo/meminfo-label"]);
        let second = built("second", &["demo/meminfo-label", "demo/meminfo-total"]);
        Self { server, _place: place, first, second }
    }

    /// A machine with both on its disk, and more files.
    fn machine(&self, more: &[(&str, &Path)]) -> TargetMachine {
        let (first, second) = (manifest_of(&self.first), manifest_of(&self.second));
        let own: [(&str, &Path); 4] = [
            ("a.ko", &self.first),
            ("a.ko.manifest.json", &first),
            ("b.ko", &self.second),
            ("b.ko.manifest.json", &second),
        ];
        TargetMachine::new(&[&own[..], more].concat())
    }
}

fn manifest_of(module: &Path) -> PathBuf {
    PathBuf::from(format!("{}.manifest.json", module.display()))
}

fn name(module: &Path) -> String {
    module.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// A module that no server has built, with what a server would say of it.
fn forged(place: &Path, module: &[u8], file: &str, like: &Path) -> [PathBuf; 2] {
    let text = fs::read(manifest_of(like)).expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    manifest["module"]["digest"] = Sha256Digest::of(module).to_string().into();
    manifest["module"]["size_bytes"] = module.len().into();
    let path = place.join(file);
    fs::write(&path, module).expect("own directory");
    fs::write(manifest_of(&path), manifest.to_string()).expect("own directory");
    [path.clone(), manifest_of(&path)]
}

#[test]
fn livepatches_are_loaded_replaced_kept_over_reboots_and_taken_back() {
    let livepatches = Livepatches::new();
    let (one, two) = (name(&livepatches.first), name(&livepatches.second));
    // The server answers to names of the loopback interface only: the guest has a way to it there.
    let url = livepatches.server.url();
    let port = url.rsplit(':').next().expect("it has a port").trim_end_matches('/').to_owned();
    let machine = livepatches.machine(&[]);
    let said = machine.runs(&format!(
        "printf '#!/bin/sh\\nexec nc 10.0.2.2 {port}\\n' >/bin/to-server; chmod +x /bin/to-server
         nc -ll -p {port} -e /bin/to-server &
         run nothing elivepatch status
         run dry elivepatch apply /disk/a.ko --dry-run
         run first elivepatch apply /disk/a.ko
         run seen-first grep -c VMALLOCCHUNK /proc/meminfo
         run status elivepatch status
         run json elivepatch status --json
         run again elivepatch apply /disk/a.ko
         run at-once sh -c 'elivepatch apply /disk/a.ko & elivepatch apply /disk/b.ko; wait; ls /sys/kernel/livepatch'
         run only-first sh -c 'elivepatch revert --to {one} || true'
         run second elivepatch apply 2 --url {url}
         run seen-second grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
         run loaded ls /sys/kernel/livepatch
         run modules sh -c 'lsmod | grep -c ^livepatch_'
         run list elivepatch list
         run to-first elivepatch revert --to {one}
         run seen-again grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
         run revert elivepatch revert
         run seen-none grep -c -e VmallocChunk -e VmallocTotal /proc/meminfo
         run nothing-left elivepatch revert
         run back elivepatch apply {two}
         run history elivepatch history
         run shutdown elivepatch boot --shutdown
        "
    ));
    assert!(said.done("nothing").contains("not patched"));
    assert!(said.done("dry").contains("would load"));
    assert!(said.done("first").contains(&format!("{one} is active")));
    assert_eq!(said.done("seen-first").trim(), "1");
    let status = said.done("status");
    for part in ["patched", &one, "meminfo-label.patch", "well so far"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    let json: serde_json::Value = serde_json::from_str(&said.done("json")).expect("JSON");
    assert_eq!((&json["state"], &json["livepatch"]["active"]), (&"patched".into(), &true.into()));
    assert!(said.done("again").contains("active already"));
    // Whichever was first: one is active in the end.
    let at_once = said.done("at-once");
    let listed = at_once.lines().filter(|line| line.trim() == one || line.trim() == two).count();
    assert_eq!(listed, 1, "{at_once}");
    assert!(said.done("second").contains(&format!("it has replaced {one}")));
    assert_eq!(said.done("seen-second").trim(), "2");
    assert_eq!(said.done("loaded").trim(), two);
    assert_eq!(said.done("modules").trim(), "1", "the replaced one is out of the kernel");
    let list = said.done("list");
    assert!(list.contains(&one) && list.contains(&two) && list.contains("active"), "{list}");
    assert!(said.done("to-first").contains(&format!("{one} is active")));
    assert_eq!(said.done("seen-again").trim(), "1");
    assert!(said.done("revert").contains("as it was booted"));
    assert_eq!(said.done("seen-none").trim(), "2");
    let nothing = said.of("nothing-left");
    assert!(nothing.code == 1 && nothing.output.contains("no livepatch is loaded"), "{nothing:?}");
    said.done("back");
    let history = said.done("history");
    assert!(history.matches("loaded livepatch_").count() >= 3, "{history}");
    said.done("shutdown");

    // The next start: the last one is loaded. Then another one, and the power is cut.
    let mut running = machine.start(
        "run boot elivepatch boot
         run seen grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
         run first elivepatch apply /disk/a.ko
         echo LOADED
         sleep 1000",
        "",
    );
    running.wait_for("LOADED");
    let said = running.cut();
    assert!(said.done("boot").contains(&format!("{two} is active")));
    assert_eq!(said.done("seen").trim(), "2");
    said.done("first");

    let said = machine.runs(
        "run boot elivepatch boot
         run status elivepatch status
         run refused elivepatch apply /disk/a.ko
         run seen grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
         run unlock elivepatch unlock $(elivepatch list --json | grep -B9 'locked out' | \
             sed -n 's/.*\"digest\": \"\\(.*\\)\",/\\1/p')
         run unlocked elivepatch apply /disk/a.ko
         run shutdown elivepatch boot --shutdown",
    );
    // It is put down to the new one, and the one before it is loaded.
    let boot = said.done("boot");
    assert!(
        boot.contains("came to its end") && boot.contains(&format!("{two} is active")),
        "{boot}"
    );
    // Another one is active: that is no trouble any more, and told all the same.
    let status = said.done("status");
    assert!(status.contains("locked out") && status.contains("patched"), "{status}");
    let refused = said.of("refused");
    assert!(refused.code == 1 && refused.output.contains("elivepatch unlock"), "{refused:?}");
    assert_eq!(said.done("seen").trim(), "2");
    said.done("unlock");
    said.done("unlocked");
    said.done("shutdown");

    let off = machine
        .start("run boot elivepatch boot\nrun none ls /sys/kernel/livepatch", "elivepatch=off");
    let said = off.goes_off();
    assert!(said.done("boot").contains("elivepatch=off"));
    assert_eq!(said.done("none"), "");
}

#[test]
fn what_does_not_work_leaves_the_machine_as_it_was() {
    let livepatches = Livepatches::new();
    let one = name(&livepatches.first);
    let place = tempfile::tempdir().expect("a directory");
    let modules = std::env::var_os("ELIVEPATCH_TEST_MODULES");
    let modules = PathBuf::from(modules.expect("ELIVEPATCH_TEST_MODULES names no modules"));
    let of_trial = |name: &str| {
        let module = fs::read(modules.join(format!("{name}.ko"))).expect("make test builds it");
        forged(place.path(), &module, &format!("{name}.ko"), &livepatches.first)
    };
    let [blocked, blocked_manifest] = of_trial("trial_blocked");
    let [oops, oops_manifest] = of_trial("trial_oops");
    // Its vermagic says another release, and the manifest knows it.
    let mut doctored = fs::read(&livepatches.second).expect("a module");
    let (from, to) = (b"vermagic=6.1.0-50", b"vermagic=6.1.0-49");
    let place_of = doctored.windows(from.len()).position(|window| window == from);
    let at = place_of.expect("it has a vermagic");
    doctored[at..at + to.len()].copy_from_slice(to);
    let [doctored, doctored_manifest] =
        forged(place.path(), &doctored, "doctored.ko", &livepatches.second);
    let machine = livepatches.machine(&[
        ("blocked.ko", &blocked),
        ("blocked.ko.manifest.json", &blocked_manifest),
        ("oops.ko", &oops),
        ("oops.ko.manifest.json", &oops_manifest),
        ("doctored.ko", &doctored),
        ("doctored.ko.manifest.json", &doctored_manifest),
        ("alone.ko", &livepatches.second),
    ]);
    let said = machine.runs(
        "run first elivepatch apply /disk/a.ko
         run doctored elivepatch apply /disk/doctored.ko
         run alone elivepatch apply /disk/alone.ko
         run oops elivepatch apply /disk/oops.ko
         cat /proc/cmdline
         run guard sh -c 'elivepatch guard; elivepatch history'
         run after-oops ls /sys/kernel/livepatch
         run seen grep -c VMALLOCCHUNK /proc/meminfo
         run status elivepatch status
         run blocked elivepatch apply /disk/blocked.ko --transition-limit 4
         run after-blocked ls /sys/kernel/livepatch
         mount -o remount,ro /disk
         run read-only elivepatch apply /disk/b.ko
         run after-read-only ls /sys/kernel/livepatch",
    );
    said.done("first");
    let refused = |name: &str, code: i32, parts: &[&str]| {
        let ran = said.of(name);
        assert_eq!(ran.code, code, "{name}: {}", ran.output);
        for part in parts {
            assert!(ran.output.contains(part), "{name}: {part:?} is missing: {}", ran.output);
        }
    };
    refused(
        "doctored",
        1,
        &["it is for 6.1.0-49-cloud-amd64, and 6.1.0-50-cloud-amd64 is running"],
    );
    refused("alone", 1, &["has no manifest"]);
    refused("blocked", 6, &["did not end within 4 s", "trial_sleeper", "msleep"]);
    assert_eq!(said.done("after-blocked").trim(), one);
    assert!(said.done("oops").contains("trial_oops is active"));
    // The guard that was started with it may have been first.
    let guard = said.done("guard");
    assert!(guard.contains("took trial_oops back: the kernel has oopsed"), "{guard}");
    assert_eq!(said.done("after-oops").trim(), one, "the one before it is loaded again");
    assert_eq!(said.done("seen").trim(), "1");
    refused("status", 0, &["trial_oops is locked out"]);
    refused("read-only", 1, &["Read-only file system", "a file system that can be written"]);
    assert_eq!(said.done("after-read-only").trim(), one);
}

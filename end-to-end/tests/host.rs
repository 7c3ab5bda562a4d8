//! The client on a machine that is patched: the stock kernel in QEMU, with a disk and a network, on which livepatches
//! that the server has built are loaded, replaced, kept over a reboot, and taken back.

use std::fs;

use elivepatch_end_to_end::{Livepatches, forged, module_name, trial_module, way_to};

#[test]
fn livepatches_are_loaded_replaced_kept_over_reboots_and_taken_back() {
    let livepatches = Livepatches::new();
    let (one, two) = (module_name(&livepatches.first), module_name(&livepatches.second));
    let url = livepatches.server.url();
    let way = way_to(&url);
    let machine = livepatches.machine(&[]);
    let said = machine.runs(&format!(
        "{way}
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
    let one = module_name(&livepatches.first);
    let place = tempfile::tempdir().expect("a directory");
    let of_trial = |name: &str| {
        let module = fs::read(trial_module(name)).expect("a module");
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

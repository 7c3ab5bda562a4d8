//! What goes wrong on a machine that is patched, on the stock kernel in QEMU.

use std::{fs, time::Duration};

use elivepatch_end_to_end::{Livepatches, forged, module_name, trial_module};

const PATIENCE: Duration = Duration::from_secs(600);

#[test]
fn faults_of_the_machine_harm_nothing_and_are_told_with_what_to_do() {
    let livepatches = Livepatches::new();
    let (one, two) = (module_name(&livepatches.first), module_name(&livepatches.second));
    let place = tempfile::tempdir().expect("a directory");
    let busy = fs::read(trial_module("trial_busy")).expect("a module");
    let [busy, busy_manifest] = forged(place.path(), &busy, "busy.ko", &livepatches.first);
    let machine = livepatches.machine(&[
        ("foreign.ko", &trial_module("trial_good")),
        ("probe.ko", &trial_module("trial_probe")),
        ("busy.ko", &busy),
        ("busy.ko.manifest.json", &busy_manifest),
    ]);
    let script = format!(
        r#"
        # A server that is dead for the whole time.
        export ELIVEPATCH_URL=http://127.0.0.1:9
        state=/var/lib/elivepatch/state.json
        run dead elivepatch apply 1
        mkdir /open
        chmod 1777 /open
        run open elivepatch apply /disk/a.ko --state-directory /open
        mkdir /tiny
        mount -t tmpfs -o size=16k,mode=0700 none /tiny
        run tiny elivepatch apply /disk/a.ko --state-directory /tiny
        run tiny-loaded ls /sys/kernel/livepatch
        run first elivepatch apply /disk/a.ko

        # The clock jumps while the livepatch is looked after.
        date -s @$(($(date +%s) + 36000)) >/dev/null
        run forth elivepatch apply /disk/a.ko
        run forth-status elivepatch status --json
        date -s @$(($(date +%s) - 360000)) >/dev/null
        run back elivepatch apply /disk/a.ko
        run back-status elivepatch status --json
        run state cat $state

        # Somebody else's livepatch.
        insmod /disk/foreign.ko
        sleep 3
        run foreign elivepatch apply /disk/b.ko
        run foreign-show elivepatch show trial_good
        run foreign-file elivepatch show /disk/foreign.ko
        run foreign-status elivepatch status
        echo 0 >/sys/kernel/livepatch/trial_good/enabled
        while [ -e /sys/kernel/livepatch/trial_good ]; do sleep 1; done
        rmmod trial_good

        # A disk that is full.
        cp /disk/b.ko /disk/b.ko.manifest.json /tmp
        dd if=/dev/zero of=/disk/filler bs=64k 2>/dev/null
        run full elivepatch apply /tmp/b.ko
        run full-status elivepatch status
        run full-loaded ls /sys/kernel/livepatch
        rm /disk/filler
        run room elivepatch apply /tmp/b.ko

        # A state that a newer version wrote.
        cp $state /tmp/state
        sed -i 's/"version": 1/"version": 99/' $state
        cp $state /tmp/newer
        run newer elivepatch apply /disk/a.ko
        run newer-revert elivepatch revert
        run newer-boot elivepatch boot
        run newer-status elivepatch status
        run newer-same cmp $state /tmp/newer
        run newer-loaded ls /sys/kernel/livepatch
        cp /tmp/state $state
        run revert elivepatch revert

        # A kprobe with a post handler, where the kernel tells of it, and where it does not.
        insmod /disk/probe.ko
        run unprobed elivepatch apply /disk/a.ko
        mount -t debugfs none /sys/kernel/debug
        run probe elivepatch apply /disk/a.ko
        ls /sys/kernel/debug/tracing >/dev/null
        mount -t tmpfs none /sys/kernel/debug/tracing
        umount /sys/kernel/tracing
        run probe-busy elivepatch apply /disk/a.ko
        run probe-none ls /sys/kernel/livepatch
        rmmod trial_probe
        mount -t tracefs none /sys/kernel/tracing

        # It is taken back while a task sleeps in it, and while something holds its module.
        run busy elivepatch apply /disk/busy.ko
        cat /proc/version >/tmp/version &
        sleep 1
        run busy-rmmod rmmod trial_busy
        run busy-revert elivepatch revert
        wait $!
        run busy-version cat /tmp/version
        run busy-gone ls /sys/kernel/livepatch
        run held elivepatch apply /disk/busy.ko
        exec 9</dev/trial_busy
        run held-revert elivepatch revert
        run held-status elivepatch status
        run held-again elivepatch apply /disk/busy.ko
        exec 9<&-
        run free elivepatch apply /disk/busy.ko
        run free-revert elivepatch revert
        run last elivepatch apply {two}
        "#
    );
    let said = machine.start(&script, "").with_patience(PATIENCE).goes_off();
    let told = |name: &str, code: i32, parts: &[&str]| {
        let ran = said.of(name);
        assert_eq!(ran.code, code, "{name}: {}", ran.output);
        for part in parts {
            assert!(ran.output.contains(part), "{name}: {part:?} is missing: {}", ran.output);
        }
    };
    told("dead", 4, &["cannot reach the server", "hint: "]);
    told("first", 0, &[&format!("{one} is active")]);

    for name in ["forth", "back"] {
        told(name, 0, &["active already"]);
        told(&format!("{name}-status"), 0, &["\"state\": \"patched\"", "\"healthy\": true"]);
    }
    let state = said.done("state");
    assert!(state.contains("\"marker\""), "it is looked after still: {state}");
    assert!(!state.contains("\"proven\"") && !state.contains("\"locked_out\""), "{state}");

    told("foreign", 1, &["the livepatch trial_good, which is not of elivepatch, is loaded"]);
    told("foreign-show", 0, &["vmlinux: cmdline_proc_show", "no more than the kernel tells"]);
    told("foreign-file", 0, &["neither kpatch nor klp-build has made it", "it has no manifest"]);
    told("foreign-status", 0, &["also loaded", "trial_good"]);

    told("open", 1, &["others can write in it", "chmod 700 /open"]);
    told("tiny", 1, &["cannot write /tiny/livepatches/", "No space left", "make room"]);
    assert_eq!(said.done("tiny-loaded").trim(), "");
    told("full", 1, &["cannot write", "No space left", "make room"]);
    told("full-status", 0, &["patched", &one]);
    assert_eq!(said.done("full-loaded").trim(), one);
    told("room", 0, &[&format!("{two} is active")]);

    let newer = "was written by a newer elivepatch (version 99 of its form)";
    for name in ["newer", "newer-revert", "newer-boot"] {
        told(name, 1, &[newer, "nothing was changed"]);
    }
    told("newer-status", 2, &[newer]);
    said.done("newer-same");
    assert_eq!(said.done("newer-loaded").trim(), two);
    told("revert", 0, &["as it was booted"]);

    told("unprobed", 1, &["something else redirects meminfo_proc_show (vmlinux)"]);
    told("probe", 1, &["a kprobe with a post handler redirects meminfo_proc_show (vmlinux)"]);
    told(
        "probe-busy",
        6,
        &["trying again", "the kernel did not take the module", "a kprobe on meminfo_proc_show"],
    );
    assert_eq!(said.done("probe-none").trim(), "");

    told("busy", 0, &["trial_busy is active"]);
    assert_ne!(said.of("busy-rmmod").code, 0, "the kernel lets no active livepatch go");
    told("busy-revert", 0, &["waiting for cat (pid", "as it was booted"]);
    told("busy-version", 0, &["a version that was live-patched"]);
    assert_eq!(said.done("busy-gone").trim(), "");
    told("held", 0, &["trial_busy is active"]);
    told("held-revert", 0, &["cannot be taken out of the kernel", "as it was booted"]);
    told("held-status", 0, &["not patched"]);
    told("held-again", 6, &["cannot be taken out of the kernel", "/sys/module/trial_busy/holders"]);
    told("free", 0, &["trial_busy is active"]);
    told("free-revert", 0, &["as it was booted"]);
    told("last", 0, &[&format!("{two} is active")]);
}

#[test]
fn state_is_whole_whenever_the_power_goes() {
    let livepatches = Livepatches::new();
    let (one, two) = (module_name(&livepatches.first), module_name(&livepatches.second));
    let machine = livepatches.machine(&[]);
    // The same as in a real life: each of these writes the state several times.
    let writing = r#"
        run boot elivepatch boot
        run status elivepatch status
        run list elivepatch list
        run history elivepatch history
        for digest in $(elivepatch list --json | sed -n 's/.*"digest": "\(.*\)",/\1/p'); do
            elivepatch unlock $digest
        done >/dev/null 2>&1
        echo READY
        while true; do
            elivepatch apply /disk/a.ko >/dev/null 2>&1 && echo WRITTEN
            elivepatch boot --shutdown
            elivepatch apply /disk/b.ko
            elivepatch boot --shutdown
        done 2>/dev/null
        "#;
    let mut written = false;
    for cut_after in [None, Some(2500), Some(4100), Some(3300)] {
        let mut running = machine.start(writing, "").with_patience(PATIENCE);
        running.wait_for("READY");
        if let Some(milliseconds) = cut_after {
            std::thread::sleep(Duration::from_millis(milliseconds));
        } else {
            // So that there is something when the power goes the next time.
            running.wait_for("WRITTEN");
        }
        let said = running.cut();
        // Whatever was there: it is read, and the last livepatch that is not to blame is active.
        let boot = said.of("boot");
        assert!(boot.code == 0, "{}", boot.output);
        let status = said.of("status");
        let is_locked = status.output.contains("locked out");
        assert!(status.code == 0 || is_locked, "{}", status.output);
        said.done("list");
        let history = said.done("history");
        written |= history.contains(&one) || history.contains(&two);
    }
    assert!(written, "the power went before anything was written");
}

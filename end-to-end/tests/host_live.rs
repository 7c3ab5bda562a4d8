//! The next fix on a machine on which one is live: the client in the guest orders it from a real server, and is without
//! one afterwards.

use std::{path::Path, time::Duration};

use elivepatch_end_to_end::{
    ServerOptions, TargetMachine, TestServer, make_base_ready, patch, stock_config_file, way_to,
};

/// Three builds, each with its trial, while the guest waits.
const PATIENCE: Duration = Duration::from_secs(1200);

#[test]
fn next_fix_is_ordered_with_what_is_live_and_replaces_it_without_a_moment_without_it() {
    make_base_ready();
    let server = TestServer::start(ServerOptions::default());
    let url = server.url();
    let (label, total) = (patch("demo/meminfo-label"), patch("demo/meminfo-total"));
    let checks = |path: &Path| path.with_extension("checks.toml");
    let machine = TargetMachine::new(&[
        ("config", &stock_config_file()),
        ("meminfo-label.patch", &label),
        ("meminfo-label.checks.toml", &checks(&label)),
        ("meminfo-total.patch", &total),
    ]);
    let build = format!("elivepatch build --output /tmp --apply --url {url}");
    let way = way_to(&url);
    let script = format!(
        r#"{way}
        # As a distribution leaves it.
        mkdir /boot
        cp /disk/config /boot/config-$(uname -r)
        run first {build} --patch /disk/meminfo-label.patch --checks /disk/meminfo-label.checks.toml
        run seen-first grep -c VMALLOCCHUNK /proc/meminfo
        first=$(ls /sys/kernel/livepatch)
        # While one replaces the other, somebody looks all the time.
        while [ ! -e /tmp/enough ]; do
            grep -c VMALLOCCHUNK /proc/meminfo
            grep VMALLOCTOTAL /proc/meminfo
            usleep 10000
        done >/tmp/looks 2>/dev/null &
        run second {build} --patch /disk/meminfo-total.patch
        >/tmp/enough
        run both grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
        run loaded ls /sys/kernel/livepatch
        run looks sh -c "grep -v VMALLOCTOTAL /tmp/looks | sort | uniq"
        run looks-after grep -c VMALLOCTOTAL /tmp/looks
        second=$(ls /sys/kernel/livepatch)
        run again {build} --patch /disk/meminfo-label.patch
        run show elivepatch show $second
        run drop elivepatch drop meminfo-label --output /tmp --apply --url {url}
        run dropped grep -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
        run last elivepatch drop meminfo-total --output /tmp --apply --url {url}
        kill $way
        run dead elivepatch builds --url {url}
        run list elivepatch list
        run status elivepatch status
        run history elivepatch history
        run back elivepatch revert --to $second
        run both-again grep -c -e VMALLOCCHUNK -e VMALLOCTOTAL /proc/meminfo
        run revert elivepatch revert
        run kept elivepatch apply $first
        run lost elivepatch apply $second
        run lost-again elivepatch apply $first --dry-run
        run seen-again grep -c VMALLOCCHUNK /proc/meminfo
        "#
    );
    let said = machine.start(&script, "").with_patience(PATIENCE).goes_off();
    assert!(said.done("first").contains("is active"));
    assert_eq!(said.done("seen-first").trim(), "1");
    let second = said.done("second");
    for part in [
        "incremental: the livepatch is to replace livepatch_",
        "it keeps meminfo-label.patch",
        "it adds meminfo-total.patch",
        "never without one of the two",
        "it has replaced livepatch_",
        // The check of the first order, made again.
        "grep -i vmallocchunk /proc/meminfo",
    ] {
        assert!(second.contains(part), "{part}: {second}");
    }
    assert!(!second.contains("is not tried"), "{second}");
    assert_eq!(said.done("both").trim(), "2");
    assert_eq!(said.done("loaded").lines().count(), 1);
    assert_eq!(said.done("looks").trim(), "1", "the first fix held at each look");
    let after: u64 = said.done("looks-after").trim().parse().expect("a number");
    assert!(after > 0, "it was looked until the second one was there");
    assert!(said.done("again").contains("meminfo-label.patch is live already"));
    let show = said.done("show");
    for part in ["active, since", "meminfo-label.patch (sha256", "vmlinux: meminfo_proc_show"] {
        assert!(show.contains(part), "{part}: {show}");
    }
    let drop = said.done("drop");
    assert!(drop.contains("it drops meminfo-label.patch"), "{drop}");
    assert!(!drop.contains("does not hold of its fixes"), "it was asked for: {drop}");
    let dropped = said.done("dropped");
    assert!(dropped.contains("VMALLOCTOTAL") && !dropped.contains("VMALLOCCHUNK"), "{dropped}");
    let last = said.of("last");
    assert!(last.code == 1 && last.output.contains("elivepatch revert"), "{last:?}");

    // From here on there is no server.
    assert_eq!(said.of("dead").code, 4);
    assert_eq!(said.done("list").matches("livepatch_").count(), 3);
    assert!(said.done("status").contains("meminfo-total.patch"));
    assert!(said.done("history").matches("loaded livepatch_").count() >= 3);
    said.done("back");
    assert_eq!(said.done("both-again").trim(), "2");
    assert!(said.done("revert").contains("as it was booted"));
    said.done("kept");
    said.done("lost");
    let lost = said.done("lost-again");
    assert!(lost.contains("would take out fixes of") && lost.contains("meminfo-total"), "{lost}");
    assert_eq!(said.done("seen-again").trim(), "1");
}

//! Livepatches of code in loadable modules: what they change is seen in a guest that has loaded them.

use elivepatch_end_to_end::{ServerOptions, TestServer, own_patch};
use elivepatch_model::Manifest;

/// Builds a livepatch of one patch, with checks; gives the manifest and what was said.
fn built(name: &str, checks: &str) -> (Manifest, String) {
    let server = TestServer::start(ServerOptions::default());
    let order = server.build().patch(&own_patch(name));
    let checks = order.file("checks.toml", checks);
    let run = order.args(["--checks".as_ref(), checks.as_os_str()]).run().succeeds();
    let (_, manifest) = run.livepatch();
    (manifest, run.stderr)
}

fn functions(manifest: &Manifest) -> Vec<String> {
    manifest.functions.iter().map(|found| format!("{} {}", found.object, found.name)).collect()
}

#[test]
fn driver_is_patched_where_it_is_loaded_and_where_it_comes_later() {
    let (manifest, said) = built(
        "module-driver",
        "[[check]]\ncommand = \"cat /sys/block/zram0/initstate\"\n\
         before = \"0\"\nafter = \"initialised: 0\"\n",
    );
    assert_eq!(functions(&manifest), ["zram initstate_show"]);
    let trial = &manifest.trial;
    assert_eq!(
        (&trial.modules_loaded[..], &trial.modules_late[..]),
        (&["zram".into()][..], &["zram".into()][..])
    );
    assert!(trial.modules_absent.is_empty(), "{trial:?}");
    assert_eq!(trial.checks[0].output_before, "0\n");
    assert_eq!(trial.checks[0].output_after, "initialised: 0\n");
    assert_eq!(trial.checks[0].output_reverted, "0\n");
    assert!(said.contains("with zram (before the livepatch and after it)"), "{said}");
}

#[test]
fn one_patch_changes_vmlinux_and_two_modules() {
    let (manifest, _) = built(
        "module-mixed",
        "[[check]]\ncommand = \"cat /proc/meminfo\"\n\
         before = \"VmallocChunk:\"\nafter = \"VMALLOCCHUNK:\"\n\
         [[check]]\ncommand = \"cat /proc/net/vlan/config\"\n\
         before = \"VLAN Dev name\"\nafter = \"VLAN device\"\n\
         [[check]]\ncommand = \"echo [$(cat /sys/block/zram0/disksize)]\"\n\
         before = \"[0]\"\nafter = \"[bytes: 0]\"\n",
    );
    let expected = ["8021q vlan_seq_show", "vmlinux meminfo_proc_show", "zram disksize_show"];
    assert_eq!(functions(&manifest), expected);
    assert_eq!(manifest.trial.modules_loaded, ["8021q", "zram"]);
    assert_eq!(manifest.trial.modules_late, ["8021q", "zram"]);
}

#[test]
fn file_in_two_modules_is_patched_in_both() {
    let (manifest, _) = built(
        "module-shared-code",
        "[[check]]\ncommand = \"cat /sys/kernel/livepatch/*/raid1/patched \
         /sys/kernel/livepatch/*/raid10/patched | wc -l\"\nbefore = \"0\"\nafter = \"2\"\n",
    );
    let found = functions(&manifest);
    for function in ["raid1 rbio_pool_free", "raid10 rbio_pool_free"] {
        assert!(found.iter().any(|found| found == function), "{function}: {found:?}");
    }
    assert_eq!(manifest.trial.modules_loaded, ["raid1", "raid10"]);
}

/// `kvm.ko` is linked from `arch/x86/kvm/../../../virt/kvm/kvm_main.o`: both halves of the fix must be
/// in the livepatch.
#[test]
fn module_with_objects_of_another_directory_is_patched_whole() {
    let (manifest, _) = built(
        "module-kvm",
        "[[check]]\ncommand = \"cat /sys/kernel/livepatch/*/kvm/patched | wc -l\"\n\
         before = \"0\"\nafter = \"1\"\n",
    );
    assert_eq!(functions(&manifest), ["kvm kvm_arch_dev_ioctl", "kvm kvm_dev_ioctl"]);
    assert!(manifest.trial.modules_loaded.contains(&"kvm".into()), "{:?}", manifest.trial);
}

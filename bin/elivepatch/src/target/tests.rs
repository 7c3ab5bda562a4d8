//! When the facts of this machine go with a config that the command line names.

use std::fs;

use super::*;

const CONFIG: &str = "CONFIG_X86_64=y\nCONFIG_LIVEPATCH=y\n";

/// What is sent with a config and a release from a machine that runs 6.12.30-mine, and whose running
/// config is `own`.
fn sent(own: Option<&str>, release: &str) -> TargetFacts {
    let root = tempfile::tempdir().expect("a directory");
    if let Some(own) = own {
        fs::create_dir(root.path().join("boot")).expect("a directory");
        fs::write(root.path().join("boot/config-6.12.30-mine"), own).expect("a file");
    }
    let config = root.path().join("given");
    fs::write(&config, CONFIG).expect("a file");
    let kernel = RunningKernel::for_test(root.path(), "6.12.30-mine");
    let release = release.parse().expect("a release");
    let baseline = BaselineArgs::default();
    let asked =
        Asked { config: Some(&config), release: Some(&release), facts: None, baseline: &baseline };
    from_config(&kernel, &asked, None).expect("found").facts
}

#[test]
fn facts_go_with_the_config_of_the_running_kernel_and_with_one_that_may_be_its() {
    for own in [Some(CONFIG), None] {
        assert_eq!(sent(own, "6.12.30-mine").kernel_version.as_deref(), Some("#1 SMP"), "{own:?}");
    }
    for (own, release) in [
        (Some("CONFIG_X86_64=y\n"), "6.12.30-mine"),
        (Some(CONFIG), "6.12.30-other"),
        (None, "6.12.30-other"),
    ] {
        let facts = sent(own, release);
        assert_eq!((facts.kernel_version, facts.machine), (None, None), "{own:?} {release}");
    }
}

#[test]
fn patches_of_portage_that_are_not_sent_are_known() {
    const PATCH: &str = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n";
    let root = tempfile::tempdir().expect("a directory");
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    let unsent =
        |release: &str| unsent_portage_patches(root.path(), &release.parse().expect("a release"));
    write("etc/portage/patches/sys-kernel/gentoo-sources-6.12.30/a.patch", PATCH);
    write("etc/os-release", "ID=debian\n");
    assert_eq!(unsent("6.12.30-gentoo"), None, "nothing compiles them there");
    for os_release in ["ID=gentoo\n", "ID=calculate\nID_LIKE=gentoo\n"] {
        write("etc/os-release", os_release);
        let origin = unsent("6.12.30-gentoo");
        assert_eq!(origin.as_deref(), Some("of sys-kernel/gentoo-sources-6.12.30"));
        assert_eq!(unsent("6.12.31-gentoo"), None);
    }
    write("etc/portage/patches/sys-kernel/gentoo-sources-6.12.30/b.patch", "no patch");
    assert!(unsent("6.12.30-gentoo").is_some(), "one that cannot be read");
}

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

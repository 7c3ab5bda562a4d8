use std::os::unix::fs::symlink;

use super::*;

const PATCH: &str = "--- a/Makefile\n+++ b/Makefile\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n";

struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn root(&self) -> &Path {
        self.0.path()
    }

    fn installed(self, full_name: &str, slot: &str) -> Self {
        self.write(&format!("var/db/pkg/sys-kernel/{full_name}/SLOT"), &format!("{slot}\n"))
    }

    fn patch(self, path: &str, comment: &str) -> Self {
        let text = if comment.is_empty() { String::new() } else { format!("{comment}\n{PATCH}") };
        self.write(&format!("etc/portage/patches/sys-kernel/{path}"), &text)
    }

    fn write(self, path: &str, text: &str) -> Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
        self
    }

    /// Names with the first lines, which say where each comes from.
    fn found(&self, release: &str) -> Vec<String> {
        let baseline = find(self.root(), &release.parse().expect("a release")).expect("patches");
        let shown = |patch: &elivepatch_api::client::NamedPatch| {
            let text = String::from_utf8_lossy(&patch.content).into_owned();
            format!("{} {}", patch.name, text.lines().next().unwrap_or_default())
        };
        baseline.patches.iter().map(shown).collect()
    }
}

fn package(root: &Path, release: &str) -> String {
    let package = package_of(root, release);
    format!("{}:{}", package.full_name(), package.slot)
}

#[test]
fn release_speaks_for_a_package() {
    let machine = Machine::new();
    for (release, expected) in [
        ("6.12.30-gentoo", "gentoo-sources-6.12.30:6.12.30"),
        ("6.12.30-gentoo-r1", "gentoo-sources-6.12.30-r1:6.12.30-r1"),
        ("6.12.30-gentoo-r2-mine", "gentoo-sources-6.12.30-r2:6.12.30-r2"),
        ("6.12.30-gentoo-x86_64", "gentoo-sources-6.12.30:6.12.30"),
        ("6.12.30-gentoo-dist", "gentoo-kernel-6.12.30:6.12.30"),
        ("6.12.30-gentoo-r1-dist", "gentoo-kernel-6.12.30-r1:6.12.30-r1"),
        ("6.12.30-gentoo-dist-r1", "gentoo-kernel-6.12.30-r1:6.12.30-r1"),
        ("6.12.30-gentoo-dist-hardened", "gentoo-kernel-6.12.30:6.12.30"),
        ("6.18.32-p1-gentoo-dist", "gentoo-kernel-6.18.32_p1:6.18.32_p1"),
        ("6.12.30-dist", "vanilla-kernel-6.12.30:6.12.30"),
        ("6.12.30-zen1", "zen-sources-6.12.30:6.12.30"),
        ("6.12.30", "vanilla-sources-6.12.30:6.12.30"),
        ("6.13.0-rc3", "vanilla-sources-6.13.0_rc3:6.13.0_rc3"),
        ("6.12.30-redistributed", "vanilla-sources-6.12.30:6.12.30"),
    ] {
        assert_eq!(package(machine.root(), release), expected, "{release}");
    }
}

#[test]
fn records_of_portage_tell_what_a_release_leaves_open() {
    let machine = Machine::new()
        .installed("gentoo-kernel-6.12.30-r1", "6.12.30-r1")
        .installed("gentoo-kernel-6.12.3", "6.12.3")
        .installed("git-sources-6.13_rc3", "6.13_rc3")
        .installed("gentoo-sources-6.12", "6.12/1")
        .installed("gentoo-kernel-bin-6.6.1", "6.6.1");
    for (release, expected) in [
        ("6.12.30-gentoo-dist", "gentoo-kernel-6.12.30-r1:6.12.30-r1"),
        ("6.13.0-rc3", "git-sources-6.13_rc3:6.13_rc3"),
        ("6.12.0-gentoo", "gentoo-sources-6.12:6.12/1"),
        ("6.6.1-gentoo-dist", "gentoo-kernel-bin-6.6.1:6.6.1"),
    ] {
        assert_eq!(package(machine.root(), release), expected, "{release}");
    }
}

#[test]
fn more_specific_directory_wins_for_each_file_and_an_empty_file_stands_for_none() {
    let machine = Machine::new()
        .patch("gentoo-sources/10-a.patch", "PN")
        .patch("gentoo-sources/20-b.patch", "PN")
        .patch("gentoo-sources/30-c.diff", "PN")
        .patch("gentoo-sources/40-d.patch", "PN")
        .patch("gentoo-sources/50-e.patch", "PN")
        .patch("gentoo-sources/readme.txt", "PN")
        .patch("gentoo-sources:6.12.30-r1/20-b.patch", "PN:SLOT")
        .patch("gentoo-sources-6.12.30/20-b.patch", "P")
        .patch("gentoo-sources-6.12.30/30-c.diff", "P")
        .patch("gentoo-sources-6.12.30-r1/30-c.diff", "P-PR")
        .patch("gentoo-sources-6.12.30-r1:6.12.30-r1/30-c.diff", "P-PR:SLOT")
        .patch("gentoo-sources-6.12.30/40-d.patch", "")
        .patch("gentoo-sources-6.12.31/60-f.patch", "another version")
        .patch("gentoo-kernel/70-g.patch", "another package");
    let directory = machine.root().join("etc/portage/patches/sys-kernel/gentoo-sources-6.12.30-r1");
    symlink("/dev/null", directory.join("50-e.patch")).expect("a link");
    assert_eq!(
        machine.found("6.12.30-gentoo-r1"),
        ["10-a.patch PN", "20-b.patch P", "30-c.diff P-PR:SLOT"]
    );
}

#[test]
fn kernel_without_a_revision_has_r0_and_one_that_comes_compiled_has_no_patches() {
    let machine = Machine::new()
        .patch("gentoo-kernel-6.12.30-r0/a.patch", "r0")
        .patch("gentoo-kernel-bin/a.patch", "never applied");
    assert_eq!(machine.found("6.12.30-gentoo-dist"), ["a.patch r0"]);
    let machine = machine.installed("gentoo-kernel-bin-6.12.30", "6.12.30");
    assert_eq!(machine.found("6.12.30-gentoo-dist"), [""; 0]);
    assert_eq!(machine.found("6.1.1"), [""; 0]);
}

#[test]
fn patch_that_cannot_be_read_is_named() {
    let machine =
        Machine::new().write("etc/portage/patches/sys-kernel/gentoo-sources/a.patch", "no diff\n");
    let problem = find(machine.root(), &"6.12.30-gentoo".parse().expect("a release"));
    let problem = format!("{:?}", problem.expect_err("no patch"));
    assert!(problem.contains("gentoo-sources/a.patch"), "{problem}");
    assert!(problem.contains("--no-baseline"), "{problem}");
}

#[test]
fn portage_configroot_of_this_machine_counts() {
    let place =
        |root: &str, variable: &str| configuration_root(Path::new(root), Some(variable.into()));
    assert_eq!(place("/", "/other"), Path::new("/other"));
    assert_eq!(place("/", ""), Path::new("/"));
    assert_eq!(place("/saved", "/other"), Path::new("/saved"), "it is not of this machine");
    assert_eq!(configuration_root(Path::new("/"), None), Path::new("/"));
}

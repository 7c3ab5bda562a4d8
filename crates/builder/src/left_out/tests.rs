use super::*;

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(config: &str, files: &[(&str, &str)]) -> Self {
        let tree = Self(tempfile::tempdir().expect("a directory"));
        tree.write(".config", config);
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("own directory");
        fs_err::write(path, text).expect("own file");
    }

    fn lists(&self) -> ObjectLists {
        ObjectLists::new(Utf8PathBuf::from_path_buf(self.0.path().to_owned()).expect("UTF-8"))
    }

    /// The options that leave a file out.
    fn options(&self, file: &str) -> Vec<String> {
        self.lists().left_out(file).expect("it may be in a kernel").options
    }
}

/// Lines as Linux 6.1 and 6.12 have them.
fn kernel() -> Tree {
    Tree::new(
        "CONFIG_PCI=y\nCONFIG_NET=y\nCONFIG_BT=m\n# CONFIG_DRM is not set\nCONFIG_KVM=m\n",
        &[
            (
                "Kbuild",
                "obj-y += fs/\nobj-$(CONFIG_IO_URING) += io_uring/\nobj-y += drivers/ net/\n",
            ),
            ("Makefile", "ARCH ?= x86\ncore-y += arch/$(SRCARCH)/\nall: vmlinux\n"),
            (
                "arch/x86/Makefile",
                "drivers-$(CONFIG_PCI) += arch/x86/pci/\ndrivers-$(CONFIG_SUSPEND) += arch/x86/power/\n",
            ),
            ("arch/x86/Kbuild", "obj-y += kernel/\n"),
            ("arch/x86/kernel/Makefile", "obj-y += one.o\nobj-$(CONFIG_X86_MCE) += cpu/mce/\n"),
            ("arch/x86/kernel/cpu/mce/Makefile", "obj-y := core.o\n"),
            ("arch/x86/power/Makefile", "obj-y += cpu.o\n"),
            (
                "fs/Makefile",
                "obj-$(CONFIG_SMB_SERVER) += smb/\nobj-y += namei.o\nifdef CONFIG_AIO\nobj-y += aio.o\nendif\n",
            ),
            ("fs/smb/Makefile", "obj-$(CONFIG_SMB_SERVER) += server/\n"),
            (
                "fs/smb/server/Makefile",
                "obj-$(CONFIG_SMB_SERVER) += ksmbd.o\nksmbd-y := vfs.o smb2pdu.o\nksmbd-$(CONFIG_SMB_SERVER_SMBDIRECT) += transport_rdma.o\n",
            ),
            ("drivers/Makefile", "obj-y += gpu/ usb/\n"),
            ("drivers/gpu/Makefile", "obj-y += drm/\n"),
            (
                "drivers/gpu/drm/Makefile",
                "obj-$(CONFIG_DRM) += drm.o\nobj-$(CONFIG_DRM_I915) += i915/\n",
            ),
            (
                "drivers/gpu/drm/i915/Makefile",
                "gem-y += gem/object.o\ni915-y += $(gem-y) main.o\nobj-$(CONFIG_DRM_I915) += i915.o\n",
            ),
            ("net/Makefile", "obj-$(CONFIG_BT) += bluetooth/\n"),
            (
                "net/bluetooth/Makefile",
                "obj-$(CONFIG_BT) += bluetooth.o\nbluetooth-y := core.o\nbluetooth-$(CONFIG_BT_LE) += iso.o\nbluetooth-$(CONFIG_BT_MSFTEXT) += iso.o\n",
            ),
        ],
    )
}

#[test]
fn option_that_leaves_a_file_out_is_the_nearest_that_is_not_set() {
    let tree = kernel();
    for (file, options) in [
        ("fs/aio.c", &["CONFIG_AIO"][..]),
        ("fs/smb/server/vfs.c", &["CONFIG_SMB_SERVER"]),
        ("fs/smb/server/transport_rdma.c", &["CONFIG_SMB_SERVER_SMBDIRECT"]),
        // It is named by a Makefile of a directory around it, in a list that another takes over.
        ("drivers/gpu/drm/i915/gem/object.c", &["CONFIG_DRM_I915"]),
        ("drivers/gpu/drm/drm.c", &["CONFIG_DRM"]),
        ("io_uring/net.c", &["CONFIG_IO_URING"]),
        ("arch/x86/power/cpu.c", &["CONFIG_SUSPEND"]),
        ("arch/x86/kernel/cpu/mce/core.c", &["CONFIG_X86_MCE"]),
        // Either of them would do.
        ("net/bluetooth/iso.c", &["CONFIG_BT_LE", "CONFIG_BT_MSFTEXT"]),
        // No list names it, and the directory is not entered.
        ("drivers/gpu/drm/i915/odd/other.c", &["CONFIG_DRM_I915"]),
    ] {
        assert_eq!(tree.options(file), options, "{file}");
    }
}

#[test]
fn object_is_named_where_no_option_can_be() {
    let tree = kernel();
    for (file, object) in [
        ("fs/unlisted.c", "fs/unlisted.o"),
        ("arch/arm64/kernel/entry.S", "arch/arm64/kernel/entry.o"),
        ("drivers/usb/core/hub.c", "drivers/usb/core/hub.o"),
        // It is in the lists, and all of them count: then something else leaves it out.
        ("net/bluetooth/core.c", "net/bluetooth/core.o"),
    ] {
        let found = tree.lists().left_out(file).expect("it may be in a kernel");
        assert_eq!((found.options, found.object.as_str()), (Vec::new(), object), "{file}");
    }
    for file in ["tools/perf/perf.c", "include/linux/mm.h", "../etc/x.c", "fs//../x.c", ""] {
        assert_eq!(tree.lists().left_out(file), None, "{file}");
    }
}

#[test]
fn makefiles_that_lead_round_or_are_no_files_come_to_an_end() {
    let tree = Tree::new(
        "",
        &[
            ("Kbuild", "obj-y += a/\n"),
            (
                "a/Makefile",
                "x-y += y.o $(y-y) z.o\ny-y += x.o $(x-y)\nobj-y += a/ ./ ../ /\na-y += a.o\n",
            ),
        ],
    );
    assert!(tree.options("a/z.c").is_empty());
    assert!(tree.options("a/a.c").is_empty());
    // Each list takes over all of the others, ten times each.
    let all: String = (0..100).map(|list| format!("$(l{list}-y) ").repeat(10)).collect();
    let wide: String = (0..100).map(|list| format!("l{list}-y += z.o {all}\n")).collect();
    tree.write("b/Makefile", &wide);
    let began = std::time::Instant::now();
    assert!(tree.options("b/z.c").is_empty());
    assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    std::os::unix::fs::symlink("/etc/passwd", tree.0.path().join("c")).expect("own link");
    fs_err::create_dir_all(tree.0.path().join("d/Makefile")).expect("own directory");
    assert!(tree.options("c/z.c").is_empty() && tree.options("d/z.c").is_empty());
}

#[test]
fn answers_are_remembered_for_the_trees_that_were_asked_about_last() {
    let tree = kernel();
    let kept = KeptLists::default();
    let path = Utf8PathBuf::from_path_buf(tree.0.path().to_owned()).expect("UTF-8");
    let asked = || kept.of(&path).left_out("fs/aio.c").expect("a file").options;
    assert_eq!(asked(), ["CONFIG_AIO"]);
    tree.write("fs/Makefile", "");
    assert_eq!(asked(), ["CONFIG_AIO"], "it was read once");
    for number in 0..MOST_TREES {
        kept.of(&Utf8PathBuf::from(format!("/nowhere/{number}")));
    }
    assert!(asked().is_empty(), "it is read again");
}

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _, net::UnixListener},
};

use camino::Utf8PathBuf;

use super::*;
use crate::source::directory;

struct Tree {
    _temporary: tempfile::TempDir,
    path: Utf8PathBuf,
}

/// A tree with a file, a program, a directory and links that may be there.
fn tree() -> Tree {
    let temporary = tempfile::tempdir().expect("a directory");
    let path = Utf8PathBuf::from_path_buf(temporary.path().join("linux")).expect("UTF-8");
    fs_err::create_dir_all(path.join("fs/proc")).expect("own directory");
    fs_err::write(path.join("fs/proc/a.c"), "int a;\n").expect("own file");
    link("..", &path.join("fs/proc/up"));
    link(".", &path.join("self"));
    Tree { _temporary: temporary, path }
}

fn link(target: &str, place: &Utf8Path) {
    std::os::unix::fs::symlink(target, place).expect("own link");
}

impl Tree {
    /// What is said of the tree, by a mere look and by reading all of it; it must be the same.
    fn refusal(&self) -> String {
        let failure = directory::check(&self.path).expect_err("it is not to be taken");
        assert_eq!(failure.class, FailureClass::SourceUnusable);
        assert_eq!(directory::digest(&self.path).expect_err("nor read"), failure);
        assert!(failure.message.contains(self.path.as_str()), "{failure}");
        failure.message
    }
}

#[test]
fn clean_tree_is_walked_in_order_and_without_what_git_knows() {
    let tree = tree();
    fs_err::create_dir(tree.path.join(".git")).expect("own directory");
    link("/etc/passwd", &tree.path.join(".git/HEAD"));
    let mut seen = Vec::new();
    walk(&tree.path, &mut |entry| {
        seen.push(entry.path.to_owned());
        Ok(())
    })
    .expect("all of it may be there");
    assert_eq!(seen, ["fs", "fs/proc", "fs/proc/a.c", "fs/proc/up", "self"]);
    // Only at the top.
    fs_err::create_dir(tree.path.join("fs/.git")).expect("own directory");
    link("/etc/passwd", &tree.path.join("fs/.git/HEAD"));
    assert!(tree.refusal().starts_with("fs/.git/HEAD in the source"));
}

#[test]
fn link_out_of_the_tree_is_refused_whatever_it_leads_to() {
    for target in ["/etc/passwd", "../..", "../../linux/fs", "self/../../.."] {
        let tree = tree();
        link(target, &tree.path.join("fs/link"));
        let said = tree.refusal();
        assert!(said.starts_with("fs/link in the source"), "{target}: {said}");
        assert!(said.contains("is a symbolic link"), "{target}: {said}");
    }
}

#[test]
fn pipes_sockets_and_devices_are_refused_and_not_opened() {
    let special = "is a device, a pipe or a socket";
    let pipe = tree();
    let made = std::process::Command::new("mkfifo").arg(pipe.path.join("fs/pipe")).status();
    assert!(made.expect("mkfifo").success());
    // A pipe that is opened would be waited for: nobody writes to it.
    assert!(pipe.refusal().ends_with(special));
    let socket = tree();
    let _listener = UnixListener::bind(socket.path.join("fs/socket")).expect("own socket");
    assert!(socket.refusal().ends_with(special));
    if rustix::process::geteuid().is_root() {
        let device = tree();
        // The system's log: whoever opens it takes lines from others.
        let made = std::process::Command::new("mknod")
            .arg(device.path.join("fs/device"))
            .args(["c", "1", "11"])
            .status();
        assert!(made.expect("mknod").success(), "root cannot make a device here");
        assert!(device.refusal().ends_with(special));
    }
}

#[test]
fn file_that_runs_as_another_user_is_refused() {
    for mode in [0o4755, 0o2755] {
        let tree = tree();
        let permissions = std::fs::Permissions::from_mode(mode);
        fs_err::set_permissions(tree.path.join("fs/proc/a.c"), permissions).expect("own file");
        let said = tree.refusal();
        assert!(said.starts_with("fs/proc/a.c in the source"), "{said}");
        assert!(said.ends_with("is setuid or setgid"), "{said}");
    }
}

#[test]
fn name_that_could_be_taken_for_something_else_is_refused() {
    for (name, shown, fault) in [
        (&b"a\nb.c"[..], "a\\nb.c in the source", "has a control character in its name"),
        (b"a\x1b[2Jb.c", "a\\u{1b}[2Jb.c in the source", "has a control character in its name"),
        (b"a\xffb.c", ". in the source", "holds a name that is not UTF-8"),
    ] {
        let tree = tree();
        fs_err::write(tree.path.as_std_path().join(OsStr::from_bytes(name)), "").expect("own file");
        let said = tree.refusal();
        assert!(said.starts_with(shown) && said.ends_with(fault), "{said:?}");
        assert!(!said.chars().any(char::is_control), "{said:?}");
    }
}

/// Makes a directory in a directory, so many times; gives the deepest.
fn nest(root: &Utf8Path, name: &str, levels: usize) {
    let mut directory = open_directory(CWD, root.as_str()).expect("own directory");
    for _ in 0..levels {
        rustix::fs::mkdirat(&directory, name, Mode::RWXU).expect("own directory");
        directory = open_directory(&directory, name).expect("own directory");
    }
}

#[test]
fn tree_that_is_too_deep_or_has_names_too_long_is_refused() {
    let deep = tree();
    nest(&deep.path, "d", DEPTH);
    directory::check(&deep.path).expect("as deep as allowed");
    nest(&deep.path, "e", DEPTH + 1);
    assert!(deep.refusal().ends_with("lies too deep"));
    // Longer than any path that the system takes at once.
    let long = tree();
    nest(&long.path, &"n".repeat(250), 20);
    assert!(long.refusal().ends_with("has a name that is too long"));
}

#[test]
fn what_is_exchanged_for_a_link_while_the_tree_is_read_is_not_followed() {
    let tree = tree();
    let outside = tree.path.with_file_name("outside");
    fs_err::create_dir(&outside).expect("own directory");
    fs_err::write(outside.join("a.c"), "secret").expect("own file");
    for exchanged in ["fs/proc/a.c", "fs/proc"] {
        let mut seen = Vec::new();
        let failure = walk(&tree.path, &mut |entry| {
            seen.push(entry.path.to_owned());
            if entry.path == exchanged {
                let place = tree.path.join(exchanged);
                fs_err::rename(&place, tree.path.with_file_name("away"))?;
                link(outside.join("a.c").as_str(), &place);
            }
            if let EntryKind::File(file) = &entry.kind {
                file.open()?;
            }
            Ok(())
        })
        .expect_err(exchanged);
        assert_eq!(failure.class, FailureClass::SourceUnusable);
        assert_eq!(seen.last().map(String::as_str), Some(exchanged));
        fs_err::remove_file(tree.path.join(exchanged)).expect("own link");
        fs_err::rename(tree.path.with_file_name("away"), tree.path.join(exchanged))
            .expect("own file");
    }
}

#[test]
fn file_that_changes_while_it_is_read_gives_another_digest() {
    let tree = tree();
    let before = directory::digest(&tree.path).expect("a clean tree");
    let (fingerprint, _) = directory::fingerprint(&tree.path).expect("a clean tree");
    // In place, of the same length, and with its time set back.
    let path = tree.path.join("fs/proc/a.c");
    let modified =
        fs_err::metadata(&path).and_then(|metadata| metadata.modified()).expect("a time");
    let file = std::fs::File::options().write(true).open(&path).expect("own file");
    std::os::unix::fs::FileExt::write_all_at(&file, b"int b;\n", 0).expect("own file");
    file.set_modified(modified).expect("own file");
    assert_ne!(directory::digest(&tree.path).expect("a clean tree"), before);
    assert_ne!(directory::fingerprint(&tree.path).expect("a clean tree").0, fingerprint);
}

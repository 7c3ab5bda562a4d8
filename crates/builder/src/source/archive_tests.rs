use std::io::Cursor;

use super::*;

/// One member: path, kind, mode, target of a link.
type Member<'a> = (&'a str, EntryType, u32, &'a str);

const FILE: EntryType = EntryType::Regular;

fn tarball(members: &[Member]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, mode, target) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(*mode);
        // Written as it is: the crate itself refuses what is wrong with a path.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        let content: &[u8] = if *kind == FILE { b"text\n" } else { b"" };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).expect("in memory");
    }
    builder.into_inner().expect("in memory")
}

fn fault(members: &[Member]) -> Option<String> {
    let result = check(Cursor::new(tarball(members)), Utf8Path::new("linux.tar"));
    result.err().map(|failure| {
        assert_eq!(failure.class, FailureClass::SourceUnusable);
        failure.message
    })
}

#[test]
fn tree_with_links_within_it_is_accepted() {
    let members = [
        ("linux-6.12/", EntryType::Directory, 0o755, ""),
        ("linux-6.12/Makefile", FILE, 0o644, ""),
        ("linux-6.12/arch/arm/x.dts", FILE, 0o644, ""),
        ("linux-6.12/scripts/include/arm", EntryType::Symlink, 0o777, "../../arch/arm"),
        ("linux-6.12/copy", EntryType::Link, 0o644, "linux-6.12/Makefile"),
    ];
    assert_eq!(fault(&members), None);
}

#[test]
fn each_hostile_member_is_refused_by_its_name() {
    let link = EntryType::Symlink;
    let cases: [(Member, &str); 15] = [
        (("/etc/passwd", FILE, 0o644, ""), "/etc/passwd in the source linux.tar has an absolute"),
        (("l/../../x", FILE, 0o644, ""), "l/../../x in the source linux.tar leaves the tree"),
        (("../x", FILE, 0o644, ""), "leaves the tree"),
        (("other/x", FILE, 0o644, ""), "is not below l/"),
        (("l/null", EntryType::Char, 0o666, ""), "is a device node"),
        (("l/sda", EntryType::Block, 0o666, ""), "is a device node"),
        (("l/pipe", EntryType::Fifo, 0o666, ""), "is a pipe"),
        (("l/su", FILE, 0o4755, ""), "is setuid"),
        (("l/sg", FILE, 0o2755, ""), "is setuid or setgid"),
        (("l/hard", EntryType::Link, 0o644, "/etc/shadow"), "is a hard link"),
        (("l/hard", EntryType::Link, 0o644, "l/../../x"), "is a hard link"),
        (("l/soft", link, 0o777, "/etc"), "is a symbolic link to an absolute path"),
        (("l/soft", link, 0o777, "../../etc"), "is a symbolic link out of the tree"),
        (("l/volume", EntryType::new(b'V'), 0o644, ""), "is of a kind"),
        (("l/Makefile", link, 0o777, "fs"), "is there twice"),
    ];
    for (member, expected) in cases {
        let members =
            [("l/", EntryType::Directory, 0o755, ""), ("l/Makefile", FILE, 0o644, ""), member];
        let fault = fault(&members).unwrap_or_else(|| panic!("{} is accepted", member.0));
        assert!(fault.contains(expected), "{fault:?} does not hold {expected:?}");
    }
}

#[test]
fn member_behind_a_link_is_refused() {
    let members = [("l/out", EntryType::Symlink, 0o777, "fs"), ("l/out/x", FILE, 0o644, "")];
    assert!(
        fault(&members).is_some_and(|fault| fault.contains("goes through what is no directory"))
    );
}

#[test]
fn what_is_no_tarball_is_told() {
    let name = Utf8Path::new("linux.tar");
    for bytes in [b"".to_vec(), vec![7; 4096], tarball(&[])] {
        let failure = check(Cursor::new(bytes), name).expect_err("no tarball");
        assert!(failure.message.contains("linux.tar is no tarball"), "{}", failure.message);
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2000)) {
        let _ = check(Cursor::new(bytes), Utf8Path::new("linux.tar"));
    }
}

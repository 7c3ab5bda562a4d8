use super::*;
use crate::parse_dyads;

const A: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
const B: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";
const C: &str = "cb481e59ea6cae3b7796ac1d7a22b6b24c3f3c0b";

fn built() -> BuiltFiles {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let compiled = [
        ("mm/mmap.c", &[""][..]),
        ("fs/compat_binfmt_elf.c", &[""]),
        ("fs/ext4/inode.c", &["ext4"]),
        ("net/netfilter/nf_tables_api.c", &["nf_tables"]),
        ("lib/shared.c", &["one", "two"]),
    ];
    BuiltFiles {
        compiled: compiled.iter().map(|(file, into)| ((*file).to_owned(), set(into))).collect(),
        included_by: [("fs/binfmt_elf.c".to_owned(), set(&["fs/compat_binfmt_elf.c"]))].into(),
    }
}

/// What a CVE with these files, fixed in 6.1.177, is to a kernel with some modules loaded.
fn verdict(files: &[&str], loaded: Option<&[&str]>) -> Applicability {
    verdict_of(files, loaded, &format!("4.20:{A}:6.1.177:{B}\n4.20:{A}:7.2:{C}\n"), "6.1.176")
}

fn verdict_of(
    files: &[&str],
    loaded: Option<&[&str]>,
    dyads: &str,
    version: &str,
) -> Applicability {
    let program_files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
    let dyads = parse_dyads(dyads).expect("dyads");
    let built = built();
    let loaded: Option<BTreeSet<String>> =
        loaded.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let kernel = Kernel {
        version: version.parse().expect("a version"),
        built: Some(&built),
        file_state: &|file| match file {
            "mm/userfaultfd.c" => FileState::Absent,
            _ => FileState::Present,
        },
        left_out: &|file| {
            let (file, object) = (file.to_owned(), "x.o".to_owned());
            Some(LeftOut { file, options: Vec::new(), object })
        },
        loaded_modules: loaded.as_ref(),
        live: &BTreeMap::new(),
    };
    let input = CveInput {
        id: "CVE-2026-1111".parse().expect("a name"),
        rejected: false,
        program_files: &program_files,
        dyads: &dyads,
    };
    applicability(&input, &kernel)
}

fn parents(verdict: &Applicability) -> String {
    match verdict {
        Applicability::Candidate { parents, doubt: None, .. } => parents.join(" "),
        other => panic!("{other:?}"),
    }
}

fn doubt(verdict: &Applicability) -> &str {
    match verdict {
        Applicability::Candidate { doubt: Some(doubt), .. } => doubt,
        other => panic!("{other:?}"),
    }
}

#[test]
fn code_of_vmlinux_and_of_modules_is_a_candidate_with_where_it_is() {
    assert_eq!(parents(&verdict(&["mm/mmap.c"], None)), "vmlinux");
    assert_eq!(parents(&verdict(&["fs/ext4/inode.c", "mm/mmap.c"], Some(&[]))), "vmlinux ext4");
    assert_eq!(parents(&verdict(&["lib/shared.c"], Some(&["two"]))), "one two");
    // Code that another file includes is compiled there.
    assert_eq!(parents(&verdict(&["fs/binfmt_elf.c"], None)), "vmlinux");
    let Applicability::Candidate { fixes: Fixes::OwnBranch(fixes), .. } =
        verdict(&["mm/mmap.c"], None)
    else {
        panic!("it is fixed in the branch");
    };
    assert_eq!(fixes[0].hash, B);
}

#[test]
fn modules_that_are_not_loaded_are_told_and_unknown_ones_count_as_loaded() {
    let files = ["net/netfilter/nf_tables_api.c"];
    assert!(matches!(verdict(&files, Some(&["ext4"])), Applicability::NotLoaded { modules, .. }
        if modules == ["nf_tables"]));
    assert_eq!(parents(&verdict(&files, Some(&["nf_tables"]))), "nf_tables");
    assert_eq!(parents(&verdict(&files, None)), "nf_tables");
    // What may be elsewhere is never said to be not loaded.
    for (other, part) in [
        ("include/net/netfilter/nf_tables.h", "is a header"),
        ("net/netfilter/Kconfig", "is no C"),
        ("mm/userfaultfd.c", "has no mm/userfaultfd.c"),
    ] {
        let found = verdict(&[files[0], other], Some(&[]));
        assert!(doubt(&found).contains(part), "{found:?}");
        assert!(
            matches!(found, Applicability::Candidate { parents, .. } if parents == ["nf_tables"])
        );
    }
    let selftest = [files[0], "tools/testing/selftests/new.sh"];
    assert!(matches!(verdict(&selftest, Some(&[])), Applicability::NotLoaded { .. }));
}

#[test]
fn file_that_is_absent_leaves_a_doubt_also_beside_code_that_runs() {
    let found = verdict(&["mm/mmap.c", "mm/userfaultfd.c"], None);
    assert!(doubt(&found).contains("has no mm/userfaultfd.c"), "{found:?}");
    assert_eq!(parents(&verdict(&["mm/mmap.c", "include/linux/mm.h"], None)), "vmlinux");
}

#[test]
fn what_is_linked_apart_or_no_c_is_never_not_built() {
    for file in [
        "arch/x86/boot/compressed/sev.c",
        "arch/x86/realmode/rm/wakemain.c",
        "arch/arm64/kernel/vdso/vgettimeofday.c",
        "arch/x86/entry/vdso/vma.c",
        "arch/x86/entry/vdso/vdso32/note.S",
        "drivers/firmware/efi/libstub/file.c",
        "lib/vdso/gettimeofday.c",
        "scripts/sorttable.c",
    ] {
        assert!(doubt(&verdict(&[file], None)).contains("is linked apart"), "{file}");
    }
    for file in
        ["rust/kernel/lib.rs", "net/Makefile", "net/Kconfig", "arch/x86/a.lds", "lib/a.S.in"]
    {
        assert!(doubt(&verdict(&[file], None)).contains("is no C"), "{file}");
    }
    for file in
        ["tools/lib/bpf/btf.c", "Documentation/admin-guide/x.rst", "samples/none.h", "lib/none.S"]
    {
        let found = verdict(&[file], None);
        assert!(matches!(found, Applicability::NotBuilt { .. }), "{file}: {found:?}");
    }
}

#[test]
fn only_files_that_are_there_and_not_compiled_are_not_built() {
    assert!(matches!(verdict(&["drivers/gpu/drm/radeon/si.c"], None),
        Applicability::NotBuilt { files, left_out } if files.len() == 1
            && left_out[0].file == "drivers/gpu/drm/radeon/si.c"));
    // CVE-2026-64514: mainline's path; in 6.1 the code is in fs/userfaultfd.c.
    let moved = verdict(&["mm/userfaultfd.c"], None);
    assert!(doubt(&moved).contains("has no mm/userfaultfd.c"), "{moved:?}");
    let header = verdict(&["include/linux/skbuff.h"], None);
    assert!(doubt(&header).contains("is a header"), "{header:?}");
    assert!(doubt(&verdict(&[], None)).contains("names no file"));
}

#[test]
fn versions_decide_before_files() {
    let dyads = format!("4.20:{A}:6.1.177:{B}\n");
    let at = |version| verdict_of(&["drivers/none.c"], None, &dyads, version);
    assert_eq!(at("4.19.5"), Applicability::NotAffected);
    assert!(matches!(at("6.1.177"), Applicability::AlreadyFixed { by } if by.hash == B));
    let fixes = |dyads: String| match verdict_of(&["mm/mmap.c"], None, &dyads, "6.1.176") {
        Applicability::Candidate { fixes, .. } => fixes,
        other => panic!("{other:?}"),
    };
    assert!(matches!(fixes(format!("4.2:{A}:7.2:{C}")), Fixes::MainlineOnly(found)
        if found[0].hash == C));
    assert_eq!(fixes(format!("4.2:{A}:0:0")), Fixes::None);
}

#[test]
fn kernel_of_which_nothing_is_known_leaves_all_in_doubt_but_the_versions() {
    let dyads = parse_dyads(&format!("4.20:{A}:6.1.177:{B}\n")).expect("dyads");
    let files = ["drivers/none.c".to_owned()];
    let id = "CVE-2026-1111".parse().expect("a name");
    let input = CveInput { id, rejected: false, program_files: &files, dyads: &dyads };
    let live = BTreeMap::new();
    let kernel = |version: &str| Kernel {
        version: version.parse().expect("a version"),
        built: None,
        file_state: &|_| FileState::Present,
        left_out: &|_| None,
        loaded_modules: None,
        live: &live,
    };
    assert!(doubt(&applicability(&input, &kernel("6.1.176"))).contains("is not known what"));
    assert!(matches!(
        applicability(&input, &kernel("6.1.177")),
        Applicability::AlreadyFixed { .. }
    ));
    let rejected = CveInput { rejected: true, ..input };
    assert_eq!(applicability(&rejected, &kernel("6.1.176")), Applicability::Rejected);
}

#[test]
fn livepatch_that_is_active_fixes_what_the_version_has() {
    let dyads = parse_dyads(&format!("4.20:{A}:6.1.177:{B}\n")).expect("dyads");
    let files = ["fs/ext4/inode.c".to_owned()];
    let (one, other) = ("CVE-2026-1111".parse().expect("a name"), "CVE-2026-2222".parse());
    let live = BTreeMap::from([(one, "elivepatch_one".to_owned())]);
    let built = built();
    let at = |id, rejected, version: &str| {
        let kernel = Kernel {
            version: version.parse().expect("a version"),
            built: Some(&built),
            file_state: &|_| FileState::Present,
            left_out: &|_| None,
            // Not even the module is loaded: what was fixed comes first.
            loaded_modules: Some(&BTreeSet::new()),
            live: &live,
        };
        let input = CveInput { id, rejected, program_files: &files, dyads: &dyads };
        applicability(&input, &kernel).verdict()
    };
    assert_eq!(at(one, false, "6.1.176"), "already-live");
    assert_eq!(at(other.expect("a name"), false, "6.1.176"), "not-loaded");
    assert_eq!(at(one, true, "6.1.176"), "rejected");
    assert_eq!(at(one, false, "6.1.177"), "already-fixed");
    assert_eq!(at(one, false, "4.19.1"), "not-affected");
}

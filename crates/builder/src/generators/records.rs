use std::collections::BTreeSet;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use super::Use;
use crate::{
    base::{SourceIndex, TREE},
    kbuild_record::{Compiled, RECORD_BYTES, record_path},
    unit::in_tree,
    untrusted_file::read_untrusted_below,
};

/// What is made beside the kernel, by the beginning of its path: no code of the running kernel comes
/// of it.
const BESIDE_THE_KERNEL: [&str; 9] = [
    // Runs before the kernel, in its own address space, or when it is left.
    "arch/x86/boot/",
    "arch/x86/entry/vdso/",
    "arch/x86/tools/vdso2c",
    "arch/x86/purgatory/",
    "arch/x86/realmode/",
    // The archive of headers for readers of /sys/kernel/kheaders.tar.xz.
    "kernel/kheaders",
    // A program that writes an example of a policy.
    "scripts/selinux/mdp/",
    // Headers and the first file system for user space.
    "usr/",
    "samples/",
];

/// What the marks of checked files begin with: they hold nothing (`check_sha1` in the top-level
/// Kbuild).
const CHECKED: &str = ".checked-";

/// What is on the command line of every compilation of the kernel's own code. Headers that reach it
/// are seen to elsewhere; programs of the build, and scripts, are called without.
const KERNEL_CODE: &str = "-D__KERNEL__";

/// The most entries of a tree that are looked at; a built kernel has some 300,000.
const ENTRIES: usize = 2_000_000;

/// A use of one of these headers that Kbuild's records tell: a record names the header, and is not
/// of the compilation of a unit or of other code of the kernel.
///
/// # Errors
/// `base-failed` when the tree cannot be looked through.
pub(super) fn find(
    headers: &[&str],
    tree: &Utf8Path,
    sources: &SourceIndex,
) -> Result<Option<Use>, Failure> {
    let units: BTreeSet<String> = sources.units().iter().map(|unit| unit.object()).collect();
    for target in recorded(tree)? {
        if units.contains(&target) || is_beside_the_kernel(&target) {
            continue;
        }
        let path = record_path(&target);
        let record = read_untrusted_below(tree, &path, RECORD_BYTES)
            .map_err(|error| unreadable(&path, &error.to_string()))?;
        let record = String::from_utf8_lossy(&record);
        if record.contains(KERNEL_CODE) {
            continue;
        }
        if let Some(header) = named_in(&record, headers) {
            let what = match Compiled::parse(&record) {
                Some(_) => {
                    format!("{target}, a program of the kernel's build, is compiled with it")
                }
                None => format!("{target} is generated from it"),
            };
            return Ok(Some(Use { header: header.to_owned(), what }));
        }
    }
    Ok(None)
}

fn is_beside_the_kernel(target: &str) -> bool {
    let name = target.rsplit('/').next().unwrap_or(target);
    name.starts_with(CHECKED) || BESIDE_THE_KERNEL.iter().any(|place| target.starts_with(place))
}

/// The files that there are records of, in the order of their names.
fn recorded(tree: &Utf8Path) -> Result<Vec<String>, Failure> {
    let mut targets = Vec::new();
    let entries = walkdir::WalkDir::new(tree).follow_links(false).sort_by_file_name().into_iter();
    let documentation = |entry: &walkdir::DirEntry| {
        entry.depth() == 1 && entry.file_name().as_encoded_bytes() == b"Documentation"
    };
    for entry in entries.filter_entry(|entry| !documentation(entry)).take(ENTRIES) {
        let entry = entry.map_err(|error| unreadable(tree.as_str(), &error.to_string()))?;
        let path = entry.path().strip_prefix(tree).ok().and_then(|path| path.to_str());
        let Some(path) = path.filter(|_| entry.file_type().is_file()) else { continue };
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let name = name.strip_prefix('.').and_then(|name| name.strip_suffix(".cmd"));
        match name {
            Some(name) if directory.is_empty() => targets.push(name.to_owned()),
            Some(name) => targets.push(format!("{directory}/{name}")),
            None => {}
        }
    }
    Ok(targets)
}

/// The header that a record names: on a command line, or in a list of files.
fn named_in<'a>(record: &str, headers: &[&'a str]) -> Option<&'a str> {
    let last_part = |path: &'a str| path.rsplit('/').next().unwrap_or(path);
    let mut headers = headers.iter().filter(|header| record.contains(last_part(header)));
    headers.find(|header| words(record).any(|word| word == **header)).copied()
}

fn words(record: &str) -> impl Iterator<Item = String> {
    let ends = |c: char| c.is_whitespace() || "'\"`;|&()<>,=:\\".contains(c);
    let top = format!("{TREE}/");
    record.split(ends).filter(|word| !word.is_empty()).map(move |word| {
        // Some tools' Makefiles write absolute paths.
        in_tree(word.strip_prefix(top.as_str()).unwrap_or(word))
    })
}

fn unreadable(path: &str, reason: &str) -> Failure {
    Failure::new(
        FailureClass::BaseFailed,
        format!("Kbuild's record {path} of what is generated cannot be read: {reason}"),
        "delete the base's directory in the cache: the next build makes it anew",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::{Parent, Unit};

    /// As Linux 6.1 and 6.12 write them, shortened.
    const RECORDS: [(&str, &str); 8] = [
        (
            "scripts/selinux/genheaders/genheaders",
            "cmd_scripts/selinux/genheaders/genheaders := gcc -Wall -I./include -o \
             scripts/selinux/genheaders/genheaders scripts/selinux/genheaders/genheaders.c   \n\n\
             source_scripts/selinux/genheaders/genheaders := scripts/selinux/genheaders/genheaders.c\n\n\
             deps_scripts/selinux/genheaders/genheaders := \\\n  security/selinux/include/classmap.h \\\n  \
             include/uapi/linux/capability.h \\\n\n",
        ),
        (
            "arch/x86/kernel/cpu/capflags.c",
            "savedcmd_arch/x86/kernel/cpu/capflags.c := sh arch/x86/kernel/cpu/mkcapflags.sh \
             arch/x86/kernel/cpu/capflags.c arch/x86/kernel/cpu/../../include/asm/cpufeatures.h \
             arch/x86/kernel/cpu/../../include/asm/vmxfeatures.h \
             arch/x86/kernel/cpu/mkcapflags.sh FORCE\n",
        ),
        (
            "tools/objtool/check.o",
            "# cannot find fixdep (/build/tools/objtool//fixdep)\n# using basic dep data\n\n\
             /build/tools/objtool/check.o: check.c /build/include/linux/only-tools.h\n",
        ),
        (
            ".checked-atomic-long.h",
            "cmd_.checked-atomic-long.h := if [ \"$$(sed -n '$$s:// ::p' \
             include/linux/atomic/atomic-long.h)\" != x ]; then exit 1; fi\n",
        ),
        (
            "usr/include/linux/capability.h",
            "cmd_usr/include/linux/capability.h := sh scripts/headers_install.sh \
             include/uapi/linux/fs.h usr/include/linux/fs.h\n",
        ),
        (
            "arch/x86/entry/vdso/vdso2c",
            "cmd_arch/x86/entry/vdso/vdso2c := gcc -o arch/x86/entry/vdso/vdso2c x.c\n\n\
             source_x := x.c\n\ndeps_x := \\\n  include/linux/fs.h \\\n\n",
        ),
        (
            "kernel/bounds.s",
            "cmd_kernel/bounds.s := gcc -D__KERNEL__ -S -o kernel/bounds.s kernel/bounds.c\n\n\
             source_kernel/bounds.s := kernel/bounds.c\n\n\
             deps_kernel/bounds.s := \\\n  include/linux/fs.h \\\n\n",
        ),
        (
            "fs/a.o",
            "cmd_fs/a.o := gcc -c -o fs/a.o fs/a.c\n\nsource_fs/a.o := fs/a.c\n\n\
             deps_fs/a.o := \\\n  include/linux/fs.h \\\n\n",
        ),
    ];

    fn tree() -> (tempfile::TempDir, camino::Utf8PathBuf, SourceIndex) {
        let temporary = tempfile::tempdir().expect("a directory");
        let tree = camino::Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        for (target, text) in RECORDS {
            let path = tree.join(record_path(target));
            fs_err::create_dir_all(path.parent().expect("a parent")).expect("own directory");
            fs_err::write(path, text).expect("own file");
        }
        let mut sources = SourceIndex::default();
        let unit = Unit::beside("fs/a.c", Parent::Vmlinux);
        sources.add("fs/a.c".to_owned(), unit);
        (temporary, tree, sources)
    }

    #[test]
    fn header_that_a_program_or_a_script_of_the_build_reads_is_found_with_it() {
        let (_temporary, tree, sources) = tree();
        for (header, what) in [
            (
                "security/selinux/include/classmap.h",
                "scripts/selinux/genheaders/genheaders, a program of the kernel's build, is \
                 compiled with it",
            ),
            (
                "arch/x86/include/asm/cpufeatures.h",
                "arch/x86/kernel/cpu/capflags.c is generated from it",
            ),
            ("include/linux/only-tools.h", "tools/objtool/check.o is generated from it"),
        ] {
            let found = find(&["include/linux/fs.h", header], &tree, &sources).expect("a tree");
            let found = found.expect(header);
            assert_eq!((found.header.as_str(), found.what.as_str()), (header, what));
        }
    }

    #[test]
    fn header_that_only_code_and_what_is_beside_it_reads_is_free() {
        let (_temporary, tree, sources) = tree();
        for header in [
            "include/linux/fs.h",
            "include/uapi/linux/fs.h",
            "include/linux/atomic/atomic-long.h",
            // The name of another one ends like it.
            "selinux/include/classmap.h",
            "asm/cpufeatures.h",
        ] {
            assert_eq!(find(&[header], &tree, &sources).expect("a tree"), None, "{header}");
        }
    }

    #[test]
    fn record_that_cannot_be_read_is_a_failure() {
        let (_temporary, tree, sources) = tree();
        fs_err::write(tree.join(".large.h.cmd"), "").expect("own file");
        fs_err::OpenOptions::new()
            .write(true)
            .open(tree.join(".large.h.cmd"))
            .and_then(|file| file.set_len(RECORD_BYTES + 1))
            .expect("own file");
        let failure = find(&["include/linux/fs.h"], &tree, &sources).expect_err("too large");
        assert_eq!(failure.class, FailureClass::BaseFailed);
        assert!(failure.message.contains(".large.h.cmd"), "{failure}");
        let gone = find(&["a.h"], &tree.join("none"), &sources).expect_err("no tree");
        assert_eq!(gone.class, FailureClass::BaseFailed);
    }
}

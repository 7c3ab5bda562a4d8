//! Reads a kernel's source tree from the disk for `elivepatch check`.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use elivepatch_patch::{
    TreePath,
    patchability::{Includers, SourceTree},
};

use crate::problem::Problem;

/// The longest source file that is read, in bytes. The longest C file of Linux 7.3 has 1 MB, the
/// longest (generated) header 22 MB: such a header is not judged whole.
const FILE_BYTES: u64 = 8 * 1024 * 1024;

/// Where files that include a header are looked for, in this order.
const DIRECTORIES: [&str; 13] = [
    "include", "kernel", "mm", "fs", "net", "block", "ipc", "security", "lib", "arch/x86", "virt",
    "sound", "drivers",
];

/// A kernel's source tree.
pub struct DiskTree {
    root: PathBuf,
    /// When it stops to look for includers, whatever the number of headers.
    end: Instant,
}

impl DiskTree {
    /// Opens a tree; `time` is how long, from now on, it may look for the files that include the
    /// patches' headers.
    pub fn open(root: &Path, time: Duration) -> Result<Self, Problem> {
        if !root.join("Kconfig").is_file() || !root.join("Makefile").is_file() {
            let message = format!("{} is no kernel source tree", root.display());
            return Err(Problem::input(message)
                .hint("name the directory that holds Makefile, Kconfig, fs, kernel, …"));
        }
        Ok(Self { root: root.to_owned(), end: Instant::now() + time })
    }
}

impl SourceTree for DiskTree {
    fn read(&self, path: &TreePath) -> Option<Vec<u8>> {
        read_file(&self.root.join(path))
    }

    fn includers(&self, header: &TreePath) -> Option<Includers> {
        let name = included_as(header.as_str());
        let mut includers = Includers { files: 0, is_incomplete: false };
        let mut directories: Vec<PathBuf> = match name {
            Some(_) => DIRECTORIES.iter().rev().map(|name| self.root.join(name)).collect(),
            None => self.root.join(header).parent().map(Path::to_owned).into_iter().collect(),
        };
        let wanted = name.unwrap_or(header.file_name());
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                if Instant::now() > self.end {
                    includers.is_incomplete = true;
                    return Some(includers);
                }
                let path = entry.path();
                let kind = entry.file_type().ok()?;
                if kind.is_dir() {
                    directories.push(path);
                } else if kind.is_file()
                    && path.extension().is_some_and(|end| end == "c" || end == "h")
                    && read_file(&path).is_some_and(|text| includes(&text, wanted))
                {
                    includers.files += 1;
                }
            }
        }
        // A header beside its users may be included from elsewhere by a path.
        includers.is_incomplete |= name.is_none();
        Some(includers)
    }
}

/// How `#include <…>` names a header of the include paths; `None` for one beside its users.
fn included_as(path: &str) -> Option<&str> {
    let prefixes = ["include/uapi/", "include/", "arch/x86/include/uapi/", "arch/x86/include/"];
    prefixes.iter().find_map(|prefix| path.strip_prefix(prefix))
}

fn includes(text: &[u8], wanted: &str) -> bool {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let line = line.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
            let line = line.strip_prefix(b"include")?.trim_ascii();
            let name = line.split(|byte| matches!(byte, b'<' | b'"' | b'>')).nth(1)?;
            std::str::from_utf8(name).ok()
        })
        .any(|name| name == wanted || name.strip_prefix("./") == Some(wanted))
}

/// Only regular files: a named pipe would be waited for.
fn read_file(path: &Path) -> Option<Vec<u8>> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES {
        return None;
    }
    let mut text = Vec::new();
    File::open(path).ok()?.take(FILE_BYTES + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= FILE_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includers_of_a_header_are_counted() {
        let root = tempfile::tempdir().expect("a directory");
        for directory in ["include/linux", "fs/x", "drivers"] {
            fs::create_dir_all(root.path().join(directory)).expect("a directory");
        }
        for (path, text) in [
            ("Makefile", ""),
            ("Kconfig", ""),
            ("include/linux/a.h", "struct a;\n"),
            ("include/linux/b.h", "# include <linux/a.h>\n"),
            ("fs/x/c.c", "#include <linux/a.h>\n#include \"x.h\"\n"),
            ("fs/x/d.c", "/* linux/a.h */\n#include \"x.h\"\n"),
            ("fs/x/x.h", ""),
        ] {
            fs::write(root.path().join(path), text).expect("a file");
        }
        let tree = DiskTree::open(root.path(), Duration::from_secs(60)).expect("a tree");
        let count = |path| tree.includers(&TreePath::new(path).expect("a path"));
        assert_eq!(count("include/linux/a.h"), Some(Includers { files: 2, is_incomplete: false }));
        assert_eq!(count("fs/x/x.h"), Some(Includers { files: 2, is_incomplete: true }));
        let hurried = DiskTree::open(root.path(), Duration::ZERO).expect("a tree");
        let path = TreePath::new("include/linux/a.h").expect("a path");
        assert!(hurried.includers(&path).expect("a count").is_incomplete);
    }

    #[test]
    fn other_directories_are_no_source_tree() {
        let directory = tempfile::tempdir().expect("a directory");
        assert!(DiskTree::open(directory.path(), Duration::ZERO).is_err());
    }
}

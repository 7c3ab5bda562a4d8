//! What is in a toolchain root, file by file, and whether it is still that.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;

use crate::{digest_file::digest_file, engine::on_all_cores, process::available_cores};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The files that run: programs, and the libraries that they load. A quarter of a second.
    Programs,
    /// Every file, link and directory.
    Everything,
}

/// The list of what is in a root: a line for each file, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    /// By path within the root, the rest of the line: mode, kind, and digest or target.
    lines: BTreeMap<String, String>,
}

impl Contents {
    /// Reads the root, with all files.
    pub(super) fn read(root: &Utf8Path) -> io::Result<Self> {
        let mut paths = Vec::new();
        for entry in walkdir::WalkDir::new(root).min_depth(1) {
            let path = entry?.into_path();
            let path = Utf8PathBuf::from_path_buf(path);
            paths.push(path.map_err(|path| io::Error::other(format!("{path:?} is not UTF-8")))?);
        }
        Self::of(root, &paths)
    }

    /// Reads these files, wherever they lie.
    pub(super) fn of(root: &Utf8Path, paths: &[Utf8PathBuf]) -> io::Result<Self> {
        let described = on_all_cores(available_cores(), paths, |path| describe(path));
        let lines = paths.iter().zip(described).map(|(path, line)| {
            let line =
                line.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))?;
            Ok((escaped(path.strip_prefix(root).unwrap_or(path)), line))
        });
        Ok(Self { lines: lines.collect::<io::Result<_>>()? })
    }

    /// The list as a file holds it.
    pub(super) fn to_text(&self) -> String {
        self.lines.iter().fold(String::new(), |mut text, (path, line)| {
            let _ = writeln!(text, "{line} {path}");
            text
        })
    }

    /// The list from its text; `None` when that is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let line = |line: &str| {
            // MODE KIND DIGEST-OR-TARGET PATH, and a target has no space: it is escaped.
            let end = line.match_indices(' ').nth(2)?.0;
            Some((line[end + 1..].to_owned(), line[..end].to_owned()))
        };
        let lines = text.lines().map(line).collect::<Option<BTreeMap<_, _>>>()?;
        Some(Self { lines })
    }

    /// The digest of the list.
    pub(super) fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(self.to_text().as_bytes())
    }

    /// In what the root is not what the list says, as far as is looked.
    pub(super) fn differences(&self, root: &Utf8Path, depth: Depth) -> io::Result<Vec<String>> {
        let found = match depth {
            Depth::Everything => Self::read(root)?,
            Depth::Programs => {
                let of_list = |path: &String| unescaped(path).map(|path| root.join(path));
                let programs = self.lines.iter().filter(|(path, line)| is_program(path, line));
                let is_there = |path: &Utf8PathBuf| path.symlink_metadata().is_ok();
                let paths = programs.filter_map(|(path, _)| of_list(path)).filter(is_there);
                Self::of(root, &paths.collect::<Vec<_>>())?
            }
        };
        let mut differences = Vec::new();
        for (path, line) in &self.lines {
            match found.lines.get(path) {
                Some(same) if same == line => {}
                Some(_) => differences.push(format!("{path} is changed")),
                None if depth == Depth::Everything || is_program(path, line) => {
                    differences.push(format!("{path} is missing"));
                }
                None => {}
            }
        }
        let added = found.lines.keys().filter(|path| !self.lines.contains_key(*path));
        differences.extend(added.map(|path| format!("{path} is new")));
        Ok(differences)
    }
}

/// Whether a line is of a file that runs: one that may be executed, or a library.
fn is_program(path: &str, line: &str) -> bool {
    let mut words = line.split(' ');
    let mode = words.next().and_then(|mode| u32::from_str_radix(mode, 8).ok()).unwrap_or_default();
    let is_file = words.next() == Some("f");
    let name = path.rsplit('/').next().unwrap_or(path);
    is_file && (mode & 0o111 != 0 || name.ends_with(".so") || name.contains(".so."))
}

/// Mode, kind, and what is in it. Owners and times do not count: both depend on who made the root.
fn describe(path: &Utf8Path) -> io::Result<String> {
    let metadata = path.symlink_metadata()?;
    let mode = metadata.permissions().mode() & 0o7777;
    let kind = metadata.file_type();
    Ok(if kind.is_symlink() {
        // A link's mode says nothing.
        format!("0 l {}", escaped(&path.read_link_utf8()?))
    } else if kind.is_dir() {
        format!("{mode:o} d -")
    } else if kind.is_file() {
        format!("{mode:o} f {}", digest_file(path)?)
    } else if kind.is_char_device() || kind.is_block_device() {
        format!("{mode:o} v -")
    } else {
        format!("{mode:o} o -")
    })
}

/// A path on one line and without a space.
fn escaped(path: &Utf8Path) -> String {
    let mut text = String::with_capacity(path.as_str().len());
    for character in path.as_str().chars() {
        match character {
            '\\' | ' ' => {
                let _ = write!(text, "\\x{:02x}", character as u32);
            }
            control if control.is_control() => {
                let _ = write!(text, "\\x{:02x}", control as u32);
            }
            other => text.push(other),
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split("\\x");
    let mut path = parts.next()?.to_owned();
    for part in parts {
        let digits = part.get(..2)?;
        path.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        path.push_str(&part[2..]);
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> (tempfile::TempDir, Utf8PathBuf) {
        let temporary = tempfile::tempdir().expect("a directory");
        let root = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("root");
        fs_err::create_dir_all(root.join("usr/bin")).expect("own directory");
        fs_err::create_dir_all(root.join("usr/include")).expect("own directory");
        for (path, mode) in
            [("usr/bin/as", 0o755), ("usr/bin/libc.so.6", 0o644), ("usr/include/a b\\\n.h", 0o644)]
        {
            fs_err::write(root.join(path), path).expect("own file");
            let mode = std::fs::Permissions::from_mode(mode);
            fs_err::set_permissions(root.join(path), mode).expect("own file");
        }
        std::os::unix::fs::symlink("as it is", root.join("usr/bin/gas")).expect("own directory");
        (temporary, root)
    }

    #[test]
    fn list_comes_back_from_its_text_whatever_the_names_are() {
        let (_temporary, root) = root();
        let contents = Contents::read(&root).expect("own directory");
        assert_eq!(contents.lines.len(), 7);
        assert_eq!(Contents::parse(&contents.to_text()), Some(contents.clone()));
        assert_eq!(contents.differences(&root, Depth::Everything).expect("own"), [""; 0]);
        assert_eq!(unescaped(&escaped("a b\\\n\u{e9}".into())).as_deref(), Some("a b\\\n\u{e9}"));
        assert_eq!(Contents::parse("755 f"), None);
    }

    #[test]
    fn every_change_is_seen_by_the_whole_look_and_those_of_programs_by_the_quick_one() {
        let (_temporary, root) = root();
        let contents = Contents::read(&root).expect("own directory");
        let seen = |depth| contents.differences(&root, depth).expect("own directory");
        fs_err::write(root.join("usr/include/a b\\\n.h"), "other").expect("own file");
        assert_eq!(seen(Depth::Everything), ["usr/include/a\\x20b\\x5c\\x0a.h is changed"]);
        assert_eq!(seen(Depth::Programs), [""; 0], "headers do not run");
        fs_err::write(root.join("usr/bin/new"), "other").expect("own file");
        fs_err::write(root.join("usr/bin/as"), "other").expect("own file");
        fs_err::remove_file(root.join("usr/bin/libc.so.6")).expect("own file");
        fs_err::remove_file(root.join("usr/bin/gas")).expect("own file");
        std::os::unix::fs::symlink("ld", root.join("usr/bin/gas")).expect("own directory");
        assert_eq!(
            seen(Depth::Programs),
            ["usr/bin/as is changed", "usr/bin/libc.so.6 is missing"]
        );
        let all = seen(Depth::Everything);
        assert!(all.contains(&"usr/bin/gas is changed".to_owned()), "{all:?}");
        assert!(all.contains(&"usr/bin/new is new".to_owned()), "{all:?}");
        // The mode counts as well: a program that may not be executed is none.
        let (_temporary, root) = self::root();
        let contents = Contents::read(&root).expect("own directory");
        let mode = std::fs::Permissions::from_mode(0o644);
        fs_err::set_permissions(root.join("usr/bin/as"), mode).expect("own file");
        let seen = contents.differences(&root, Depth::Programs).expect("own directory");
        assert_eq!(seen, ["usr/bin/as is changed"]);
    }
}

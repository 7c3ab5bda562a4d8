//! Where a livepatch is stored, and how: never half a file, never over somebody's other file.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, ErrorKind, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use elivepatch_model::Sha256Digest;
use elivepatch_signature::SIGNATURE_BYTES;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::{inputs::read_at_most, problem::Problem};

/// The longest file name that is taken from a manifest, in characters; file systems end at 255.
const NAME_CHARACTERS: usize = 120;

/// Where to store a livepatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    directory: PathBuf,
    /// The name that the user wants; else that of the manifest.
    file_name: Option<OsString>,
    force: bool,
}

/// What is at a place already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Present {
    /// Nothing.
    Nothing,
    /// A file with the same content.
    Same,
    /// Something else.
    Other,
}

impl Destination {
    /// Takes `--output` (a directory, or a file in a directory that exists; `None`: the current
    /// directory) and makes sure that a file can be made there.
    pub fn open(output: Option<&Path>, force: bool) -> Result<Self, Problem> {
        let (directory, file_name) = match output {
            None => (PathBuf::from("."), None),
            Some(path) if path.is_dir() => (path.to_owned(), None),
            Some(path) => {
                let ends_with_slash = path.as_os_str().as_encoded_bytes().ends_with(b"/");
                let name = path.file_name().filter(|_| !ends_with_slash).ok_or_else(|| {
                    let shown = path.display();
                    Problem::input(format!("the output directory {shown} does not exist"))
                        .hint(format!("make it: mkdir -p {shown}"))
                })?;
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                (parent.unwrap_or(Path::new(".")).to_owned(), Some(name.to_owned()))
            }
        };
        let destination = Self { directory, file_name, force };
        // Better to know now than after the build.
        destination.temporary_file().map(drop)?;
        Ok(destination)
    }

    /// Whether another file may be replaced.
    pub fn may_replace(&self) -> bool {
        self.force
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The path of the module that a manifest calls `file_name`.
    pub fn module_path(&self, file_name: &str) -> PathBuf {
        self.path_for(&safe_file_name(file_name))
    }

    /// The path of a file that is called `file_name` unless the user wants another name.
    pub fn path_for(&self, file_name: &str) -> PathBuf {
        match &self.file_name {
            Some(name) => self.directory.join(name),
            None => self.directory.join(file_name),
        }
    }

    /// Makes a file that vanishes unless it is put in its place.
    pub fn temporary_file(&self) -> Result<NamedTempFile, Problem> {
        tempfile::Builder::new()
            .prefix(".elivepatch-")
            .permissions(fs::Permissions::from_mode(0o644))
            .tempfile_in(&self.directory)
            .map_err(|error| write_problem(&self.directory, &error))
    }

    /// Puts a complete file in its place, for good.
    pub fn put(&self, file: NamedTempFile, path: &Path) -> Result<(), Problem> {
        file.as_file().sync_all().map_err(|error| write_problem(path, &error))?;
        let put = if self.force { file.persist(path) } else { file.persist_noclobber(path) };
        if let Err(error) = put {
            // Another client that ordered the same may have been first.
            let is_equal = |file: &NamedTempFile| {
                let new = fs::read(file.path()).map(|new| Sha256Digest::of(&new));
                new.is_ok_and(|new| matches!(present(path, &new), Ok(Present::Same)))
            };
            match error.error.kind() {
                ErrorKind::AlreadyExists if is_equal(&error.file) => {}
                ErrorKind::AlreadyExists => return Err(occupied(path)),
                _ => return Err(write_problem(path, &error.error)),
            }
        }
        let directory = File::open(&self.directory).and_then(|directory| directory.sync_all());
        directory.map_err(|error| write_problem(&self.directory, &error))
    }

    /// Puts the signature of a manifest in its place, for good. One that is there says the same of the same text, in
    /// other words, and is replaced; another file is not.
    pub fn put_signature(&self, signature: &[u8], path: &Path) -> Result<(), Problem> {
        let there = match read_at_most(path, SIGNATURE_BYTES) {
            Ok(there) => Some(there),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(write_problem(path, &error)),
        };
        let is_signature = |there: &Vec<u8>| there.starts_with(b"untrusted comment: ");
        if there.is_some_and(|there| !is_signature(&there)) && !self.force {
            return Err(occupied(path));
        }
        let file = self.text_file(signature, path)?;
        Self { force: true, ..self.clone() }.put(file, path)
    }

    /// Writes a small text to a file that is to be put at `path`.
    pub fn text_file(&self, text: &[u8], path: &Path) -> Result<NamedTempFile, Problem> {
        let mut file = self.temporary_file()?;
        file.write_all(text).map_err(|error| write_problem(path, &error))?;
        Ok(file)
    }
}

/// The manifest's place: beside the module.
pub fn manifest_path(module: &Path) -> PathBuf {
    let mut name = module.as_os_str().to_owned();
    name.push(".manifest.json");
    name.into()
}

/// The place of a manifest's signature: beside it, where minisign looks for it.
pub fn signature_path(manifest: &Path) -> PathBuf {
    let mut name = manifest.as_os_str().to_owned();
    name.push(".minisig");
    name.into()
}

/// Looks what is at `path`, compared with content that has `digest`.
pub fn present(path: &Path, digest: &Sha256Digest) -> Result<Present, Problem> {
    let problem = |error: io::Error| {
        Problem::input(format!("cannot read {}", path.display())).caused_by(&error)
    };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // A symbolic link to nothing is something.
            let is_there = path.symlink_metadata().is_ok();
            return Ok(if is_there { Present::Other } else { Present::Nothing });
        }
        Err(error) => return Err(problem(error)),
    };
    if !file.metadata().map_err(problem)?.is_file() {
        return Ok(Present::Other);
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer).map_err(problem)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let found = Sha256Digest::from_bytes(hasher.finalize().into());
    Ok(if found == *digest { Present::Same } else { Present::Other })
}

/// There is another file at `path`.
pub fn occupied(path: &Path) -> Problem {
    Problem::input(format!("{} is there already, with another content", path.display()))
        .hint("choose another place with --output PATH, or replace it with --force")
}

/// Something could not be written.
pub fn write_problem(path: &Path, error: &io::Error) -> Problem {
    let shown = path.display();
    let (message, hint) = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            format!("the disk is full: cannot write {shown}"),
            "make room, or choose another place with --output PATH",
        ),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => (
            format!("no permission to write {shown}"),
            "choose a place that you may write to with --output PATH",
        ),
        ErrorKind::NotFound => (
            format!("the directory {shown} does not exist"),
            "make it, or choose another place with --output PATH",
        ),
        _ => (format!("cannot write {shown}"), "choose another place with --output PATH"),
    };
    Problem::input(message).caused_by(error).hint(hint)
}

/// One plain name for a module, whatever the manifest says: never a path, never hidden.
fn safe_file_name(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    let safe: String = last
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "._+~-".contains(c) { c } else { '_' })
        .take(NAME_CHARACTERS)
        .collect();
    let safe = safe.trim_start_matches(['.', '-']);
    let stem = safe.strip_suffix(".ko").unwrap_or(safe);
    format!("{}.ko", if stem.is_empty() { "livepatch" } else { stem })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn name_of_the_manifest_is_never_a_path() {
        assert_eq!(safe_file_name("livepatch-1.ko"), "livepatch-1.ko");
        assert_eq!(safe_file_name("../../etc/cron.d/evil"), "evil.ko");
        assert_eq!(safe_file_name("/"), "livepatch.ko");
        assert_eq!(safe_file_name("..ko"), "ko.ko");
        assert_eq!(safe_file_name("-rf \u{1b}.ko"), "rf__.ko");
    }

    #[test]
    fn output_is_a_directory_or_a_file_in_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let inside = Destination::open(Some(directory.path()), false).expect("a directory");
        assert_eq!(inside.module_path("a.ko"), directory.path().join("a.ko"));
        let file = directory.path().join("mine.ko");
        let named = Destination::open(Some(&file), false).expect("a file");
        assert_eq!(named.module_path("a.ko"), file);
        for missing in ["missing/", "missing/mine.ko"] {
            let problem = Destination::open(Some(&directory.path().join(missing)), false);
            let problem = format!("{:?}", problem.expect_err("missing"));
            assert!(problem.contains("does not exist"), "{problem}");
        }
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
    }

    #[test]
    fn full_disk_and_missing_permission_are_named() {
        // ENOSPC, EDQUOT, EACCES, EROFS, ENOENT.
        for (number, part) in [
            (28, "the disk is full"),
            (122, "the disk is full"),
            (13, "no permission"),
            (30, "no permission"),
            (2, "does not exist"),
        ] {
            let error = io::Error::from_raw_os_error(number);
            let problem = format!("{:?}", write_problem(Path::new("out/a.ko"), &error));
            assert!(problem.contains(part) && problem.contains("out/a.ko"), "{problem}");
        }
    }

    #[test]
    fn other_file_is_kept_unless_forced() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("mine.ko");
        fs::write(&path, "mine").expect("a file");
        assert_eq!(present(&path, &Sha256Digest::of(b"mine")).expect("a file"), Present::Same);
        assert_eq!(present(&path, &Sha256Digest::of(b"new")).expect("a file"), Present::Other);
        let careful = Destination::open(Some(directory.path()), false).expect("a directory");
        let new = |to: &Destination| to.text_file(b"new", &path).expect("written");
        careful.put(new(&careful), &path).expect_err("occupied");
        assert_eq!(fs::read(&path).expect("a file"), b"mine");
        let forceful = Destination::open(Some(directory.path()), true).expect("a directory");
        forceful.put(new(&forceful), &path).expect("replaced");
        assert_eq!(fs::read(&path).expect("a file"), b"new");
        // Somebody else who ordered the same was first.
        careful.put(new(&careful), &path).expect("it is there already");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
    }

    proptest! {
        #[test]
        fn any_name_becomes_one_plain_module_name(name in ".{0,200}") {
            let safe = safe_file_name(&name);
            prop_assert!(safe.ends_with(".ko") && safe.len() <= NAME_CHARACTERS + 3);
            prop_assert!(!safe.starts_with(['.', '-']));
            prop_assert!(safe.chars().all(|c| c.is_ascii_graphic() && c != '/'));
        }
    }
}

//! What sources have in repositories on the server. Builds are known by their keys, and those by what
//! the repositories held when the server was started.

use std::collections::BTreeMap;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, KernelRelease, Sha256Digest};

use super::{GitOptions, Repository, SourceKind, local::changed, portage};
use crate::untrusted_file::read_untrusted_below;

/// The largest list of packed references that is read, in bytes: that of Linux with all stable
/// branches has half a megabyte.
const PACKED_BYTES: u64 = 64 << 20;

/// The largest file of one reference, in bytes: it holds the name of an object.
const LOOSE_BYTES: u64 = 4096;

/// How deep directories of tags may lie in one another.
const DEPTH: usize = 8;

/// What was in a source's repository; nothing of a source that has none on the server.
#[derive(Debug, Default)]
pub(crate) struct OpenedRepository {
    /// Of a git repository: a digest of what each tag names, by the tags' names.
    pub tags: BTreeMap<String, Sha256Digest>,
    /// Of ebuilds: a digest of all that they are prepared by.
    pub content: Option<Sha256Digest>,
}

impl OpenedRepository {
    /// Reads it. What cannot be read is not there: a build that needs it is refused.
    pub(crate) fn open(kind: &SourceKind) -> Self {
        match kind {
            SourceKind::Git(options) => {
                let tags = local(options).map(tags).unwrap_or_default();
                Self { tags, content: None }
            }
            SourceKind::Portage(options) => {
                Self { tags: BTreeMap::new(), content: portage::content(options).ok() }
            }
            _ => Self::default(),
        }
    }

    /// Looks whether what a kernel was just taken from is what it was when the server was started.
    ///
    /// # Errors
    /// `source-unusable`: what comes of it would be taken for what came of that.
    pub(crate) fn check(&self, kind: &SourceKind, release: &KernelRelease) -> Result<(), Failure> {
        match kind {
            SourceKind::Git(options) => {
                let Some(path) = local(options) else { return Ok(()) };
                let tag = options.tag.fill(release);
                match (self.tags.get(&tag), tags(path).get(&tag)) {
                    (Some(opened), Some(now)) if opened == now => Ok(()),
                    (None, None) => Err(unreadable(path, &tag)),
                    _ => Err(changed(&path.join("refs/tags").join(tag))),
                }
            }
            SourceKind::Portage(options) => match self.content {
                Some(opened) if opened == portage::content(options)? => Ok(()),
                _ => Err(changed(&options.repository)),
            },
            _ => Ok(()),
        }
    }
}

/// Whether a repository has a tag, by a look at its files.
pub(super) fn has_tag(repository: &Utf8Path, tag: &str) -> bool {
    tags(repository).contains_key(tag)
}

fn local(options: &GitOptions) -> Option<&Utf8Path> {
    match &options.repository {
        Repository::Path(path) => Some(path),
        Repository::Url(_) => None,
    }
}

/// A digest of what each tag of a git repository names. A file of its own goes before the list.
fn tags(repository: &Utf8Path) -> BTreeMap<String, Sha256Digest> {
    let inner = repository.join(".git");
    let directory = if inner.is_dir() { inner } else { repository.to_owned() };
    let mut tags = BTreeMap::new();
    let packed = read_untrusted_below(&directory, "packed-refs", PACKED_BYTES).unwrap_or_default();
    for line in String::from_utf8_lossy(&packed).lines() {
        if let Some((id, name)) = line.split_once(' ')
            && let Some(tag) = name.strip_prefix("refs/tags/")
        {
            tags.insert(tag.to_owned(), digest(id));
        }
    }
    add_loose(&directory, "refs/tags", DEPTH, &mut tags);
    tags
}

fn add_loose(
    directory: &Utf8Path,
    below: &str,
    depth: usize,
    tags: &mut BTreeMap<String, Sha256Digest>,
) {
    let entries = directory.join(below).read_dir_utf8().into_iter().flatten();
    for entry in entries.flatten() {
        let path = format!("{below}/{}", entry.file_name());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => {
                add_loose(directory, &path, depth - 1, tags);
            }
            Ok(kind) if kind.is_file() => {
                if let Ok(text) = read_untrusted_below(directory, &path, LOOSE_BYTES) {
                    let tag = path.trim_start_matches("refs/tags/").to_owned();
                    tags.insert(tag, digest(String::from_utf8_lossy(&text).trim()));
                }
            }
            _ => {}
        }
    }
}

fn digest(id: &str) -> Sha256Digest {
    Sha256Digest::of(format!("tag {id}").as_bytes())
}

/// The failure of a tag that git knows and the files do not.
fn unreadable(repository: &Utf8Path, tag: &str) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!("the git repository {repository} does not keep its tag {tag} in files"),
        "`git refs migrate --ref-format=files` in the repository writes them",
    )
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn write(directory: &Utf8Path, name: &str, text: &str) -> Utf8PathBuf {
        let path = directory.join(name);
        fs_err::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs_err::write(&path, text).expect("own file");
        path
    }

    #[test]
    fn tags_are_those_of_the_list_and_of_files_which_go_first() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let packed =
            "# pack-refs with: peeled\naa refs/tags/v1\nbb refs/tags/v2\n^cc\nee refs/heads/v3\n";
        write(directory, ".git/packed-refs", packed);
        write(directory, ".git/refs/tags/v2", "dd\n");
        write(directory, ".git/refs/tags/of/me/v4", "ff\n");
        let outside = write(directory, "outside", "11\n");
        std::os::unix::fs::symlink(outside, directory.join(".git/refs/tags/v5")).expect("own link");
        let expected = [("of/me/v4", "ff"), ("v1", "aa"), ("v2", "dd")];
        let expected = expected.map(|(tag, id)| (tag.to_owned(), digest(id)));
        assert_eq!(tags(directory), BTreeMap::from(expected));
        assert!(tags(&directory.join("none")).is_empty());
    }
}

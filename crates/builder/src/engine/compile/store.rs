//! The objects of a base as they are without any fix. They are compiled once and serve every later
//! build of the base.

mod limit;

use std::io::Read as _;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, Sha256Digest};
use serde::{Deserialize, Serialize};

pub(crate) use self::limit::limit_originals;
use super::saved_command::SavedCommand;
use crate::{
    base::{Base, COMPILE_FLAGS, KernelMake},
    digest_file::digest_file,
    failures::io_failure,
    shared_file::{Flush, write_shared},
};

/// Changes when originals are made in another way than before: older ones are then not used.
const VERSION: u32 = 2;

/// The store of one base. It lies in the base's directory, and goes with it.
///
/// Several builds may read and write it at once: files are put into their places by rename, the
/// record after the object, and a record names its object's digest.
#[derive(Debug)]
pub(super) struct Store {
    directory: Utf8PathBuf,
}

/// An object that the store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine) struct Original {
    /// The object's digest.
    pub digest: Sha256Digest,
    /// How to compile the patched one; absent when only make knows that.
    pub command: Option<SavedCommand>,
}

impl Original {
    /// Whether the object reads one of these files; yes when it is not known what it reads.
    pub(in crate::engine) fn is_affected(&self, touched: &[String]) -> bool {
        let reads =
            |command: &SavedCommand| touched.iter().any(|file| command.dependencies.contains(file));
        self.command.as_ref().is_none_or(reads)
    }
}

impl Store {
    /// The store of a base.
    /// Those made with objtool otherwise than in the kernel's own build are others.
    pub(super) fn of(base: &Base, make: &KernelMake) -> Self {
        Self { directory: base.originals().join(name(make.runs_objtool_for_kpatch())) }
    }

    /// The directory with the objects, by their paths in the tree.
    pub(super) fn objects(&self) -> Utf8PathBuf {
        self.directory.join("objects")
    }

    fn record(&self, object: &str) -> Utf8PathBuf {
        self.directory.join("records").join(format!("{object}.json"))
    }

    /// An object's record; `None` when the object is not there, or not what the record says.
    pub(super) fn get(&self, object: &str) -> Option<Original> {
        let mut file = std::fs::File::open(self.record(object)).ok()?;
        let mut record = Vec::new();
        file.read_to_end(&mut record).ok()?;
        let original: Original = serde_json::from_slice(&record).ok()?;
        let digest = digest_file(&self.objects().join(object)).ok()?;
        limit::note_use(&file);
        (digest == original.digest).then_some(original)
    }

    /// Adds an object.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub(super) fn put(
        &self,
        object: &str,
        content: &[u8],
        command: Option<SavedCommand>,
    ) -> Result<Original, Failure> {
        let original = Original { digest: Sha256Digest::of(content), command };
        let record = serde_json::to_vec(&original).expect("plain data has a JSON form");
        write(&self.objects().join(object), content)?;
        write(&self.record(object), &record)?;
        Ok(original)
    }
}

/// The name of the store of objects that were made so.
fn name(objtool_for_kpatch: bool) -> String {
    let text = format!("{VERSION}\n{COMPILE_FLAGS}\n{objtool_for_kpatch}");
    Sha256Digest::of(text.as_bytes()).short()
}

/// The names of all stores that builds of this version use.
fn names() -> [String; 2] {
    [false, true].map(name)
}

fn write(path: &Utf8Path, content: &[u8]) -> Result<(), Failure> {
    write_shared(path, content, Flush::Unneeded)
        .map_err(|error| io_failure(FailureClass::Internal, "write", path, &error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::from_path_buf(temporary.path().to_owned()).expect("UTF-8");
        (temporary, Store { directory })
    }

    #[test]
    fn object_is_there_after_it_was_put() {
        let (_temporary, store) = store();
        assert_eq!(store.get("fs/a.o"), None);
        let command = SavedCommand { shell: "cc".to_owned(), dependencies: BTreeSet::new() };
        let put = store.put("fs/a.o", b"object", Some(command)).expect("a writable directory");
        assert_eq!(store.get("fs/a.o"), Some(put));
        let path = store.objects().join("fs/a.o");
        assert_eq!(fs_err::read(&path).expect("own file"), b"object");
    }

    #[test]
    fn damaged_object_counts_as_absent() {
        let (_temporary, store) = store();
        store.put("fs/a.o", b"object", None).expect("a writable directory");
        fs_err::write(store.objects().join("fs/a.o"), b"objecT").expect("own file");
        assert_eq!(store.get("fs/a.o"), None);
        store.put("fs/a.o", b"object", None).expect("a writable directory");
        fs_err::write(store.record("fs/a.o"), b"{}").expect("own file");
        assert_eq!(store.get("fs/a.o"), None);
        store.put("fs/a.o", b"object", None).expect("a writable directory");
        assert!(store.get("fs/a.o").is_some());
    }

    #[test]
    fn builds_side_by_side_put_the_same_object() {
        let (_temporary, store) = store();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        store.put("fs/a.o", &[7; 70_000], None).expect("a writable directory");
                        assert!(store.get("fs/a.o").is_some());
                    }
                });
            }
        });
    }
}

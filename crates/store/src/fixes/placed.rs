//! Blobs that are written many at a time: a disk takes milliseconds to say that it has one for good.

use std::{collections::BTreeSet, io, time::SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;

use crate::{KeptBlob, Store, StoreError, blobs::Blobs};

/// How many files are put on the disk side by side: file systems then do it in one go.
const AT_A_TIME: usize = 8;

impl Store {
    /// Puts a text in its place as a blob, without waiting for the disk: when the machine crashes, it may be
    /// gone or cut. [`Store::keep_fixes`] waits for many at once. A blob that is there already with these bytes
    /// stays as it is.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or another failure of the file system.
    pub async fn place_blob(&self, bytes: Vec<u8>) -> Result<KeptBlob, StoreError> {
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || {
            let digest = Sha256Digest::of(&bytes);
            let path = blobs.path(digest);
            match place(&blobs, &path, &bytes) {
                Ok(()) => Ok(KeptBlob { digest, size_bytes: bytes.len() as u64 }),
                Err(source) => Err(StoreError::blob(path, source)),
            }
        })
        .await
        .expect("writing a file does not panic")
    }

    /// The bytes of a blob, whether or not a record names it; `None` when they are not there, or not those
    /// that were written.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub async fn intact_blob(&self, blob: KeptBlob) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.blobs.path(blob.digest);
        tokio::task::spawn_blocking(move || {
            match path.metadata() {
                Ok(found) if found.len() == blob.size_bytes => {}
                Ok(_) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(source) => return Err(StoreError::blob(path, source)),
            }
            match std::fs::read(&path) {
                Ok(bytes) => Ok((Sha256Digest::of(&bytes) == blob.digest).then_some(bytes)),
                Err(source) => Err(StoreError::blob(path, source)),
            }
        })
        .await
        .expect("reading a file does not panic")
    }

    /// Waits until blobs are on the disk for good.
    pub(super) async fn sync_blobs(&self, kept: &[KeptBlob]) -> Result<(), StoreError> {
        let root = self.blobs.root().to_owned();
        let paths: BTreeSet<Utf8PathBuf> =
            kept.iter().map(|blob| self.blobs.path(blob.digest)).collect();
        tokio::task::spawn_blocking(move || {
            let directories: BTreeSet<Utf8PathBuf> =
                paths.iter().filter_map(|path| Some(path.parent()?.to_owned())).collect();
            // A name lasts once its directory does.
            sync_all(&paths)?;
            sync_all(&directories)?;
            sync(&root)
        })
        .await
        .expect("waiting for a disk does not panic")
    }
}

fn place(blobs: &Blobs, path: &Utf8Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().expect("a blob's path has a directory");
    std::fs::create_dir_all(directory)?;
    let temporary = tempfile::Builder::new().prefix("upload-").tempfile_in(blobs.incoming())?;
    // Held from here on: the file that is looked at must not be removed as one that nobody names.
    let _held = blobs.hold_places();
    if std::fs::read(path).is_ok_and(|there| there == bytes) {
        // Its age counts from here: the record that names it comes next.
        return std::fs::File::open(path)?.set_modified(SystemTime::now());
    }
    std::fs::write(temporary.path(), bytes)?;
    temporary.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn sync_all(paths: &BTreeSet<Utf8PathBuf>) -> Result<(), StoreError> {
    let paths: Vec<&Utf8PathBuf> = paths.iter().collect();
    let parts = paths.chunks(paths.len().div_ceil(AT_A_TIME).max(1));
    std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().try_for_each(|path| sync(path))))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("waiting for a disk does not panic"))
    })
}

fn sync(path: &Utf8Path) -> Result<(), StoreError> {
    let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| StoreError::blob(path, source))
}

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{BlobWriter, KeptBlob, Store, StoreError, UploadedBlob};

/// The directory of blobs: `ab/abcdef…` by digest, `incoming/` for uploads.
#[derive(Debug, Clone)]
pub(crate) struct Blobs {
    root: Utf8PathBuf,
    /// Held while a blob is put in its place, and while one is looked at and removed: an upload
    /// that comes just then must not be taken for the old file it replaces.
    places: Arc<Mutex<()>>,
}

/// A blob that is open for reading.
#[derive(Debug)]
pub struct BlobReader {
    /// The file, at its beginning.
    pub file: tokio::fs::File,
    /// Its size, in bytes.
    pub size_bytes: u64,
}

impl Blobs {
    pub(crate) async fn open(root: Utf8PathBuf) -> Result<Self, StoreError> {
        let blobs = Self { root, places: Arc::default() };
        let incoming = blobs.incoming();
        tokio::fs::create_dir_all(&incoming)
            .await
            .map_err(|source| StoreError::blob(incoming, source))?;
        Ok(blobs)
    }

    pub(crate) fn root(&self) -> &Utf8Path {
        &self.root
    }

    pub(crate) fn incoming(&self) -> Utf8PathBuf {
        self.root.join("incoming")
    }

    pub(crate) fn path(&self, digest: Sha256Digest) -> Utf8PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(name)
    }

    /// Whether the file of a blob is there with its size.
    pub(crate) async fn has(&self, digest: Sha256Digest, size_bytes: u64) -> bool {
        let metadata = tokio::fs::metadata(self.path(digest)).await;
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == size_bytes)
    }

    pub(crate) fn hold_places(&self) -> MutexGuard<'_, ()> {
        self.places.lock().expect("no holder of the lock panics")
    }
}

impl Store {
    /// Begins an upload of at most `limit_bytes`.
    ///
    /// # Errors
    /// When no file can be made in the data directory.
    pub fn begin_blob(&self, limit_bytes: u64) -> Result<BlobWriter, StoreError> {
        BlobWriter::create(&self.blobs.incoming(), limit_bytes)
    }

    /// Makes an upload a blob: on disk, under its digest, whatever happens to the machine.
    /// It is part of the store only once a record names it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or another failure of the file system.
    pub async fn keep_blob(&self, upload: UploadedBlob) -> Result<KeptBlob, StoreError> {
        let blob = upload.blob();
        let path = self.blobs.path(blob.digest);
        let blobs = self.blobs.clone();
        let (path, result) = tokio::task::spawn_blocking(move || {
            let result = move_into_place(upload, &path, &blobs);
            (path, result)
        })
        .await
        .expect("moving a file does not panic");
        result.map_err(|source| StoreError::blob(path, source))?;
        Ok(blob)
    }

    /// Opens the blob with this digest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`] when no record names it, [`StoreError::Corrupt`] when its file is
    /// missing or has another size than was stored.
    pub async fn open_blob(&self, digest: Sha256Digest) -> Result<BlobReader, StoreError> {
        let size: Option<i64> = sqlx::query_scalar("SELECT size_bytes FROM blobs WHERE digest = ?")
            .bind(digest.to_string())
            .fetch_optional(&self.readers)
            .await?;
        let size = size.ok_or(StoreError::NoSuchBlob(digest))?;
        let path = self.blobs.path(digest);
        let opened = async {
            let file = tokio::fs::File::open(&path).await?;
            let size_bytes = file.metadata().await?.len();
            Ok::<_, io::Error>(BlobReader { file, size_bytes })
        };
        let reader = opened.await.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StoreError::corrupt(format!("{path} is missing"), source),
            _ => StoreError::blob(&path, source),
        })?;
        if i64::try_from(reader.size_bytes) != Ok(size) {
            let what = format!("{path} has {} bytes instead of {size}", reader.size_bytes);
            return Err(StoreError::Corrupt { what, source: None });
        }
        Ok(reader)
    }

    /// The size of a blob that a record names.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`], or a failure of the database.
    pub async fn kept_blob(&self, digest: Sha256Digest) -> Result<KeptBlob, StoreError> {
        let size: Option<i64> = sqlx::query_scalar("SELECT size_bytes FROM blobs WHERE digest = ?")
            .bind(digest.to_string())
            .fetch_optional(&self.readers)
            .await?;
        let size_bytes = size.ok_or(StoreError::NoSuchBlob(digest))?.cast_unsigned();
        Ok(KeptBlob { digest, size_bytes })
    }

    /// Removes uploads that were left behind more than `age` ago, by a process that was killed.
    /// Gives their number.
    ///
    /// # Errors
    /// When the directory cannot be read or a file cannot be removed.
    pub async fn remove_abandoned_uploads(&self, age: Duration) -> Result<usize, StoreError> {
        let incoming = self.blobs.incoming();
        let directory = incoming.clone();
        tokio::task::spawn_blocking(move || remove_older(&directory, age))
            .await
            .expect("removing files does not panic")
            .map_err(|source| StoreError::blob(incoming, source))
    }

    /// Removes the files of blobs that no record names, more than `age` after they were stored: of
    /// requests that broke off between the file and its record. Gives their number.
    ///
    /// # Errors
    /// When the database fails, a directory cannot be read, or a file cannot be removed.
    pub async fn remove_orphan_blobs(&self, age: Duration) -> Result<usize, StoreError> {
        let recorded: Vec<String> =
            sqlx::query_scalar("SELECT digest FROM blobs").fetch_all(&self.readers).await?;
        let recorded = recorded.into_iter().collect();
        let blobs = self.blobs.clone();
        tokio::task::spawn_blocking(move || remove_orphans(&blobs, &recorded, age))
            .await
            .expect("removing files does not panic")
            .map_err(|source| StoreError::blob(&self.blobs.root, source))
    }
}

/// Records a kept blob; equal blobs share one record.
pub(crate) async fn record_blob(
    transaction: &mut Transaction<'_, Sqlite>,
    blob: KeptBlob,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO blobs (digest, size_bytes, stored_at) VALUES (?, ?, ?)
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(blob.digest.to_string())
    .bind(blob.size_bytes.cast_signed())
    .bind(now.as_microsecond())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Puts the upload on disk and renames it. The rename itself is on disk only when the directories
/// are.
fn move_into_place(upload: UploadedBlob, path: &Utf8Path, blobs: &Blobs) -> io::Result<()> {
    let directory = path.parent().expect("a blob's path has a directory");
    std::fs::create_dir_all(directory)?;
    let file = std::fs::File::open(&upload.temporary)?;
    // Its age counts from here: the record that names it comes next.
    file.set_modified(SystemTime::now())?;
    file.sync_all()?;
    {
        let _held = blobs.hold_places();
        upload.temporary.persist(path).map_err(|error| error.error)?;
    }
    std::fs::File::open(directory)?.sync_all()?;
    std::fs::File::open(&blobs.root)?.sync_all()
}

/// Removes the files of blobs that are not in `recorded` and older than `age`.
fn remove_orphans(blobs: &Blobs, recorded: &HashSet<String>, age: Duration) -> io::Result<usize> {
    let mut removed = 0;
    for directory in std::fs::read_dir(&blobs.root)? {
        let directory = directory?;
        // `incoming/` has rules of its own.
        if directory.file_name().len() != 2 {
            continue;
        }
        for entry in std::fs::read_dir(directory.path())? {
            let entry = entry?;
            let name = entry.file_name();
            // What is not named like a blob was put there by somebody else.
            let Some(name) = name.to_str().filter(|name| name.parse::<Sha256Digest>().is_ok())
            else {
                continue;
            };
            if !recorded.contains(name) {
                let _held = blobs.hold_places();
                removed += usize::from(remove_if_older(&entry.path(), age)?);
            }
        }
    }
    Ok(removed)
}

fn remove_older(directory: &Utf8Path, age: Duration) -> io::Result<usize> {
    let mut removed = 0;
    for entry in std::fs::read_dir(directory)? {
        removed += usize::from(remove_if_older(&entry?.path(), age)?);
    }
    Ok(removed)
}

fn remove_if_older(path: &std::path::Path, age: Duration) -> io::Result<bool> {
    // A file that went away between the listing and here is gone by itself.
    let Ok(modified) = path.symlink_metadata().and_then(|metadata| metadata.modified()) else {
        return Ok(false);
    };
    if SystemTime::now().duration_since(modified).is_ok_and(|passed| passed >= age) {
        match std::fs::remove_file(path) {
            Ok(()) => return Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

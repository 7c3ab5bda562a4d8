use std::{
    io,
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
        let blobs = Self { root };
        let incoming = blobs.incoming();
        tokio::fs::create_dir_all(&incoming)
            .await
            .map_err(|source| StoreError::blob(incoming, source))?;
        Ok(blobs)
    }

    fn incoming(&self) -> Utf8PathBuf {
        self.root.join("incoming")
    }

    fn path(&self, digest: Sha256Digest) -> Utf8PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(name)
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
        let root = self.blobs.root.clone();
        let (path, result) = tokio::task::spawn_blocking(move || {
            let result = move_into_place(upload, &path, &root);
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
fn move_into_place(upload: UploadedBlob, path: &Utf8Path, root: &Utf8Path) -> io::Result<()> {
    let directory = path.parent().expect("a blob's path has a directory");
    std::fs::create_dir_all(directory)?;
    std::fs::File::open(&upload.temporary)?.sync_all()?;
    upload.temporary.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()?;
    std::fs::File::open(root)?.sync_all()
}

fn remove_older(directory: &Utf8Path, age: Duration) -> io::Result<usize> {
    let now = SystemTime::now();
    let mut removed = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        // An upload that ended between the listing and here is gone by itself.
        let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else {
            continue;
        };
        if now.duration_since(modified).is_ok_and(|passed| passed >= age) {
            match std::fs::remove_file(entry.path()) {
                Ok(()) => removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(removed)
}

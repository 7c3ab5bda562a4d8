use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;
use sha2::{Digest, Sha256};
use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use crate::StoreError;

/// The buffer between an upload and its file. Tokio's own is 2 MiB, which is 128 MiB for 64 uploads
/// side by side.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// An upload as it comes in: a temporary file that grows chunk by chunk, so that the whole is
/// never in memory. Dropping it removes the file.
#[derive(Debug)]
pub struct BlobWriter {
    file: tokio::fs::File,
    temporary: TempPath,
    directory: Utf8PathBuf,
    hasher: Sha256,
    size_bytes: u64,
    limit_bytes: u64,
}

/// A complete upload that is not kept yet: its file is closed, so that a request with many parts
/// holds no files open. Dropping it removes the file.
#[derive(Debug)]
pub struct UploadedBlob {
    pub(crate) temporary: TempPath,
    blob: KeptBlob,
}

/// The name and size of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBlob {
    /// Its digest, which is its name.
    pub digest: Sha256Digest,
    /// Its size, in bytes.
    pub size_bytes: u64,
}

impl BlobWriter {
    pub(crate) fn create(directory: &Utf8Path, limit_bytes: u64) -> Result<Self, StoreError> {
        let file = tempfile::Builder::new()
            .prefix("upload-")
            .tempfile_in(directory)
            .map_err(|source| StoreError::blob(directory, source))?;
        let (file, temporary) = file.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        file.set_max_buf_size(WRITE_BUFFER_BYTES);
        Ok(Self {
            file,
            temporary,
            directory: directory.to_owned(),
            hasher: Sha256::new(),
            size_bytes: 0,
            limit_bytes,
        })
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when the limit is passed, [`StoreError::DiskFull`], or another
    /// failure of the file system. The upload is of no use afterwards.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.limit_bytes {
            return Err(StoreError::TooLarge { limit: self.limit_bytes });
        }
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes).await;
        written.map_err(|source| StoreError::blob(&self.directory, source))
    }

    /// Ends the upload.
    ///
    /// # Errors
    /// When the last bytes cannot be written.
    pub async fn finish(mut self) -> Result<UploadedBlob, StoreError> {
        // Tokio writes in the background: only the flush reports an error of the last write.
        let flushed = self.file.flush().await;
        flushed.map_err(|source| StoreError::blob(&self.directory, source))?;
        let digest = Sha256Digest::from_bytes(self.hasher.finalize().into());
        let blob = KeptBlob { digest, size_bytes: self.size_bytes };
        Ok(UploadedBlob { temporary: self.temporary, blob })
    }
}

impl UploadedBlob {
    /// The digest of what was uploaded.
    pub fn digest(&self) -> Sha256Digest {
        self.blob.digest
    }

    /// Name and size that the blob will have.
    pub fn blob(&self) -> KeptBlob {
        self.blob
    }

    /// Reads the upload back, to check it before it is kept. It blocks, and it takes as much
    /// memory as the limit of the upload allowed.
    ///
    /// # Errors
    /// When the file system fails.
    pub fn read(&self) -> Result<Vec<u8>, StoreError> {
        std::fs::read(&self.temporary).map_err(|source| {
            let path = self.temporary.to_string_lossy().into_owned();
            StoreError::blob(path, source)
        })
    }
}

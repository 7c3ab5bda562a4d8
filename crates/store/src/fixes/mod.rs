//! The texts of fixes: those that sources gave, and those that a person approved.

mod all;
mod approved;
mod placed;

use jiff::Timestamp;

use crate::{KeptBlob, Store, StoreError, blobs::record_blob, row::to_json};

pub use approved::ApprovedFix;

/// The text of a fix that a source gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFix {
    /// The text.
    pub blob: KeptBlob,
    /// Where it was had from, for people.
    pub source: String,
    /// The paths in the kernel's tree that it changes.
    pub files: Vec<String>,
    /// Whether it could not be a livepatch by its files when it was fetched.
    pub is_refused: bool,
    /// When it was fetched.
    pub fetched_at: Timestamp,
}

impl Store {
    /// The text that is remembered for a commit.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn known_fix(&self, commit: &str) -> Result<Option<KnownFix>, StoreError> {
        let row: Option<all::Row> = sqlx::query_as(
            "SELECT commit_hash, digest, size_bytes, source, files, is_refused, fetched_at
             FROM fixes JOIN blobs USING (digest) WHERE commit_hash = ?",
        )
        .bind(commit)
        .fetch_optional(&self.readers)
        .await?;
        let fix = row.map(KnownFix::from_row).transpose()?;
        Ok(fix.map(|(_, fix)| fix))
    }

    /// Remembers texts that were placed ([`Store::place_blob`]), by their commits, and keeps further ones
    /// that have none: when this returns, all are on the disk for good.
    ///
    /// # Errors
    /// When the database or the file system fails, or the disk is full. Nothing is remembered then.
    pub async fn keep_fixes(
        &self,
        fixes: &[(String, KnownFix)],
        others: &[KeptBlob],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let blobs: Vec<KeptBlob> =
            fixes.iter().map(|(_, fix)| fix.blob).chain(others.iter().copied()).collect();
        self.sync_blobs(&blobs).await?;
        let mut transaction = self.write().await?;
        for blob in &blobs {
            record_blob(&mut transaction, *blob, now).await?;
        }
        for (commit, fix) in fixes {
            sqlx::query(
                "INSERT OR REPLACE INTO fixes (commit_hash, digest, source, files, is_refused, fetched_at)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .bind(commit)
            .bind(fix.blob.digest.to_string())
            .bind(&fix.source)
            .bind(to_json(&fix.files))
            .bind(fix.is_refused)
            .bind(fix.fetched_at.as_microsecond())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

use elivepatch_cve::CveId;
use elivepatch_model::Sha256Digest;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    KeptBlob, Store, StoreError,
    blobs::record_blob,
    row::{from_json, parse_digest, to_json},
    time::from_column,
};

/// A patch that a person approved for a CVE.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ApprovedFix {
    /// The CVE.
    pub cve: CveId,
    /// The digest of the patch.
    pub digest: Sha256Digest,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// The name of the file that it came in.
    pub name: String,
    /// The paths in the kernel's tree that it changes.
    pub files: Vec<String>,
    /// What the person said of it; may be empty.
    pub note: String,
    /// When it was approved.
    pub approved_at: Timestamp,
}

/// CVE, digest, size, name, files, note, and when it was approved.
type Row = (String, String, i64, String, String, String, i64);

impl ApprovedFix {
    /// The patch.
    pub fn blob(&self) -> KeptBlob {
        KeptBlob { digest: self.digest, size_bytes: self.size_bytes }
    }

    fn from_row(
        (cve, digest, size, name, files, note, approved_at): Row,
    ) -> Result<Self, StoreError> {
        let what = format!("the approved fix of {cve}");
        Ok(Self {
            digest: parse_digest(&digest, &what)?,
            size_bytes: size.cast_unsigned(),
            files: from_json(&files, &what)?,
            approved_at: from_column(approved_at)?,
            cve: cve.parse().map_err(|error| StoreError::corrupt(what, Box::new(error)))?,
            name,
            note,
        })
    }
}

impl Store {
    /// Keeps a patch, which must be a blob, as the fix of a CVE, in the place of one that was approved before.
    /// Gives that one's digest.
    ///
    /// # Errors
    /// When the database fails or the disk is full.
    pub async fn approve_fix(&self, fix: &ApprovedFix) -> Result<Option<Sha256Digest>, StoreError> {
        let mut transaction = self.write().await?;
        let before: Option<String> =
            sqlx::query_scalar("SELECT digest FROM approved_fixes WHERE cve = ?")
                .bind(fix.cve.to_string())
                .fetch_optional(&mut *transaction)
                .await?;
        record_blob(&mut transaction, fix.blob(), fix.approved_at).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO approved_fixes (cve, digest, files, name, note, approved_at)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(fix.cve.to_string())
        .bind(fix.digest.to_string())
        .bind(to_json(&fix.files))
        .bind(&fix.name)
        .bind(&fix.note)
        .bind(fix.approved_at.as_microsecond())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        before.map(|digest| parse_digest(&digest, "an approved fix")).transpose()
    }

    /// The patch that was approved for a CVE.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn approved_fix(&self, id: CveId) -> Result<Option<ApprovedFix>, StoreError> {
        let row: Option<Row> = sqlx::query_as(
            "SELECT cve, digest, size_bytes, name, files, note, approved_at
             FROM approved_fixes JOIN blobs USING (digest) WHERE cve = ?",
        )
        .bind(id.to_string())
        .fetch_optional(&self.readers)
        .await?;
        row.map(ApprovedFix::from_row).transpose()
    }

    /// All patches that were approved, by their CVEs.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn approved_fixes(&self) -> Result<Vec<ApprovedFix>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT cve, digest, size_bytes, name, files, note, approved_at
             FROM approved_fixes JOIN blobs USING (digest)",
        )
        .fetch_all(&self.readers)
        .await?;
        let fixes: Result<Vec<_>, _> = rows.into_iter().map(ApprovedFix::from_row).collect();
        let mut fixes = fixes?;
        fixes.sort_by_key(|fix| fix.cve);
        Ok(fixes)
    }

    /// Takes an approval back. The patch stays a blob: builds may have been made of it. Gives whether there
    /// was one.
    ///
    /// # Errors
    /// When the database fails or the disk is full.
    pub async fn withdraw_fix(&self, id: CveId) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let removed = sqlx::query("DELETE FROM approved_fixes WHERE cve = ?")
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }
}

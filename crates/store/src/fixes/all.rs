use super::KnownFix;
use crate::{
    KeptBlob, Store, StoreError,
    row::{from_json, parse_digest},
    time::from_column,
};

/// Commit, digest, size, source, files, whether it was refused, and when it was fetched.
pub(super) type Row = (String, String, i64, String, String, bool, i64);

impl KnownFix {
    /// The text of a row, with its commit.
    pub(super) fn from_row(
        (commit, digest, size, source, files, is_refused, fetched_at): Row,
    ) -> Result<(String, Self), StoreError> {
        let what = format!("the fix {commit}");
        let digest = parse_digest(&digest, &what)?;
        let fix = Self {
            blob: KeptBlob { digest, size_bytes: size.cast_unsigned() },
            source,
            files: from_json(&files, &what)?,
            is_refused,
            fetched_at: from_column(fetched_at)?,
        };
        Ok((commit, fix))
    }
}

impl Store {
    /// Whether any text is remembered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_known_fixes(&self) -> Result<bool, StoreError> {
        let statement = "SELECT EXISTS (SELECT 1 FROM fixes)";
        Ok(sqlx::query_scalar(statement).fetch_one(&self.readers).await?)
    }

    /// All texts that are remembered, by their commits.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn known_fixes(&self) -> Result<Vec<(String, KnownFix)>, StoreError> {
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT commit_hash, digest, size_bytes, source, files, is_refused, fetched_at
             FROM fixes JOIN blobs USING (digest) ORDER BY commit_hash",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(KnownFix::from_row).collect()
    }
}

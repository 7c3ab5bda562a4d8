use crate::{Store, StoreError};

impl Store {
    /// A mark of all that people and CVE runs have said of fixes: which are approved, and which runs are
    /// finished. Another mark: what livepatches are known to fix may be another.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fixes_mark(&self) -> Result<(i64, i64, i64), StoreError> {
        Ok(sqlx::query_as(
            "SELECT (SELECT count(*) FROM approved_fixes),
                    (SELECT coalesce(max(approved_at), 0) FROM approved_fixes),
                    (SELECT coalesce(max(finished_at), 0) FROM runs)",
        )
        .fetch_one(&self.readers)
        .await?)
    }
}

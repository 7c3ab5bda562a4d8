use elivepatch_model::{BuildNumber, HostName};

use crate::{Store, StoreError};

impl Store {
    /// Whether a build's livepatch is assigned to a host, by its name, one of its tags or as one of all, and was
    /// not withdrawn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_assigned(
        &self,
        host: &HostName,
        build: BuildNumber,
    ) -> Result<bool, StoreError> {
        let is_assigned = sqlx::query_scalar(
            "SELECT EXISTS (
                 SELECT 1 FROM assignments
                  WHERE build = ?1
                    AND module NOT IN (SELECT module FROM withdrawals)
                    AND (to_kind = 'all'
                         OR (to_kind = 'host' AND to_name = ?2)
                         OR (to_kind = 'tag' AND to_name IN (SELECT tag FROM host_tags WHERE host = ?2))))",
        )
        .bind(build.0)
        .bind(host.as_str())
        .fetch_one(&self.readers)
        .await?;
        Ok(is_assigned)
    }
}

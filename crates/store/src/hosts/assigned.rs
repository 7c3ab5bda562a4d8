use elivepatch_model::{BuildNumber, HostName};

use super::whom::is_for_host;
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
        let statement = concat!(
            "SELECT EXISTS (SELECT 1 FROM assignments WHERE build = ?2
                AND module NOT IN (SELECT module FROM withdrawals) AND ",
            is_for_host!(),
            ")"
        );
        let is_assigned = sqlx::query_scalar(statement)
            .bind(host.as_str())
            .bind(build.0)
            .fetch_one(&self.readers)
            .await?;
        Ok(is_assigned)
    }
}

use elivepatch_model::{HostName, Tag, TargetFacts};
use elivepatch_store::NewHost;

use super::checked_tags;
use crate::app::{App, AppError, now, target_checks};

impl App {
    /// Registers a host.
    ///
    /// # Errors
    /// When the name is taken, there are too many tags, or the facts cannot be such.
    pub async fn register_host(
        &self,
        name: HostName,
        tags: Vec<Tag>,
        target: TargetFacts,
    ) -> Result<(), AppError> {
        target_checks::facts(&target)?;
        let host = NewHost { name, tags: checked_tags(tags)?, target };
        self.store().register_host(&host, now()).await?;
        tracing::info!(host = %host.name, release = %host.target.release, "host registered");
        Ok(())
    }

    /// Forgets a host.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn forget_host(&self, name: &HostName) -> Result<(), AppError> {
        self.store().forget_host(name).await?;
        tracing::info!(host = %name, "host forgotten");
        Ok(())
    }
}

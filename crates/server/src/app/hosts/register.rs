use elivepatch_api::HostResource;
use elivepatch_model::{HostName, Tag, TargetFacts};
use elivepatch_store::{AuditAction, NewHost};
use serde_json::json;

use super::{Fleet, checked_tags};
use crate::app::{App, AppError, Caller, now, target_checks};

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
        self.fleet().register(name, tags, target).await
    }

    /// Forgets a host.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn forget_host(&self, caller: &Caller, name: &HostName) -> Result<(), AppError> {
        self.fleet().acting_as(caller.actor()).forget(name).await
    }
}

impl Fleet {
    /// Registers a host.
    ///
    /// # Errors
    /// When the name is taken, there are too many tags, or the facts cannot be such.
    pub async fn register(
        &self,
        name: HostName,
        tags: Vec<Tag>,
        target: TargetFacts,
    ) -> Result<(), AppError> {
        target_checks::facts(&target)?;
        let host = NewHost { name, tags: checked_tags(tags)?, target };
        self.store.register_host(&host, now()).await?;
        tracing::info!(host = %host.name, release = %host.target.release, "host registered");
        Ok(())
    }

    /// Forgets a host with its report, its events, and what was assigned to it alone.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn forget(&self, name: &HostName) -> Result<(), AppError> {
        self.store.forget_host(name).await?;
        tracing::info!(host = %name, "host forgotten");
        self.note(AuditAction::HostForgotten, &format!("host {name}"), json!({})).await;
        Ok(())
    }

    /// Gives a host these tags in the place of those that it had.
    ///
    /// # Errors
    /// When there is none of this name, or there are too many tags.
    pub async fn tag(&self, name: &HostName, tags: Vec<Tag>) -> Result<HostResource, AppError> {
        let tags = checked_tags(tags)?;
        self.store.tag_host(name, &tags).await?;
        tracing::info!(host = %name, tags = tags.len(), "host tagged");
        let detail = json!({ "tags": tags });
        self.note(AuditAction::HostTagged, &format!("host {name}"), detail).await;
        self.show(name).await
    }
}

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

    /// Forgets a host with its report, its events, and what was assigned to it alone. Its token is worth nothing
    /// from now on.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn forget(&self, name: &HostName) -> Result<(), AppError> {
        self.store.forget_host(name, now()).await?;
        tracing::info!(host = %name, "host forgotten");
        self.note(AuditAction::HostForgotten, &format!("host {name}"), json!({})).await;
        Ok(())
    }

    /// Gives a host these tags in the place of those that it had.
    ///
    /// # Errors
    /// When there is none of this name, or there are too many tags.
    pub async fn tag(&self, name: &HostName, tags: Vec<Tag>) -> Result<HostResource, AppError> {
        self.change_tags(name, |_| tags).await
    }

    /// Gives a host these tags beside those that it has.
    ///
    /// # Errors
    /// As [`Fleet::tag`].
    pub async fn add_tags(
        &self,
        name: &HostName,
        tags: Vec<Tag>,
    ) -> Result<HostResource, AppError> {
        self.change_tags(name, |had| had.into_iter().chain(tags).collect()).await
    }

    /// Takes tags from a host, as far as it has them.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn remove_tags(
        &self,
        name: &HostName,
        tags: Vec<Tag>,
    ) -> Result<HostResource, AppError> {
        let stays = |tag: &Tag| !tags.contains(tag);
        self.change_tags(name, |had| had.into_iter().filter(stays).collect()).await
    }

    async fn change_tags(
        &self,
        name: &HostName,
        change: impl FnOnce(Vec<Tag>) -> Vec<Tag> + Send,
    ) -> Result<HostResource, AppError> {
        self.store.tag_host(name, |had| checked_tags(change(had))).await?;
        tracing::info!(host = %name, "host tagged");
        let host = self.show(name).await?;
        let detail = json!({ "tags": host.summary.tags });
        self.note(AuditAction::HostTagged, &format!("host {name}"), detail).await;
        Ok(host)
    }
}

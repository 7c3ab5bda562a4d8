use elivepatch_model::{HostName, Sha256Digest, Tag, TargetFacts};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::parse;
use crate::{Store, StoreError, row::to_json};

/// A host to be registered.
#[derive(Debug, Clone)]
pub struct NewHost {
    /// Its name.
    pub name: HostName,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its kernel.
    pub target: TargetFacts,
}

impl Store {
    /// Registers a host.
    ///
    /// # Errors
    /// [`StoreError::HostTaken`] when there is one of this name, or a failure of the database.
    pub async fn register_host(&self, host: &NewHost, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        insert_host(&mut transaction, host, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets a host with its report, its events, and what was assigned to it alone; its token is worth nothing
    /// from now on. Another one may be registered under its name then.
    ///
    /// # Errors
    /// [`StoreError::NoSuchHost`], or a failure of the database.
    pub async fn forget_host(&self, name: &HostName, now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        delete_host(&mut transaction, name).await?;
        revoke_credentials(&mut transaction, name, now).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Whether a host of this name is registered.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_host(&self, name: &HostName) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM hosts WHERE name = ?)")
            .bind(name.as_str())
            .fetch_one(&self.readers)
            .await?)
    }

    /// Changes the tags of a host: `change` gets those that it has and gives those that it is to have.
    ///
    /// # Errors
    /// [`StoreError::NoSuchHost`], a failure of the database, or what `change` says: then nothing is changed.
    pub async fn tag_host<E: From<StoreError>>(
        &self,
        name: &HostName,
        change: impl FnOnce(Vec<Tag>) -> Result<Vec<Tag>, E> + Send,
    ) -> Result<(), E> {
        let mut transaction = self.write().await?;
        require_host(&mut transaction, name).await?;
        let had = tags_of(&mut transaction, name).await?;
        replace_tags(&mut transaction, name, &change(had)?).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(())
    }
}

/// Registers a host in a transaction that does more.
pub(crate) async fn insert_host(
    transaction: &mut Transaction<'_, Sqlite>,
    host: &NewHost,
    now: Timestamp,
) -> Result<(), StoreError> {
    let target = &host.target;
    let kernel = insert_kernel(transaction, &target.as_assessed()).await?;
    let inserted = sqlx::query(
        "INSERT INTO hosts (name, registered_at, release, architecture, build_id, kernel)
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
    )
    .bind(host.name.as_str())
    .bind(now.as_microsecond())
    .bind(target.release.as_str())
    .bind(target.architecture.as_str())
    .bind(target.build_id.as_ref().map(|id| id.as_str()))
    .bind(kernel.to_string())
    .execute(&mut **transaction)
    .await?;
    if inserted.rows_affected() == 0 {
        return Err(StoreError::HostTaken(host.name.clone()));
    }
    insert_tags(transaction, &host.name, &host.tags).await
}

/// Takes the credentials of a host back, also of one that was forgotten.
pub(crate) async fn revoke_credentials(
    transaction: &mut Transaction<'_, Sqlite>,
    name: &HostName,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE tokens SET revoked_at = ?
          WHERE host = ? AND kind = 'credential' AND revoked_at IS NULL",
    )
    .bind(now.as_microsecond())
    .bind(name.as_str())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

async fn delete_host(
    transaction: &mut Transaction<'_, Sqlite>,
    name: &HostName,
) -> Result<(), StoreError> {
    let kernel: Option<String> =
        sqlx::query_scalar("DELETE FROM hosts WHERE name = ? RETURNING kernel")
            .bind(name.as_str())
            .fetch_optional(&mut **transaction)
            .await?;
    let kernel = kernel.ok_or_else(|| StoreError::NoSuchHost(name.clone()))?;
    remove_unused_kernel(transaction, &kernel).await?;
    for statement in [
        "DELETE FROM assignments WHERE to_kind = 'host' AND to_name = ?",
        "DELETE FROM holds WHERE to_kind = 'host' AND to_name = ?",
    ] {
        sqlx::query(statement).bind(name.as_str()).execute(&mut **transaction).await?;
    }
    Ok(())
}

/// Fails when there is no such host.
pub(super) async fn require_host(
    transaction: &mut Transaction<'_, Sqlite>,
    name: &HostName,
) -> Result<(), StoreError> {
    let is_there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM hosts WHERE name = ?)")
        .bind(name.as_str())
        .fetch_one(&mut **transaction)
        .await?;
    if is_there { Ok(()) } else { Err(StoreError::NoSuchHost(name.clone())) }
}

/// Gives a host these tags in a transaction that does more.
pub(crate) async fn replace_tags(
    transaction: &mut Transaction<'_, Sqlite>,
    name: &HostName,
    tags: &[Tag],
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM host_tags WHERE host = ?")
        .bind(name.as_str())
        .execute(&mut **transaction)
        .await?;
    insert_tags(transaction, name, tags).await
}

/// The tags of a host, sorted.
pub(crate) async fn tags_of(
    transaction: &mut Transaction<'_, Sqlite>,
    name: &HostName,
) -> Result<Vec<Tag>, StoreError> {
    let tags: Vec<String> =
        sqlx::query_scalar("SELECT tag FROM host_tags WHERE host = ? ORDER BY tag")
            .bind(name.as_str())
            .fetch_all(&mut **transaction)
            .await?;
    tags.iter().map(|tag| parse(tag, &format!("a tag of the host {name}"))).collect()
}

async fn insert_tags(
    transaction: &mut Transaction<'_, Sqlite>,
    name: &HostName,
    tags: &[Tag],
) -> Result<(), StoreError> {
    for tag in tags {
        sqlx::query("INSERT INTO host_tags (host, tag) VALUES (?, ?) ON CONFLICT DO NOTHING")
            .bind(name.as_str())
            .bind(tag.as_str())
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Keeps what is known of a kernel; gives its digest.
pub(super) async fn insert_kernel(
    transaction: &mut Transaction<'_, Sqlite>,
    facts: &TargetFacts,
) -> Result<Sha256Digest, StoreError> {
    let text = to_json(facts);
    let digest = Sha256Digest::of(text.as_bytes());
    sqlx::query("INSERT INTO host_kernels (digest, facts) VALUES (?, ?) ON CONFLICT DO NOTHING")
        .bind(digest.to_string())
        .bind(&text)
        .execute(&mut **transaction)
        .await?;
    Ok(digest)
}

/// Removes what is known of a kernel when no host has it any more.
pub(super) async fn remove_unused_kernel(
    transaction: &mut Transaction<'_, Sqlite>,
    digest: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "DELETE FROM host_kernels
          WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM hosts WHERE kernel = ?1)",
    )
    .bind(digest)
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

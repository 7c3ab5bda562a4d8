use elivepatch_model::{AccessToken, HostName, Role, Tag, TargetFacts, TokenId};
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Sqlite, Transaction};

use super::{
    NewToken, TokenKind, TokenRecord, TokenRow, TokenState, token_columns, tokens::insert,
};
use crate::{
    AuditAction, NewAudit, NewHost, Store, StoreError,
    audit::append,
    hosts::{insert_host, replace_tags, revoke_credentials, tags_of},
};

/// A host that was registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolled {
    /// Its tags.
    pub tags: Vec<Tag>,
    /// Its credential.
    pub token: AccessToken,
    /// What names the token that registered it.
    pub by: TokenId,
    /// Whether it was registered before: its earlier credentials are worth nothing now.
    pub again: bool,
}

impl Store {
    /// Uses up an enrolment token and registers a host with it, in one transaction: of two that come with the same
    /// token one is registered.
    ///
    /// A token that names a host registers this one also when it is registered already, as a machine that was
    /// set up anew is; what is assigned to it stays.
    ///
    /// # Errors
    /// [`StoreError::NotEnrolled`] when the token is unknown, used, revoked or too old, or no enrolment token;
    /// [`StoreError::OtherHost`] when it is for another host; [`StoreError::HostTaken`]. Then the token can still
    /// be used.
    pub async fn enrol(
        &self,
        token: &AccessToken,
        name: &HostName,
        target: &TargetFacts,
        now: Timestamp,
    ) -> Result<Enrolled, StoreError> {
        let mut transaction = self.write().await?;
        let record = take(&mut transaction, token, now).await?;
        if let Some(host) = record.host.as_ref().filter(|host| *host != name) {
            return Err(StoreError::OtherHost { host: host.clone() });
        }
        let new = NewHost { name: name.clone(), tags: record.tags.clone(), target: target.clone() };
        let again = match insert_host(&mut transaction, &new, now).await {
            Err(StoreError::HostTaken(_)) if record.host.is_some() => {
                if !record.tags.is_empty() {
                    replace_tags(&mut transaction, name, &record.tags).await?;
                }
                true
            }
            registered => registered.map(|()| false)?,
        };
        let tags = tags_of(&mut transaction, name).await?;
        // Also those of a host of this name that was forgotten.
        revoke_credentials(&mut transaction, name, now).await?;
        let own = NewToken {
            kind: TokenKind::Credential,
            role: Role::Host,
            name: String::new(),
            host: Some(name.clone()),
            tags: Vec::new(),
            expires_at: None,
        };
        let own = insert(&mut transaction, &own, now).await?;
        note(&mut transaction, &record, name, target, own.id(), again, now).await?;
        transaction.commit().await?;
        Ok(Enrolled { tags, token: own, by: record.id, again })
    }
}

/// Uses up an enrolment token.
async fn take(
    transaction: &mut Transaction<'_, Sqlite>,
    token: &AccessToken,
    now: Timestamp,
) -> Result<TokenRecord, StoreError> {
    let statement =
        concat!("SELECT ", token_columns!(), " FROM tokens WHERE id = ? AND secret = ?");
    let row: Option<TokenRow> = sqlx::query_as(statement)
        .bind(token.id().as_str())
        .bind(token.digest().to_string())
        .fetch_optional(&mut **transaction)
        .await?;
    let record: Option<TokenRecord> = row.map(TokenRecord::try_from).transpose()?;
    let Some(record) = record else { return Err(StoreError::NotEnrolled) };
    if record.kind != TokenKind::Enrolment || record.state(now) != TokenState::Valid {
        return Err(StoreError::NotEnrolled);
    }
    sqlx::query("UPDATE tokens SET used_at = ? WHERE id = ?")
        .bind(now.as_microsecond())
        .bind(record.id.as_str())
        .execute(&mut **transaction)
        .await?;
    Ok(record)
}

async fn note(
    transaction: &mut Transaction<'_, Sqlite>,
    by: &TokenRecord,
    name: &HostName,
    target: &TargetFacts,
    credential: &TokenId,
    again: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    let actor = format!("host {name}");
    let used = NewAudit {
        at: now,
        actor: &actor,
        action: AuditAction::TokenUsed,
        subject: &format!("token {}", by.id),
        detail: json!({ "name": by.name }),
    };
    append(transaction, &used).await?;
    let enrolled = NewAudit {
        at: now,
        actor: &actor,
        action: AuditAction::HostEnrolled,
        subject: &actor,
        detail: json!({
            "token": by.id,
            "credential": credential,
            "release": target.release,
            "again": again,
        }),
    };
    append(transaction, &enrolled).await
}

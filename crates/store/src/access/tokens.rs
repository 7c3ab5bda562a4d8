use std::time::Duration;

use elivepatch_model::{AccessToken, HostName, Role, Tag, TokenId};
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Sqlite, Transaction};

use super::{TokenKind, TokenRecord, TokenRow, draw, token_columns};
use crate::{AuditAction, NewAudit, Store, StoreError, audit::append, row::to_json, time::later};

/// How exactly it is known when a credential was last used: more would be a write with each request.
const USE_IS_NOTED_EVERY: Duration = Duration::from_secs(3600);

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for. A credential of the role host comes from an enrolment only.
    pub kind: TokenKind,
    /// What it allows.
    pub role: Role,
    /// Whose it is, for people; may be empty.
    pub name: String,
    /// The only host that it may enrol.
    pub host: Option<HostName>,
    /// The tags of the host that it enrols.
    pub tags: Vec<Tag>,
    /// When its time is over; absent: never.
    pub expires_at: Option<Timestamp>,
}

impl Store {
    /// Makes a token. Nobody can read its secret here again.
    ///
    /// # Errors
    /// When the database fails or the disk is full.
    pub async fn create_token(
        &self,
        new: &NewToken,
        actor: &str,
        now: Timestamp,
    ) -> Result<AccessToken, StoreError> {
        let mut transaction = self.write().await?;
        let token = insert(&mut transaction, new, now).await?;
        let entry = NewAudit {
            at: now,
            actor,
            action: AuditAction::TokenCreated,
            subject: &format!("token {}", token.id()),
            detail: json!({
                "kind": new.kind,
                "role": new.role,
                "name": new.name,
                "host": new.host,
                "tags": new.tags,
                "expires_at": new.expires_at,
            }),
        };
        append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(token)
    }

    /// What is known of a token, whether it may still be used or not ([`TokenRecord::state`]). `None` when there
    /// is none with this id and secret; which of the two is wrong, nobody is told.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn token(&self, token: &AccessToken) -> Result<Option<TokenRecord>, StoreError> {
        let statement =
            concat!("SELECT ", token_columns!(), " FROM tokens WHERE id = ? AND secret = ?");
        let row: Option<TokenRow> = sqlx::query_as(statement)
            .bind(token.id().as_str())
            .bind(token.digest().to_string())
            .fetch_optional(&self.readers)
            .await?;
        row.map(TokenRecord::try_from).transpose()
    }

    /// Writes down that a credential is used, unless that was written within the hour.
    ///
    /// # Errors
    /// When the database fails or the disk is full.
    pub async fn note_token_use(
        &self,
        token: &TokenRecord,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let is_due = |used: Timestamp| later(used, USE_IS_NOTED_EVERY) <= now.as_microsecond();
        if token.kind != TokenKind::Credential || !token.used_at.is_none_or(is_due) {
            return Ok(());
        }
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE tokens SET used_at = max(coalesce(used_at, 0), ?) WHERE id = ?")
            .bind(now.as_microsecond())
            .bind(token.id.as_str())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// All tokens, the newest first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let statement =
            concat!("SELECT ", token_columns!(), " FROM tokens ORDER BY created_at DESC, id");
        let rows: Vec<TokenRow> = sqlx::query_as(statement).fetch_all(&self.readers).await?;
        rows.into_iter().map(TokenRecord::try_from).collect()
    }

    /// Takes a token back. Gives whether that changed anything: it may have been taken back before.
    ///
    /// # Errors
    /// [`StoreError::NoSuchToken`], or a failure of the database.
    pub async fn revoke_token(
        &self,
        id: &TokenId,
        actor: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let found: Option<Option<i64>> =
            sqlx::query_scalar("SELECT revoked_at FROM tokens WHERE id = ?")
                .bind(id.as_str())
                .fetch_optional(&mut *transaction)
                .await?;
        match found {
            None => return Err(StoreError::NoSuchToken(id.clone())),
            Some(Some(_)) => return Ok(false),
            Some(None) => {}
        }
        sqlx::query("UPDATE tokens SET revoked_at = ? WHERE id = ?")
            .bind(now.as_microsecond())
            .bind(id.as_str())
            .execute(&mut *transaction)
            .await?;
        let entry = NewAudit {
            at: now,
            actor,
            action: AuditAction::TokenRevoked,
            subject: &format!("token {id}"),
            detail: json!({}),
        };
        append(&mut transaction, &entry).await?;
        transaction.commit().await?;
        Ok(true)
    }
}

/// Makes a token in a transaction that does more.
pub(super) async fn insert(
    transaction: &mut Transaction<'_, Sqlite>,
    new: &NewToken,
    now: Timestamp,
) -> Result<AccessToken, StoreError> {
    let token = draw();
    sqlx::query(
        "INSERT INTO tokens (id, secret, kind, role, name, host, tags, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(token.id().as_str())
    .bind(token.digest().to_string())
    .bind(new.kind.as_str())
    .bind(new.role.as_str())
    .bind(&new.name)
    .bind(new.host.as_ref().map(HostName::as_str))
    .bind(to_json(&new.tags))
    .bind(now.as_microsecond())
    .bind(new.expires_at.map(Timestamp::as_microsecond))
    .execute(&mut **transaction)
    .await?;
    Ok(token)
}

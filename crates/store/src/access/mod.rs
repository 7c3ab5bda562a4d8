//! Who may ask for what: tokens, and the registration of hosts with them.

mod enrol;
mod tokens;

use elivepatch_model::{AccessToken, HostName, Role, Tag, TokenId};
use jiff::Timestamp;
use serde::Serialize;

pub use enrol::Enrolled;
pub use tokens::NewToken;

use crate::{StoreError, row::from_json, time::from_column};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// It is shown with each request.
    Credential,
    /// It registers one host, once.
    Enrolment,
}

/// Whether a token may still be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenState {
    /// It may.
    Valid,
    /// An enrolment token that has registered a host.
    Used,
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Revoked,
    /// The host is not registered any more whose credential it is.
    Forgotten,
}

/// A token as it is stored. Its secret is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// What names it.
    pub id: TokenId,
    /// What it is for.
    pub kind: TokenKind,
    /// What it allows.
    pub role: Role,
    /// Whose it is, for people; may be empty.
    pub name: String,
    /// The host whose credential it is, or the only one that it may enrol.
    pub host: Option<HostName>,
    /// The tags of the host that it enrols.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When its time is over; absent: never.
    pub expires_at: Option<Timestamp>,
    /// When it was used: of a credential the last time, as exactly as an hour.
    pub used_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// Whether the host is registered whose credential it is.
    #[serde(skip)]
    pub host_is_known: bool,
}

impl TokenKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Credential => "credential",
            Self::Enrolment => "enrolment",
        }
    }
}

impl TokenRecord {
    /// Whether it may be used at a time.
    pub fn state(&self, now: Timestamp) -> TokenState {
        let is_credential = self.kind == TokenKind::Credential;
        // First: a host that is forgotten loses its token, and what it is to do is another thing.
        if is_credential && self.role == Role::Host && !self.host_is_known {
            TokenState::Forgotten
        } else if self.revoked_at.is_some() {
            TokenState::Revoked
        } else if !is_credential && self.used_at.is_some() {
            TokenState::Used
        } else if self.expires_at.is_some_and(|end| end <= now) {
            TokenState::Expired
        } else {
            TokenState::Valid
        }
    }
}

/// The columns of a [`TokenRecord`].
macro_rules! token_columns {
    () => {
        "id, kind, role, name, host, tags, created_at, expires_at, used_at, revoked_at, \
         EXISTS (SELECT 1 FROM hosts WHERE hosts.name = tokens.host) AS host_is_known"
    };
}
use token_columns;

#[derive(Debug, sqlx::FromRow)]
struct TokenRow {
    id: String,
    kind: String,
    role: String,
    name: String,
    host: Option<String>,
    tags: String,
    created_at: i64,
    expires_at: Option<i64>,
    used_at: Option<i64>,
    revoked_at: Option<i64>,
    host_is_known: bool,
}

impl TryFrom<TokenRow> for TokenRecord {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let what = format!("the token {}", row.id);
        Ok(Self {
            kind: match row.kind.as_str() {
                "enrolment" => TokenKind::Enrolment,
                _ => TokenKind::Credential,
            },
            role: row.role.parse().map_err(|error| StoreError::corrupt(&what, Box::new(error)))?,
            host: row
                .host
                .map(|host| host.parse())
                .transpose()
                .map_err(|error| StoreError::corrupt(&what, Box::new(error)))?,
            tags: from_json(&row.tags, &what)?,
            created_at: from_column(row.created_at)?,
            expires_at: row.expires_at.map(from_column).transpose()?,
            used_at: row.used_at.map(from_column).transpose()?,
            revoked_at: row.revoked_at.map(from_column).transpose()?,
            id: row.id.parse().map_err(|error| StoreError::corrupt(&what, Box::new(error)))?,
            name: row.name,
            host_is_known: row.host_is_known,
        })
    }
}

/// A token that nobody else has.
fn draw() -> AccessToken {
    let mut bytes = [0; AccessToken::RANDOM_BYTES];
    getrandom::fill(&mut bytes).expect("the kernel has random numbers");
    AccessToken::of_random(&bytes)
}

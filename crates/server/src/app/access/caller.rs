use elivepatch_model::{AccessToken, BuildNumber, HostName, Role, TokenId, printable};
use elivepatch_store::{TokenKind, TokenRecord, TokenState};

use crate::app::{App, AppError, now};

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What he may ask for.
    pub role: Role,
    /// His token; absent on a server that wants none.
    pub token: Option<TokenId>,
    /// Whose the token is, for people; may be empty.
    pub name: String,
    /// The host, of the role host.
    pub host: Option<HostName>,
}

impl Caller {
    /// Whoever reaches a server that only its own machine reaches, and that wants no tokens.
    pub fn anybody_here() -> Self {
        let name = "anybody on this machine".to_owned();
        Self { role: Role::Admin, token: None, name, host: None }
    }

    /// A worker in the server's own process.
    pub fn worker_inside() -> Self {
        let name = "a worker of this server".to_owned();
        Self { role: Role::Worker, token: None, name, host: None }
    }

    fn of(token: TokenRecord) -> Self {
        Self { role: token.role, token: Some(token.id), name: token.name, host: token.host }
    }

    /// How the audit log and the log name him.
    pub fn actor(&self) -> String {
        match (&self.host, &self.token) {
            (Some(host), _) => format!("host {host}"),
            (None, Some(token)) if self.name.is_empty() => format!("token {token}"),
            (None, Some(token)) => format!("token {token} ({})", printable(&self.name)),
            (None, None) => self.name.clone(),
        }
    }
}

/// What somebody is told who has no token.
const HOW_TO_GET_ONE: &str = "on the server: elivepatch-server token create --role read (or submit, admin); then \
    give it to the client with --token-file FILE or ELIVEPATCH_TOKEN (as a header: authorization: Bearer TOKEN)";

impl AppError {
    /// A request without a token, where one is needed.
    pub(crate) fn without_token() -> Self {
        Self::Unauthorized {
            message: "this server wants a token with each request".to_owned(),
            hint: HOW_TO_GET_ONE.to_owned(),
        }
    }

    /// The same, of what only workers may ask for.
    pub(crate) fn without_worker_token() -> Self {
        Self::Unauthorized {
            message: "workers come with a token, also on the server's own machine".to_owned(),
            hint: "on the server: elivepatch-server token create --role worker; then on the machine that builds: \
                   elivepatch-server worker --token-file FILE"
                .to_owned(),
        }
    }

    /// An enrolment without a token.
    pub(crate) fn without_enrolment_token() -> Self {
        Self::Unauthorized {
            message: "a host is registered with a one-time token".to_owned(),
            hint: "on the server: elivepatch-server token create --role host; then on the host: \
                   elivepatch enrol --token-file FILE"
                .to_owned(),
        }
    }

    /// A token of which nobody is told more: id and secret belong to no token here. Whether there is one with that
    /// id is not said, either.
    pub(super) fn unknown_token() -> Self {
        Self::Unauthorized {
            message: "the token is not valid on this server".to_owned(),
            hint: "is it whole, and for this server? on the server: elivepatch-server token list; \
                   elivepatch-server token create"
                .to_owned(),
        }
    }

    /// A token that was one, or is one for something else. Only who has its secret is told.
    pub(super) fn spent_token(record: &TokenRecord, state: TokenState) -> Self {
        let id = &record.id;
        let (what, hint) = match (record.kind, state) {
            (TokenKind::Enrolment, TokenState::Valid) => (
                "registers a host, once, and does nothing else".to_owned(),
                "on the host: elivepatch enrol --url URL --token-file FILE",
            ),
            (_, TokenState::Revoked) => ("was revoked".to_owned(), HOW_TO_GET_ONE),
            (_, TokenState::Used) => (
                "was used: it registered a host".to_owned(),
                "on the server: elivepatch-server token create --role host; for a host that is registered already, with \
                 --host NAME",
            ),
            (_, TokenState::Forgotten) => {
                let host = record.host.as_ref().map_or("?", HostName::as_str);
                (
                    format!("is of the host {host}, which is not registered any more"),
                    "register it again: elivepatch-server token create --role host, then on the host: \
                     elivepatch enrol",
                )
            }
            (TokenKind::Credential, TokenState::Expired | TokenState::Valid) => {
                (ended(record), HOW_TO_GET_ONE)
            }
            (TokenKind::Enrolment, TokenState::Expired) => {
                (ended(record), "on the server: elivepatch-server token create --role host")
            }
        };
        Self::Unauthorized { message: format!("the token {id} {what}"), hint: hint.to_owned() }
    }
}

fn ended(record: &TokenRecord) -> String {
    match record.expires_at {
        Some(end) => format!("was good until {}", end.strftime("%Y-%m-%d %H:%M UTC")),
        None => "is not good any more".to_owned(),
    }
}

impl App {
    /// Who has a token.
    ///
    /// # Errors
    /// [`AppError::Unauthorized`] when it is none, was revoked, its time is over, or it is for something else.
    pub async fn caller(&self, token: &str) -> Result<Caller, AppError> {
        let token: AccessToken = token.parse().map_err(|_| AppError::unknown_token())?;
        let record = self.store().token(&token).await?.ok_or_else(AppError::unknown_token)?;
        let state = record.state(now());
        if record.kind != TokenKind::Credential || state != TokenState::Valid {
            return Err(AppError::spent_token(&record, state));
        }
        // The answer does not wait for it, nor depend on it.
        let (app, used) = (self.clone(), record.clone());
        tokio::spawn(async move {
            if let Err(error) = app.store().note_token_use(&used, now()).await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, token = %used.id, "cannot write down that a token is used");
            }
        });
        Ok(Caller::of(record))
    }

    /// Whether any token can be used by a person or a host.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn has_tokens(&self) -> Result<bool, AppError> {
        let now = now();
        let tokens = self.store().tokens().await?;
        let is_used = |token: &TokenRecord| {
            token.role != Role::Worker && token.state(now) == TokenState::Valid
        };
        Ok(tokens.iter().any(is_used))
    }

    /// Whether a host may have a build's livepatch: it is assigned to it, and was not withdrawn.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn may_fetch(&self, host: &HostName, build: BuildNumber) -> Result<bool, AppError> {
        Ok(self.store().is_assigned(host, build).await?)
    }
}

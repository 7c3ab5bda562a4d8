use elivepatch_api::{EnrolmentAnswer, EnrolmentRequest};
use elivepatch_model::AccessToken;
use elivepatch_store::StoreError;

use crate::app::{App, AppError, now, target_checks};

impl App {
    /// Registers a host with a one-time token, and gives it a token of its own.
    ///
    /// # Errors
    /// [`AppError::Unauthorized`] when the token does not enrol anything (any more); when it is for another host,
    /// the name is taken, or the facts cannot be such. Then it can still be used.
    pub async fn enrol(
        &self,
        token: &str,
        request: EnrolmentRequest,
    ) -> Result<EnrolmentAnswer, AppError> {
        let EnrolmentRequest { name, target } = request;
        let token: AccessToken = token.parse().map_err(|_| AppError::unknown_token())?;
        target_checks::facts(&target)?;
        let enrolled = match self.store().enrol(&token, &name, &target, now()).await {
            Err(StoreError::NotEnrolled) => return Err(self.why_not_enrolled(&token).await?),
            enrolled => enrolled?,
        };
        tracing::info!(
            host = %name,
            token = %enrolled.by,
            release = %target.release,
            again = enrolled.again,
            "host enrolled"
        );
        Ok(EnrolmentAnswer {
            name,
            tags: enrolled.tags,
            token: enrolled.token.reveal(),
            manifest_key: self.manifest_public_key(),
        })
    }

    async fn why_not_enrolled(&self, token: &AccessToken) -> Result<AppError, AppError> {
        let Some(record) = self.store().token(token).await? else {
            return Ok(AppError::unknown_token());
        };
        let state = record.state(now());
        if record.kind == elivepatch_store::TokenKind::Credential {
            return Ok(AppError::Unauthorized {
                message: format!("the token {} does not enrol hosts", record.id),
                hint: "on the server: elivepatch-server token create --role host".to_owned(),
            });
        }
        Ok(AppError::spent_token(&record, state))
    }
}

use elivepatch_model::HostName;
use http::{Method, header::AUTHORIZATION};

use super::{Client, ClientError, call::Call};
use crate::{EnrolmentAnswer, EnrolmentRequest, HostOrder, HostReport, paths};

impl Client {
    /// Registers a host with a one-time token.
    ///
    /// # Errors
    /// As for any call; when the token is none, was used or is too old, or the name is taken.
    pub async fn enrol(
        &self,
        token: &str,
        request: &EnrolmentRequest,
    ) -> Result<EnrolmentAnswer, ClientError> {
        let call = Call::post(paths::ENROLMENTS).json(request);
        self.send_for_json(call.header(AUTHORIZATION, format!("Bearer {token}"))).await
    }

    /// Tells how a host stands, and asks what it is to do.
    ///
    /// # Errors
    /// As for any call; when the host is not registered.
    pub async fn report(
        &self,
        host: &HostName,
        report: &HostReport,
    ) -> Result<HostOrder, ClientError> {
        let path = format!("{}/{host}/report", paths::HOSTS);
        self.send_for_json(Call::new(Method::PUT, path).json(report)).await
    }
}

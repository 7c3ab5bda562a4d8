use elivepatch_model::{BuildNumber, HostName, Tag, Whom};
use http::{Method, header::AUTHORIZATION};
use serde::Serialize;

use super::{Client, ClientError, call::Call};
use crate::{
    AssignmentAnswer, AssignmentList, AssignmentRequest, EnrolmentAnswer, EnrolmentRequest,
    ExposureQuery, ExposureResource, Hold, HoldList, HoldRequest, HostList, HostOrder, HostReport,
    HostResource, HostTags, ListHostsQuery, NewestFirstQuery, WithdrawalAnswer, WithdrawalList,
    WithdrawalRequest, paths,
};

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
        self.send_for_json(Call::new(Method::PUT, host_path(host, "/report")).json(report)).await
    }

    /// Lists a page of hosts, by their names.
    ///
    /// # Errors
    /// As for any call.
    pub async fn hosts(&self, query: &ListHostsQuery) -> Result<HostList, ClientError> {
        self.send_for_json(Call::get(with_query(paths::HOSTS, query))).await
    }

    /// Gets a host.
    ///
    /// # Errors
    /// As for any call; an unknown name is [`crate::ErrorCode::NotFound`].
    pub async fn host(&self, host: &HostName) -> Result<HostResource, ClientError> {
        self.send_for_json(Call::get(host_path(host, ""))).await
    }

    /// Forgets a host, with all that is known of it.
    ///
    /// # Errors
    /// As [`Client::host`].
    pub async fn forget_host(&self, host: &HostName) -> Result<(), ClientError> {
        self.send_for_nothing(Call::new(Method::DELETE, host_path(host, ""))).await
    }

    /// Gives a host these tags in the place of those that it had.
    ///
    /// # Errors
    /// As [`Client::host`].
    pub async fn tag_host(
        &self,
        host: &HostName,
        tags: &[Tag],
    ) -> Result<HostResource, ClientError> {
        let tags = HostTags { tags: tags.to_vec() };
        self.send_for_json(Call::new(Method::PUT, host_path(host, "/tags")).json(&tags)).await
    }

    /// Lists what is held.
    ///
    /// # Errors
    /// As for any call.
    pub async fn holds(&self) -> Result<HoldList, ClientError> {
        self.send_for_json(Call::get(paths::HOLDS)).await
    }

    /// Holds hosts: they stay as they are until they are released.
    ///
    /// # Errors
    /// As for any call; an unknown host is [`crate::ErrorCode::NotFound`].
    pub async fn hold(&self, whom: &Whom, reason: &str) -> Result<Hold, ClientError> {
        let request = HoldRequest { reason: reason.to_owned() };
        self.send_for_json(Call::new(Method::PUT, hold_path(whom)).json(&request)).await
    }

    /// Releases hosts that were held by exactly this.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::NotFound`] when they are not held.
    pub async fn release_hold(&self, whom: &Whom) -> Result<(), ClientError> {
        self.send_for_nothing(Call::new(Method::DELETE, hold_path(whom))).await
    }

    /// Lists a page of what is assigned, newest first.
    ///
    /// # Errors
    /// As for any call.
    pub async fn assignments(
        &self,
        query: &NewestFirstQuery,
    ) -> Result<AssignmentList, ClientError> {
        self.send_for_json(Call::get(with_query(paths::ASSIGNMENTS, query))).await
    }

    /// Assigns a livepatch to hosts.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::NotFound`] of an unknown build or host,
    /// [`crate::ErrorCode::Conflict`] of a build without a livepatch, or with one that was withdrawn.
    pub async fn assign(
        &self,
        request: &AssignmentRequest,
    ) -> Result<AssignmentAnswer, ClientError> {
        self.send_for_json(Call::post(paths::ASSIGNMENTS).json(request)).await
    }

    /// Takes an assignment away; what hosts have loaded by it stays loaded.
    ///
    /// # Errors
    /// As for any call; an unknown id is [`crate::ErrorCode::NotFound`].
    pub async fn unassign(&self, id: i64) -> Result<(), ClientError> {
        let path = format!("{}/{id}", paths::ASSIGNMENTS);
        self.send_for_nothing(Call::new(Method::DELETE, path)).await
    }

    /// Lists a page of withdrawn livepatches, those of the newest builds first.
    ///
    /// # Errors
    /// As for any call.
    pub async fn withdrawals(
        &self,
        query: &NewestFirstQuery,
    ) -> Result<WithdrawalList, ClientError> {
        self.send_for_json(Call::get(with_query(paths::WITHDRAWALS, query))).await
    }

    /// Withdraws a livepatch: hosts that run it take it back, and none loads it.
    ///
    /// # Errors
    /// As [`Client::assign`].
    pub async fn withdraw(
        &self,
        request: &WithdrawalRequest,
    ) -> Result<WithdrawalAnswer, ClientError> {
        self.send_for_json(Call::post(paths::WITHDRAWALS).json(request)).await
    }

    /// Lets hosts run a livepatch again that was withdrawn.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::NotFound`] when it was not withdrawn.
    pub async fn allow(&self, build: BuildNumber) -> Result<(), ClientError> {
        let path = format!("{}/{build}", paths::WITHDRAWALS);
        self.send_for_nothing(Call::new(Method::DELETE, path)).await
    }

    /// Asks which hosts are exposed to which CVEs.
    ///
    /// # Errors
    /// As for any call; [`crate::ErrorCode::NotFound`] of an unknown host or CVE.
    pub async fn exposure(&self, query: &ExposureQuery) -> Result<ExposureResource, ClientError> {
        self.send_for_json(Call::get(with_query(paths::EXPOSURE, query))).await
    }
}

fn host_path(host: &HostName, rest: &str) -> String {
    format!("{}/{host}{rest}", paths::HOSTS)
}

fn hold_path(whom: &Whom) -> String {
    match whom {
        Whom::Host(name) => host_path(name, "/hold"),
        Whom::Tag(tag) => format!("{}/tags/{tag}", paths::HOLDS),
        Whom::All => format!("{}/all", paths::HOLDS),
    }
}

fn with_query(path: &str, query: &impl Serialize) -> String {
    let query = serde_urlencoded::to_string(query).expect("queries are pairs of plain values");
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

//! Hosts by route: what they report and are told, what is assigned, held and withdrawn, and what is refused.

mod orders;
mod reports;

use axum::body::Body;
use elivepatch_api::{
    Assigned, AssignmentRequest, CompleteRequest, ErrorCode, HostChange, HostFault, HostHealth,
    HostLivepatch, HostReport, HostState, ListHostsQuery, NewestFirstQuery, Order,
    WithdrawalRequest, client::ClientError,
};
use elivepatch_model::{
    Architecture, BuildNumber, HostName, LoadedLivepatch, MachineFacts, Sha256Digest, Tag,
    TargetFacts, Whom,
};
use elivepatch_server::app::{Fleet, Store};
use http::Request;
use serde_json::json;

use crate::support::{RELEASE, Server, api_error, code, manifest};

/// The build-id of the kernel that the manifests of these tests are for.
const BUILD_ID: &str = "0123456789abcdef";

fn name(text: &str) -> HostName {
    text.parse().expect("a name")
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn target() -> TargetFacts {
    let release = RELEASE.parse().expect("a release");
    let build_id = Some(BUILD_ID.parse().expect("a build-id"));
    TargetFacts { build_id, ..TargetFacts::new(release, Architecture::X86_64) }
}

fn report() -> HostReport {
    HostReport {
        agent_version: "0.1.0".to_owned(),
        target: target(),
        boot_id: "2f0c5a60-1111-2222-3333-444444444444".to_owned(),
        uptime_seconds: 4711,
        state: HostState::NotPatched,
        livepatch: None,
        faults: vec![],
        locked_out: vec![],
    }
}

fn running(digest: Sha256Digest) -> HostReport {
    let livepatch = HostLivepatch {
        name: "elivepatch_x".to_owned(),
        digest,
        active: true,
        since: Some("2026-11-23T12:00:00Z".parse().expect("a time")),
        health: HostHealth::Proven,
    };
    HostReport { state: HostState::Patched, livepatch: Some(livepatch), ..report() }
}

struct Fleets {
    server: Server,
}

impl Fleets {
    /// A server with the hosts `web-1` (of the tag `web`) and `db-1`.
    async fn new() -> Self {
        let server = Server::new().await;
        for (host, tags) in [("web-1", vec![tag("web")]), ("db-1", vec![])] {
            server.app.register_host(name(host), tags, target()).await.expect("registered");
        }
        Self { server }
    }

    /// A build with a livepatch; its number and its module's digest.
    async fn livepatch(&self, fix: &str) -> (BuildNumber, Sha256Digest) {
        let module = format!("module of {fix}");
        let number = self.server.submit(fix).await.build.number;
        let (lease, worker) = self.server.claim().await;
        assert_eq!(lease.build.number, number);
        worker.upload_module(module.clone().into()).await.expect("uploaded");
        let manifest = manifest(lease.build.key, module.as_bytes());
        worker.complete(&CompleteRequest { manifest }).await.expect("completed");
        (number, Sha256Digest::of(module.as_bytes()))
    }

    async fn assign(&self, build: BuildNumber, whom: Whom) -> i64 {
        let request = AssignmentRequest { build, whom, note: String::new() };
        self.server.client.assign(&request).await.expect("assigned").assignment.id
    }

    async fn withdraw(&self, build: BuildNumber, reason: &str) -> u64 {
        let request = WithdrawalRequest { build, reason: reason.to_owned() };
        self.server.client.withdraw(&request).await.expect("withdrawn").hosts
    }

    async fn order(&self, host: &str, report: &HostReport) -> Order {
        let answer = self.server.client.report(&name(host), report).await.expect("reported");
        assert_eq!(answer.report_after_seconds, 900);
        // Who shows the host sees what it was told.
        let shown = self.server.client.host(&name(host)).await.expect("shown");
        assert_eq!(shown.order.as_ref(), Some(&answer.order));
        assert_eq!(shown.report.as_ref(), Some(report));
        answer.order
    }

    async fn put(&self, path: &str, body: String) -> elivepatch_api::ApiError {
        let request = Request::put(path)
            .header("content-type", "application/json")
            .body(Body::from(body))
            .expect("a request");
        api_error(self.server.send(request).await).await
    }

    /// Why a report is refused.
    async fn refused(&self, report: &HostReport) -> (ErrorCode, String) {
        match self.server.client.report(&name("web-1"), report).await {
            Err(ClientError::Api { error, .. }) => {
                assert!(!error.message.contains(|c: char| c.is_control()), "{error:?}");
                (error.code, error.message)
            }
            other => panic!("no API error: {other:?}"),
        }
    }
}

fn load(build: BuildNumber, digest: Sha256Digest, at_once: bool) -> Order {
    Order::Load(Assigned { build, digest, at_once })
}

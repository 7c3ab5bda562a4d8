//! Hosts by route: what they report and are told, what is assigned, held and withdrawn, and what is refused.

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

#[tokio::test]
async fn host_is_told_what_is_assigned_held_and_withdrawn_at_its_next_report() {
    let fleet = Fleets::new().await;
    let client = &fleet.server.client;
    assert_eq!(fleet.order("web-1", &report()).await, Order::Stay);
    let (one, first) = fleet.livepatch("one.patch").await;
    let (two, second) = fleet.livepatch("two.patch").await;
    fleet.assign(one, Whom::All).await;
    assert_eq!(fleet.order("web-1", &report()).await, load(one, first, false));
    let web = fleet.assign(two, Whom::Tag(tag("web"))).await;
    assert_eq!(fleet.order("web-1", &report()).await, load(two, second, false));
    assert_eq!(fleet.order("db-1", &report()).await, load(one, first, false));
    client.unassign(web).await.expect("gone");
    assert_eq!(fleet.order("web-1", &running(second)).await, load(one, first, false));
    // A held one stays.
    client.hold(&Whom::Tag(tag("web")), "a launch").await.expect("held");
    let hold = Order::Hold { reason: "a launch".to_owned() };
    assert_eq!(fleet.order("web-1", &running(second)).await, hold);
    assert_eq!(fleet.order("db-1", &running(first)).await, load(one, first, false));
    // Withdrawn goes from a held one, too, and nothing takes its place there.
    assert_eq!(fleet.withdraw(two, "it oopses").await, 1);
    let unload = Order::Unload { reason: "it oopses".to_owned() };
    assert_eq!(fleet.order("web-1", &running(second)).await, unload);
    client.release_hold(&Whom::Tag(tag("web"))).await.expect("released");
    assert_eq!(fleet.order("web-1", &running(second)).await, load(one, first, true));
    assert_eq!(fleet.withdraw(one, "").await, 1);
    assert_eq!(fleet.order("web-1", &running(second)).await, unload);
    assert_eq!(fleet.order("db-1", &report()).await, Order::Stay);
    client.allow(two).await.expect("allowed");
    assert_eq!(fleet.order("web-1", &running(second)).await, Order::Stay);
}

#[tokio::test]
async fn what_a_command_changes_beside_the_server_counts_at_the_next_report() {
    let fleet = Fleets::new().await;
    let (build, digest) = fleet.livepatch("one.patch").await;
    let beside = Store::open(&fleet.server.directory).await.expect("the store again");
    let beside = Fleet::new(beside, 900);
    let whom = Whom::Host(name("web-1"));
    let request = AssignmentRequest { build, whom: whom.clone(), note: String::new() };
    beside.assign(request).await.expect("assigned");
    assert_eq!(fleet.order("web-1", &report()).await, load(build, digest, false));
    beside.hold(whom.clone(), "for a look".to_owned()).await.expect("held");
    let hold = Order::Hold { reason: "for a look".to_owned() };
    assert_eq!(fleet.order("web-1", &report()).await, hold);
    beside.release(&whom).await.expect("released");
    let request = WithdrawalRequest { build, reason: String::new() };
    beside.withdraw(request).await.expect("withdrawn");
    let unload = Order::Unload { reason: String::new() };
    assert_eq!(fleet.order("web-1", &running(digest)).await, unload);
}

#[tokio::test]
async fn kernel_that_the_livepatch_is_not_for_is_passed_over() {
    let fleet = Fleets::new().await;
    let (build, digest) = fleet.livepatch("one.patch").await;
    fleet.assign(build, Whom::All).await;
    let mut other = report();
    other.target.build_id = Some("fedcba9876543210".parse().expect("a build-id"));
    assert_eq!(fleet.order("web-1", &other).await, Order::Stay);
    other.target.release = "6.1.0-51-cloud-amd64".parse().expect("a release");
    assert_eq!(fleet.order("web-1", &other).await, Order::Stay);
    assert_eq!(fleet.order("web-1", &report()).await, load(build, digest, false));
    let locked = HostReport { locked_out: vec![digest], ..report() };
    assert_eq!(fleet.order("web-1", &locked).await, Order::Stay);
}

#[tokio::test]
async fn events_of_a_host_tell_its_story() {
    let fleet = Fleets::new().await;
    let (_, digest) = fleet.livepatch("one.patch").await;
    fleet.order("web-1", &report()).await;
    fleet.order("web-1", &running(digest)).await;
    let fault = HostFault { what: "an oops".to_owned(), hint: "look".to_owned() };
    let trouble = HostReport {
        state: HostState::Trouble,
        faults: vec![fault],
        locked_out: vec![digest],
        ..report()
    };
    fleet.order("web-1", &trouble).await;
    let host = fleet.server.client.host(&name("web-1")).await.expect("shown");
    let changes: Vec<HostChange> = host.events.into_iter().map(|event| event.change).collect();
    let livepatch = "elivepatch_x".to_owned();
    assert_eq!(
        changes,
        [
            HostChange::Trouble { fault: "an oops".to_owned() },
            HostChange::LockedOut { digest },
            HostChange::TakenBack { name: livepatch.clone(), digest },
            HostChange::Loaded { name: livepatch, digest },
        ]
    );
    fleet.order("web-1", &running(digest)).await;
    let host = fleet.server.client.host(&name("web-1")).await.expect("shown");
    assert_eq!(host.livepatch_build, Some(BuildNumber(1)));
    assert_eq!(host.summary.state, Some(HostState::Patched));
    assert!(!host.summary.is_silent && host.summary.last_seen.is_some());
}

#[tokio::test]
async fn report_of_nobody_and_for_nobody_is_refused() {
    let fleet = Fleets::new().await;
    let client = &fleet.server.client;
    assert_eq!(code(client.report(&name("web-2"), &report()).await), ErrorCode::NotFound);
    let error = fleet.put("/api/v2/hosts/web-2/report", json!(report()).to_string()).await;
    assert_eq!(error.message, "no host is registered as web-2");
    assert!(error.hint.contains("elivepatch enrol"), "{}", error.hint);
    for path in
        ["/api/v2/hosts/-rf/report", "/api/v2/hosts/a%2Fb/report", "/api/v2/hosts/%1B/report"]
    {
        let error = fleet.put(path, json!(report()).to_string()).await;
        assert_eq!(error.code, ErrorCode::NotFound, "{path}");
    }
    client.forget_host(&name("web-1")).await.expect("forgotten");
    assert_eq!(code(client.report(&name("web-1"), &report()).await), ErrorCode::NotFound);
    assert_eq!(code(client.forget_host(&name("web-1")).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn hostile_reports_are_refused_by_what_is_wrong_and_change_nothing() {
    let fleet = Fleets::new().await;
    let with = |change: &dyn Fn(&mut HostReport)| {
        let mut report = running(Sha256Digest::of(b"x"));
        change(&mut report);
        report
    };
    let livepatch = |report: &mut HostReport, name: &str| {
        report.livepatch.as_mut().expect("it has one").name = name.to_owned();
    };
    let livepatches = |report: &mut HostReport, name: &str, count: usize| {
        let loaded = LoadedLivepatch { name: name.to_owned(), build_id: None, active: true };
        let livepatches = Some(vec![loaded; count]);
        report.target.machine = Some(MachineFacts { livepatches, ..MachineFacts::default() });
    };
    let digests = |count: u32| (0..count).map(|n| Sha256Digest::of(&n.to_ne_bytes())).collect();
    let cases: [(&str, HostReport); 11] = [
        ("agent_version", with(&|report| report.agent_version = "1\u{1b}[2J".to_owned())),
        ("agent_version", with(&|report| report.agent_version = "1".repeat(65))),
        ("boot_id", with(&|report| report.boot_id = String::new())),
        ("boot_id", with(&|report| report.boot_id = "ä".to_owned())),
        ("livepatch.name", with(&|report| livepatch(report, "a\nb"))),
        ("livepatch.name", with(&|report| livepatch(report, &"a".repeat(57)))),
        ("locked_out", with(&|report| report.locked_out = digests(257))),
        ("target.machine.livepatches", with(&|report| livepatches(report, "\u{7}", 1))),
        ("target.machine.livepatches", with(&|report| livepatches(report, "a", 257))),
        (
            "target.kernel_version",
            with(&|report| {
                report.target.kernel_version = Some("#1\u{202e}\u{1b}".to_owned());
            }),
        ),
        ("target.compiler", with(&|report| report.target.compiler = Some("x".repeat(257)))),
    ];
    for (part, report) in cases {
        let (code, message) = fleet.refused(&report).await;
        assert_eq!(code, ErrorCode::BadRequest, "{part}: {message}");
        assert!(message.starts_with(part), "{part}: {message}");
    }
    let path = "/api/v2/hosts/web-1/report";
    let mut unknown = json!(report());
    unknown["target"]["release"] = json!("6.1\u{1b}[2J");
    let error = fleet.put(path, unknown.to_string()).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    let error = fleet.put(path, "{".to_owned()).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    // A text that no limit holds does not even reach them.
    let huge = HostReport { boot_id: "a".repeat(600 * 1024), ..report() };
    let (code, message) = fleet.refused(&huge).await;
    assert_eq!(code, ErrorCode::TooLarge, "{message}");
    assert!(message.contains("524288"), "{message}");
    let host = fleet.server.client.host(&name("web-1")).await.expect("shown");
    assert_eq!((host.summary.last_seen, host.report), (None, None));
    assert!(host.events.is_empty());
}

#[tokio::test]
async fn what_is_said_for_people_is_cut_and_cannot_drive_a_terminal() {
    let fleet = Fleets::new().await;
    let fault = |what: String| HostFault { what, hint: "a\u{1b}]0;b\u{7}".to_owned() };
    let mut faults = vec![fault("x".repeat(5000))];
    faults.extend((0..100).map(|number| fault(format!("{number}\r\n"))));
    let report = HostReport { state: HostState::Trouble, faults, ..report() };
    fleet.server.client.report(&name("web-1"), &report).await.expect("its trouble is heard");
    let host = fleet.server.client.host(&name("web-1")).await.expect("shown");
    let faults = host.report.expect("a report").faults;
    assert_eq!(faults.len(), 16);
    assert_eq!(faults[0].what.chars().count(), 501);
    assert_eq!(faults[1].what, "0\u{fffd}\u{fffd}");
    assert_eq!(faults[1].hint, "a\u{fffd}]0;b\u{fffd}");
    assert_eq!(host.events.len(), 16);
    // A host whose records are damaged knows no name of its livepatch.
    let mut unnamed = running(Sha256Digest::of(b"x"));
    unnamed.livepatch.as_mut().expect("it has one").name = String::new();
    fleet.order("web-1", &unnamed).await;
    // A newer agent may say more.
    let mut newer = json!(report);
    newer["moon"] = json!("full");
    let request = Request::put("/api/v2/hosts/web-1/report")
        .header("content-type", "application/json")
        .body(Body::from(newer.to_string()))
        .expect("a request");
    assert_eq!(fleet.server.send(request).await.status(), 200);
}

#[tokio::test]
async fn what_cannot_be_assigned_is_refused_with_the_next_step() {
    let fleet = Fleets::new().await;
    let client = &fleet.server.client;
    let assign = async |build: i64, whom: Whom| {
        let request = AssignmentRequest { build: BuildNumber(build), whom, note: String::new() };
        match client.assign(&request).await {
            Err(ClientError::Api { error, .. }) => (error.code, error.message, error.hint),
            other => panic!("no API error: {other:?}"),
        }
    };
    let (code_of, message, _) = assign(7, Whom::All).await;
    assert_eq!((code_of, message.as_str()), (ErrorCode::NotFound, "there is no build 7"));
    let waits = fleet.server.submit("waits.patch").await.build.number;
    let (code_of, message, hint) = assign(waits.0, Whom::All).await;
    assert_eq!(code_of, ErrorCode::Conflict);
    assert_eq!(message, "build 1 is queued and has no livepatch");
    assert!(hint.contains("elivepatch show 1"), "{hint}");
    client.cancel(waits).await.expect("cancelled");
    let (code_of, _, hint) = assign(waits.0, Whom::All).await;
    assert_eq!(code_of, ErrorCode::Conflict);
    assert!(hint.contains("a build that succeeded"), "{hint}");
    let (build, digest) = fleet.livepatch("one.patch").await;
    let (code_of, message, _) = assign(build.0, Whom::Host(name("web-9"))).await;
    assert_eq!(code_of, ErrorCode::NotFound);
    assert_eq!(message, "no host is registered as web-9");
    fleet.withdraw(build, "it oopses").await;
    let (code_of, message, hint) = assign(build.0, Whom::All).await;
    assert_eq!(code_of, ErrorCode::Conflict);
    assert_eq!(message, "the livepatch of build 2 was withdrawn: it oopses");
    assert_eq!(hint, "elivepatch-server host allow 2 lets hosts run it again");
    client.allow(build).await.expect("allowed");
    let text = digest.to_string();
    let blob = fleet.server.directory.join("blobs").join(&text[..2]).join(&text);
    std::fs::remove_file(blob).expect("own file");
    let (code_of, message, hint) = assign(build.0, Whom::All).await;
    assert_eq!(code_of, ErrorCode::Conflict);
    assert!(message.contains("is not in the data directory any more"), "{message}");
    assert!(hint.contains("elivepatch rebuild"), "{hint}");
    let request = AssignmentRequest { build, whom: Whom::All, note: "a\nb".to_owned() };
    assert_eq!(code(client.assign(&request).await), ErrorCode::BadRequest);
    let list = client.assignments(&NewestFirstQuery::default()).await.expect("listed");
    assert_eq!(list.assignments, []);
}

#[tokio::test]
async fn assignments_say_whom_they_reach_and_are_listed_newest_first() {
    let fleet = Fleets::new().await;
    let client = &fleet.server.client;
    let (build, _) = fleet.livepatch("one.patch").await;
    let request = |whom| AssignmentRequest { build, whom, note: "for a look".to_owned() };
    let answer = client.assign(&request(Whom::Tag(tag("later")))).await.expect("assigned");
    assert_eq!((answer.hosts, answer.notes.len()), (0, 1));
    assert_eq!(answer.notes[0], "no host has the tag later yet; those that get it are told");
    assert_eq!(answer.assignment.note, "for a look");
    let answer = client.assign(&request(Whom::All)).await.expect("assigned");
    assert_eq!((answer.hosts, answer.notes), (2, vec![]));
    let first = client
        .assignments(&NewestFirstQuery { limit: Some(1), ..Default::default() })
        .await
        .expect("listed");
    assert_eq!(first.assignments[0].whom, Whom::All);
    let before = first.next;
    let rest = client.assignments(&NewestFirstQuery { before, limit: None }).await.expect("listed");
    assert_eq!((rest.assignments.len(), rest.next), (1, None));
    assert_eq!(code(client.unassign(4711).await), ErrorCode::NotFound);
    // A host that gets the tag is told, and one that loses it is not.
    assert_eq!(
        client.tag_host(&name("db-1"), &[tag("later")]).await.expect("tagged").summary.tags,
        [tag("later")]
    );
    client.unassign(answer.assignment.id).await.expect("gone");
    assert!(matches!(fleet.order("db-1", &report()).await, Order::Load(_)));
    client.tag_host(&name("db-1"), &[]).await.expect("tagged");
    assert_eq!(fleet.order("db-1", &report()).await, Order::Stay);
    let many: Vec<Tag> = (0..65).map(|number| tag(&format!("t{number}"))).collect();
    assert_eq!(code(client.tag_host(&name("db-1"), &many).await), ErrorCode::BadRequest);
    assert_eq!(code(client.tag_host(&name("db-9"), &[]).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn withdrawals_and_holds_are_listed_and_refused_where_there_are_none() {
    let fleet = Fleets::new().await;
    let client = &fleet.server.client;
    let (build, digest) = fleet.livepatch("one.patch").await;
    let refused = WithdrawalRequest { build: BuildNumber(9), reason: String::new() };
    assert_eq!(code(client.withdraw(&refused).await), ErrorCode::NotFound);
    let waits = fleet.server.submit("waits.patch").await.build.number;
    let refused = WithdrawalRequest { build: waits, reason: String::new() };
    assert_eq!(code(client.withdraw(&refused).await), ErrorCode::Conflict);
    let refused = WithdrawalRequest { build, reason: "x".repeat(501) };
    assert_eq!(code(client.withdraw(&refused).await), ErrorCode::BadRequest);
    assert_eq!(code(client.allow(build).await), ErrorCode::NotFound);
    assert_eq!(fleet.withdraw(build, "it oopses").await, 0);
    let list = client.withdrawals(&NewestFirstQuery::default()).await.expect("listed");
    assert_eq!((list.withdrawals[0].digest, list.next), (digest, None));

    assert_eq!(code(client.release_hold(&Whom::All).await), ErrorCode::NotFound);
    let unknown = Whom::Host(name("web-9"));
    assert_eq!(code(client.hold(&unknown, "").await), ErrorCode::NotFound);
    assert_eq!(code(client.release_hold(&unknown).await), ErrorCode::NotFound);
    assert_eq!(code(client.hold(&Whom::All, "a\u{1b}").await), ErrorCode::BadRequest);
    for whom in [Whom::Host(name("web-1")), Whom::Tag(tag("site:vienna")), Whom::All] {
        let hold = client.hold(&whom, "friday").await.expect("held");
        assert_eq!((&hold.whom, hold.reason.as_str()), (&whom, "friday"));
    }
    let holds = client.holds().await.expect("listed");
    assert_eq!((holds.holds.len(), holds.is_cut), (3, false));
    assert_eq!(holds.holds[0].whom, Whom::All);
    let shown = client.host(&name("web-1")).await.expect("shown");
    assert_eq!(shown.holds.len(), 2, "its own, and that of all");
}

#[tokio::test]
async fn hosts_are_listed_by_pages_and_filters() {
    let fleet = Fleets::new().await;
    let client = &fleet.server.client;
    fleet.order("web-1", &running(Sha256Digest::of(b"x"))).await;
    let names = async |query: ListHostsQuery| {
        let list = client.hosts(&query).await.expect("listed");
        list.hosts.iter().map(|host| host.name.to_string()).collect::<Vec<_>>().join(" ")
    };
    let all = ListHostsQuery::default;
    assert_eq!(names(all()).await, "db-1 web-1");
    assert_eq!(names(ListHostsQuery { tag: Some(tag("web")), ..all() }).await, "web-1");
    assert_eq!(names(ListHostsQuery { state: Some(HostState::Patched), ..all() }).await, "web-1");
    let release = Some("6.1.1+other".parse().expect("a release"));
    assert_eq!(names(ListHostsQuery { release, ..all() }).await, "");
    assert_eq!(
        names(ListHostsQuery { silent: Some(1), ..all() }).await,
        "",
        "all were just heard of"
    );
    let first = client.hosts(&ListHostsQuery { limit: Some(1), ..all() }).await.expect("listed");
    assert_eq!(first.next, Some(name("db-1")));
    assert_eq!(names(ListHostsQuery { after: first.next, ..all() }).await, "web-1");
    for query in [
        ListHostsQuery { limit: Some(0), ..all() },
        ListHostsQuery { limit: Some(1001), ..all() },
        ListHostsQuery { silent: Some(0), ..all() },
    ] {
        assert_eq!(code(client.hosts(&query).await), ErrorCode::BadRequest);
    }
    for query in ["tag=-", "state=well", "release=../x", "moon=full"] {
        let answer = fleet.server.get(&format!("/api/v2/hosts?{query}")).await;
        assert_eq!(api_error(answer).await.code, ErrorCode::BadRequest, "{query}");
    }
}

#[tokio::test]
async fn name_of_a_registered_host_is_taken() {
    let fleet = Fleets::new().await;
    let again = fleet.server.app.register_host(name("web-1"), vec![], target()).await;
    let error = again.expect_err("it is taken");
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert_eq!(error.to_string(), "a host is registered as web-1 already");
    assert!(error.hint().ends_with("token create --role host --host web-1"), "{}", error.hint());
    let many = (0..65).map(|number| tag(&format!("t{number}"))).collect();
    let refused = fleet.server.app.register_host(name("web-2"), many, target()).await;
    assert_eq!(refused.expect_err("too many tags").code(), ErrorCode::BadRequest);
    let mut odd = target();
    odd.linker = Some("a\u{1b}".to_owned());
    let refused = fleet.server.app.register_host(name("web-2"), vec![], odd).await;
    assert_eq!(refused.expect_err("no facts").code(), ErrorCode::BadRequest);
}

#[tokio::test]
async fn exposure_without_a_feed_says_what_is_missing() {
    let fleet = Fleets::new().await;
    let error = api_error(fleet.server.get("/api/v2/exposure").await).await;
    assert_eq!(error.code, ErrorCode::BadRequest);
    assert!(error.hint.contains("elivepatch-server feed update"), "{}", error.hint);
}

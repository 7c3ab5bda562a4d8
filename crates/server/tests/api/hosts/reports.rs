//! What reports are refused, and how hosts are listed.

use super::*;

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

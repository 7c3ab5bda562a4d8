//! What hosts are told to run, and what cannot be said of it.

use super::*;

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

//! Hosts: registering, reporting, and what decides what they are to do.

use std::time::Duration;

use elivepatch_model::{
    Architecture, BuildNumber, BuildState, HostName, LoadedLivepatch, MachineFacts, Role,
    Sha256Digest, Tag, TargetFacts, Whom,
};
use elivepatch_store::{
    AssignmentRecord, HOST_EVENTS, HoldRecord, HostFilter, NewAssignment, NewHost, NewToken,
    OrderGrounds, ReportedHost, Store, StoreError, TokenKind,
};
use jiff::Timestamp;

use crate::support::{Fixture, RELEASE, after, failure, manifest, now, proof};

fn name(text: &str) -> HostName {
    text.parse().expect("a name")
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

fn target(release: &str) -> TargetFacts {
    TargetFacts::new(release.parse().expect("a release"), Architecture::X86_64)
}

async fn register(store: &Store, host: &str, tags: &[&str]) {
    let tags = tags.iter().map(|text| tag(text)).collect();
    let host = NewHost { name: name(host), tags, target: target(RELEASE) };
    store.register_host(&host, now()).await.expect("registered");
}

/// A report with a body, which becomes an event when it differs from the one before.
async fn report(
    store: &Store,
    host: &str,
    livepatch: Option<Sha256Digest>,
    body: &str,
    time: Timestamp,
) -> Result<OrderGrounds, StoreError> {
    report_of(store, host, &target(RELEASE), livepatch, body, time).await
}

async fn report_of(
    store: &Store,
    host: &str,
    kernel: &TargetFacts,
    livepatch: Option<Sha256Digest>,
    body: &str,
    time: Timestamp,
) -> Result<OrderGrounds, StoreError> {
    let told = ReportedHost {
        name: &name(host),
        kernel,
        state: "patched",
        uptime_seconds: u64::MAX,
        livepatch,
        body,
    };
    store
        .record_report(&told, time, |before| {
            vec![format!("{} -> {body}", before.unwrap_or("none"))]
        })
        .await
}

/// A build that made a livepatch for a kernel, whose module has these bytes.
async fn livepatch(fixture: &Fixture, build: &str, module: &[u8]) -> (BuildNumber, Sha256Digest) {
    let number = fixture.queue(build).await;
    let claimed = fixture.claim().await;
    let module = fixture.keep(module).await;
    let proof = proof(&claimed);
    fixture.store.set_module(&proof, module, now()).await.expect("set");
    let manifest = manifest(claimed.build.key, module);
    fixture.store.complete(&proof, &manifest, now()).await.expect("completed");
    (number, module.digest)
}

async fn assign(store: &Store, build: BuildNumber, whom: Whom) -> Result<i64, StoreError> {
    let new = NewAssignment { build, whom, note: "a note".to_owned() };
    store.assign(&new, now()).await.map(|made| made.id)
}

#[tokio::test]
async fn registered_host_comes_back_and_its_name_is_taken() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    register(store, "web-2", &["web", "alpha", "web"]).await;
    register(store, "web-1", &[]).await;
    let again = NewHost { name: name("web-1"), tags: vec![], target: target("6.12.1-other") };
    let taken = store.register_host(&again, now()).await;
    assert!(matches!(taken, Err(StoreError::HostTaken(host)) if host == name("web-1")));
    let reopened = fixture.open_again().await;
    let host = reopened.host(&name("web-2")).await.expect("read");
    assert_eq!(host.tags, [tag("alpha"), tag("web")]);
    assert_eq!((host.registered_at, host.last_seen), (now(), None));
    assert_eq!(host.release.as_str(), RELEASE);
    assert!(store.has_host(&name("web-1")).await.expect("read"));
    assert!(!store.has_host(&name("web-3")).await.expect("read"));
    let as_db = |mut had: Vec<Tag>| {
        had.sort();
        assert_eq!(had, [tag("alpha"), tag("web")]);
        Ok::<_, StoreError>(vec![tag("db")])
    };
    store.tag_host(&name("web-2"), as_db).await.expect("tagged");
    assert_eq!(store.host(&name("web-2")).await.expect("read").tags, [tag("db")]);
    let refused = |_| Err::<Vec<Tag>, _>(StoreError::QueueFull(7));
    store.tag_host(&name("web-2"), refused).await.expect_err("as it was told");
    assert_eq!(store.host(&name("web-2")).await.expect("read").tags, [tag("db")]);
    let unknown = store.tag_host(&name("web-3"), Ok::<_, StoreError>).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchHost(_))));
}

#[tokio::test]
async fn forgotten_host_leaves_nothing_behind() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    register(store, "web-1", &["web"]).await;
    let (build, _) = livepatch(&fixture, "a", b"module").await;
    let whom = Whom::Host(name("web-1"));
    assign(store, build, whom.clone()).await.expect("assigned");
    let hold = HoldRecord { whom, reason: String::new(), made_at: now() };
    store.hold(&hold).await.expect("held");
    report(store, "web-1", None, "one", now()).await.expect("reported");
    store.forget_host(&name("web-1"), now()).await.expect("forgotten");
    let gone = store.forget_host(&name("web-1"), now()).await;
    assert!(matches!(gone, Err(StoreError::NoSuchHost(_))));
    assert!(matches!(store.host(&name("web-1")).await, Err(StoreError::NoSuchHost(_))));
    // Another one of the same name begins anew.
    register(store, "web-1", &[]).await;
    assert_eq!(store.host_report(&name("web-1")).await.expect("read"), None);
    assert_eq!(store.host_events(&name("web-1")).await.expect("read"), []);
    assert_eq!(store.order_grounds(&name("web-1")).await.expect("read"), OrderGrounds::default());
    assert_eq!(store.host_kernels().await.expect("read").len(), 1);
    let unknown = report(store, "web-2", None, "one", now()).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchHost(_))));
}

#[tokio::test]
async fn equal_report_moves_the_time_and_changes_nothing_else() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    register(store, "web-1", &[]).await;
    let digest = Sha256Digest::of(b"module");
    let later = after(Duration::from_secs(900));
    report(store, "web-1", Some(digest), "one", now()).await.expect("reported");
    report(store, "web-1", Some(digest), "one", later).await.expect("reported");
    let host = store.host(&name("web-1")).await.expect("read");
    assert_eq!((host.last_seen, host.livepatch), (Some(later), Some(digest)));
    assert_eq!(host.state.as_deref(), Some("patched"));
    // What no column can hold is as much as one can.
    assert_eq!(host.uptime_seconds, Some(i64::MAX as u64));
    let events = store.host_events(&name("web-1")).await.expect("read");
    let bodies: Vec<_> = events.iter().map(|event| event.body.as_str()).collect();
    assert_eq!(bodies, ["none -> one"]);
    report(store, "web-1", None, "two", later).await.expect("reported");
    let events = store.host_events(&name("web-1")).await.expect("read");
    assert_eq!((events[0].body.as_str(), events[0].at), ("one -> two", later));
    assert_eq!(store.host_report(&name("web-1")).await.expect("read").as_deref(), Some("two"));
}

#[tokio::test]
async fn events_of_a_host_have_an_end_and_push_out_no_others() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    register(store, "web-1", &[]).await;
    register(store, "web-2", &[]).await;
    report(store, "web-2", None, "the other's", now()).await.expect("reported");
    for number in 0..=HOST_EVENTS {
        report(store, "web-1", None, &number.to_string(), now()).await.expect("reported");
    }
    let events = store.host_events(&name("web-1")).await.expect("read");
    assert_eq!(events.len(), HOST_EVENTS as usize);
    assert_eq!(events[0].body, format!("{} -> {}", HOST_EVENTS - 1, HOST_EVENTS));
    assert_eq!(events.last().map(|event| event.body.as_str()), Some("0 -> 1"));
    assert_eq!(store.host_events(&name("web-2")).await.expect("read").len(), 1);
}

#[tokio::test]
async fn hosts_are_listed_by_name_with_every_filter_and_page() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for (host, tags) in [("c", &["web", "db"][..]), ("a", &["web"]), ("b", &[]), ("d", &["db"])] {
        register(store, host, tags).await;
    }
    let other = target("6.12.1-other");
    report_of(store, "b", &other, None, "b", after(Duration::from_secs(60))).await.expect("told");
    report(store, "c", None, "c", after(Duration::from_secs(120))).await.expect("told");
    let list = async |filter: HostFilter, limit| {
        let found = store.hosts(&filter, limit).await.expect("listed");
        found.iter().map(|host| host.name.to_string()).collect::<Vec<_>>().concat()
    };
    let all = HostFilter::default;
    assert_eq!(list(all(), 9).await, "abcd");
    assert_eq!(list(all(), 2).await, "ab");
    assert_eq!(list(HostFilter { after: Some(name("b")), ..all() }, 9).await, "cd");
    assert_eq!(list(HostFilter { tag: Some(tag("web")), ..all() }, 9).await, "ac");
    assert_eq!(list(HostFilter { state: Some("patched".to_owned()), ..all() }, 9).await, "bc");
    let release = Some("6.12.1-other".parse().expect("a release"));
    assert_eq!(list(HostFilter { release, ..all() }, 9).await, "b");
    let silent = |time| HostFilter { silent_since: Some(time), ..all() };
    assert_eq!(
        list(silent(now()), 9).await,
        "",
        "those that were registered now are not silent yet"
    );
    assert_eq!(list(silent(after(Duration::from_secs(1))), 9).await, "ad");
    assert_eq!(list(silent(after(Duration::from_secs(90))), 9).await, "abd");
    let filter = HostFilter { tag: Some(tag("db")), ..silent(after(Duration::from_secs(90))) };
    assert_eq!(list(filter, 9).await, "d");
}

#[tokio::test]
async fn kernels_are_counted_and_those_of_no_host_go() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for host in ["a", "b", "c"] {
        register(store, host, &[]).await;
    }
    let active = LoadedLivepatch { name: "elivepatch_x".to_owned(), build_id: None, active: true };
    let machine = MachineFacts {
        livepatches: Some(vec![active.clone(), LoadedLivepatch { active: false, ..active }]),
        loaded_modules: Some(vec!["ext4".to_owned()]),
        ..MachineFacts::default()
    };
    let told = TargetFacts { machine: Some(machine), ..target(RELEASE) }.as_assessed();
    let machine = told.machine.as_ref().expect("facts");
    assert_eq!(machine.loaded_modules, None);
    assert_eq!(machine.livepatches.as_ref().map(Vec::len), Some(1));
    report_of(store, "b", &told, None, "b", now()).await.expect("reported");
    report_of(store, "c", &told, None, "c", now()).await.expect("reported");
    let kernels = store.host_kernels().await.expect("read");
    let counts: Vec<_> = kernels.iter().map(|kernel| (kernel.hosts, &kernel.facts)).collect();
    assert_eq!(counts, [(2, &told), (1, &target(RELEASE))]);
    let pairs = store.kernels_by_host(Some(&name("a")), 1).await.expect("read");
    assert_eq!(pairs, [(name("b"), kernels[0].digest)]);
    report_of(store, "a", &told, None, "a", now()).await.expect("reported");
    let kernels = store.host_kernels().await.expect("read");
    assert_eq!(kernels.len(), 1, "the kernel that nobody has any more is gone");
    assert_eq!(store.host_kernel(kernels[0].digest).await.expect("read").hosts, 3);
}

#[tokio::test]
async fn what_is_assigned_to_a_host_comes_before_its_tags_and_those_before_all() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    register(store, "web-1", &["web", "vienna"]).await;
    register(store, "db-1", &["db"]).await;
    let (one, digest) = livepatch(&fixture, "one", b"one").await;
    let (two, _) = livepatch(&fixture, "two", b"two").await;
    let own = assign(store, one, Whom::Host(name("web-1"))).await.expect("assigned");
    let web = assign(store, one, Whom::Tag(tag("web"))).await.expect("assigned");
    assign(store, one, Whom::Tag(tag("db"))).await.expect("assigned");
    let all = assign(store, one, Whom::All).await.expect("assigned");
    let vienna = assign(store, two, Whom::Tag(tag("vienna"))).await.expect("assigned");
    let all_two = assign(store, two, Whom::All).await.expect("assigned");
    let found = report(store, "web-1", Some(digest), "one", now()).await.expect("reported");
    let ids: Vec<i64> = found.assignments.iter().map(|assignment| assignment.id).collect();
    assert_eq!(ids, [own, vienna, web, all_two, all]);
    assert_eq!(found.assignments[0].build_id, Some("0123456789abcdef".parse().expect("an id")));
    assert_eq!(found.assignments[0].note, "a note");
    assert_eq!(store.order_grounds(&name("web-1")).await.expect("read"), found);
    // A kernel of another release has nothing of it.
    let other = target("6.12.1-other");
    let found = report_of(store, "web-1", &other, None, "two", now()).await.expect("reported");
    assert_eq!(found.assignments, []);
    // Made again it is the newest, and there once.
    let again = assign(store, one, Whom::All).await.expect("assigned");
    let found = report(store, "web-1", None, "three", now()).await.expect("reported");
    let last: Vec<i64> = found.assignments[3..].iter().map(|assignment| assignment.id).collect();
    assert_eq!(last, [again, all_two]);
    let listed = store.assignments(None, 2).await.expect("listed");
    assert_eq!(listed.iter().map(|one| one.id).collect::<Vec<_>>(), [again, all_two]);
    let older = store.assignments(Some(all_two), 9).await.expect("listed");
    assert_eq!(older.len(), 4);
    store.unassign(again).await.expect("gone");
    let gone = store.unassign(again).await;
    assert!(matches!(gone, Err(StoreError::NoSuchAssignment(id)) if id == again));
    let made = store.assignments(None, 1).await.expect("listed").remove(0);
    let reach = async |whom: Whom, release: &str| {
        let release = release.parse().expect("a release");
        let made = AssignmentRecord { whom, release, ..made.clone() };
        store.reach(&made).await.expect("counted")
    };
    assert_eq!(reach(Whom::All, RELEASE).await, (2, 2));
    assert_eq!(reach(Whom::All, "6.12.1-other").await, (2, 0));
    assert_eq!(reach(Whom::Tag(tag("web")), RELEASE).await, (1, 1));
    assert_eq!(reach(Whom::Tag(tag("none")), RELEASE).await, (0, 0));
    assert_eq!(reach(Whom::Host(name("db-1")), RELEASE).await, (1, 1));
    let mut kernel = target(RELEASE);
    kernel.build_id = Some("fedcba9876543210".parse().expect("a build-id"));
    report_of(store, "db-1", &kernel, None, "one", now()).await.expect("reported");
    assert_eq!(reach(Whom::All, RELEASE).await, (2, 1), "one has another build-id");
    assert_eq!(store.build_that_made(digest).await.expect("read"), Some(one));
}

#[tokio::test]
async fn what_cannot_be_assigned_is_refused() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let none = BuildNumber(99);
    assert!(matches!(assign(store, none, Whom::All).await, Err(StoreError::NoSuchBuild(_))));
    let waits = fixture.queue("waits").await;
    let refused = assign(store, waits, Whom::All).await;
    let queued = BuildState::Queued;
    assert!(matches!(refused, Err(StoreError::NoLivepatch { state, .. }) if state == queued));
    let claimed = fixture.claim().await;
    let class = elivepatch_model::FailureClass::CompileFailed;
    store.fail(&proof(&claimed), &failure(class), now()).await.expect("failed");
    let refused = assign(store, waits, Whom::All).await;
    let failed = BuildState::Failed;
    assert!(matches!(refused, Err(StoreError::NoLivepatch { state, .. }) if state == failed));
    let mut probe = fixture.new_build("probe").await;
    probe.options.probe = true;
    let probe = store.submit(&probe, 100, now()).await.expect("queued").build.number;
    assert!(matches!(assign(store, probe, Whom::All).await, Err(StoreError::OnlyProbe(_))));
    let refused = store.withdraw(probe, "", now()).await;
    assert!(matches!(refused, Err(StoreError::OnlyProbe(_))));
    let refused = store.withdraw(waits, "", now()).await;
    assert!(matches!(refused, Err(StoreError::NoLivepatch { .. })));
    store.cancel(probe, now()).await.expect("cancelled");
    let (build, _) = livepatch(&fixture, "good", b"module").await;
    let unknown = assign(store, build, Whom::Host(name("web-1"))).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchHost(_))));
    assign(store, build, Whom::Tag(tag("later"))).await.expect("a tag may come later");
    store.withdraw(build, "it oopses", now()).await.expect("withdrawn");
    let refused = assign(store, build, Whom::All).await.expect_err("it was withdrawn").to_string();
    assert_eq!(refused, format!("the livepatch of build {build} was withdrawn: it oopses"));
}

#[tokio::test]
async fn withdrawal_reaches_who_runs_the_module_whichever_build_made_it() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    register(store, "web-1", &[]).await;
    let (one, digest) = livepatch(&fixture, "one", b"the same").await;
    let (two, same) = livepatch(&fixture, "two", b"the same").await;
    assert_eq!(digest, same);
    assign(store, two, Whom::All).await.expect("assigned");
    let found = report(store, "web-1", Some(digest), "one", now()).await.expect("reported");
    assert_eq!((found.withdrawal, found.assignments[0].is_withdrawn), (None, false));
    let (record, hosts) = store.withdraw(one, "first", now()).await.expect("withdrawn");
    assert_eq!((record.module, hosts), (digest, 1));
    let (record, _) = store.withdraw(one, "it oopses", now()).await.expect("withdrawn again");
    let found = report(store, "web-1", Some(digest), "one", now()).await.expect("reported");
    assert_eq!(found.withdrawal, Some(record.clone()));
    assert!(found.assignments[0].is_withdrawn);
    let refused = assign(store, two, Whom::All).await;
    assert!(matches!(refused, Err(StoreError::Withdrawn { withdrawn, .. }) if withdrawn == one));
    assert_eq!(store.withdrawals(None, 9).await.expect("listed"), [record]);
    assert_eq!(store.withdrawals(Some(one), 9).await.expect("listed"), []);
    assert!(matches!(store.allow(two).await, Err(StoreError::NotWithdrawn(_))));
    store.allow(one).await.expect("allowed");
    let found = report(store, "web-1", Some(digest), "one", now()).await.expect("reported");
    assert_eq!((found.withdrawal, found.assignments[0].is_withdrawn), (None, false));
}

#[tokio::test]
async fn holds_reach_hosts_by_name_tag_and_all_and_are_released_one_by_one() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    register(store, "web-1", &["web"]).await;
    let hold =
        |whom: Whom, reason: &str| HoldRecord { whom, reason: reason.to_owned(), made_at: now() };
    let unknown = store.hold(&hold(Whom::Host(name("web-2")), "")).await;
    assert!(matches!(unknown, Err(StoreError::NoSuchHost(_))));
    let own = Whom::Host(name("web-1"));
    for (whom, reason) in [
        (Whom::All, "friday"),
        (Whom::Tag(tag("web")), "a launch"),
        (Whom::Tag(tag("db")), "not for it"),
        (own.clone(), "first"),
        (own.clone(), "being debugged"),
    ] {
        store.hold(&hold(whom, reason)).await.expect("held");
    }
    let reasons = async || {
        let grounds = store.order_grounds(&name("web-1")).await.expect("read");
        grounds.holds.into_iter().map(|hold| hold.reason).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(reasons().await, "being debugged, a launch, friday");
    let listed = store.holds(9).await.expect("listed");
    let listed: Vec<_> = listed.iter().map(|hold| hold.reason.as_str()).collect();
    assert_eq!(listed, ["friday", "not for it", "a launch", "being debugged"]);
    store.release_hold(&own).await.expect("released");
    assert_eq!(reasons().await, "a launch, friday");
    let again = store.release_hold(&own).await.expect_err("nothing holds it").to_string();
    assert_eq!(again, "nothing holds the host web-1");
    store.release_hold(&Whom::All).await.expect("released");
    store.release_hold(&Whom::Tag(tag("web"))).await.expect("released");
    assert_eq!(reasons().await, "");
}

#[tokio::test]
async fn forgotten_host_comes_in_no_more() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let new = NewToken {
        kind: TokenKind::Enrolment,
        role: Role::Host,
        name: String::new(),
        host: None,
        tags: vec![],
        expires_at: None,
    };
    let enrolment = store.create_token(&new, "somebody", now()).await.expect("made");
    let host = name("web-1");
    let enrolled = store.enrol(&enrolment, &host, &target(RELEASE), now()).await.expect("enrolled");
    let is_revoked = async || {
        let record = store.token(&enrolled.token).await.expect("read").expect("it is kept");
        record.revoked_at.is_some()
    };
    assert!(!is_revoked().await);
    store.forget_host(&host, now()).await.expect("forgotten");
    assert!(is_revoked().await, "another one of this name may come");
}

use std::time::Duration;

use elivepatch_model::{AccessToken, Architecture, HostName, Role, TargetFacts, TokenId};
use elivepatch_store::{
    AuditAction, AuditFilter, AuditRecord, NewAudit, NewToken, Store, StoreError, TokenKind,
    TokenRecord, TokenState,
};
use jiff::Timestamp;
use serde_json::json;

use crate::support::{Fixture, RELEASE, after, now};

const HOUR: Duration = Duration::from_secs(3600);

fn credential(role: Role) -> NewToken {
    NewToken {
        kind: TokenKind::Credential,
        role,
        name: "ci".to_owned(),
        host: None,
        tags: vec![],
        expires_at: None,
    }
}

fn enrolment(host: Option<&str>) -> NewToken {
    NewToken {
        kind: TokenKind::Enrolment,
        role: Role::Host,
        host: host.map(name),
        tags: vec!["web".parse().expect("a tag"), "site:vienna".parse().expect("a tag")],
        expires_at: Some(after(24 * HOUR)),
        ..credential(Role::Host)
    }
}

fn name(text: &str) -> HostName {
    text.parse().expect("a name")
}

fn target() -> TargetFacts {
    TargetFacts::new(RELEASE.parse().expect("a release"), Architecture::X86_64)
}

async fn make(store: &Store, new: &NewToken) -> AccessToken {
    store.create_token(new, "root on the server", now()).await.expect("made")
}

async fn record(store: &Store, token: &AccessToken) -> TokenRecord {
    store.token(token).await.expect("read").expect("it is there")
}

async fn log(store: &Store) -> Vec<AuditRecord> {
    store.audit_log(AuditFilter::default(), 1000).await.expect("read")
}

#[tokio::test]
async fn token_is_found_by_its_secret_only_and_the_secret_is_not_stored() {
    let fixture = Fixture::new().await;
    let token = make(&fixture.store, &credential(Role::Submit)).await;
    let other = make(&fixture.store, &credential(Role::Read)).await;
    let found = record(&fixture.open_again().await, &token).await;
    assert_eq!((&found.id, found.role, found.name.as_str()), (token.id(), Role::Submit, "ci"));
    assert_eq!(found.state(now()), TokenState::Valid);
    // The id of the one with the secret of the other.
    let text = other.reveal();
    let mixed = format!("elp_{}_{}", token.id(), &text[text.len() - 64..]);
    let mixed: AccessToken = mixed.parse().expect("it has the form");
    assert_eq!(fixture.store.token(&mixed).await.expect("read"), None);
    fixture.store.close().await;
    for entry in std::fs::read_dir(&fixture.directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = if path.is_file() { std::fs::read(&path).expect("own file") } else { vec![] };
        let secret = &text.as_bytes()[text.len() - 64..];
        let is_in = bytes.windows(secret.len()).any(|window| window == secret);
        assert!(!is_in, "the secret is in {path:?}");
    }
}

#[tokio::test]
async fn token_ends_with_its_time_and_when_it_is_revoked() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let new = NewToken { expires_at: Some(after(HOUR)), ..credential(Role::Read) };
    let token = make(store, &new).await;
    let found = record(store, &token).await;
    assert_eq!(found.state(after(HOUR - Duration::from_micros(1))), TokenState::Valid);
    assert_eq!(found.state(after(HOUR)), TokenState::Expired);
    assert!(store.revoke_token(token.id(), "ada", now()).await.expect("revoked"));
    assert!(!store.revoke_token(token.id(), "ada", now()).await.expect("it was before"));
    assert_eq!(record(store, &token).await.state(now()), TokenState::Revoked);
    let unknown: TokenId = "000000000000".parse().expect("an id");
    let error = store.revoke_token(&unknown, "ada", now()).await.expect_err("there is none");
    assert!(matches!(error, StoreError::NoSuchToken(_)), "{error:?}");
    let actions: Vec<String> = log(store).await.into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["token-revoked", "token-created"], "what changed nothing is not written");
}

#[tokio::test]
async fn use_of_a_credential_is_noted_to_the_hour() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let token = make(store, &credential(Role::Read)).await;
    let mut noted: Vec<Timestamp> = Vec::new();
    for minutes in [0, 59, 60, 61, 130] {
        let at = after(Duration::from_secs(minutes * 60));
        store.note_token_use(&record(store, &token).await, at).await.expect("noted");
        noted.push(record(store, &token).await.used_at.expect("it was used"));
    }
    let at = |minutes: u64| after(Duration::from_secs(minutes * 60));
    assert_eq!(noted, [at(0), at(0), at(60), at(60), at(130)]);
}

#[tokio::test]
async fn enrolment_token_registers_one_host_with_its_tags_and_gives_it_a_credential() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let token = make(store, &enrolment(None)).await;
    let host = name("web-17");
    let enrolled = store.enrol(&token, &host, &target(), now()).await.expect("enrolled");
    assert_eq!(
        enrolled.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(),
        ["site:vienna", "web"]
    );
    assert!(!enrolled.again);
    assert!(store.has_host(&host).await.expect("read"));
    let own = record(store, &enrolled.token).await;
    assert_eq!((own.kind, own.role), (TokenKind::Credential, Role::Host));
    assert_eq!((own.host.as_ref(), own.state(now())), (Some(&host), TokenState::Valid));
    assert_eq!(record(store, &token).await.state(now()), TokenState::Used);
    let error = store.enrol(&token, &name("web-18"), &target(), now()).await;
    assert!(matches!(error, Err(StoreError::NotEnrolled)), "{error:?}");
    assert!(!store.has_host(&name("web-18")).await.expect("read"));
    let entries = log(store).await;
    let entries: Vec<_> =
        entries.iter().map(|e| (e.actor.as_str(), e.action.as_str(), &e.subject)).collect();
    assert_eq!(entries[0], ("host web-17", "host-enrolled", &"host web-17".to_owned()));
    assert_eq!(entries[1], ("host web-17", "token-used", &format!("token {}", token.id())));
}

#[tokio::test]
async fn of_two_that_come_with_one_enrolment_token_one_is_registered() {
    let fixture = Fixture::new().await;
    let token = make(&fixture.store, &enrolment(None)).await;
    // Two processes, as a server and another would be, and several tasks of each.
    let stores = [fixture.store.clone(), fixture.open_again().await];
    let tries = (0..8).map(|index| {
        let (store, token) = (stores[index % 2].clone(), token.clone());
        tokio::spawn(async move {
            store.enrol(&token, &name(&format!("h{index}")), &target(), now()).await
        })
    });
    let tries: Vec<_> = tries.collect();
    let mut won = 0;
    for (index, attempt) in tries.into_iter().enumerate() {
        let is_there = match attempt.await.expect("no panic") {
            Ok(_) => {
                won += 1;
                true
            }
            Err(StoreError::NotEnrolled) => false,
            Err(other) => panic!("{other:?}"),
        };
        let host = name(&format!("h{index}"));
        assert_eq!(fixture.store.has_host(&host).await.expect("read"), is_there);
    }
    assert_eq!(won, 1);
}

#[tokio::test]
async fn token_that_is_refused_registers_nothing_and_one_that_was_not_used_can_be_used_later() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let host = name("web-17");
    let bound = make(store, &enrolment(Some("db-1"))).await;
    let error = store.enrol(&bound, &host, &target(), now()).await;
    assert!(matches!(error, Err(StoreError::OtherHost { .. })), "{error:?}");
    let late = make(store, &enrolment(None)).await;
    let too_late = after(24 * HOUR);
    let revoked = make(store, &enrolment(None)).await;
    store.revoke_token(revoked.id(), "ada", now()).await.expect("revoked");
    let admin = make(store, &credential(Role::Admin)).await;
    for (token, at) in [(&late, too_late), (&revoked, now()), (&admin, now())] {
        let error = store.enrol(token, &host, &target(), at).await;
        assert!(matches!(error, Err(StoreError::NotEnrolled)), "{error:?}");
    }
    assert!(!store.has_host(&host).await.expect("read"));
    let first = make(store, &enrolment(None)).await;
    store.enrol(&first, &host, &target(), now()).await.expect("enrolled");
    let taken = store.enrol(&late, &host, &target(), now()).await;
    assert!(matches!(taken, Err(StoreError::HostTaken(_))), "{taken:?}");
    store.enrol(&late, &name("web-18"), &target(), now()).await.expect("it was not used up");
    store.enrol(&bound, &name("db-1"), &target(), now()).await.expect("it was not used up");
}

#[tokio::test]
async fn machine_that_was_set_up_anew_takes_its_place_and_the_old_credential_is_worth_nothing() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    let host = name("web-17");
    let first = make(store, &enrolment(None)).await;
    let old = store.enrol(&first, &host, &target(), now()).await.expect("enrolled").token;
    let again = NewToken { tags: vec![], ..enrolment(Some("web-17")) };
    let again = make(store, &again).await;
    let enrolled = store.enrol(&again, &host, &target(), now()).await.expect("enrolled");
    assert!(enrolled.again);
    assert_eq!(enrolled.tags.len(), 2, "it keeps its tags");
    assert_eq!(record(store, &old).await.state(now()), TokenState::Revoked);
    assert_eq!(record(store, &enrolled.token).await.state(now()), TokenState::Valid);
    // A host that is forgotten, and another one of its name.
    store.forget_host(&host, now()).await.expect("forgotten");
    assert_eq!(record(store, &enrolled.token).await.state(now()), TokenState::Forgotten);
    let third = make(store, &enrolment(None)).await;
    let newest = store.enrol(&third, &host, &target(), now()).await.expect("enrolled");
    assert!(!newest.again);
    assert_eq!(record(store, &enrolled.token).await.state(now()), TokenState::Revoked);
}

#[tokio::test]
async fn audit_log_is_paged_and_nobody_changes_it() {
    let fixture = Fixture::new().await;
    let store = &fixture.store;
    for hour in 0..5 {
        let entry = NewAudit {
            at: after(hour * HOUR),
            actor: "host web-17",
            action: AuditAction::BuildOrdered,
            subject: &format!("build {hour}"),
            detail: json!({ "joined": true }),
        };
        store.audit(&entry).await.expect("written");
        store.audit_once(&entry).await.expect("it is there");
    }
    let subjects = |entries: Vec<AuditRecord>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.subject).collect()
    };
    let page = store.audit_log(AuditFilter::default(), 2).await.expect("read");
    assert_eq!(page[0].detail, json!({ "joined": true }));
    let before = Some(page[1].number);
    assert_eq!(subjects(page), ["build 4", "build 3"]);
    let filter = AuditFilter { before, since: Some(after(HOUR)) };
    let page = store.audit_log(filter, 10).await.expect("read");
    assert_eq!(subjects(page), ["build 2", "build 1"]);
    store.close().await;
    let path = fixture.directory.join("elivepatch.sqlite3");
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{path}")).await.expect("opened");
    for statement in ["DELETE FROM audit", "UPDATE audit SET actor = 'nobody'"] {
        let error = sqlx::query(statement).execute(&pool).await.expect_err("refused");
        assert!(error.to_string().contains("the audit log is not"), "{error}");
    }
}

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use elivepatch_api::{
    BuildRequest, ErrorCode,
    client::{ClientError, NamedPatch},
};
use elivepatch_model::{
    AdaptationKind, BehaviourCheck, BuildOptions, BuildState, Engine, Failure, FailureClass,
    Sha256Digest, limits,
};
use http::{Request, StatusCode};

use crate::support::{CONFIG, FormPart, PATCH, Server, api_error, build_request, form, text};

#[tokio::test]
async fn build_is_queued_with_what_was_sent() {
    let server = Server::new().await;
    let submission = server.submit("../dir/fix.patch").await;
    let build = submission.build;
    assert!(!submission.joined);
    assert_eq!((build.number.0, build.state, build.attempts), (1, BuildState::Queued, 0));
    assert_eq!(build.config, Sha256Digest::of(CONFIG.as_bytes()));
    assert_eq!(build.fixes[0].name, "fix.patch");
    assert_eq!(build.fixes[0].digest, Sha256Digest::of(PATCH.as_bytes()));
    assert_eq!(server.client.build(build.number).await.expect("there"), build);
    assert_eq!(server.stored_files(), 2);
}

#[tokio::test]
async fn new_build_is_201_and_an_equal_one_200_whatever_the_comments_of_its_config() {
    let server = Server::new().await;
    let request = serde_json::to_vec(&build_request()).expect("JSON");
    let send = async |config: &str| {
        let parts: [FormPart<'_>; 3] = [
            ("request", None, &request),
            ("config", None, config.as_bytes()),
            ("patch", Some("a.patch"), PATCH.as_bytes()),
        ];
        server.send(form(&parts)).await
    };
    assert_eq!(send(CONFIG).await.status(), StatusCode::CREATED);
    let again = send(&format!("{CONFIG}# a comment\n")).await;
    assert_eq!(again.status(), StatusCode::OK);
    let again: serde_json::Value = serde_json::from_str(&text(again).await).expect("JSON");
    assert_eq!((&again["joined"], &again["build"]["number"]), (&true.into(), &1.into()));
    assert_eq!(server.stored_files(), 2, "what is joined stores nothing");
}

#[tokio::test]
async fn switches_make_another_build_and_reach_the_worker() {
    let server = Server::new().await;
    let patch = NamedPatch { name: "a.patch".to_owned(), content: PATCH.into() };
    let submit = async |options: &BuildOptions| {
        let request = BuildRequest { options: options.clone(), ..build_request() };
        let patches = std::slice::from_ref(&patch);
        server.client.submit(&request, CONFIG.as_bytes(), patches).await.expect("submitted")
    };
    let plain = BuildOptions::default();
    let without = BuildOptions { without: [AdaptationKind::LineNumbers].into(), ..plain.clone() };
    let forced = BuildOptions { engine: Some(Engine::Kpatch), ..without.clone() };
    let all = [&plain, &without, &forced];
    for (number, options) in (1..).zip(all) {
        let submission = submit(options).await;
        assert_eq!((submission.joined, submission.build.number.0), (false, number));
        assert_eq!(submission.build.options, *options);
        assert!(submit(options).await.joined);
    }
    for options in all {
        let (lease, _) = server.claim().await;
        assert_eq!(lease.build.options, *options);
    }
}

#[tokio::test]
async fn unknown_or_contrary_switches_are_malformed_and_a_request_without_switches_is_not() {
    let server = Server::new().await;
    let both = format!(r#","options":{{"stack":true,"replaces":"{}"}}"#, Sha256Digest::of(b"x"));
    for (options, status) in [
        ("", StatusCode::CREATED),
        (r#","options":{"stack":true}"#, StatusCode::CREATED),
        (&both, StatusCode::BAD_REQUEST),
        (r#","options":{"without":["all"]}"#, StatusCode::BAD_REQUEST),
        (r#","options":{"engine":"gcc"}"#, StatusCode::BAD_REQUEST),
        (r#","options":{"witout":[]}"#, StatusCode::BAD_REQUEST),
    ] {
        let request = format!(
            r#"{{"target":{{"release":"6.1.0-50-cloud-amd64","architecture":"x86_64"}}{options}}}"#
        );
        let parts: [FormPart<'_>; 3] = [
            ("request", None, request.as_bytes()),
            ("config", None, CONFIG.as_bytes()),
            ("patch", Some("a.patch"), PATCH.as_bytes()),
        ];
        assert_eq!(server.send(form(&parts)).await.status(), status, "{options}");
    }
}

#[tokio::test]
async fn request_that_can_never_succeed_is_refused_at_once_with_its_class_and_stores_nothing() {
    let server = Server::new().await;
    let patch = |path: &str| PATCH.replace("fs/proc/meminfo.c", path);
    let large = "x".repeat(limits::PATCH_BYTES as usize + 1);
    let large_config = "#\n".repeat(limits::CONFIG_BYTES as usize);
    let arm = CONFIG.replace("CONFIG_X86_64=y", "CONFIG_ARM64=y");
    let lto = format!("{CONFIG}CONFIG_LTO_CLANG=y\n");
    let cfi = format!("{CONFIG}CONFIG_CFI_CLANG=y\n");
    let only_klp_build = CONFIG.replace("DEBUG_INFO", "KLP_BUILD");
    let other_series = CONFIG.replace("6.1.176", "6.12.5");
    let cases: Vec<(&str, &str, FailureClass, &str)> = vec![
        (CONFIG, "", FailureClass::PatchEmpty, "fix.patch: "),
        (CONFIG, &large, FailureClass::PatchTooLarge, "1048576 bytes"),
        (CONFIG, "no diff at all\n", FailureClass::PatchUnreadable, "fix.patch: "),
        ("\u{0}\u{1}", PATCH, FailureClass::ConfigUnreadable, "line 1"),
        (&large_config, PATCH, FailureClass::ConfigUnreadable, "2097152 bytes"),
        (&arm, PATCH, FailureClass::ArchitectureUnsupported, "arm64"),
        (&lto, PATCH, FailureClass::ConfigUnsupported, "CONFIG_LTO_CLANG is on"),
        (&cfi, PATCH, FailureClass::ConfigUnsupported, "CONFIG_CFI_CLANG is on"),
        (&only_klp_build, PATCH, FailureClass::ConfigUnsupported, "CONFIG_DEBUG_INFO is off"),
        (&other_series, PATCH, FailureClass::ConfigMismatch, "6.12.5"),
    ];
    for (config, patch, class, part) in cases {
        let failure = refused(&server, config, patch).await;
        assert_eq!(failure.class, class, "{failure:?}");
        assert!(failure.message.contains(part), "{failure:?}");
    }
    let places = [
        ("../../etc/passwd", FailureClass::PatchPathOutsideTree),
        ("/etc/passwd", FailureClass::PatchPathOutsideTree),
        ("arch/x86/entry/entry_64.S", FailureClass::PatchAssembly),
        ("fs/proc/Makefile", FailureClass::PatchBuildSystem),
        ("Documentation/mm/memory.rst", FailureClass::PatchNoCode),
        ("lib/string.c", FailureClass::PatchUnpatchableCode),
    ];
    for (path, class) in places {
        let failure = refused(&server, CONFIG, &patch(path)).await;
        assert_eq!(failure.class, class, "{path}: {failure:?}");
    }
    assert_eq!(server.stored_files(), 0);
}

async fn refused(server: &Server, config: &str, patch: &str) -> Failure {
    let began = Instant::now();
    let error = server.try_submit(config, &[("fix.patch", patch)]).await.expect_err("refused");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    match error {
        ClientError::Api { error, .. } => {
            assert_eq!(error.code, ErrorCode::RequestRefused, "{error:?}");
            error.failure.expect("a failure")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn form_with_parts_missing_or_out_of_order_is_refused_with_what_should_come() {
    let server = Server::new().await;
    let json = serde_json::to_vec(&build_request()).expect("JSON");
    let request = ("request", None, &json[..]);
    let config = ("config", None, CONFIG.as_bytes());
    let patch = ("patch", Some("a.patch"), PATCH.as_bytes());
    let cases: [(Vec<FormPart<'_>>, &str); 6] = [
        (vec![], "missing"),
        (vec![request, config], "missing"),
        (vec![config, request, patch], "\"config\" came where \"request\" should"),
        (vec![request, config, patch, config], "\"config\" came where \"patch\" should"),
        (vec![("request", None, b"{\"target\": 1}"), config, patch], "not a build request"),
        (vec![("request", None, b"{\"targets\": {}}"), config, patch], "targets"),
    ];
    for (parts, part) in cases {
        let error = api_error(server.send(form(&parts)).await).await;
        assert_eq!(error.code, ErrorCode::BadRequest);
        assert!(error.message.contains(part), "{error:?}");
    }
    let huge = "x".repeat(limits::REQUEST_BYTES as usize + 1);
    let error = api_error(server.send(form(&[("request", None, huge.as_bytes())])).await).await;
    assert_eq!(error.code, ErrorCode::TooLarge);
    let many = [vec![request, config], vec![patch; limits::PATCHES + 1]].concat();
    let error = api_error(server.send(form(&many)).await).await;
    assert!(error.message.contains("more than 64 patches"), "{error:?}");
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn checks_out_of_range_are_refused_by_their_position() {
    let server = Server::new().await;
    let good = BehaviourCheck {
        command: "grep Vmalloc /proc/meminfo".to_owned(),
        before: "VmallocChunk".to_owned(),
        after: "VMALLOCCHUNK".to_owned(),
    };
    let empty = BehaviourCheck { command: " ".to_owned(), ..good.clone() };
    let long =
        BehaviourCheck { after: "x".repeat(limits::BEHAVIOUR_CHECK_BYTES + 1), ..good.clone() };
    let cases = [
        (vec![good.clone(), empty], "command of check 2 is empty"),
        (vec![long], "after of check 1 has more than 4096 bytes"),
        (vec![good; limits::BEHAVIOUR_CHECKS + 1], "more than 16 checks"),
    ];
    for (checks, part) in cases {
        let mut request = build_request();
        request.checks = checks;
        let json = serde_json::to_vec(&request).expect("JSON");
        let error = api_error(server.send(form(&[("request", None, &json)])).await).await;
        assert!(error.message.contains(part), "{error:?}");
    }
}

#[tokio::test]
async fn full_queue_is_429() {
    let server = Server::with_queue_limit(1).await;
    server.submit("a.patch").await;
    let other = PATCH.replace("TWO", "Two");
    let error = server.try_submit(CONFIG, &[("b.patch", &other)]).await.expect_err("full");
    assert!(matches!(&error, ClientError::Api { status: 429, .. }), "{error:?}");
    assert_eq!(server.stored_files(), 2);
}

#[tokio::test]
async fn headers_of_a_part_are_bounded() {
    let server = Server::new().await;
    let line = format!("--B\r\nContent-Disposition: form-data; x=\"{}", "x".repeat(1 << 20));
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    // 60 MB, if somebody takes it.
    let pieces = futures::stream::iter((0..60).map(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from(line.clone()))
    }));
    let request = Request::post("/api/v2/builds")
        .header("content-type", "multipart/form-data; boundary=B")
        .body(Body::from_stream(pieces))
        .expect("a request");
    let error = api_error(server.send(request).await).await;
    assert_eq!(error.code, ErrorCode::TooLarge, "{error:?}");
    assert!(error.message.contains("the header of a part is larger than 65536"), "{error:?}");
    assert!(sent.load(Ordering::Relaxed) < 3, "{sent:?} MB were taken");
}

#[tokio::test]
async fn submission_waits_its_turn_and_gets_it_when_another_breaks_off() {
    let server = Server::new().await;
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(server.app.begin_submission().await);
    }
    let soon = Duration::from_millis(100);
    let waits = tokio::time::timeout(soon, server.submit("a.patch")).await;
    assert!(waits.is_err(), "a ninth is received");
    others.pop();
    let turn = tokio::time::timeout(Duration::from_secs(5), server.submit("a.patch")).await;
    assert!(!turn.expect("its turn").joined);
}

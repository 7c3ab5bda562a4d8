//! What a request says of the running kernel beside release and config: facts, symbols, and the
//! patches that are compiled in.

use std::io::Write;

use elivepatch_api::{
    BuildRequest, BuildSubmission, ErrorCode, RebuildRequest,
    client::{ClientError, NamedPatch, RequestTexts},
};
use elivepatch_model::{
    Architecture, BuildOptions, Failure, FailureClass, Kallsyms, Lockdown, MachineFacts,
    Sha256Digest, SourceRecord, TargetFacts, limits,
};
use flate2::{Compression, write::GzEncoder};
use http::StatusCode;

use crate::support::{
    self, BUILT_RELEASE, CONFIG, FormPart, PATCH, RELEASE, Server, api_error, build_request, form,
};

const SYMBOLS: &str = "ffffffff9ae00000 T _text\nffffffff9ae00040 t start\n\
    ffffffffc0901000 T ext4_one\t[ext4]\n";

const BASELINE: &str =
    "--- a/Makefile\n+++ b/Makefile\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn patch(name: &str, text: &str) -> NamedPatch {
    NamedPatch { name: name.to_owned(), content: text.to_owned().into() }
}

fn request_for(release: &str) -> BuildRequest {
    let target = TargetFacts::new(release.parse().expect("a release"), Architecture::X86_64);
    BuildRequest { target, ..build_request() }
}

async fn submit(
    server: &Server,
    release: &str,
    kallsyms: Option<&str>,
    baseline: &[NamedPatch],
) -> Result<BuildSubmission, ClientError> {
    let kallsyms = kallsyms.map(|text| gzip(text.as_bytes()));
    let patches = [patch("fix.patch", PATCH)];
    let texts = RequestTexts {
        config: Some(CONFIG.as_bytes()),
        kallsyms: kallsyms.as_deref(),
        baseline,
        patches: &patches,
    };
    server.client.submit_texts(&request_for(release), &texts).await
}

fn failure<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Failure {
    match result {
        Err(ClientError::Api { error, .. }) => *Box::new(error.failure.expect("a failure")),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn symbols_of_a_kernel_that_is_built_here_are_kept_without_addresses_and_reach_the_worker() {
    let server = Server::new().await;
    let build = submit(&server, BUILT_RELEASE, Some(SYMBOLS), &[]).await.expect("queued").build;
    let normal = Kallsyms::read(SYMBOLS.as_bytes(), |_| true).expect("symbols");
    assert_eq!(build.kallsyms, Some(Sha256Digest::of(normal.text().as_bytes())));
    let (lease, client) = server.claim().await;
    let digest = lease.build.kallsyms.expect("symbols");
    let text = client.blob(digest, limits::KALLSYMS_BYTES).await.expect("the symbols");
    assert_eq!(&text[..], b"0 T _text\n40 t start\n0 T ext4_one\t[ext4]\n");
    assert_eq!(server.stored_files(), 3, "config, patch and symbols");
}

#[tokio::test]
async fn another_boot_joins_and_a_machine_with_other_symbols_does_not() {
    let server = Server::new().await;
    let send = async |symbols: Option<&str>| {
        let sent = submit(&server, BUILT_RELEASE, symbols, &[]).await.expect("queued");
        (sent.build.number.0, sent.joined)
    };
    assert_eq!(send(Some(SYMBOLS)).await, (1, false));
    let rebooted = SYMBOLS.replace("ffffffff9", "ffffffff8").replace("c0901", "c0a77");
    assert_eq!(send(Some(&rebooted)).await, (1, true));
    let other = SYMBOLS.replace("0040 t", "0050 t");
    assert_eq!(send(Some(&other)).await, (2, false));
    assert_eq!(send(None).await, (3, false));
}

#[tokio::test]
async fn symbols_of_a_kernel_whose_vmlinux_is_at_hand_decide_nothing_and_are_not_kept() {
    let server = Server::new().await;
    let send = async |build_id: Option<&str>, symbols: Option<&str>| {
        let mut request = build_request();
        request.target.build_id = build_id.map(|text| text.parse().expect("a build-id"));
        let kallsyms = symbols.map(|text| gzip(text.as_bytes()));
        let patches = [patch("fix.patch", PATCH)];
        let texts = RequestTexts {
            config: Some(CONFIG.as_bytes()),
            kallsyms: kallsyms.as_deref(),
            baseline: &[],
            patches: &patches,
        };
        server.client.submit_texts(&request, &texts).await.expect("submitted")
    };
    let known = Some("0123456789abcdef");
    let first = send(known, Some(SYMBOLS)).await;
    assert_eq!(first.build.kallsyms, None);
    assert_eq!(server.stored_files(), 2);
    let other = SYMBOLS.replace("ext4", "xfs");
    for symbols in [Some(other.as_str()), None] {
        assert!(send(known, symbols).await.joined);
    }
    // Without a build-id nothing else tells which kernel runs.
    let unknown = send(None, Some(SYMBOLS)).await;
    assert!(!unknown.joined && unknown.build.kallsyms.is_some());
}

#[tokio::test]
async fn symbols_that_cannot_be_read_are_refused_and_a_bomb_is_not_unpacked() {
    let server = Server::new().await;
    let bomb = vec![b'0'; 40 << 20];
    let whole = gzip(SYMBOLS.as_bytes());
    let cases: [(&[u8], &str); 5] = [
        (&gzip(&bomb), "more than 25165824 bytes"),
        (&whole[..whole.len() - 9], "cannot be unpacked"),
        (SYMBOLS.as_bytes(), "cannot be unpacked"),
        (&gzip(b"0 T _text\nno symbol\n"), "line 2"),
        (&vec![0; limits::KALLSYMS_PACKED_BYTES as usize + 1], "8388608 bytes"),
    ];
    for (kallsyms, part) in cases {
        let patches = [patch("fix.patch", PATCH)];
        let (config, kallsyms) = (Some(CONFIG.as_bytes()), Some(kallsyms));
        let texts = RequestTexts { config, kallsyms, patches: &patches, baseline: &[] };
        let failure = failure(server.client.submit_texts(&build_request(), &texts).await);
        assert_eq!(failure.class, FailureClass::KallsymsUnreadable, "{failure}");
        assert!(failure.message.contains(part), "{failure}");
    }
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn baseline_patches_may_touch_anything_make_another_build_and_reach_the_worker_in_order() {
    let server = Server::new().await;
    let kconfig = BASELINE.replace("Makefile", "init/Kconfig");
    let two = [patch("20-b.patch", BASELINE), patch("/etc/10-a.patch", &kconfig)];
    let build = submit(&server, RELEASE, None, &two).await.expect("queued").build;
    let names: Vec<&str> = build.baseline.iter().map(|patch| patch.name.as_str()).collect();
    assert_eq!(names, ["20-b.patch", "10-a.patch"], "the order is that of the request");
    assert!(submit(&server, RELEASE, None, &two).await.expect("joined").joined);
    let turned = [two[1].clone(), two[0].clone()];
    assert!(!submit(&server, RELEASE, None, &turned).await.expect("queued").joined);
    assert!(!submit(&server, RELEASE, None, &[]).await.expect("queued").joined);
    let (lease, client) = server.claim().await;
    assert_eq!(lease.build.baseline, build.baseline);
    for (record, sent) in lease.build.baseline.iter().zip(&two) {
        let text = client.blob(record.digest, 9999).await.expect("the patch");
        assert_eq!(text, sent.content);
    }
}

#[tokio::test]
async fn baseline_patches_that_cannot_be_applied_safely_are_refused_by_their_names() {
    let server = Server::new().await;
    let large = "x".repeat(limits::BASELINE_PATCH_BYTES as usize + 1);
    let outside = BASELINE.replace("b/Makefile", "b/../../etc/passwd");
    for (text, class) in [
        ("no diff\n", FailureClass::PatchUnreadable),
        ("", FailureClass::PatchEmpty),
        (large.as_str(), FailureClass::PatchTooLarge),
        (outside.as_str(), FailureClass::PatchPathOutsideTree),
        ("diff --git a/x b/x\nGIT binary patch\nliteral 0\n", FailureClass::PatchBinary),
    ] {
        let baseline = [patch("ok.patch", BASELINE), patch("bad.patch", text)];
        let failure = failure(submit(&server, RELEASE, None, &baseline).await);
        assert_eq!(failure.class, class, "{failure}");
        assert!(failure.message.contains("bad.patch"), "{failure}");
    }
    let filler = format!("{BASELINE}{}", "# text\n".repeat(200_000));
    let many: Vec<NamedPatch> =
        (0..30).map(|number| patch(&format!("{number}.patch"), &filler)).collect();
    match submit(&server, RELEASE, None, &many).await {
        Err(ClientError::Api { error, .. }) => {
            assert_eq!(error.code, ErrorCode::TooLarge);
            assert!(error.message.contains("together"), "{error:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn parts_about_the_kernel_come_between_config_and_patches() {
    let server = Server::new().await;
    let json = serde_json::to_vec(&build_request()).expect("JSON");
    let (symbols, baseline) = (gzip(SYMBOLS.as_bytes()), BASELINE.as_bytes());
    let request = ("request", None, &json[..]);
    let config = ("config", None, CONFIG.as_bytes());
    let kallsyms = ("kallsyms", None, &symbols[..]);
    let baseline = ("baseline", Some("b.patch"), baseline);
    let patch = ("patch", Some("a.patch"), PATCH.as_bytes());
    let cases: [(Vec<FormPart<'_>>, &str); 5] = [
        (vec![request, kallsyms], "\"kallsyms\" came where \"config\" should"),
        (vec![request, baseline], "\"baseline\" came where \"config\" should"),
        (vec![request, config, patch, baseline], "\"baseline\" came where \"patch\" should"),
        (vec![request, config, kallsyms, kallsyms], "\"kallsyms\" came where \"patch\" should"),
        (
            [vec![request, config], vec![baseline; limits::BASELINE_PATCHES + 1]].concat(),
            "more than 256 baseline patches",
        ),
    ];
    for (parts, part) in cases {
        let error = api_error(server.send(form(&parts)).await).await;
        assert_eq!(error.code, ErrorCode::BadRequest);
        assert!(error.message.contains(part), "{error:?}");
    }
    let parts = [request, config, kallsyms, baseline, baseline, patch, patch];
    assert_eq!(server.send(form(&parts)).await.status(), StatusCode::CREATED);
}

#[tokio::test]
async fn what_is_told_of_the_machine_is_recorded_and_decides_nothing() {
    let server = Server::new().await;
    let mut request = build_request();
    let submit = async |request: &BuildRequest| {
        let patches = [patch("fix.patch", PATCH)];
        server.client.submit(request, CONFIG.as_bytes(), &patches).await.expect("submitted")
    };
    request.target.machine = Some(MachineFacts {
        loaded_modules: Some(vec!["ext4".to_owned()]),
        lockdown: Some(Lockdown::Integrity),
        ..MachineFacts::default()
    });
    let first = submit(&request).await;
    assert_eq!(first.build.target, request.target);
    request.target.machine = None;
    assert!(submit(&request).await.joined, "an older client");
}

#[tokio::test]
async fn facts_of_a_newer_client_are_ignored_and_identity_that_is_misspelt_is_not() {
    let server = Server::new().await;
    for (target, status) in [
        (r#","machine":{"microcode":7,"lockdown":"none"}"#, StatusCode::CREATED),
        (r#","buildid":"00""#, StatusCode::BAD_REQUEST),
        (r#","machine":{"lockdown":"total"}"#, StatusCode::BAD_REQUEST),
        (r#","machine":{"loaded_modules":["a b"]}"#, StatusCode::BAD_REQUEST),
        (r#","machine":{"distribution":{"id":"a\u001b"}}"#, StatusCode::BAD_REQUEST),
        (r#","compiler":"two\nlines""#, StatusCode::BAD_REQUEST),
    ] {
        let request =
            format!(r#"{{"target":{{"release":"{RELEASE}","architecture":"x86_64"{target}}}}}"#);
        let parts: [FormPart<'_>; 3] = [
            ("request", None, request.as_bytes()),
            ("config", None, CONFIG.as_bytes()),
            ("patch", Some("a.patch"), PATCH.as_bytes()),
        ];
        assert_eq!(server.send(form(&parts)).await.status(), status, "{target}");
    }
}

#[tokio::test]
async fn config_of_another_compiler_than_the_running_kernels_is_refused_with_both() {
    let server = Server::new().await;
    let text = "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0";
    let config = format!("{CONFIG}CONFIG_CC_VERSION_TEXT=\"{text}\"\n");
    let patches = [patch("fix.patch", PATCH)];
    let submit = async |compiler: &str| {
        let mut request = build_request();
        request.target.compiler = Some(compiler.to_owned());
        server.client.submit(&request, config.as_bytes(), &patches).await
    };
    let almost = "gcc-12 (Debian 12.2.0-14) 12.2.0";
    let failure = failure(submit(almost).await);
    assert_eq!(failure.class, FailureClass::CompilerMismatch);
    assert!(failure.message.contains(text) && failure.message.contains(almost), "{failure}");
    assert!(!submit(text).await.expect("queued").joined);
    let old = "gcc version 8.3.0 (Debian 8.3.0-6)";
    assert!(submit(old).await.expect("not comparable").joined, "it is no part of the key");
}

#[tokio::test]
async fn livepatch_without_proof_is_a_matter_of_policy() {
    let options = BuildOptions { accept_unproven: true, ..BuildOptions::default() };
    let request = BuildRequest { options: options.clone(), ..build_request() };
    let patches = [patch("fix.patch", PATCH)];
    let strict = Server::new().await;
    let refused = strict.client.submit(&request, CONFIG.as_bytes(), &patches).await;
    let failure = failure(refused);
    assert_eq!(failure.class, FailureClass::UnprovenNotAllowed);
    assert!(failure.hint.contains("allow_unproven"), "{failure}");
    assert_eq!(strict.stored_files(), 0);

    let lenient = Server::that_allows_unproven().await;
    let plain = lenient.submit("fix.patch").await;
    let unproven = lenient.client.submit(&request, CONFIG.as_bytes(), &patches).await;
    let unproven = unproven.expect("queued");
    assert!(!unproven.joined && unproven.build.key != plain.build.key);
    let _ = lenient.claim().await;
    assert_eq!(lenient.claim().await.0.build.options, options);
}

fn rebuild_of(submission: &BuildSubmission) -> RebuildRequest {
    let source = SourceRecord {
        kind: "tree".to_owned(),
        version: "linux".to_owned(),
        ..SourceRecord::default()
    };
    let builder = format!("test builder {BUILT_RELEASE} {}", Sha256Digest::of(b"a source tree"));
    support::rebuild_of(submission, source, &builder)
}

#[tokio::test]
async fn rebuild_takes_symbols_and_baseline_from_the_store_or_from_what_is_sent_along() {
    let origin = Server::new().await;
    let baseline = [patch("10-a.patch", BASELINE)];
    let first = submit(&origin, BUILT_RELEASE, Some(SYMBOLS), &baseline).await.expect("queued");
    let request = rebuild_of(&first);
    let again = origin.client.rebuild(&request, &RequestTexts::default()).await.expect("queued");
    assert_eq!(again.build.kallsyms, first.build.kallsyms);
    assert_eq!(again.build.baseline, first.build.baseline);

    let server = Server::new().await;
    let (config, symbols) = (Some(CONFIG.as_bytes()), gzip(SYMBOLS.as_bytes()));
    let patches = [patch("fix.patch", PATCH)];
    let all =
        RequestTexts { config, kallsyms: Some(&symbols), baseline: &baseline, patches: &patches };
    for (texts, part) in [
        (RequestTexts { kallsyms: None, ..all }, "the list of the running kernel's symbols"),
        (RequestTexts { baseline: &[], ..all }, "the baseline patch 10-a.patch with"),
    ] {
        let error = server.client.rebuild(&request, &texts).await.expect_err("gone");
        assert_eq!(error.code(), Some(ErrorCode::NotFound));
        assert!(error.to_string().contains(part), "{error}");
    }
    let other = gzip(SYMBOLS.replace("start", "begin").as_bytes());
    let foreign = [patch("10-a.patch", &BASELINE.replace("TWO", "2"))];
    for texts in
        [RequestTexts { kallsyms: Some(&other), ..all }, RequestTexts { baseline: &foreign, ..all }]
    {
        let failure = failure(server.client.rebuild(&request, &texts).await);
        assert_eq!(failure.class, FailureClass::ManifestMismatch, "{failure}");
    }
    let built = server.client.rebuild(&request, &all).await.expect("queued").build;
    assert_eq!((built.key, built.kallsyms), (request.build_key, request.request.kallsyms));
}

#[tokio::test]
async fn manifest_that_names_another_text_as_symbols_is_refused() {
    let server = Server::new().await;
    let first = submit(&server, BUILT_RELEASE, Some(SYMBOLS), &[]).await.expect("queued");
    let mut request = rebuild_of(&first);
    request.request.kallsyms = Some(first.build.config);
    let failure = failure(server.client.rebuild(&request, &RequestTexts::default()).await);
    assert_eq!(failure.class, FailureClass::KallsymsUnreadable, "{failure}");
}

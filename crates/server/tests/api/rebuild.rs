use elivepatch_api::{
    BuildSubmission, ErrorCode, RebuildRequest,
    client::{ClientError, NamedPatch, RequestTexts},
};
use elivepatch_model::{
    AdaptationKind, BuildKey, BuildOptions, BuildState, FailureClass, Sha256Digest, SourceRecord,
};

use crate::support::{CONFIG, PATCH, Server, code, rebuild_of};

/// What a manifest of this build would say.
fn request_of(submission: &BuildSubmission) -> RebuildRequest {
    let source = SourceRecord {
        kind: "debian".to_owned(),
        version: "6.1.176-1".to_owned(),
        ..SourceRecord::default()
    };
    rebuild_of(submission, source, "test builder")
}

fn patch(content: &str) -> NamedPatch {
    NamedPatch { name: "elsewhere.patch".to_owned(), content: content.to_owned().into() }
}

fn texts<'a>(config: Option<&'a [u8]>, patches: &'a [NamedPatch]) -> RequestTexts<'a> {
    RequestTexts { config, patches, ..RequestTexts::default() }
}

#[tokio::test]
async fn rebuild_is_a_build_of_its_own_with_the_same_key_from_the_stored_texts() {
    let server = Server::new().await;
    let first = server.submit("a.patch").await;
    let request = request_of(&first);
    let mut numbers = vec![first.build.number];
    for _ in 0..2 {
        let again =
            server.client.rebuild(&request, &RequestTexts::default()).await.expect("queued");
        assert!(!again.joined && !numbers.contains(&again.build.number), "{again:?}");
        assert_eq!(again.build.state, BuildState::Queued);
        assert_eq!(
            (again.build.key, again.build.config, &again.build.fixes),
            (first.build.key, first.build.config, &first.build.fixes)
        );
        assert_eq!(again.build.rebuild.as_ref(), Some(&request.rebuild));
        numbers.push(again.build.number);
    }
    // An ordinary request goes on joining the ordinary build.
    let joined = server.submit("a.patch").await;
    assert_eq!((joined.joined, joined.build.number), (true, first.build.number));
    // And the worker hears what it is to make again.
    let (ordinary, client) = server.claim().await;
    assert_eq!(ordinary.build.rebuild, None);
    drop(client);
    let (lease, client) = server.claim().await;
    assert_eq!(lease.build.rebuild, Some(request.rebuild));
    let text = client.blob(lease.build.fixes[0].digest, 9999).await.expect("the patch");
    assert_eq!(&text[..], PATCH.as_bytes());
}

#[tokio::test]
async fn server_that_has_the_texts_no_more_takes_them_by_their_digests() {
    let origin = Server::new().await;
    let request = request_of(&origin.submit("a.patch").await);
    let server = Server::new().await;
    let config = Some(CONFIG.as_bytes());
    for (config, patches, part) in [
        (None, vec![patch(PATCH)], "the config with the digest"),
        (config, vec![], "the patch a.patch with the digest"),
    ] {
        let error =
            server.client.rebuild(&request, &texts(config, &patches)).await.expect_err("gone");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(error.code(), Some(ErrorCode::NotFound));
    }
    let other = PATCH.replace("TWO", "2");
    for (config, patches, part) in [
        (Some(&b"CONFIG_X86_64=y\n"[..]), vec![patch(PATCH)], "the config is not the manifest's"),
        (config, vec![patch(&other)], "is none of the manifest's patches"),
    ] {
        let error =
            server.client.rebuild(&request, &texts(config, &patches)).await.expect_err("refused");
        assert_mismatch(error, part);
    }
    assert_eq!(server.stored_files(), 0, "what is refused is not kept");
    let built =
        server.client.rebuild(&request, &texts(config, &[patch(PATCH)])).await.expect("queued");
    assert_eq!(built.build.fixes[0].name, "a.patch", "the manifest names it");
    assert_eq!(built.build.key, request.build_key);
}

fn assert_mismatch(error: ClientError, part: &str) {
    assert!(error.to_string().contains(part), "{error}");
    let ClientError::Api { error, .. } = error else { panic!("{error}") };
    assert_eq!(error.code, ErrorCode::RequestRefused);
    assert_eq!(error.failure_class(), Some(FailureClass::ManifestMismatch));
}

#[tokio::test]
async fn manifest_that_was_changed_is_refused() {
    let server = Server::new().await;
    let sound = request_of(&server.submit("a.patch").await);
    let mut changed = vec![sound.clone(); 5];
    changed[0].build_key = BuildKey(Sha256Digest::of(b"another"));
    changed[1].fixes[0].name = "b.patch".to_owned();
    changed[2].request.options =
        BuildOptions { without: [AdaptationKind::RemovedFile].into(), ..BuildOptions::default() };
    changed[3].request.target.kernel_version = Some("#1 SMP Debian 6.1.1-1".to_owned());
    changed[4].rebuild.builder = "another builder".to_owned();
    for request in &changed {
        let error =
            server.client.rebuild(request, &RequestTexts::default()).await.expect_err("changed");
        assert_mismatch(error, "the manifest was changed");
    }
    let mut nothing = sound.clone();
    nothing.fixes.clear();
    assert_eq!(
        code(server.client.rebuild(&nothing, &RequestTexts::default()).await),
        ErrorCode::BadRequest
    );
    let mut other_target = sound;
    other_target.request.target.release = "6.12.1-amd64".parse().expect("a release");
    let error =
        server.client.rebuild(&other_target, &RequestTexts::default()).await.expect_err("refused");
    let ClientError::Api { error, .. } = error else { panic!("{error}") };
    assert_eq!(error.failure_class(), Some(FailureClass::ConfigMismatch));
}

#[tokio::test]
async fn version_says_what_decides_the_results() {
    let server = Server::new().await;
    assert_eq!(server.client.version().await.expect("it answers").builder, "test builder");
}

//! Requests that no old client sends.

use axum::body::Body;
use elivepatch_model::FailureClass;
use http::{Request, StatusCode};

use super::{
    GET_FILES, OldPart, PARTS, SEND_LIVEPATCH, SESSION, body_of, fetch_with, order, refused, send,
};
use crate::support::{CONFIG, PATCH, RELEASE, Server};

/// A header: its name, and what it says.
type Header<'a> = (&'a str, &'a [u8]);

#[tokio::test]
async fn file_names_are_never_paths() {
    let server = Server::new().await;
    let parts = [
        ("patch", "../../../../etc/cron.d/x", PATCH.as_bytes()),
        ("main_patch", "/etc/passwd", PATCH.as_bytes()),
        ("config", "../config", CONFIG.as_bytes()),
    ];
    let waiting = send(&server.app, order("6.1.176-mine", SESSION, &parts));
    let (lease, _) = server.claim_soon().await;
    assert_eq!(lease.build.baseline[0].name, "x");
    assert_eq!(lease.build.fixes[0].name, "passwd");
    waiting.abort();
}

#[tokio::test]
async fn headers_that_say_nothing_usable_are_refused_by_their_names() {
    let server = Server::new().await;
    let with = |headers: &[Header<'_>]| {
        let mut request =
            Request::post(GET_FILES).header("Content-Type", "multipart/form-data; boundary=f00");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body_of(&PARTS))).expect("a request")
    };
    let version: Header<'_> = ("KernelVersion", RELEASE.as_bytes());
    let session: Header<'_> = ("UUID", SESSION.as_bytes());
    let cases: [(&[Header<'_>], &str); 9] = [
        (&[session], "the header KernelVersion is missing"),
        (&[session, ("KernelVersion", b"")], "the header KernelVersion is missing"),
        (&[session, ("KernelVersion", b"../../boot")], "the header KernelVersion: "),
        (&[session, ("KernelVersion", b"gentoo")], "does not begin with a version"),
        (&[version], "the header UUID is missing"),
        (&[version, ("UUID", b"../../../../etc/passwd")], "the header UUID: it is not a random"),
        (&[version, ("UUID", b"/tmp/elivepatch-0e8dd2a1-4f0c-4d2e-8")], "the header UUID: "),
        (&[version, ("UUID", b"0e8dd2a1-4f0c-11ee-8a51-7b1f0c9d2e3a")], "(version 4) UUID"),
        (&[version, ("UUID", b"0e8dd2a1-4f0c-4d2e-8a51-7b1f0c9d2e3\xff")], "the header UUID: "),
    ];
    for (headers, part) in cases {
        let (status, body) = refused(server.send(with(headers)).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
        assert!(body.message.contains(part), "{part}: {body:?}");
    }
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn form_that_lacks_a_part_or_has_one_too_many_is_refused_by_the_parts_name() {
    let server = Server::new().await;
    let [patch, config] = PARTS;
    let cases: [(&[OldPart<'_>], &str); 6] = [
        (&[], "the part \"config\" is missing"),
        (&[patch], "the part \"config\" is missing"),
        (&[config], "the part \"main_patch\" is missing"),
        (&[config, patch, patch], "the part \"main_patch\" came twice"),
        (&[config, config], "the part \"config\" came twice"),
        (&[config, ("cve.patch", "cve.patch", b"x")], "there is no part \"cve.patch\""),
    ];
    for (parts, part) in cases {
        let (status, body) = refused(server.send(order(RELEASE, SESSION, parts)).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
        assert!(body.message.contains(part), "{part}: {body:?}");
    }
    let many = vec![("patch", "0.patch", b"x".as_slice()); 257];
    let (_, body) = refused(server.send(order(RELEASE, SESSION, &many)).await).await;
    assert!(body.message.contains("more than 256 parts"), "{body:?}");
    assert_eq!(server.stored_files(), 0);
    assert!(!server.app.knows_session(&SESSION.parse().expect("a UUID")).await.expect("asked"));
}

#[tokio::test]
async fn request_that_is_no_form_is_refused() {
    let server = Server::new().await;
    for content_type in [None, Some("application/json"), Some("multipart/form-data")] {
        let mut request =
            Request::post(GET_FILES).header("KernelVersion", RELEASE).header("UUID", SESSION);
        if let Some(content_type) = content_type {
            request = request.header("Content-Type", content_type);
        }
        let request = request.body(Body::from("{}")).expect("a request");
        let (status, body) = refused(server.send(request).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.message.contains("no multipart form"), "{body:?}");
        assert!(body.error.hint.contains("main_patch"), "{body:?}");
    }
    let cut = Request::post(GET_FILES)
        .header("KernelVersion", RELEASE)
        .header("UUID", SESSION)
        .header("Content-Type", "multipart/form-data; boundary=f00")
        .body(Body::from("--f00\r\nContent-Disposition: form-data; name=\"config\"\r\n\r\nCONF"));
    let (status, body) = refused(server.send(cut.expect("a request")).await).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.message.contains("the multipart form cannot be read"), "{body:?}");
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn patch_of_64_mebibytes_is_refused() {
    let server = Server::new().await;
    let large = vec![b'x'; 64 << 20];
    for (part, limit) in [("main_patch", "1048576 bytes"), ("patch", "4194304 bytes")] {
        let parts = [(part, "large.patch", large.as_slice()), PARTS[1]];
        let (status, body) = refused(server.send(order(RELEASE, SESSION, &parts)).await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body:?}");
        assert_eq!(body.error.failure_class(), Some(FailureClass::PatchTooLarge));
        assert!(body.message.contains(limit), "{body:?}");
    }
    // Each within its limit, and all together not.
    let piece = &large[..4 << 20];
    let parts = vec![("patch", "piece.patch", piece); 9];
    let (status, body) = refused(server.send(order(RELEASE, SESSION, &parts)).await).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body:?}");
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn what_can_never_be_a_livepatch_is_refused_before_it_is_queued() {
    let server = Server::new().await;
    let other = CONFIG.replace("6.1.176", "6.12.5");
    let assembly = PATCH.replace("fs/proc/meminfo.c", "arch/x86/entry/entry_64.S");
    let cases: [(&[u8], &[u8], FailureClass); 4] = [
        (b"\x1f\x8b\x08gzip", PATCH.as_bytes(), FailureClass::ConfigUnreadable),
        (other.as_bytes(), PATCH.as_bytes(), FailureClass::ConfigMismatch),
        (CONFIG.as_bytes(), b"no diff", FailureClass::PatchUnreadable),
        (CONFIG.as_bytes(), assembly.as_bytes(), FailureClass::PatchAssembly),
    ];
    for (config, patch, class) in cases {
        let parts = [("main_patch", "main.patch", patch), ("config", "config", config)];
        let (status, body) = refused(server.send(order(RELEASE, SESSION, &parts)).await).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body:?}");
        assert_eq!(body.error.failure_class(), Some(class), "{body:?}");
    }
    assert_eq!(server.stored_files(), 0);
}

#[tokio::test]
async fn body_of_the_get_that_is_missing_malformed_or_too_large_is_refused() {
    let server = Server::new().await;
    let large = format!("{{\"UUID\": \"{}\"}}", "0".repeat(1 << 20));
    let cases: [(&str, StatusCode, &str); 7] = [
        ("", StatusCode::BAD_REQUEST, "no JSON body"),
        ("UUID=1", StatusCode::BAD_REQUEST, "not the JSON of v1.0"),
        ("[7]", StatusCode::BAD_REQUEST, "not the JSON of v1.0"),
        ("{}", StatusCode::BAD_REQUEST, "the body has no UUID"),
        ("{\"UUID\": null}", StatusCode::BAD_REQUEST, "the body has no UUID"),
        ("{\"UUID\": \"../../x\"}", StatusCode::BAD_REQUEST, "the UUID: it is not a random"),
        (&large, StatusCode::PAYLOAD_TOO_LARGE, "larger than 4096 bytes"),
    ];
    for (body, expected, part) in cases {
        let (status, body) = refused(server.send(fetch_with(body.to_owned())).await).await;
        assert_eq!(status, expected, "{body:?}");
        assert!(body.message.contains(part), "{part}: {body:?}");
    }
}

#[tokio::test]
async fn other_methods_are_not_the_patches_you_are_looking_for() {
    let server = Server::new().await;
    let post = Request::post(SEND_LIVEPATCH).body(Body::empty()).expect("a request");
    for answer in [server.get(GET_FILES).await, server.send(post).await] {
        let (status, body) = refused(answer).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        assert_eq!(body.message, "These are not the patches you are looking for");
    }
    let delete = Request::delete(GET_FILES).body(Body::empty()).expect("a request");
    assert_eq!(server.send(delete).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.get("/elivepatch/api/v1.0/other").await.status(), StatusCode::NOT_FOUND);
}

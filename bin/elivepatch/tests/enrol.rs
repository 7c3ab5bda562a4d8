//! The client against the real server's routes and listener, encrypted, with tokens: what it trusts, and what it says.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use elivepatch_model::{BuilderIdentity, Role};
use elivepatch_server::{
    App, AppOptions, Reach,
    app::{CveOptions, NewToken, Store, TokenKind},
    connections::{self, ConnectionLimits},
    public_router,
    tls::{MadeCertificate, ServerCertificate, make_certificate},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

/// A server that other machines could reach, if it did not listen on the loopback interface.
struct Served {
    url: String,
    fingerprint: String,
    store: Store,
    runtime: Runtime,
    place: TempDir,
}

impl Served {
    fn start() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let directory = camino::Utf8PathBuf::try_from(place.path().join("data")).expect("UTF-8");
        fs::create_dir(&directory).expect("own directory");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let files = MadeCertificate::of(&directory);
        make_certificate(&files, std::net::Ipv4Addr::LOCALHOST.into()).expect("made");
        let certificate = ServerCertificate::read(&files.certificate, &files.key).expect("it fits");
        let fingerprint = certificate.fingerprint().to_string();
        let (store, address) = runtime.block_on(async {
            let app = App::open(AppOptions {
                data_directory: directory.clone(),
                queue_limit: 10,
                allow_unproven: false,
                feed: None,
                manifest_key: None,
                cve: CveOptions::default(),
                inventories: None,
                host_report_seconds: 900,
                v1: None,
                builder_identity: BuilderIdentity::default(),
            })
            .await
            .expect("an app");
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it has one");
            let router = public_router(app, Reach::Network);
            let (limits, stop) = (ConnectionLimits::default(), CancellationToken::new());
            let certificate = Some(Arc::new(certificate));
            tokio::spawn(connections::serve(listener, certificate, router, limits, stop));
            (Store::open(&directory).await.expect("a second one"), address)
        });
        Self { url: format!("https://{address}"), fingerprint, store, runtime, place }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A file with a new token.
    fn token(&self, kind: TokenKind, role: Role) -> PathBuf {
        let new = NewToken {
            kind,
            role,
            name: String::new(),
            host: None,
            tags: vec!["web".parse().expect("a tag")],
            expires_at: None,
        };
        let now = jiff::Timestamp::now();
        let made = self.runtime.block_on(self.store.create_token(&new, "a test", now));
        let token = made.expect("made");
        let path = self.path(&format!("{}.token", token.id()));
        fs::write(&path, format!("{}\n", token.reveal())).expect("own file");
        path
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let output = Command::new(env!("CARGO_BIN_EXE_elivepatch"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .env("ELIVEPATCH_STATE_DIRECTORY", self.path("state"))
            .env_remove("ELIVEPATCH_URL")
            .env_remove("ELIVEPATCH_TOKEN")
            .env_remove("ELIVEPATCH_SERVER_CERTIFICATE")
            .output()
            .expect("the client runs");
        Ended(output)
    }

    fn enrol(&self, token: &Path, more: &[&str]) -> Ended {
        let token = token.to_str().expect("UTF-8");
        let common = ["enrol", "--url", &self.url, "--name", "web-17", "--token-file", token];
        self.run(&[&common[..], more].concat())
    }
}

#[derive(Debug)]
struct Ended(Output);

impl Ended {
    #[track_caller]
    fn expect(&self, code: i32, parts: &[&str]) -> &Self {
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&self.0.stdout),
            String::from_utf8_lossy(&self.0.stderr)
        );
        assert_eq!(self.0.status.code(), Some(code), "{text}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        self
    }
}

#[test]
fn machine_is_enrolled_at_a_server_that_it_knows_and_at_no_other() {
    let served = Served::start();
    let token = served.token(TokenKind::Enrolment, Role::Host);
    // Nobody has signed the certificate: it is shown, and nothing is sent.
    let seen = format!("--server-certificate {}", served.fingerprint);
    served.enrol(&token, &[]).expect(
        1,
        &[
            "it is not known whether the certificate of https://127.0.0.1:",
            "elivepatch-server certificate",
            "--name web-17",
            &seen,
        ],
    );
    let other = "ab".repeat(32);
    served.enrol(&token, &["--server-certificate", &other]).expect(
        4,
        &[
            "has another certificate",
            &format!("it must have {other}"),
            &format!("it has       {}", served.fingerprint),
        ],
    );
    assert!(!served.path("state/enrolment.json").exists());
    let pin = ["--server-certificate", &served.fingerprint];
    served
        .enrol(&token, &pin)
        .expect(0, &["enrolled at https://127.0.0.1:", "as web-17, with the tags web"]);
    let file = served.path("state/enrolment.json");
    let text = fs::read_to_string(&file).expect("written");
    assert!(text.contains(&served.fingerprint) && text.contains("elp_"), "{text}");
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);

    // From now on root needs to say nothing, and is a host.
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        served.run(&["builds"]).expect(
            1,
            &[
                "error: this needs the role read; this is the token of the host web-17",
                "--token-file",
            ],
        );
    }
    served.enrol(&token, &pin).expect(1, &["is enrolled already, at https://", "--again"]);
    served
        .enrol(&token, &[&pin[..], &["--again"]].concat())
        .expect(1, &["was used: it registered a host"]);
    let second = served.token(TokenKind::Enrolment, Role::Host);
    served
        .enrol(&second, &[&pin[..], &["--again"]].concat())
        .expect(1, &["a host is registered as web-17 already", "--role host --host web-17"]);
    served
        .run(&[
            "enrol",
            "--url",
            &served.url,
            "--again",
            "--trust-this-server",
            "--name",
            "web-18",
            "--token-file",
            second.to_str().expect("UTF-8"),
        ])
        .expect(0, &["warning: nobody has compared the certificate", "as web-18"]);
}

#[test]
fn token_and_fingerprint_open_a_server_and_errors_say_what_is_missing() {
    let served = Served::start();
    let read = served.token(TokenKind::Credential, Role::Read);
    let read = read.to_str().expect("UTF-8");
    let url = ["builds", "--url", &served.url];
    let pin = ["--server-certificate", &served.fingerprint.to_uppercase()];
    let ask = |more: &[&[&str]]| served.run(&[&url[..], &more.concat()].concat());
    ask(&[&pin, &["--token-file", read]]).expect(0, &[]);
    ask(&[&["--token-file", read]])
        .expect(4, &["invalid peer certificate", "--server-certificate SHA256"]);
    ask(&[&pin]).expect(1, &["this server wants a token with each request", "--token-file FILE"]);
    let cancel = ["cancel", "7", "--url", &served.url, "--token-file", read];
    served
        .run(&[&cancel[..], &pin].concat())
        .expect(1, &["this needs the role submit; the token has the role read"]);
    let enrolment = served.token(TokenKind::Enrolment, Role::Host);
    ask(&[&pin, &["--token-file", enrolment.to_str().expect("UTF-8")]])
        .expect(1, &["registers a host, once, and does nothing else", "elivepatch enrol"]);
    fs::write(served.path("half"), "elp_0123").expect("own file");
    let half = served.path("half");
    let half = half.to_str().expect("UTF-8");
    ask(&[&pin, &["--token-file", half]])
        .expect(1, &["error: there is no token in ", "it is not a token: one begins with elp_"]);
    ask(&[&pin, &["--token-file", "/nowhere/token"]])
        .expect(1, &["cannot read the token in /nowhere/token"]);
    ask(&[&["--server-certificate", "12:34"]]).expect(2, &["64 hexadecimal digits"]);
    // Nothing is sent, and nothing is looked up.
    let plain = ["builds", "--url", "http://patches.invalid", "--token-file", read];
    served.run(&plain).expect(1, &[
        "a token is not sent to the server at http://patches.invalid: the connection is not encrypted",
        "--url https://patches.invalid",
    ]);
    let plain = served.url.replace("https", "http");
    served
        .run(&["builds", "--url", &plain, "--token-file", read])
        .expect(1, &["this server takes encrypted connections only", "https://"]);
    served
        .run(&[&["builds", "--url", &plain][..], &pin].concat())
        .expect(2, &["has no certificate: it is not encrypted"]);
}

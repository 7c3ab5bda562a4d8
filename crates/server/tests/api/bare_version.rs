//! CVE runs for a kernel that is named by its version of Linux alone.

use std::{fs, sync::Arc};

use camino::Utf8PathBuf;
use elivepatch_api::{
    AssessmentRequest, CveSelection, RunRequest, RunSubmission,
    client::{Client, ClientError, RequestTexts},
};
use elivepatch_model::{
    Architecture, BuildOptions, BuilderIdentity, Failure, FailureClass, KernelRelease,
    Sha256Digest, SourceIdentity, TargetFacts,
};
use elivepatch_server::{
    App, AppOptions, Reach, RouterTransport,
    app::{CveOptions, FeedOptions, Inventories, Inventory, Store, update_feed},
    public_router,
};
use tempfile::TempDir;

use crate::support::CONFIG;

/// A version of which a source tree is on the server.
const BUILT: &str = "6.12.30";

/// A double of Debian's archive, which has these kernels.
#[derive(Debug)]
struct Archive(&'static [&'static str]);

impl Inventories for Archive {
    fn find(&self, _: &TargetFacts) -> Result<Option<Inventory>, String> {
        Ok(None)
    }

    fn stock_config(&self, _: &KernelRelease) -> Result<Vec<u8>, Failure> {
        Ok(CONFIG.as_bytes().to_vec())
    }

    fn stock_releases(&self, version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure> {
        if version.as_str() == "5.10.1" {
            let class = FailureClass::FetchFailed;
            return Err(Failure::new(class, "the mirror does not answer", "try again"));
        }
        let found = match version.as_str() {
            "6.1.176" => self.0,
            _ => &[],
        };
        Ok(found.iter().map(|release| release.parse().expect("a release")).collect())
    }
}

struct Place {
    client: Client,
    _app: App,
    _directory: TempDir,
}

/// A server with a feed of one CVE, and this archive.
async fn server(releases: &'static [&'static str]) -> Place {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = Utf8PathBuf::try_from(temporary.path().to_owned()).expect("UTF-8");
    let records = directory.join("vulns/published/2026");
    fs::create_dir_all(&records).expect("own directory");
    fs::create_dir_all(directory.join("data")).expect("own directory");
    let record = "{\"containers\": {\"cna\": {\"title\": \"t\"}}, \"cveMetadata\": {\"cveId\": \
                  \"CVE-2026-1001\"}}";
    fs::write(records.join("CVE-2026-1001.json"), record).expect("own file");
    let hash = "00d60fd3b93219ea854220f0fd264b86398cbc53";
    let dyad = format!("4.20:{hash}:6.1.177:{hash}\n");
    fs::write(records.join("CVE-2026-1001.dyad"), dyad).expect("own file");
    let store = Store::open(&directory.join("data")).await.expect("a store");
    let feed = FeedOptions {
        source: directory.join("vulns").into_string(),
        mirror: directory.join("mirror"),
        every: std::time::Duration::from_secs(3600),
        stale_after: std::time::Duration::from_secs(3600),
    };
    update_feed(&store, &feed, false).await.expect("it can be read");
    store.close().await;
    let app = App::open(AppOptions {
        data_directory: directory.join("data"),
        queue_limit: 9,
        allow_unproven: false,
        feed: None,
        cve: CveOptions::default(),
        manifest_key: None,
        inventories: Some(Arc::new(Archive(releases))),
        host_report_seconds: 900,
        v1: None,
        builder_identity: BuilderIdentity {
            common: "test builder".to_owned(),
            sources: vec![SourceIdentity::Tree {
                release: BUILT.parse().expect("a release"),
                digest: Sha256Digest::of(b"a source tree"),
            }],
            ..BuilderIdentity::default()
        },
    })
    .await
    .expect("an app");
    let router = public_router(app.clone(), Reach::Loopback);
    let client = Client::new(Arc::new(RouterTransport::new(router)));
    Place { client, _app: app, _directory: temporary }
}

fn target(release: &str) -> TargetFacts {
    TargetFacts::new(release.parse().expect("a release"), Architecture::X86_64)
}

impl Place {
    async fn start(
        &self,
        target: TargetFacts,
        config: Option<&str>,
    ) -> Result<RunSubmission, ClientError> {
        let request = RunRequest {
            target,
            linux_version: None,
            selection: CveSelection::default(),
            checks: Vec::new(),
            options: BuildOptions::default(),
            again: false,
        };
        let config = config.map(str::as_bytes);
        self.client.start_run(&request, &RequestTexts { config, ..RequestTexts::default() }).await
    }
}

fn refused(result: Result<RunSubmission, ClientError>) -> Failure {
    match result {
        Err(ClientError::Api { error, .. }) => error.failure.expect("it was refused"),
        other => panic!("no refusal: {other:?}"),
    }
}

#[tokio::test]
async fn version_of_one_stock_kernel_is_a_run_for_it() {
    let server = server(&["6.1.0-50-cloud-amd64"]).await;
    let run = server.start(target("6.1.176"), None).await.expect("it begins").run;
    assert_eq!(run.target.release.as_str(), "6.1.0-50-cloud-amd64");
    assert_eq!(run.grounds.linux_version, "6.1.176");
    assert_eq!(run.cves.len(), 1, "what matters is judged for the version");
    let again = server.start(target("6.1.176"), None).await.expect("it is there");
    assert!(again.joined && again.run.number == run.number);
}

#[tokio::test]
async fn version_of_several_stock_kernels_is_refused_with_their_names() {
    let server = server(&["6.1.0-50-amd64", "6.1.0-50-cloud-amd64"]).await;
    for config in [None, Some(CONFIG)] {
        let failure = refused(server.start(target("6.1.176"), config).await);
        assert_eq!(failure.class, FailureClass::ReleaseUnknown);
        for release in ["6.1.0-50-amd64", "6.1.0-50-cloud-amd64"] {
            assert!(failure.message.contains(release), "{failure}");
        }
        assert!(failure.hint.contains("--kernel 6.1.0-50-amd64"), "{}", failure.hint);
    }
}

#[tokio::test]
async fn version_of_no_kernel_that_can_be_built_is_refused_at_once_with_what_to_do() {
    let server = server(&["6.1.0-50-amd64"]).await;
    for (version, config, part) in [
        ("6.6.6", None, "--config FILE"),
        ("6.6.6", Some(CONFIG), "[[source]]"),
        (BUILT, None, "which this server builds: --config FILE"),
    ] {
        let config = config.map(|config| config.replace("6.1.176", version));
        let failure = refused(server.start(target(version), config.as_deref()).await);
        assert_eq!(failure.class, FailureClass::ReleaseUnknown);
        assert!(failure.message.contains(version), "{failure}");
        for part in [part, "--kernel RELEASE", "--dry-run"] {
            assert!(failure.hint.contains(part), "{part:?}: {}", failure.hint);
        }
    }
    let failure = refused(server.start(target("5.10.1"), None).await);
    assert_eq!(failure.class, FailureClass::FetchFailed);
}

#[tokio::test]
async fn kernel_that_a_source_builds_keeps_its_version_as_its_release() {
    let server = server(&[]).await;
    let config = CONFIG.replace("6.1.176", BUILT);
    let run = server.start(target(BUILT), Some(&config)).await.expect("it begins").run;
    assert_eq!(run.target.release.as_str(), BUILT);
}

#[tokio::test]
async fn machine_that_tells_its_release_is_not_taken_for_a_stock_kernel() {
    let server = server(&["6.1.0-50-cloud-amd64"]).await;
    let kernel_version = Some("#1 SMP".to_owned());
    let own = TargetFacts { kernel_version, ..target("6.1.176") };
    let failure = refused(server.start(own, Some(CONFIG)).await);
    assert!(failure.message.contains("no source of this server builds"), "{failure}");
}

#[tokio::test]
async fn dry_run_answers_for_a_version_whatever_can_be_built() {
    let server = server(&[]).await;
    for version in ["6.1.176", "6.6.6"] {
        let (target, explain) = (target(version), Vec::new());
        let request = AssessmentRequest { target, linux_version: None, explain };
        let answer = server.client.assess(&request).await.expect("it can be told");
        assert_eq!(answer.linux_version, version);
    }
}

//! What the tests share.

use std::time::Duration;

use camino::Utf8PathBuf;
use elivepatch_model::{
    Architecture, BaseKind, BuildEvent, BuildKey, BuildNumber, Engine, Failure, FailureClass, Fix,
    Manifest, ModuleRecord, Sha256Digest, SourceRecord, StepName, TargetFacts, ToolchainRecord,
    TrialEvidence,
};
use elivepatch_store::{Claim, ClaimedBuild, KeptBlob, LeaseProof, NewBuild, Store};
use jiff::Timestamp;
use tempfile::TempDir;

pub const RELEASE: &str = "6.1.0-50-cloud-amd64";

/// A store in a directory of its own.
pub struct Fixture {
    pub store: Store,
    pub directory: Utf8PathBuf,
    _directory: TempDir,
}

impl Fixture {
    pub async fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8PathBuf::try_from(temporary.path().to_owned()).expect("UTF-8");
        let store = Store::open(&directory).await.expect("a new store");
        Self { store, directory, _directory: temporary }
    }

    /// The same data directory opened once more, as another process would.
    pub async fn open_again(&self) -> Store {
        Store::open(&self.directory).await.expect("the store again")
    }

    pub async fn keep(&self, bytes: &[u8]) -> KeptBlob {
        let mut writer = self.store.begin_blob(1 << 20).expect("a writer");
        writer.write(bytes).await.expect("written");
        let upload = writer.finish().await.expect("finished");
        self.store.keep_blob(upload).await.expect("kept")
    }

    /// A build whose key is made from `name`.
    pub async fn new_build(&self, name: &str) -> NewBuild {
        self.new_build_for(name, RELEASE).await
    }

    pub async fn new_build_for(&self, name: &str, release: &str) -> NewBuild {
        let patch = self.keep(name.as_bytes()).await;
        NewBuild {
            key: key(name),
            target: TargetFacts::new(release.parse().expect("a release"), Architecture::X86_64),
            config: self.keep(b"CONFIG_X86_64=y\n").await,
            kallsyms: None,
            baseline: vec![],
            fixes: vec![Fix { name: name.to_owned(), digest: patch.digest }],
            patches: vec![patch],
            checks: vec![],
            options: elivepatch_model::BuildOptions::default(),
            rebuild: None,
            priority: 0,
            probe_of: None,
        }
    }

    pub async fn queue(&self, name: &str) -> BuildNumber {
        let new = self.new_build(name).await;
        let submission = self.store.submit(&new, 100, now()).await.expect("queued");
        assert!(!submission.joined, "{name} was there already");
        submission.build.number
    }

    /// Claims at `time` what must be there.
    pub async fn claim_at(&self, time: Timestamp) -> ClaimedBuild {
        self.store.claim(&claim(), time).await.expect("claimed").expect("a build waits")
    }

    pub async fn claim(&self) -> ClaimedBuild {
        self.claim_at(now()).await
    }
}

pub fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().expect("a time")
}

pub fn after(duration: Duration) -> Timestamp {
    now().checked_add(duration).expect("a time")
}

pub fn claim() -> Claim {
    claim_as("worker-a")
}

pub fn claim_as(worker: &str) -> Claim {
    Claim {
        worker: worker.to_owned(),
        architectures: vec![Architecture::X86_64],
        warm_releases: vec![],
    }
}

pub fn proof(claimed: &ClaimedBuild) -> LeaseProof {
    LeaseProof::new(claimed.build.number, &claimed.token)
}

pub fn key(name: &str) -> BuildKey {
    BuildKey(Sha256Digest::of(name.as_bytes()))
}

pub fn log(line: &str) -> BuildEvent {
    BuildEvent::Log { step: StepName::Compile, line: line.to_owned() }
}

pub fn failure(class: FailureClass) -> Failure {
    Failure::new(class, "it did not work", "try something else")
}

pub fn manifest(key: BuildKey, module: KeptBlob) -> Manifest {
    Manifest {
        manifest_version: 2,
        build_key: key,
        built_at: now(),
        release: RELEASE.parse().expect("a release"),
        architecture: Architecture::X86_64,
        build_id: "0123456789abcdef".parse().expect("a build-id"),
        config: Sha256Digest::of(b"config"),
        fixes: vec![],
        adaptations: vec![],
        source: SourceRecord {
            kind: "debian".to_owned(),
            version: "6.1.176-1".to_owned(),
            ..SourceRecord::default()
        },
        toolchain: ToolchainRecord {
            name: "debian-12-gcc-12".to_owned(),
            digest: Sha256Digest::of(b"toolchain"),
            compiler: "gcc".to_owned(),
        },
        base: BaseKind::Prepared,
        engine: Engine::Kpatch,
        functions: vec![],
        module: ModuleRecord {
            name: "livepatch".to_owned(),
            file_name: "livepatch.ko".to_owned(),
            digest: module.digest,
            size_bytes: module.size_bytes,
            vermagic: "6.1".to_owned(),
            build_id: None,
            signature: None,
        },
        steps: vec![],
        trial: TrialEvidence {
            modules_loaded: vec![],
            modules_late: vec![],
            modules_absent: vec![],
            guest_release: RELEASE.parse().expect("a release"),
            kernel_image: Sha256Digest::of(b"image"),
            accelerator: "tcg".to_owned(),
            duration_seconds: 4.0,
            transition_seconds: 1.0,
            checks: vec![],
            replaced: None,
            signature: None,
            console_notes: vec![],
        },
        fit: None,
        branch_audit: None,
        builder_version: "0.1.0".to_owned(),
        builder: "test".to_owned(),
        request: None,
    }
}

//! A build with a livepatch, as a worker leaves it: for the tests here, and for those of the program.

use elivepatch_model::{
    Architecture, BaseKind, BuildKey, BuildNumber, BuildOptions, Engine, Fix, Manifest,
    ModuleRecord, Sha256Digest, SourceRecord, TargetFacts, ToolchainRecord, TrialEvidence,
};
use elivepatch_store::{Claim, KeptBlob, LeaseProof, NewBuild, Store};
use jiff::Timestamp;

async fn keep(store: &Store, bytes: &[u8]) -> KeptBlob {
    let mut writer = store.begin_blob(1 << 20).expect("a writer");
    writer.write(bytes).await.expect("written");
    store.keep_blob(writer.finish().await.expect("finished")).await.expect("kept")
}

/// Has a build done whose module has a build-id; gives its number and its module's digest.
pub async fn build_for_tests(
    store: &Store,
    release: &str,
    module_build_id: Option<&str>,
) -> (BuildNumber, Sha256Digest) {
    let text = format!("{release} {module_build_id:?}");
    let patch = keep(store, text.as_bytes()).await;
    let release: elivepatch_model::KernelRelease = release.parse().expect("a release");
    let key = BuildKey(patch.digest);
    let new = NewBuild {
        key,
        target: TargetFacts::new(release.clone(), Architecture::X86_64),
        config: keep(store, b"CONFIG_X86_64=y\n").await,
        kallsyms: None,
        baseline: vec![],
        fixes: vec![Fix { name: "a.patch".to_owned(), digest: patch.digest }],
        patches: vec![patch],
        checks: vec![],
        options: BuildOptions::default(),
        rebuild: None,
        priority: 0,
        probe_of: None,
    };
    store.submit(&new, 10, Timestamp::now()).await.expect("queued");
    let claim = Claim {
        worker: "a".to_owned(),
        architectures: vec![Architecture::X86_64],
        warm_releases: vec![],
    };
    let claimed =
        store.claim(&claim, Timestamp::now()).await.expect("claimed").expect("a build waits");
    let proof = LeaseProof::new(claimed.build.number, &claimed.token);
    let module = keep(store, format!("module of {text}").as_bytes()).await;
    store.set_module(&proof, module, Timestamp::now()).await.expect("set");
    let manifest = Manifest {
        manifest_version: 2,
        build_key: key,
        built_at: Timestamp::now(),
        release: release.clone(),
        architecture: Architecture::X86_64,
        build_id: "0123456789abcdef".parse().expect("a build-id"),
        config: Sha256Digest::of(b"config"),
        fixes: vec![],
        adaptations: vec![],
        source: SourceRecord::default(),
        toolchain: ToolchainRecord {
            name: "t".to_owned(),
            digest: Sha256Digest::of(b"t"),
            compiler: "gcc".to_owned(),
        },
        base: BaseKind::Built,
        engine: Engine::Kpatch,
        functions: vec![],
        module: ModuleRecord {
            name: "elivepatch_x".to_owned(),
            file_name: "elivepatch_x.ko".to_owned(),
            digest: module.digest,
            size_bytes: module.size_bytes,
            vermagic: release.to_string(),
            build_id: module_build_id.map(|id| id.parse().expect("a build-id")),
            signature: None,
        },
        steps: vec![],
        trial: TrialEvidence {
            modules_loaded: vec![],
            modules_late: vec![],
            modules_absent: vec![],
            guest_release: release,
            kernel_image: Sha256Digest::of(b"image"),
            accelerator: "tcg".to_owned(),
            duration_seconds: 4.0,
            transition_seconds: 1.0,
            checks: vec![],
            replaced: None,
            console_notes: vec![],
            signature: None,
        },
        fit: None,
        branch_audit: None,
        builder_version: "0.1.0".to_owned(),
        builder: "test".to_owned(),
        request: None,
    };
    store.complete(&proof, &manifest, Timestamp::now()).await.expect("completed");
    (claimed.build.number, module.digest)
}

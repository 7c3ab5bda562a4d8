//! A build of a livepatch, as a server shows it.

use elivepatch_api::{ApiError, BuildResource, ErrorBody, ErrorCode, EventRecord};
use elivepatch_model::{
    BuildEvent, BuildState, Failure, Manifest, Sha256Digest, Step, StepName, StepState,
};
use serde_json::json;

use super::{Connection, CveScript, Script};

/// The release that the fixtures are for.
pub const RELEASE: &str = "6.1.0-50-cloud-amd64";

/// The module's bytes: what is in them does not matter to the client.
pub const MODULE: &[u8] = b"\x7fELF a livepatch";

/// The patch that is sent.
pub const PATCH: &[u8] = b"--- a/x.c\n+++ b/x.c\n";

/// The file name of the module.
pub const MODULE_NAME: &str = "livepatch-meminfo.ko";

/// What the server's builder is.
pub const BUILDER: &str = "0.1.0 kpatch debian-12-gcc-12 abc";

/// A script for a build that succeeds over one connection.
pub fn success() -> Script {
    let manifest = manifest();
    let text = serde_json::to_string_pretty(&manifest).expect("plain data");
    Script {
        refusal: None,
        build: build(BuildState::Succeeded, None),
        connections: [Connection::Closes(events(BuildState::Succeeded, None))].into(),
        manifest: text,
        signature: None,
        module: MODULE.to_vec(),
        module_cuts: 0,
        builder: BUILDER.to_owned(),
        cves: CveScript::finished(),
        live: None,
        patches: Vec::new(),
    }
}

/// A script for a build that fails.
pub fn failing(failure: Failure) -> Script {
    let mut script = success();
    script.build = build(BuildState::Failed, Some(failure.clone()));
    script.connections = [Connection::Closes(events(BuildState::Failed, Some(failure)))].into();
    script
}

/// The body of a refusal.
pub fn refusal(failure: Failure) -> ErrorBody {
    error(ErrorCode::RequestRefused, &failure.message.clone(), Some(failure))
}

/// The body of an unknown build.
pub fn not_found(number: i64) -> ErrorBody {
    error(ErrorCode::NotFound, &format!("there is no build {number}"), None)
}

fn error(code: ErrorCode, message: &str, failure: Option<Failure>) -> ErrorBody {
    let (message, hint) = (message.to_owned(), "elivepatch builds".to_owned());
    ErrorBody { error: ApiError { code, message, hint, request_id: "r-1".to_owned(), failure } }
}

/// The events of a build that reaches `state`: queued, running, two steps, the end.
pub fn events(state: BuildState, failure: Option<Failure>) -> Vec<EventRecord> {
    let step = |name, state, summary: Option<&str>| BuildEvent::Step {
        step: Step {
            name,
            state,
            duration_seconds: summary.map(|_| 1.5),
            summary: summary.map(str::to_owned),
        },
    };
    let is_done = state == BuildState::Succeeded;
    let last = if is_done { StepState::Done } else { StepState::Failed };
    let events = [
        at(BuildState::Queued, None),
        at(BuildState::Running, None),
        step(StepName::Source, StepState::Running, None),
        step(StepName::Source, StepState::Done, Some("linux 6.1.176-1")),
        step(StepName::Compile, StepState::Running, None),
        BuildEvent::Log { step: StepName::Compile, line: "CC fs/proc/meminfo.o".to_owned() },
        step(StepName::Compile, last, Some("1 file")),
        at(state, failure),
    ];
    (1..).zip(events).map(|(sequence, event)| EventRecord { sequence, event }).collect()
}

fn at(state: BuildState, failure: Option<Failure>) -> BuildEvent {
    BuildEvent::State { state, at: "2026-11-23T10:00:00Z".parse().expect("a time"), failure }
}

fn build(state: BuildState, failure: Option<Failure>) -> BuildResource {
    let manifest = (state == BuildState::Succeeded).then(manifest);
    serde_json::from_value(json!({
        "number": 7, "key": Sha256Digest::of(b"key"), "state": state,
        "target": {"release": RELEASE, "architecture": "x86_64"},
        "config": Sha256Digest::of(b"config"),
        "fixes": [{"name": "meminfo.patch", "digest": Sha256Digest::of(b"patch")}],
        "checks": [], "steps": [], "attempts": 1, "submitted_at": "2026-11-23T10:00:00Z",
        "started_at": "2026-11-23T10:00:01Z", "finished_at": "2026-11-23T10:00:09Z",
        "failure": failure, "manifest": manifest,
    }))
    .expect("a build")
}

/// The manifest of the build.
pub fn manifest() -> Manifest {
    let digest = Sha256Digest::of(b"x");
    serde_json::from_value(json!({
        "manifest_version": 2, "build_key": Sha256Digest::of(b"key"),
        "built_at": "2026-11-23T10:00:00Z", "release": RELEASE, "architecture": "x86_64",
        "build_id": "ab".repeat(20), "config": digest,
        "fixes": [{"name": "meminfo.patch", "digest": Sha256Digest::of(PATCH)}],
        "source": {"kind": "debian", "version": "6.1.176-1", "packages": []},
        "toolchain": {"name": "debian-12-gcc-12", "digest": digest, "compiler": "gcc-12"},
        "engine": "kpatch",
        "functions": [{"object": "vmlinux", "name": "meminfo_proc_show"}],
        "module": {
            "name": "livepatch_meminfo", "file_name": MODULE_NAME,
            "digest": Sha256Digest::of(MODULE), "size_bytes": MODULE.len(),
            "vermagic": format!("{RELEASE} SMP"),
        },
        "steps": [{"name": "compile", "state": "done", "duration_seconds": 1.5, "summary": "1 file"}],
        "trial": {
            "guest_release": RELEASE, "kernel_image": digest, "accelerator": "tcg",
            "duration_seconds": 12.0, "transition_seconds": 1.2,
            "checks": [{
                "check": {"command": "cat /proc/meminfo", "before": "Chunk", "after": "CHUNK"},
                "output_before": "VmallocChunk: 0 kB\n", "output_after": "VMALLOCCHUNK: 0 kB\n",
                "output_reverted": "VmallocChunk: 0 kB\n",
            }],
            "console_notes": [],
        },
        "builder_version": "0.1.0", "builder": BUILDER,
        "request": {
            "target": {"release": RELEASE, "architecture": "x86_64"},
            "config_text": digest, "checks": [],
        },
    }))
    .expect("a manifest")
}

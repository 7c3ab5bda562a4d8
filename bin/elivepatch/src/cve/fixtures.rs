//! A report with a CVE of each kind.

use elivepatch_api::RunResource;
use serde_json::json;

use super::report::{LivepatchNote, Report};

/// The report of a finished run.
pub fn finished() -> Report {
    let digest = elivepatch_model::Sha256Digest::of(b"module");
    let note = LivepatchNote { name: "livepatch_cves".to_owned(), digest };
    Report::of_run(run(), Some(note))
}

/// The run.
pub fn run() -> RunResource {
    let digest = elivepatch_model::Sha256Digest::of(b"x");
    let branch =
        |version: &str| json!({"own-branch": [{"version": version, "hash": "ab".repeat(20)}]});
    let candidate = |fixes: serde_json::Value| json!({"verdict": "candidate", "parents": ["vmlinux"], "fixes": fixes});
    let failure = |class: &str| json!({"class": class, "message": "it cannot be", "hint": "boot a newer kernel", "details": []});
    serde_json::from_value(json!({
        "number": 3, "state": "finished",
        "target": {
            "release": "6.1.0-50-cloud-amd64", "architecture": "x86_64",
            "kernel_version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)",
        },
        "selection": {},
        "grounds": {
            "linux_version": "6.1.176", "version_origin": "uname -v", "is_upper_bound": false,
            "base": "6.1.0-50-91477d87e345",
            "feed_data_at": "2026-08-21T00:00:00Z", "feed_read_at": "2026-08-22T00:00:00Z",
            "feed_is_stale": false, "faulty": 0,
        },
        "to_try": 3, "tried": 3,
        "counts": {
            "livepatch": 1, "not-patchable": 2, "needs-approval": 1, "no-fix": 1, "not-built": 254,
            "already-fixed": 9000,
        },
        "cves": [
            {
                "id": "CVE-2026-1001", "title": "keys: fix an overflow",
                "cvss": {"score": 9.8, "vector": "CVSS:3.1/AV:N"},
                "applicability": candidate(branch("6.1.177")),
                "outcome": {"verdict": "livepatch", "functions": []},
            },
            {
                "id": "CVE-2026-1002", "title": "net: grow a structure",
                "applicability": candidate(branch("6.1.183")),
                "outcome": {"verdict": "not-patchable", "failure": failure("data-structure-changed")},
            },
            {
                "id": "CVE-2026-1003", "title": "mm: init it right",
                "cvss": {"score": 7.1, "vector": "CVSS:3.1/AV:L"},
                "applicability": candidate(branch("6.1.180")),
                "outcome": {"verdict": "not-patchable", "failure": failure("init-code")},
            },
            {
                "id": "CVE-2026-1004", "title": "fs: only mainline has it",
                "cvss": {"score": 5.5, "vector": "CVSS:3.1/AV:L"},
                "applicability": candidate(json!({
                    "mainline-only": [{"version": "6.5", "hash": "cd".repeat(20)}]
                })),
                "outcome": {"verdict": "needs-approval"},
            },
            {
                "id": "CVE-2026-1005", "title": "usb: nobody has a fix",
                "cvss": {"score": 3.0, "vector": "CVSS:3.1/AV:P"},
                "applicability": candidate(json!("none")),
                "outcome": {"verdict": "no-fix"},
            },
            {
                "id": "CVE-2026-1006", "title": "drm: other hardware",
                "applicability": {"verdict": "not-built", "files": ["drivers/gpu/drm/x.c"]},
            },
        ],
        "livepatch": 7, "outcome_digest": digest,
        "submitted_at": "2026-11-23T10:00:00Z", "finished_at": "2026-11-23T10:05:00Z",
    }))
    .expect("a run")
}

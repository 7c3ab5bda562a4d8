use elivepatch_model::Architecture;
use serde_json::{Value, json};

use super::*;

const PATCH: &[u8] = b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-caf\xe9\n+TWO\n";

fn sample() -> SavedFacts {
    let release = "6.12.30-gentoo".parse().expect("a release");
    SavedFacts {
        target: TargetFacts::new(release, Architecture::X86_64),
        config: Some(b"CONFIG_X86_64=y\nCONFIG_MODULES=y\n".to_vec()),
        kallsyms: Some(vec![0x1f, 0x8b, 8, 0]),
        baseline: vec![SavedPatch { name: "a.patch".to_owned(), content: PATCH.to_vec() }],
        baseline_origin: "of sys-kernel/gentoo-sources-6.12.30".to_owned(),
        missing: vec![Missing { what: "lockdown".to_owned(), why: "needs root".to_owned() }],
        collected_by: "elivepatch 0.1.0".to_owned(),
    }
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_slice(&sample().write()).expect("JSON");
    change(&mut value);
    let error = SavedFacts::parse(value.to_string().as_bytes()).expect_err("faulty");
    match &error {
        FactsError::Form(cause) => format!("{error}: {cause}"),
        _ => error.to_string(),
    }
}

#[test]
fn what_is_written_is_read_again() {
    assert_eq!(SavedFacts::parse(&sample().write()).expect("facts"), sample());
}

#[test]
fn any_cut_file_is_refused() {
    let whole = sample().write();
    for end in [0, 1, whole.len() / 2, whole.len() - 3] {
        let error = SavedFacts::parse(&whole[..end]).expect_err("cut");
        assert!(matches!(error, FactsError::Form(_)), "{error}");
    }
    let long = vec![b' '; FACTS_BYTES as usize + 1];
    assert!(matches!(SavedFacts::parse(&long), Err(FactsError::TooLarge)));
}

#[test]
fn other_versions_and_unknown_fields_are_refused() {
    let problem = changed(|file| {
        file["facts_version"] = 2.into();
        file["new_field"] = true.into();
    });
    assert!(problem.contains("of version 2, not 1"), "{problem}");
    let problem = changed(|file| file["kalsyms"] = "".into());
    assert!(problem.contains("unknown field `kalsyms`"), "{problem}");
    let problem = changed(|file| file["target"]["release"] = "../../etc".into());
    assert!(problem.contains("kernel release"), "{problem}");
}

#[test]
fn faulty_parts_are_named() {
    let outside = String::from_utf8_lossy(PATCH).replace("/x", "/../x");
    let cases: [(&str, Value, &str); 7] = [
        ("config", "hello".into(), "config-unreadable"),
        ("config", "CONFIG_ARM64=y".into(), "arm64"),
        ("kallsyms", "&&&".into(), "the list of symbols"),
        ("kallsyms", "A".repeat(12 << 20).into(), "more than 8388608 bytes"),
        ("baseline", json!([{"name": "a.patch", "base64": "?"}]), "the baseline patch a.patch"),
        (
            "baseline",
            json!([{"name": "a.patch", "base64": BASE64.encode(outside)}]),
            "patch-path-outside-tree",
        ),
        ("baseline", Value::Array(vec![json!({"name": "a", "base64": ""}); 257]), "a list"),
    ];
    for (part, value, expected) in cases {
        let problem = changed(|file| file[part] = value);
        assert!(problem.contains(expected), "{part}: {problem}");
    }
}

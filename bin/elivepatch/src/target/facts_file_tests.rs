use std::{fs, io::Write};

use elivepatch_model::Architecture;
use serde_json::{Value, json};

use super::*;
use crate::target::kallsyms::unpack;

const PATCH: &[u8] = b"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-caf\xe9\n+TWO\n";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

fn sample() -> Collected {
    let text = b"CONFIG_X86_64=y\nCONFIG_MODULES=y\n".to_vec();
    let config = KernelConfig::parse(&text).expect("a config");
    let release = "6.12.30-gentoo".parse().expect("a release");
    Collected {
        facts: TargetFacts::new(release, Architecture::X86_64),
        config: Some(ConfigFile { path: "/proc/config.gz".into(), text, config }),
        symbols: Some(unpack(&gzip(b"0 T _text\n40 t start\n")).expect("symbols")),
        baseline: Baseline {
            patches: vec![NamedPatch { name: "a.patch".to_owned(), content: PATCH.into() }],
            origin: "of sys-kernel/gentoo-sources-6.12.30".to_owned(),
        },
        missing: vec![Missing { what: "lockdown".to_owned(), why: "needs root".to_owned() }],
    }
}

fn read_bytes(bytes: &[u8]) -> Result<Collected, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("host.facts.json");
    fs::write(&path, bytes).expect("a file");
    read(&path).map_err(|problem| format!("{problem:?}"))
}

fn changed(change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_slice(&write(&sample())).expect("JSON");
    change(&mut value);
    read_bytes(value.to_string().as_bytes()).expect_err("faulty")
}

#[test]
fn what_is_written_is_read_again() {
    let (then, now) = (sample(), read_bytes(&write(&sample())).expect("facts"));
    assert_eq!(now.facts, then.facts);
    assert_eq!(now.config.expect("a config").text, then.config.expect("a config").text);
    assert_eq!(now.symbols.expect("symbols").list, then.symbols.expect("symbols").list);
    assert_eq!(now.baseline.patches, then.baseline.patches);
    assert_eq!(now.baseline.origin, then.baseline.origin);
    assert_eq!(now.missing, then.missing);
}

#[test]
fn any_cut_file_is_refused() {
    let whole = write(&sample());
    for end in [0, 1, whole.len() / 2, whole.len() - 3] {
        let problem = read_bytes(&whole[..end]).expect_err("cut");
        assert!(problem.contains("cannot read the facts"), "{problem}");
    }
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
    let bomb = BASE64.encode(gzip(&vec![b'0'; 40 << 20]));
    let outside = String::from_utf8_lossy(PATCH).replace("/x", "/../x");
    let cases: [(&str, Value, &str); 8] = [
        ("config", "hello".into(), "config-unreadable"),
        ("config", "CONFIG_ARM64=y".into(), "arm64"),
        ("kallsyms", "&&&".into(), "the list of symbols"),
        ("kallsyms", bomb.into(), "more than 25165824 bytes"),
        ("kallsyms", "A".repeat(12 << 20).into(), "more than 8388608 bytes"),
        ("baseline", json!([{"name": "a\u{1b}.patch", "base64": "?"}]), "a\\\\u{1b}.patch"),
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

#[test]
fn endless_file_is_not_read_to_its_end() {
    let problem = format!("{:?}", read(Path::new("/dev/zero")).expect_err("endless"));
    assert!(problem.contains("more than 67108864 bytes"), "{problem}");
}

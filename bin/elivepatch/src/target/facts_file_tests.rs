use std::{fs, io::Write};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use elivepatch_model::{Architecture, TargetFacts};
use serde_json::{Value, json};

use super::*;
use crate::target::{Missing, kallsyms::unpack};

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
fn faulty_parts_are_named() {
    let bomb = BASE64.encode(gzip(&vec![b'0'; 40 << 20]));
    let cases: [(&str, Value, &str); 5] = [
        ("config", "CONFIG_ARM64=y".into(), "the config is for arm64"),
        ("kallsyms", bomb.into(), "more than 25165824 bytes"),
        ("kallsyms", BASE64.encode("no gzip").into(), "the list of symbols in the facts"),
        ("baseline", json!([{"name": "a\u{1b}.patch", "base64": "?"}]), "a\\\\u{1b}.patch"),
        ("facts_version", 2.into(), "of version 2, not 1"),
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

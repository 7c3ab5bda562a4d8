use serde_json::{Value, json};

use super::*;

fn record() -> Value {
    json!({
        "containers": {"cna": {
            "title": "KEYS: fix overflow in keyctl_pkey_params_get_2()",
            "descriptions": [{"lang": "en", "value": "In the Linux kernel, …"}],
            "affected": [
                {
                    "product": "Linux", "vendor": "Linux", "defaultStatus": "unaffected",
                    "programFiles": ["security/keys/keyctl_pkey.c"],
                    "versions": [
                        {"version": "00d60fd3b93219ea854220f0fd264b86398cbc53", "status": "affected",
                         "lessThan": "cb481e59ea6cae3b7796ac1d7a22b6b24c3f3c0b", "versionType": "git"},
                    ]
                },
                {
                    "product": "Linux", "vendor": "Linux", "defaultStatus": "affected",
                    "programFiles": ["security/keys/keyctl_pkey.c", "include/linux/keyctl.h"],
                    "versions": [
                        {"version": "4.20", "status": "affected"},
                        {"version": "0", "lessThan": "4.20", "status": "unaffected",
                         "versionType": "semver"},
                        {"version": "6.1.177", "lessThanOrEqual": "6.1.*", "status": "unaffected",
                         "versionType": "semver"},
                        {"version": "7.2", "lessThanOrEqual": "*", "status": "unaffected",
                         "versionType": "original_commit_for_fix"}
                    ]
                }
            ],
            "metrics": [{"cvssV3_1": {"version": "3.1", "baseScore": 7.8, "baseSeverity": "HIGH",
                "vectorString": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"}, "scenarios": []}]
        }},
        "cveMetadata": {"assignerOrgId": "x", "cveId": "CVE-2026-63824", "state": "PUBLISHED"},
        "dataType": "CVE_RECORD", "dataVersion": "5.0"
    })
}

fn parse(value: &Value) -> Result<Record, RecordError> {
    Record::parse("CVE-2026-63824".parse().expect("a name"), value.to_string().as_bytes())
}

#[test]
fn record_gives_files_score_and_ranges() {
    let record = parse(&record()).expect("a record");
    assert_eq!(record.program_files, ["include/linux/keyctl.h", "security/keys/keyctl_pkey.c"]);
    assert_eq!(record.cvss.as_ref().map(|cvss| cvss.score), Some(7.8));
    for (version, affected) in [
        ("4.19.3", false),
        ("4.20", true),
        ("6.1.176", true),
        ("6.1.177", false),
        ("6.6.9", true),
        ("7.1.9", true),
        ("7.2", false),
        ("7.2.1", false),
    ] {
        let target = version.parse().expect("a version");
        assert_eq!(record.ranges_say_affected(target), affected, "{version}");
    }
}

#[test]
fn other_spelling_of_the_name_is_read_and_another_name_refused() {
    let mut value = record();
    value["cveMetadata"] = json!({"cveID": "CVE-2026-63824", "state": "PUBLISHED"});
    parse(&value).expect("as rejected records have it");
    value["cveMetadata"] = json!({"cveId": "CVE-2026-1111"});
    let error = parse(&value).expect_err("another one");
    assert_eq!(error.to_string(), "it is the record of CVE-2026-1111");
}

#[test]
fn entry_without_versions_and_record_without_score_are_read() {
    let mut value = record();
    value["containers"]["cna"]["affected"][0]
        .as_object_mut()
        .expect("an object")
        .remove("versions");
    value["containers"]["cna"].as_object_mut().expect("an object").remove("metrics");
    let record = parse(&value).expect("a record");
    assert_eq!(record.cvss, None);
    assert_eq!(record.ranges.len(), 1);
}

#[test]
fn short_hashes_and_versions_of_the_kind_custom_are_read() {
    let mut value = record();
    value["containers"]["cna"]["affected"][0]["versions"] = json!([
        {"version": "e0abdadcc6e1", "lessThan": "8365e9d92b85", "status": "affected",
         "versionType": "git"}]);
    value["containers"]["cna"]["affected"][1]["versions"] = json!([
        {"version": "2.6.12", "status": "affected"},
        {"version": "0", "lessThan": "2.6.12", "status": "unaffected", "versionType": "custom"},
        {"version": "6.1.77", "lessThanOrEqual": "6.1.*", "status": "unaffected",
         "versionType": "custom"}]);
    let record = parse(&value).expect("a record");
    let affected = |version: &str| record.ranges_say_affected(version.parse().expect("a version"));
    assert!(affected("2.6.32.5") && affected("6.1.76") && !affected("6.1.77"));
}

#[test]
fn what_is_no_record_is_refused() {
    for text in ["", "{}", "[]", "{\"containers\": {}}", "\u{feff}{}"] {
        let id = "CVE-2026-63824".parse().expect("a name");
        assert!(matches!(Record::parse(id, text.as_bytes()), Err(RecordError::Form(_))), "{text}");
    }
    let mut value = record();
    value["containers"]["cna"]["affected"][0]["programFiles"] = json!(vec!["a.c"; MOST_ITEMS + 1]);
    assert!(matches!(parse(&value), Err(RecordError::TooLong)));
    value["containers"]["cna"]["affected"][0]["programFiles"] = json!([1]);
    assert!(matches!(parse(&value), Err(RecordError::Form(_))));
}

use serde_json::Value;

use super::super::fixtures;
use super::*;

const STATUSES: [&str; 4] = ["not_affected", "affected", "fixed", "under_investigation"];

fn document(report: &Report) -> Value {
    let text = openvex(report, "http://server").expect("statements");
    assert!(text.find(MARK).is_some_and(|place| place < 1000), "or it would not replace its own");
    let document = serde_json::from_str(&text).expect("JSON");
    assert_valid(&document);
    document
}

/// What the specification (0.2.0) and its JSON schema demand.
fn assert_valid(document: &Value) {
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect();
    let fields: Vec<String> = names(document);
    let all = ["@context", "@id", "author", "statements", "timestamp", "tooling", "version"];
    assert_eq!(fields, all);
    assert_eq!(document["@context"], "https://openvex.dev/ns/v0.2.0");
    assert_eq!(document["version"], 1);
    let timestamp = document["timestamp"].as_str().expect("a text");
    timestamp.parse::<jiff::Timestamp>().expect("a time by RFC 3339");
    assert!(document["author"].as_str().is_some_and(|author| !author.is_empty()));
    let statements = document["statements"].as_array().expect("a list");
    assert!(!statements.is_empty());
    for (index, statement) in statements.iter().enumerate() {
        assert!(!statements[..index].contains(statement), "they are unique");
        let fields: Vec<String> = names(statement);
        let known = [
            "vulnerability",
            "products",
            "status",
            "status_notes",
            "justification",
            "action_statement",
        ];
        assert!(fields.iter().all(|field| known.contains(&field.as_str())), "{fields:?}");
        let status = statement["status"].as_str().expect("a text");
        assert!(STATUSES.contains(&status));
        let justification = statement["justification"].as_str();
        let expected = (status == "not_affected").then_some("vulnerable_code_not_present");
        assert_eq!(justification, expected);
        assert_eq!(statement["action_statement"].is_string(), status == "affected");
        let name = statement["vulnerability"]["name"].as_str().expect("a text");
        assert!(statement["vulnerability"]["@id"].as_str().expect("a text").ends_with(name));
        let product = &statement["products"][0];
        assert!(product["@id"].as_str().expect("a text").starts_with("pkg:"));
        assert_eq!(product["@id"], product["identifiers"]["purl"]);
    }
}

fn statement<'a>(document: &'a Value, name: &str) -> &'a Value {
    let statements = document["statements"].as_array().expect("a list");
    let found = statements.iter().find(|found| found["vulnerability"]["name"] == name);
    found.unwrap_or_else(|| panic!("{name} is missing in {document}"))
}

#[test]
fn statements_are_those_of_the_verdicts() {
    let document = document(&fixtures::finished());
    for (name, status) in [
        ("CVE-2026-1001", "fixed"),
        ("CVE-2026-1002", "affected"),
        ("CVE-2026-1003", "affected"),
        ("CVE-2026-1004", "affected"),
        ("CVE-2026-1005", "affected"),
        ("CVE-2026-1006", "not_affected"),
    ] {
        assert_eq!(statement(&document, name)["status"], status, "{name}");
    }
    let notes = &statement(&document, "CVE-2026-1001")["status_notes"];
    let notes = notes.as_str().expect("a text");
    assert!(notes.contains("livepatch_cves (sha256 ") && notes.contains("is loaded"), "{notes}");
    let action = statement(&document, "CVE-2026-1002")["action_statement"].as_str();
    let action = action.expect("a text");
    assert!(action.contains("boot Linux 6.1.183 or later of this branch"), "{action}");
    assert_eq!(
        statement(&document, "CVE-2026-1002")["products"][0]["@id"],
        "pkg:deb/debian/linux-image-6.1.0-50-cloud-amd64@6.1.176-1?arch=amd64"
    );
}

#[test]
fn name_of_the_document_is_that_of_its_content() {
    let mut report = fixtures::finished();
    let (one, same) = (document(&report), document(&report));
    assert_eq!(one, same);
    report.cves.pop();
    assert_ne!(document(&report)["@id"], one["@id"]);
}

#[test]
fn dry_run_says_fixed_of_nothing_that_is_open() {
    let mut report = fixtures::finished();
    report.run = None;
    for cve in &mut report.cves {
        cve.result.outcome = None;
    }
    // Where no base shows the code in the kernel, it is not known whether it is there.
    report.cves[1].result.applicability = Applicability::Candidate {
        parents: Vec::new(),
        doubt: Some("it is not known what this kernel is built from".to_owned()),
        fixes: elivepatch_cve::Fixes::None,
    };
    let document = document(&report);
    for (name, status) in [
        ("CVE-2026-1001", "affected"),
        ("CVE-2026-1002", "under_investigation"),
        ("CVE-2026-1006", "not_affected"),
    ] {
        assert_eq!(statement(&document, name)["status"], status, "{name}");
    }
    assert!(!document.to_string().contains("\"fixed\""));
}

#[test]
fn what_is_no_cve_is_left_out_and_a_document_about_nothing_is_not_made() {
    let mut report = fixtures::finished();
    report.cves.truncate(1);
    report.cves[0].result.outcome = None;
    report.cves[0].result.applicability = Applicability::Rejected;
    assert!(openvex(&report, "http://server").is_none());
    report.cves[0].result.applicability = Applicability::NotAffected;
    let stated = document(&report);
    assert_eq!(statement(&stated, "CVE-2026-1001")["status"], "not_affected");
}

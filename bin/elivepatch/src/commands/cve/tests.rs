use elivepatch_api::FaultyCve;

use super::*;

fn answer() -> AssessmentResource {
    let answer = serde_json::json!({
        "linux_version": "6.1.176", "version_origin": "as asked for", "is_upper_bound": false,
        "feed_data_at": "2026-08-21T00:00:00Z", "feed_read_at": "2026-08-22T00:00:00Z",
        "feed_is_stale": false, "faulty": 0, "counts": {}, "cves": [],
    });
    serde_json::from_value(answer).expect("an answer")
}

#[test]
fn faulty_cve_is_told_with_its_reason_and_an_unknown_one_without() {
    let mut assessed = answer();
    let id = "CVE-2026-1111".parse().expect("a name");
    assessed.faults = vec![FaultyCve { id, reason: "it has no dyads".to_owned() }];
    let told = |asked: &str| {
        let asked = [asked.parse().expect("a name")];
        format!("{:?}", missing(&asked, &assessed))
    };
    let (faulty, unknown) = (told("CVE-2026-1111"), told("CVE-2026-2222"));
    assert!(faulty.contains("cannot be used: it has no dyads"), "{faulty}");
    assert!(unknown.contains("feed has no CVE-2026-2222"), "{unknown}");
    assert!(missing(&[], &assessed).is_none());
}

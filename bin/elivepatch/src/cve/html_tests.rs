use super::super::fixtures;
use super::*;

#[test]
fn page_has_headline_charts_tables_and_needs_nothing_else() {
    let page = html(&fixtures::finished(), "http://server");
    for part in [
        "1 fixed live, 2 need a reboot, 1 has no fix yet, 254 are not in this kernel, 1 waits for you",
        "Plan a reboot into Linux 6.1.183 or later: it has the fixes of all 2 that need one.",
        "Load the livepatch livepatch_cves (sha256 ",
        "of 2026-08-21 00:00 UTC, 94 days old when this report was made",
        "critical: 1 fixed live; high: 1 needs a reboot",
        "<code>data-structure-changed</code>",
        "Linux 6.1.183",
        "254 are not in this kernel.",
    ] {
        assert!(page.contains(part), "{part} is missing in {page}");
    }
    assert!(page.contains(MARK), "or it would not replace its own");
    for foreign in ["<script", "http://server/", "src=", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(!page.contains("Take care:"));
}

#[test]
fn hostile_text_is_text() {
    let mut report = fixtures::finished();
    let hostile = "</td><script>alert('x')</script><img src=x onerror=y>&\"";
    report.cves[1].title = hostile.to_owned();
    report.grounds.version_origin = hostile.to_owned();
    report.grounds.base_doubt = Some(hostile.to_owned());
    if let Some(Outcome::NotPatchable { failure }) = &mut report.cves[1].result.outcome {
        failure.message = hostile.to_owned();
    }
    if let Some(livepatch) = report.run.as_mut().and_then(|run| run.livepatch.as_mut()) {
        livepatch.name = hostile.to_owned();
    }
    let page = html(&report, hostile);
    assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
    assert!(page.matches("&#60;script").count() >= 6, "{page}");
}

#[test]
fn stale_feed_and_long_tables_are_told() {
    let mut report = fixtures::finished();
    report.grounds.feed_is_stale = true;
    let row = report.cves[1].clone();
    report.cves.extend(std::iter::repeat_n(row, 40));
    let page = html(&report, "http://server");
    assert!(page.contains("newer CVEs are not in this"));
    assert!(page.contains("<summary>17 more</summary>"), "42 less 25");
    // The other one is of what is not in the kernel.
    assert_eq!(page.matches("<details>").count(), 2);
    assert!(page.contains("<summary>Why they are not in this kernel</summary>"));
}

#[test]
fn dry_run_says_that_nothing_was_tried() {
    let mut report = fixtures::finished();
    report.run = None;
    report.counts = [("candidate".to_owned(), 3)].into();
    for cve in &mut report.cves {
        cve.result.outcome = None;
    }
    let page = html(&report, "http://server");
    assert!(page.contains("Nothing was tried yet."));
    assert!(page.contains(">3 may be fixed live</p>"));
    assert!(!page.contains("Their fixes are in the livepatch"));
}

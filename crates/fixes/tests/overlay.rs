//! A livepatch-overlay on the disk.

use std::{fs, os::unix::fs::symlink, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_fixes::{FixSource, FixSourceError, FixSourceOptions, OverlayFix};

const PATCH: &str = "--- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-a\n+b\n";

fn overlay(directory: &tempfile::TempDir) -> (Utf8PathBuf, FixSource) {
    let path = Utf8Path::from_path(directory.path()).expect("UTF-8").to_owned();
    (path.clone(), FixSource::new(&FixSourceOptions::Overlay { path }))
}

async fn fix(source: &FixSource, id: &str) -> Result<Option<OverlayFix>, FixSourceError> {
    let version = "6.1.176".parse().expect("a version");
    source.overlay_fix(id.parse().expect("a CVE"), version).await
}

#[tokio::test]
async fn patch_is_found_by_cve_and_version_and_a_changed_list_is_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, source) = overlay(&directory);
    let error = fix(&source, "CVE-2026-1001").await.expect_err("there is no list");
    assert!(error.to_string().contains("elivepatch.yml cannot be read"), "{error}");
    fs::create_dir(path.join("patches")).expect("own directory");
    fs::write(path.join("patches/a.patch"), PATCH).expect("own file");
    let list =
        "livepatch_version: 0.1\n- 6.1.176\n  - cve_id: CVE-2026-1001\n    path: patches/a.patch\n";
    fs::write(path.join("elivepatch.yml"), list).expect("own file");
    let Some(OverlayFix::Patch { text, path: of }) =
        fix(&source, "CVE-2026-1001").await.expect("a patch")
    else {
        panic!("it is there");
    };
    assert_eq!((text.as_slice(), of.as_str()), (PATCH.as_bytes(), "patches/a.patch"));
    assert_eq!(fix(&source, "CVE-2026-1002").await.expect("a list"), None);
    // The clock of file systems ticks some 250 times a second.
    tokio::time::sleep(Duration::from_millis(20)).await;
    fs::write(path.join("elivepatch.yml"), list.replace("1001", "1002")).expect("own file");
    assert!(fix(&source, "CVE-2026-1002").await.expect("a list").is_some());
    assert_eq!(source.faults().expect("a list"), []);
}

#[tokio::test]
async fn patch_that_lies_elsewhere_is_not_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let (path, source) = overlay(&directory);
    symlink("/etc/passwd", path.join("link.patch")).expect("own link");
    symlink("/etc", path.join("away")).expect("own link");
    fs::write(path.join("empty.patch"), "nothing\n").expect("own file");
    let entry = |number: u32, file: &str| format!("- cve_id: CVE-2026-{number}\n  path: {file}\n");
    let list = format!(
        "livepatch_version: 0.1\n- 6.1.176\n{}{}{}{}",
        entry(1001, "link.patch"),
        entry(1002, "away/passwd"),
        entry(1003, "none.patch"),
        entry(1004, "empty.patch")
    );
    fs::write(path.join("elivepatch.yml"), list).expect("own file");
    for (id, expected) in [
        ("CVE-2026-1001", "is a link"),
        ("CVE-2026-1002", "is a link"),
        ("CVE-2026-1003", "none.patch cannot be read"),
        ("CVE-2026-1004", "no change of any file"),
    ] {
        let error = fix(&source, id).await.expect_err("it is none").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

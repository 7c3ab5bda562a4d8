//! CVE feeds with flaws that tests make up.

use std::{fs, path::Path};

const INTRODUCER: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
const FIX: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

/// Adds a record of a flaw in a file, fixed in a version of the 6.1 branch.
///
/// # Panics
/// When it cannot be written.
pub fn publish(feed: &Path, id: &str, file: &str, fixed: &str) {
    publish_fix(feed, id, file, fixed, FIX);
}

/// The same with the fix in a commit of its own.
///
/// # Panics
/// When it cannot be written.
pub fn publish_fix(feed: &Path, id: &str, file: &str, fixed: &str, commit: &str) {
    let path = feed.join("published").join(&id[4..8]).join(id);
    fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
    let record = serde_json::json!({
        "containers": {"cna": {
            "title": format!("flaw of {file}"),
            "descriptions": [{"lang": "en", "value": "All of it."}],
            "affected": [{"programFiles": [file]}],
        }},
        "cveMetadata": {"cveId": id},
    });
    fs::write(path.with_extension("json"), record.to_string()).expect("own file");
    let dyads = format!("4.20:{INTRODUCER}:{fixed}:{commit}\n");
    fs::write(path.with_extension("dyad"), dyads).expect("own file");
}

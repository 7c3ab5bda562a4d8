//! The commands of fixes that a person approves.

mod ran;
mod running;

use std::{fs, path::PathBuf, process::Command};

use ran::Run;
use running::Running;

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

const PATCH: &str = "--- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-a\n+b\n";

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    /// A server that has read a feed with a CVE, and one that was rejected.
    fn new(config: &str) -> Self {
        let home = Self::without_feed(config);
        for (number, state) in [(1001, "published"), (1002, "rejected")] {
            let path = home.path(&format!("vulns/{state}/2026/CVE-2026-{number}"));
            fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
            let record = format!(
                "{{\"containers\": {{\"cna\": {{\"title\": \"t\"}}}}, \"cveMetadata\": {{\"cveId\": \
                 \"CVE-2026-{number}\"}}}}"
            );
            fs::write(path.with_extension("json"), record).expect("own file");
            fs::write(path.with_extension("dyad"), format!("6.1:{HASH}:0:0\n")).expect("own file");
        }
        home.run(&["feed", "update"]).succeeds();
        home
    }

    fn without_feed(config: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().expect("a directory") };
        let place = home.directory.path().display();
        let config = format!(
            "listen = \"127.0.0.1:0\"\ndata_directory = \"{place}/data\"\ncache_directory = \
             \"{place}/cache\"\n[feed]\nsource = \"{place}/vulns\"\n{}",
            config.replace("HERE", &place.to_string())
        );
        fs::write(home.path("server.toml"), config).expect("own file");
        fs::write(home.path("fix.patch"), PATCH).expect("own file");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(SERVER);
        command.args(arguments).arg("--config").arg(self.path("server.toml"));
        Run(command.env_remove("RUST_LOG").output().expect("the program"))
    }

    fn approve(&self, cve: &str, patch: &str, more: &[&str]) -> Run {
        let patch = self.path(patch);
        let patch = patch.to_str().expect("UTF-8");
        self.run(&[&["fix", "approve", cve, "--patch", patch], more].concat())
    }
}

#[test]
fn patch_is_approved_listed_replaced_and_withdrawn() {
    let home = Home::new("");
    let told = home.approve("CVE-2026-1001", "fix.patch", &["--note", "by me"]).succeeds().stdout();
    assert!(
        told.starts_with("approved fix.patch (") && told.contains(") for CVE-2026-1001\n"),
        "{told}"
    );
    assert!(told.contains("\n  mm/mmap.c\n"), "{told}");
    let list = home.run(&["fix", "list"]).succeeds().stdout();
    assert!(list.starts_with("CVE ") && list.contains("NOTE\nCVE-2026-1001 "), "{list}");
    assert!(list.contains("fix.patch") && list.trim_end().ends_with("by me"), "{list}");

    fs::write(home.path("other.patch"), PATCH.replace("+b", "+c")).expect("own file");
    let told = home.approve("CVE-2026-1001", "other.patch", &[]).succeeds().stdout();
    assert!(told.contains(", instead of the one with the digest "), "{told}");
    let json = home.run(&["fix", "list", "--json"]).succeeds().stdout();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json.as_array().expect("a list").len(), 1);
    assert_eq!(json[0]["cve"], "CVE-2026-1001");
    assert_eq!(json[0]["name"], "other.patch");
    assert_eq!(json[0]["files"][0], "mm/mmap.c");
    assert_eq!(json[0]["digest"].as_str().expect("a digest").len(), 64);

    home.run(&["fix", "withdraw", "CVE-2026-1001"]).succeeds();
    let empty = home.run(&["fix", "list"]).succeeds();
    assert!(empty.stdout().is_empty() && empty.stderr().contains("no fix is approved"));
    assert_eq!(home.run(&["fix", "list", "--json"]).succeeds().stdout(), "[]\n");
    home.run(&["fix", "withdraw", "CVE-2026-1001"])
        .fails(1, &["no fix is approved for CVE-2026-1001", "hint: elivepatch-server fix list"]);
}

#[test]
fn what_cannot_be_approved_is_told_with_the_next_step() {
    let home = Home::new("");
    home.approve("CVE-2026-1003", "fix.patch", &[])
        .fails(1, &["the CVE feed has no CVE-2026-1003", "hint: elivepatch-server feed update"]);
    home.approve("CVE-2026-1002", "fix.patch", &[]).fails(1, &["CVE-2026-1002 was rejected"]);
    home.approve("CVE-1", "fix.patch", &[]).fails(2, &["is no CVE's name"]);
    home.approve("CVE-2026-1001", "none.patch", &[])
        .fails(1, &["none.patch", "No such file", "hint: give a patch with --patch FILE"]);
    home.approve("CVE-2026-1001", "data", &[]).fails(1, &["it is not a regular file"]);
    home.approve("CVE-2026-1001", "server.toml", &[])
        .fails(1, &["server.toml cannot be a livepatch: ", "hint: "]);
    fs::write(home.path("docs.patch"), PATCH.replace("mm/mmap.c", "Documentation/x.rst"))
        .expect("own");
    home.approve("CVE-2026-1001", "docs.patch", &[])
        .fails(1, &["docs.patch cannot be a livepatch: "]);
    fs::write(home.path("large.patch"), PATCH.repeat(30_000)).expect("own file");
    home.approve("CVE-2026-1001", "large.patch", &[]).fails(1, &["more than 1048576 bytes"]);
    home.approve("CVE-2026-1001", "fix.patch", &["--note", "a\nb"])
        .fails(1, &["the note is not one line"]);
    assert_eq!(home.run(&["fix", "list", "--json"]).succeeds().stdout(), "[]\n");

    let home = Home::without_feed("");
    home.approve("CVE-2026-1001", "fix.patch", &[]).fails(1, &["there is no data directory"]);
    fs::create_dir(home.path("data")).expect("own directory");
    home.approve("CVE-2026-1001", "fix.patch", &[])
        .fails(1, &["no CVE feed was read yet", "hint: elivepatch-server feed update"]);
}

#[test]
fn fix_that_the_policy_denies_is_approved_with_a_warning() {
    let home =
        Home::new("[policy]\nautomatic_cve_fixes = \"approved-only\"\ndeny_files = [\"mm/\"]\n");
    let told = home.approve("CVE-2026-1001", "fix.patch", &[]).succeeds().stderr();
    assert!(
        told.contains("warning: it is not built all the same: deny_files in [policy]"),
        "{told}"
    );
    assert!(told.contains("has mm/, and it changes mm/mmap.c"), "{told}");
}

#[test]
fn fixes_are_approved_while_the_server_runs() {
    let home = Home::new("");
    let _server = Running::start(&home.path("server.toml"), &[]);
    home.approve("CVE-2026-1001", "fix.patch", &[]).succeeds();
    let list = home.run(&["fix", "list"]).succeeds().stdout();
    assert!(list.contains("CVE-2026-1001"), "{list}");
    home.run(&["fix", "withdraw", "CVE-2026-1001"]).succeeds();
}

#[test]
fn check_config_looks_at_the_sources_of_fixes() {
    let home = Home::new(
        "[[fixes]]\nkind = \"directory\"\npath = \"HERE/fixes\"\n[[fixes]]\nkind = \
         \"livepatch-overlay\"\npath = \"HERE/overlay\"\n[[fixes]]\nkind = \"git\"\npath = \"HERE/linux\"\n",
    );
    fs::create_dir(home.path("overlay")).expect("own directory");
    fs::write(home.path("overlay/elivepatch.yml"), "livepatch_version: 0.1\n- x\n").expect("own");
    home.run(&["check-config"]).fails(
        1,
        &[
            "a source of fixes cannot be used: ",
            "fixes cannot be read: No such file",
            "elivepatch.yml, line 2: it is neither an item nor KEY: VALUE",
            "linux is not a clone",
            "hint: correct its [[fixes]]",
        ],
    );
    let home = Home::new("[[fixes]]\nkind = \"directory\"\npath = \"HERE/vulns\"\n");
    let told = home.run(&["check-config"]).succeeds().stdout();
    assert!(told.contains("fixes:            the directory /"), "{told}");
}

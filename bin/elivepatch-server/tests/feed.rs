//! The commands of the CVE feed.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().expect("a directory") };
        let place = home.directory.path().display();
        let config = format!(
            "data_directory = \"{place}/data\"\ncache_directory = \"{place}/cache\"\n{}",
            config.replace("HERE", &place.to_string())
        );
        fs::write(home.path("server.toml"), config).expect("own file");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn publish(&self, number: u32, record: &str) {
        let path = self.path(&format!("vulns/published/2026/CVE-2026-{number}"));
        fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs::write(path.with_extension("json"), record).expect("own file");
        fs::write(path.with_extension("dyad"), format!("6.1:{HASH}:0:0\n")).expect("own file");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elivepatch-server"));
        command.arg("feed").args(arguments).arg("--config").arg(self.path("server.toml"));
        command
    }
}

fn record(number: u32) -> String {
    format!(
        "{{\"containers\": {{\"cna\": {{\"title\": \"t\"}}}}, \"cveMetadata\": {{\"cveId\": \
         \"CVE-2026-{number}\"}}}}"
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn feed_is_read_and_told_with_its_age_and_its_faults() {
    let home = Home::new("[feed]\nsource = \"HERE/vulns\"\n");
    home.publish(1001, &record(1001));
    home.publish(1002, "{");
    let updated = home.run(&["update"]);
    assert_eq!(updated.status.code(), Some(0), "{}", text(&updated.stderr));
    let told = text(&updated.stdout);
    assert!(
        told.starts_with("1 published, 0 rejected, 1 faulty; 1 new, 0 changed, 0 gone"),
        "{told}"
    );
    assert!(text(&updated.stderr).contains("elivepatch-server feed faults"));
    let told = text(&home.run(&["status"]).stdout);
    assert!(
        told.matches("UTC, just now\n").count() == 3
            && told.contains("data of:")
            && told.contains("published: 1\n"),
        "{told}"
    );
    let status: serde_json::Value =
        serde_json::from_slice(&home.run(&["status", "--json"]).stdout).expect("JSON");
    assert_eq!(status["faulty"], 1);
    assert_eq!(status["is_stale"], false);
    let told = text(&home.run(&["faults"]).stdout);
    assert!(told.starts_with("CVE-2026-1002: it is no CVE record: "), "{told}");
}

#[test]
fn what_is_not_there_is_told_with_the_next_step() {
    let home = Home::new("");
    let told = |output: &Output| text(&output.stderr);
    let update = home.run(&["update"]);
    assert_eq!(update.status.code(), Some(1));
    assert!(told(&update).contains("hint: set source in its [feed] section"), "{}", told(&update));
    let status = home.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(told(&status).contains("there is no data directory"), "{}", told(&status));

    let home = Home::new("[feed]\nsource = \"HERE/vulns\"\n");
    let update = home.run(&["update"]);
    assert_eq!(update.status.code(), Some(1));
    assert!(told(&update).contains("cannot read the feed"), "{}", told(&update));
    assert!(told(&home.run(&["status"])).contains("no CVE feed was read yet"));
    // Nothing listens there.
    let home = Home::new("[feed]\nsource = \"http://127.0.0.1:9/vulns.git\"\n");
    let update = home.run(&["update"]);
    assert_eq!(update.status.code(), Some(4));
    assert!(told(&update).contains("git cannot fetch http://127.0.0.1:9"), "{}", told(&update));
    let home = Home::new("[feed]\nsource = \"vulns\"\nevery_hours = 0\n");
    let update = home.run(&["update"]);
    assert_eq!(update.status.code(), Some(1));
    for part in ["feed.source", "nor an absolute path", "feed.every_hours"] {
        assert!(told(&update).contains(part), "{part}: {}", told(&update));
    }
}

#[test]
fn mirror_that_cannot_be_kept_is_the_disks_fault_and_a_password_is_not_shown() {
    let home = Home::new("[feed]\nsource = \"http://me:s3cret@127.0.0.1:9/vulns.git\"\n");
    let update = home.run(&["update"]);
    assert_eq!(update.status.code(), Some(4));
    let told = text(&update.stderr);
    assert!(!told.contains("s3cret") && told.contains("reading http://127.0.0.1:9/"), "{told}");

    let lock = home.path("cache/feed.git.lock");
    fs::remove_file(&lock).expect("own file");
    fs::create_dir(&lock).expect("own directory");
    let update = home.run(&["update"]);
    assert_eq!(update.status.code(), Some(3), "{}", text(&update.stderr));
    assert!(text(&update.stderr).contains("hint: look at the disk of the cache"));
}

#[test]
fn feed_that_cannot_be_put_away_while_it_is_read_is_not_taken_over() {
    let home = Home::new("[feed]\nsource = \"HERE/vulns\"\n");
    home.publish(1001, &record(1001));
    assert!(home.run(&["update"]).status.success());
    home.publish(1002, &record(1002));
    let place = home.path("none");
    let run = home.command(&["update"]).env("TMPDIR", &place).output().expect("the program");
    let said = text(&run.stderr);
    assert!(!run.status.success(), "{said}");
    let what = format!("cannot keep what was read of the feed in {}", place.display());
    assert!(said.contains(&what) && said.contains("hint: ") && said.contains("TMPDIR"), "{said}");
    let status = text(&home.run(&["status"]).stdout);
    assert!(status.contains("published: 1\n"), "{status}");
}

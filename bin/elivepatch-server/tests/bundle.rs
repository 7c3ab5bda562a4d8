//! Carrying the feed and the texts of fixes to a server without a network.

mod ran;

use std::{fs, path::PathBuf, process::Command};

use ran::Run;

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

const HASH: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";

const FIX: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

const PATCH: &str = "--- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-a\n+b\n";

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().expect("a directory") };
        home.configure(config);
        home
    }

    /// A server that has read a feed, and can have a fix.
    fn connected() -> Self {
        let home = Self::new(
            "[feed]\nsource = \"HERE/vulns\"\n[[fixes]]\nkind = \"directory\"\npath = \"HERE/fixes\"\n",
        );
        fs::create_dir(home.path("fixes")).expect("own directory");
        fs::write(home.path(&format!("fixes/{FIX}.patch")), PATCH).expect("own file");
        for number in [1001, 1002] {
            home.publish(number);
        }
        home.run(&["feed", "update"]).succeeds();
        home.run(&[
            "feed",
            "keygen",
            "--secret",
            &home.text("secret"),
            "--public",
            &home.text("public"),
        ])
        .succeeds();
        home
    }

    fn configure(&self, config: &str) {
        let place = self.directory.path().display();
        let config = format!(
            "data_directory = \"{place}/data\"\ncache_directory = \"{place}/cache\"\n{}",
            config.replace("HERE", &place.to_string())
        );
        fs::write(self.path("server.toml"), config).expect("own file");
    }

    fn publish(&self, number: u32) {
        let path = self.path(&format!("vulns/published/2026/CVE-2026-{number}"));
        fs::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        let record = format!(
            "{{\"containers\": {{\"cna\": {{\"title\": \"t\"}}}}, \"cveMetadata\": {{\"cveId\": \
             \"CVE-2026-{number}\"}}}}"
        );
        fs::write(path.with_extension("json"), record).expect("own file");
        let dyads = format!("5.10:{HASH}:6.1.177:{FIX}\n");
        fs::write(path.with_extension("dyad"), dyads).expect("own file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("UTF-8").to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(SERVER);
        command.args(arguments).arg("--config").arg(self.path("server.toml"));
        Run(command.env_remove("RUST_LOG").output().expect("the program"))
    }

    fn export(&self, more: &[&str]) -> Run {
        let (file, key) = (self.text("bundle"), self.text("secret"));
        self.run(&[&["feed", "export", &file, "--key", &key], more].concat())
    }

    fn import(&self, from: &Self, more: &[&str]) -> Run {
        self.run(&[&["feed", "import", &from.text("bundle")], more].concat())
    }

    /// What is known of the feed, but for where it comes from and when it came here.
    fn status(&self) -> serde_json::Value {
        let status = self.run(&["feed", "status", "--json"]).succeeds().stdout();
        let mut status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
        for key in ["source", "changed_at", "is_imported"] {
            status.as_object_mut().expect("an object").remove(key).expect("it is told");
        }
        status
    }
}

#[test]
fn feed_and_fixes_are_carried_to_a_server_that_names_no_source() {
    let (there, here) = (Home::connected(), Home::new(""));
    let exported = there.export(&["--fixes-for", "6.1.176,6.1.175"]).succeeds();
    assert!(exported.stderr().contains("looked for 1 of 1 fixes\n"), "{}", exported.stderr());
    let told = exported.stdout();
    assert!(
        told.contains("/bundle: 2 published, 0 rejected, 0 faulty; 1 fixes (")
            && told.contains("), signed by key "),
        "{told}"
    );
    let told = here.import(&there, &["--public-key", &there.text("public")]).succeeds().stdout();
    assert!(
        told.starts_with("2 published, 0 rejected, 0 faulty; 2 new, 0 changed, 0 gone\n1 new fixes, 0 were here\n"),
        "{told}"
    );
    assert_eq!(here.status(), there.status());
    let shown = here.run(&["feed", "status"]).succeeds();
    assert!(
        shown.stdout().starts_with("source:    import of bundle, exported at 20"),
        "{}",
        shown.stdout()
    );
    assert_eq!(shown.stderr(), "", "it is not stale");
    // The fixes are at hand: this server carries them on without any source.
    here.run(&[
        "feed",
        "keygen",
        "--secret",
        &here.text("secret"),
        "--public",
        &here.text("public"),
    ])
    .succeeds();
    let told = here.export(&["--fixes-for", "6.1.176"]).succeeds();
    assert!(told.stdout().contains("; 1 fixes ("), "{}", told.stdout());
    assert!(!told.stderr().contains("without the fix"), "{}", told.stderr());
}

#[test]
fn keys_of_the_config_are_enough_and_a_source_beside_an_import_is_warned_of() {
    let there = Home::connected();
    there.export(&[]).succeeds();
    let public = fs::read_to_string(there.path("public")).expect("own file");
    let key = public.lines().nth(1).expect("a key");
    let here = Home::new("");
    here.import(&there, &[]).fails(
        1,
        &["there is no public key to verify", "hint: give --public-key FILE, or set public_keys"],
    );
    assert!(!here.path("data").exists(), "there is nothing to keep");
    here.configure(&format!("[feed]\npublic_keys = [\"{key}\"]\n"));
    here.import(&there, &[]).succeeds();
    here.configure(&format!("[feed]\nsource = \"HERE/vulns\"\npublic_keys = [\"{key}\"]\n"));
    let told = here.import(&there, &[]).succeeds().stderr();
    assert!(told.contains("warning: the config names a source of the feed"), "{told}");
    here.configure("[feed]\npublic_keys = [\"RWQ\"]\n");
    here.import(&there, &[]).fails(1, &["feed.public_keys", "\"RWQ\" is no public key"]);
    // The age of what was imported is told by the config without a source as well.
    here.configure("[feed]\nstale_days = 1\n");
    assert_eq!(here.run(&["feed", "status"]).succeeds().stderr(), "");
}

#[test]
fn file_that_is_not_to_be_believed_changes_nothing() {
    let (there, here) = (Home::connected(), Home::new(""));
    there.export(&[]).succeeds();
    let public = there.text("public");
    here.import(&there, &["--public-key", &public]).succeeds();
    let before = here.run(&["feed", "status", "--json"]).succeeds().stdout();
    there.publish(1003);
    there.run(&["feed", "update"]).succeeds();
    there.export(&[]).succeeds();
    let whole = fs::read(there.path("bundle")).expect("own file");
    let stays = |run: Run, code: i32, expected: &[&str]| {
        run.fails(code, expected);
        assert_eq!(here.run(&["feed", "status", "--json"]).succeeds().stdout(), before);
    };

    let other = Home::connected();
    stays(
        here.import(&there, &["--public-key", &other.text("public")]),
        1,
        &["is signed by the key ", "which is not trusted here; trusted: ", "when you trust him"],
    );
    let mut changed = whole.clone();
    changed[3 * 512 + 20] ^= 1;
    fs::write(there.path("bundle"), changed).expect("own file");
    stays(
        here.import(&there, &["--public-key", &public, "--force"]),
        1,
        &[
            "nothing is imported",
            "does not fit: it was changed after the key",
            "hint: carry the file",
        ],
    );
    fs::write(there.path("bundle"), &whole[..whole.len() / 2]).expect("own file");
    stays(
        here.import(&there, &["--public-key", &public]),
        1,
        &["is cut off: feed.tar.zst should have"],
    );
    fs::write(there.path("bundle"), "a page of a web server").expect("own file");
    stays(here.import(&there, &["--public-key", &public]), 1, &["is no bundle: "]);
    fs::remove_file(there.path("bundle")).expect("own file");
    stays(here.import(&there, &["--public-key", &public]), 1, &["cannot read ", "No such file"]);
    stays(here.import(&there, &["--public-key", "none"]), 1, &["cannot read the key none"]);
    stays(
        here.import(&there, &["--public-key", &there.text("secret")]),
        1,
        &["is no public key of minisign's"],
    );
    fs::write(there.path("bundle"), &whole).expect("own file");
    here.import(&there, &["--public-key", &public]).succeeds();
    assert_ne!(here.run(&["feed", "status", "--json"]).succeeds().stdout(), before);
}

#[test]
fn older_file_is_refused_with_both_dates() {
    let (there, here) = (Home::connected(), Home::new(""));
    for number in [1001, 1002] {
        for ending in ["json", "dyad"] {
            let path = there.path(&format!("vulns/published/2026/CVE-2026-{number}.{ending}"));
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
            let file = fs::File::options().append(true).open(path).expect("own file");
            file.set_modified(time).expect("own file");
        }
    }
    there.run(&["feed", "update"]).succeeds();
    there.export(&[]).succeeds();
    fs::copy(there.path("bundle"), there.path("old")).expect("own file");
    there.publish(1002);
    there.run(&["feed", "update"]).succeeds();
    there.export(&[]).succeeds();
    let public = there.text("public");
    here.import(&there, &["--public-key", &public]).succeeds();
    let import = ["feed", "import", &there.text("old"), "--public-key", &public];
    let this_year = format!("what is here is of {}", jiff::Timestamp::now().strftime("%Y-%m-%d"));
    here.run(&import).fails(
        1,
        &["is of 2023-11-14T22:13:20Z, and ", &this_year, "hint: take the newest bundle; --force"],
    );
    let told = here.run(&[&import[..], &["--force"]].concat()).succeeds();
    assert!(told.stdout().contains("data of 2023-11-14 22:13 UTC, "), "{}", told.stdout());
    let shown = here.run(&["feed", "status"]).succeeds();
    assert!(shown.stderr().contains("the feed is stale: export it anew"), "{}", shown.stderr());
}

#[test]
fn what_cannot_be_exported_is_told_with_the_next_step() {
    let there = Home::connected();
    fs::remove_file(there.path(&format!("fixes/{FIX}.patch"))).expect("own file");
    let patch = there.text("own.patch");
    fs::write(&patch, PATCH).expect("own file");
    there.run(&["fix", "approve", "CVE-2026-1001", "--patch", &patch]).succeeds();
    let exported = there.export(&["--all-fixes"]).succeeds();
    let told = exported.stderr();
    for part in [
        &format!("warning: without the fix {FIX} of CVE-2026-1001, CVE-2026-1002: the directory "),
        "it does not have this commit",
        "1 fixes could not be had",
        "1 approved fixes are not exported: a person approves them on each server",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(exported.stdout().contains("; 0 fixes ("), "{}", exported.stdout());

    let (secret, public) = (there.text("secret"), there.text("public"));
    let before = fs::read(&secret).expect("own file");
    there.run(&["feed", "keygen", "--secret", &secret, "--public", &there.text("new")]).fails(
        1,
        &["cannot write the key ", "File exists", "hint: name a file that is not there yet"],
    );
    assert_eq!(fs::read(&secret).expect("own file"), before);
    let file = there.text("bundle");
    there
        .run(&["feed", "export", &file, "--key", &public])
        .fails(1, &["is no secret key of minisign's: ", "hint: elivepatch-server feed keygen"]);
    there.run(&["feed", "export", &file, "--key", &secret, "--fixes-for", "x"]).fails(2, &["x"]);
    there.run(&["feed", "export", &there.text("none/bundle"), "--key", &secret]).fails(
        1,
        &["none/bundle", "No such file", "hint: name a file in a directory that is there"],
    );
    let empty = Home::new("");
    fs::create_dir(empty.path("data")).expect("own directory");
    empty
        .run(&["feed", "export", &file, "--key", &secret])
        .fails(1, &["no CVE feed was read yet", "hint: elivepatch-server feed update"]);
}

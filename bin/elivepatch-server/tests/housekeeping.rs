//! `base`, `gc` and the disk budget as users meet them: the real program on a cache with entries
//! that are made up, since housekeeping looks at names, sizes, times and locks only.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().expect("a directory") };
        for part in ["bases", "packages", "toolchain-roots", "sources"] {
            fs::create_dir_all(home.cache().join(part)).expect("made");
        }
        let text = format!(
            "data_directory = {:?}\ncache_directory = {:?}\n{config}",
            home.directory.path().join("data"),
            home.cache(),
        );
        fs::write(home.directory.path().join("server.toml"), text).expect("written");
        home
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(SERVER);
        command.args(arguments).arg("--config").arg(self.directory.path().join("server.toml"));
        command.env_remove("RUST_LOG");
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the server runs")
    }

    /// A base with so many files of one block each.
    fn base(&self, name: &str, files: usize, days_ago: u64) -> PathBuf {
        let base = self.cache().join("bases").join(name);
        fs::create_dir_all(base.join("tree")).expect("made");
        for number in 0..files {
            fs::write(base.join(format!("tree/{number}")), "content").expect("written");
        }
        used(&base, days_ago);
        base
    }

    fn hold(&self, entry: &Path) -> std::process::Child {
        let mut child = Command::new("flock")
            .args(["--shared", "--no-fork"])
            .arg(format!("{}.lock", entry.display()))
            .args(["sh", "-c", "echo held; exec sleep 60"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("flock of util-linux");
        let mut line = String::new();
        let output = child.stdout.as_mut().expect("piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).expect("line");
        assert_eq!(line, "held\n");
        child
    }
}

fn used(path: &Path, days_ago: u64) {
    let time = SystemTime::now() - Duration::from_secs(days_ago * 24 * 3600);
    fs::File::open(path).and_then(|file| file.set_modified(time)).expect("own file");
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn base_list_shows_what_is_there_and_json_has_all_of_it() {
    let home = Home::new("");
    home.base("6.1.0-50-cloud-amd64-91477d87e345", 300, 3);
    let held = home.base("6.12.1-small-8c5d98f00ef8", 10, 1);
    assert!(stdout(&home.run(&["base", "pin", "6.1.0"])).contains("91477d87e345 stays"));
    let mut holder = home.hold(&held);
    let listed = stdout(&home.run(&["base", "list"]));
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[1].starts_with("6.12.1-small-8c5d98f00ef8") && lines[1].ends_with("in use"));
    assert!(lines[2].starts_with("6.1.0-50-cloud-amd64-") && lines[2].ends_with("pinned"));

    let json: serde_json::Value =
        serde_json::from_str(&stdout(&home.run(&["base", "list", "--json"]))).expect("JSON");
    assert_eq!(json[0]["in_use"], true);
    assert_eq!(json[1]["pinned"], true);
    assert_eq!(json[1]["digest"], "91477d87e345");
    let bytes = json[1]["bytes"].as_u64().expect("a number");
    assert!((300 * 512..3_000_000).contains(&bytes), "{bytes}");
    holder.kill().and_then(|()| holder.wait()).expect("own process");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&home.run(&["base", "list", "--json"]))).expect("JSON");
    assert_eq!(json[0]["in_use"], false);
}

#[test]
fn base_that_is_in_use_or_pinned_is_not_removed_and_the_next_step_is_said() {
    let home = Home::new("");
    let base = home.base("6.1.0-50-91477d87e345", 3, 3);
    let mut holder = home.hold(&base);
    let refused = home.run(&["base", "remove", "91477d87e345"]);
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    assert!(told.contains("error: the base 6.1.0-50-91477d87e345 is in use\n"), "{told}");
    assert!(told.contains("hint: wait for the builds that use it, or cancel them"), "{told}");
    holder.kill().and_then(|()| holder.wait()).expect("own process");

    stdout(&home.run(&["base", "pin", "91477"]));
    let told = stderr(&home.run(&["base", "remove", "91477d87e345"]));
    assert!(told.contains("hint: elivepatch-server base unpin 6.1.0-50-91477d87e345"), "{told}");
    stdout(&home.run(&["base", "unpin", "91477"]));
    let removed = stdout(&home.run(&["base", "remove", "91477d87e345"]));
    assert!(removed.starts_with("6.1.0-50-91477d87e345 is removed: "), "{removed}");
    assert!(!base.exists());
    let told = stderr(&home.run(&["base", "remove", "91477d87e345"]));
    assert!(told.contains("error: there is no base 91477d87e345\n"), "{told}");
}

#[test]
fn removal_that_is_killed_half_way_leaves_no_half_base_and_gc_removes_the_rest() {
    let home = Home::new("");
    let base = home.base("6.1.0-50-91477d87e345", 40_000, 3);
    let away = base.with_file_name("6.1.0-50-91477d87e345.removed");
    let mut removal = home.command(&["base", "remove", "91477d87e345"]).spawn().expect("it runs");
    let began = Instant::now();
    // As soon as it is out of its place the files go, one after the other.
    while !away.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not begin");
        std::thread::sleep(Duration::from_micros(200));
    }
    removal.kill().and_then(|()| removal.wait()).expect("own process");
    let left = fs::read_dir(away.join("tree")).map_or(0, Iterator::count);
    assert!(left > 0, "killed too late for this test to show anything");
    assert!(!base.exists(), "what was a base is none any more");
    let listed = home.run(&["base", "list"]);
    assert_eq!(stdout(&listed), "");

    let would = stdout(&home.run(&["gc", "--dry-run"]));
    assert!(would.contains("would remove base 6.1.0-50-91477d87e345.removed: "), "{would}");
    assert!(away.exists());
    let did = stdout(&home.run(&["gc"]));
    assert!(did.contains("removed base 6.1.0-50-91477d87e345.removed: "), "{did}");
    assert!(did.contains("its removal was interrupted"), "{did}");
    assert!(!away.exists());
}

#[test]
fn gc_says_what_went_what_is_left_and_what_the_budget_is() {
    // That a budget is kept, and in which order, is tested in the builder, with budgets of megabytes.
    let home = Home::new("[cache]\ndisk_budget_gib = 5\n");
    let partial = home.cache().join("packages/linux.deb.partial");
    fs::write(&partial, vec![7; 3_000_000]).expect("written");
    let root = home.cache().join("toolchain-roots/debian-1-gcc-1");
    fs::create_dir_all(&root).expect("made");
    let would = stdout(&home.run(&["gc", "--dry-run"]));
    let expected = "would remove package linux.deb.partial: 3 MB, given up half made\n\
                    would remove toolchain root debian-1-gcc-1: 5 kB, no recipe names it\n\
                    3 MB would be freed, 0 kB left; the budget is 5.4 GB\n";
    assert_eq!(would, expected);
    assert!(partial.exists() && root.exists());
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&home.run(&["gc", "--json"]))).expect("JSON");
    assert_eq!(json["removed"][0]["name"], "linux.deb.partial");
    assert_eq!(json["removed"][1]["reason"], "no-recipe");
    assert_eq!(json["budget_bytes"], 5_u64 << 30);
    assert!(!partial.exists() && !root.exists());
}

#[test]
fn cache_that_is_not_there_is_named_and_not_made() {
    let home = Home::new("");
    let missing = home.directory.path().join("nowhere");
    let missing = missing.to_str().expect("UTF-8");
    for command in [&["base", "list"][..], &["gc"]] {
        let refused = home.run(&[command, &["--cache-directory", missing]].concat());
        assert_eq!(refused.status.code(), Some(1));
        let told = stderr(&refused);
        assert!(told.contains(&format!("there is no cache directory {missing}")), "{told}");
    }
    assert!(!Path::new(missing).exists());
}

/// A config with recipes of its own; nothing listens where the archive should be.
fn with_recipe(recipe: &str) -> Home {
    let closed = "http://127.0.0.1:9/debian";
    let recipes = tempfile::tempdir().expect("a directory").keep();
    let home = Home::new(&format!(
        "toolchain_recipes = {recipes:?}\n[debian]\nmirror = {closed:?}\nsecurity_mirror = {closed:?}\n"
    ));
    // So that it goes with the rest.
    fs::rename(&recipes, home.directory.path().join("recipes")).expect("own directory");
    let text = fs::read_to_string(home.directory.path().join("server.toml")).expect("own file");
    let moved = home.directory.path().join("recipes").display().to_string();
    let text = text.replace(recipes.to_str().expect("UTF-8"), &moved);
    fs::write(home.directory.path().join("server.toml"), text).expect("own file");
    fs::write(home.directory.path().join("recipes/mine.toml"), recipe).expect("own file");
    home
}

const BEGINNING: &str = "name = \"mine\"\narchitecture = \"x86_64\"\n\
    compiler_text_begins = \"gcc (Mine) \"\ncompiler = \"gcc\"\n";

#[test]
fn toolchain_list_has_the_shipped_recipes_and_those_of_the_administrator() {
    let home = with_recipe(&format!("{BEGINNING}[host]\n"));
    let listed = stdout(&home.run(&["toolchain", "list"]));
    let line = |name: &str| listed.lines().find(|line| line.starts_with(name)).expect("listed");
    assert!(line("debian-12-gcc-12 ").contains("not made"), "{listed}");
    assert!(line("mine ").ends_with("for gcc (Mine) …"), "{listed}");
    let root = home.cache().join("toolchain-roots/old-root");
    fs::create_dir(&root).expect("own directory");
    let text = stdout(&home.run(&["toolchain", "list", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let of = |name: &str| {
        let roots = json.as_array().expect("a list");
        roots.iter().find(|root| root["name"] == name).expect("listed").clone()
    };
    assert_eq!((&of("mine")["origin"], &of("mine")["state"]), (&"host".into(), &"not-made".into()));
    assert_eq!(of("old-root")["state"], "no-recipe");

    let told = stderr(&home.run(&["toolchain", "verify", "mine"]));
    assert!(told.contains("hint: elivepatch-server toolchain create mine"), "{told}");
    let told = stderr(&home.run(&["toolchain", "create", "debian-13"]));
    assert!(told.contains("debian-13 may be any of debian-13-clang-19, "), "{told}");
    let told = stderr(&home.run(&["toolchain", "remove", "old"]));
    assert!(told.contains("error: old is too short to remove a toolchain root by it: old-root\n"));
    assert!(told.contains("hint: give the whole name\n"), "{told}");
    let removed = stdout(&home.run(&["toolchain", "remove", "old-root"]));
    assert!(removed.starts_with("old-root is removed"), "{removed}");
    assert!(!root.exists());
}

#[test]
fn recipe_that_cannot_be_used_is_named_with_its_file_and_key() {
    let home = with_recipe(&format!("{BEGINNING}make_flags = [\"KCFLAGS=-O0\"]\n[host]\n"));
    for arguments in [&["toolchain", "list"][..], &["check-config"]] {
        let refused = home.run(arguments);
        let told = stderr(&refused);
        assert!(!refused.status.success(), "{told}");
        assert!(told.contains("mine.toml cannot be used: make_flags: \"KCFLAGS=-O0\""), "{told}");
    }
}

#[test]
fn tarball_or_image_with_another_digest_is_refused_and_nothing_is_left_of_it() {
    let zeros = "0".repeat(64);
    let home = with_recipe(BEGINNING);
    let tarball = home.directory.path().join("root.tar");
    fs::write(&tarball, "no tar").expect("own file");
    let recipe = |more: String| {
        let path = home.directory.path().join("recipes/mine.toml");
        fs::write(path, format!("{BEGINNING}{more}")).expect("own file");
        let refused = home.run(&["toolchain", "create", "mine"]);
        assert_eq!(refused.status.code(), Some(3));
        for left in ["mine", "mine.partial"] {
            assert!(!home.cache().join("toolchain-roots").join(left).exists(), "{left}");
        }
        stderr(&refused)
    };
    let told = recipe(format!("[tarball]\npath = {tarball:?}\nsha256 = \"{zeros}\"\n"));
    assert!(
        told.contains(&format!("and its recipe says {zeros} (toolchain-failed)\nhint: fetch it")),
        "{told}"
    );
    // With the right digest it is still no tar.
    let sum = Command::new("sha256sum").arg(&tarball).output().expect("coreutils");
    let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_owned();
    let told = recipe(format!("[tarball]\npath = {tarball:?}\nsha256 = \"{sum}\"\n"));
    assert!(told.contains("tar cannot unpack "), "{told}");
    let told = recipe(format!("[oci]\npath = \"/no/such/image\"\ndigest = \"{zeros}\"\n"));
    assert!(
        told.contains("/no/such/image is not there (toolchain-failed)\nhint: put the image there"),
        "{told}"
    );
}

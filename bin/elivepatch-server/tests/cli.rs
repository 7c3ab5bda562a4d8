//! The command line as users meet it.

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

#[test]
fn help_is_under_snapshot() {
    trycmd::TestCases::new().env("COLUMNS", "100").case("tests/cmd/*.trycmd");
}

/// A directory with a config in it.
struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a config with directories in this one, and `more`.
    fn write_config(&self, more: &str) {
        let text = format!(
            "data_directory = {:?}\ncache_directory = {:?}\n{more}",
            self.path("data"),
            self.path("cache"),
        );
        std::fs::write(self.path("server.toml"), text).expect("written");
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let config = self.path("server.toml");
        let mut command = Command::new(SERVER);
        command.args(arguments).arg("--config").arg(config).env_remove("RUST_LOG");
        command.output().expect("the server runs")
    }
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn init_writes_a_config_that_check_config_accepts_and_never_overwrites() {
    let home = Home::new();
    let (data, cache) = (home.path("new/data"), home.path("new/cache"));
    let init = ["init", "--data-directory", text(&data), "--cache-directory", text(&cache)];
    let made = home.run(&init);
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).contains("next: elivepatch-server --config "), "{}", stdout(&made));
    assert!(data.is_dir() && cache.is_dir());
    let before = std::fs::read_to_string(home.path("server.toml")).expect("read");

    let again = home.run(&init);
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("exists already"), "{}", stderr(&again));
    assert_eq!(std::fs::read_to_string(home.path("server.toml")).expect("read"), before);

    let checked = home.run(&["check-config"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(stdout(&checked).contains("no problem found"), "{}", stdout(&checked));
    assert!(stdout(&checked).contains(text(&data)), "{}", stdout(&checked));
    let workers = "workers:          1, so one build at a time";
    assert!(stdout(&checked).contains(workers), "{}", stdout(&checked));
}

#[test]
fn check_config_says_how_many_builds_run_at_the_same_time() {
    let home = Home::new();
    home.write_config("[builder]\nworkers = 3\n");
    let checked = home.run(&["check-config"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    let workers = "workers:          3, so up to 3 builds at the same time";
    assert!(stdout(&checked).contains(workers), "{}", stdout(&checked));

    home.write_config("[builder]\nworkers = 0\n");
    let told = stderr(&home.run(&["check-config"]));
    assert!(told.contains("builder.workers: 0 is too little; 1 is the least"), "{told}");
}

#[test]
fn check_config_says_what_clients_without_a_token_get_and_warns_of_a_key_that_does_nothing() {
    let home = Home::new();
    home.write_config("[compat]\norders = 7\naccept_unproven = true\n");
    let checked = home.run(&["check-config"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    let limits = "REST API v1.0:    answered, without a token; builds at a time: 7; a day: no limit; new kernels a day: no limit\n";
    assert!(stdout(&checked).contains(limits), "{}", stdout(&checked));
    let warning = "warning: accept_unproven under [compat] does nothing as long as allow_unproven under [policy]";
    assert!(stderr(&checked).contains(warning), "{}", stderr(&checked));

    home.write_config("[policy]\nallow_unproven = true\n[compat]\naccept_unproven = true\n");
    let checked = home.run(&["check-config"]);
    assert!(checked.status.success() && !stderr(&checked).contains("warning: "), "{checked:?}");

    home.write_config("[access]\ntokens = \"always\"\n[compat]\nv1 = true\n");
    let told = stderr(&home.run(&["check-config"]));
    assert!(told.contains("warning: everybody who reaches this server may order builds"), "{told}");
    assert!(told.contains("set disk_budget_gib under [cache]"), "{told}");
}

#[test]
fn config_that_cannot_be_used_is_exit_1_with_error_and_hint() {
    let home = Home::new();
    let missing = home.run(&[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("hint: elivepatch-server init --config "));
    home.write_config("i_know_that_there_is_no_authentication_yet = true\n");
    for arguments in [&[][..], &["check-config"][..]] {
        let refused = home.run(arguments);
        assert_eq!(refused.status.code(), Some(1));
        let told = stderr(&refused);
        assert!(told.contains("line 3: ") && told.contains("hint: "), "{told}");
    }
    std::fs::write(home.path("file"), "").expect("written");
    let data = home.path("file/data");
    std::fs::write(
        home.path("server.toml"),
        format!("data_directory = {data:?}\ncache_directory = {:?}\n", home.path("cache")),
    )
    .expect("written");
    let told = stderr(&home.run(&["check-config"]));
    assert!(told.contains("data_directory: ") && told.contains("is not a directory"), "{told}");
}

#[test]
fn source_that_cannot_be_used_is_named_by_its_release_with_the_next_step() {
    let home = Home::new();
    let (data, cache) = (home.path("data"), home.path("cache"));
    let write = |source: &std::path::Path| {
        let text = format!(
            "data_directory = {data:?}\ncache_directory = {cache:?}\n[[source]]\n\
             release = \"6.12.117-mine\"\npath = {source:?}\n"
        );
        std::fs::write(home.path("server.toml"), text).expect("written");
        home.run(&["check-config"])
    };
    let refused = write(&home.path("no-such-tree"));
    let told = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("error: the [[source]] of 6.12.117-mine cannot be used: "), "{told}");
    assert!(told.contains("no-such-tree is not there"), "{told}");
    assert!(told.contains("hint: put the source tree there, or correct the path"), "{told}");
    assert!(!stdout(&refused).contains("no problem found"), "{}", stdout(&refused));

    std::fs::create_dir(home.path("tree")).expect("made");
    let fine = write(&home.path("tree"));
    assert!(fine.status.success(), "{}", stderr(&fine));
    assert!(stdout(&fine).contains("source of 6.12.117-mine: "), "{}", stdout(&fine));
}

#[test]
fn check_config_says_what_each_source_would_serve_and_what_it_lacks() {
    let home = Home::new();
    let (data, cache) = (home.path("data"), home.path("cache"));
    std::fs::create_dir_all(home.path("src/linux-6.12.31-mine")).expect("made");
    let check = |sources: &str| {
        let text = format!("data_directory = {data:?}\ncache_directory = {cache:?}\n{sources}");
        std::fs::write(home.path("server.toml"), text).expect("written");
        home.run(&["check-config"])
    };
    let trees = format!(
        "[[source]]\nname = \"trees\"\nkind = \"directory\"\nreleases = [\"*-mine\"]\npath = \"{}/linux-{{release}}\"\n",
        text(&home.path("src"))
    );
    let fine = check(&trees);
    assert!(fine.status.success(), "{}", stderr(&fine));
    let told = stdout(&fine);
    assert!(told.contains("source trees (directory, for *-mine): "), "{told}");
    assert!(told.contains("; there are linux-6.12.31-mine"), "{told}");
    let git = "[[source]]\nname = \"stable\"\nkind = \"git\"\npath = \"/no/such/linux\"\n";
    let refused = check(&format!("{trees}{git}"));
    assert_eq!(refused.status.code(), Some(1));
    let told = stderr(&refused);
    assert!(
        told.contains("the [[source]] stable cannot be used: its path /no/such/linux is not there"),
        "{told}"
    );
}

#[test]
fn init_for_other_machines_makes_a_certificate_and_says_how_to_get_a_token() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let (data, cache) = (home.path("data"), home.path("cache"));
    let directories = ["--data-directory", text(&data), "--cache-directory", text(&cache)];
    let made = home.run(&[&["init", "--listen", "0.0.0.0:8420"], &directories[..]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    assert!(stdout(&made).contains("next: elivepatch-server token create --role admin --config "));
    let key = std::fs::metadata(data.join("tls/key.pem")).expect("it was made");
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let shown = home.run(&["certificate"]);
    let fingerprint = stdout(&shown).trim().to_owned();
    assert_eq!(fingerprint.len(), 64, "{fingerprint}");
    assert!(stdout(&made).contains(&format!("certificate:      {fingerprint}")), "{made:?}");
    let checked = home.run(&["check-config"]);
    assert!(checked.status.success(), "{}", stderr(&checked));

    home.write_config("i_know_that_there_is_no_authentication_yet = true\n");
    let told = stderr(&home.run(&["check-config"]));
    assert!(
        told.contains("line 3: i_know_that_there_is_no_authentication_yet: it is no longer"),
        "{told}"
    );
}

#[test]
fn new_directories_are_for_this_user_only_whatever_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let (data, cache) = (home.path("data"), home.path("cache"));
    let line = "umask 0277; exec \"$0\" init --config \"$1\" --data-directory \"$2\" \
                --cache-directory \"$3\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", line, SERVER]).args([home.path("server.toml"), data.clone(), cache]);
    let made = shell.output().expect("a shell");
    assert!(made.status.success(), "{}", stderr(&made));
    let mode = std::fs::metadata(&data).expect("made").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn usage_error_is_exit_2() {
    assert_eq!(Home::new().run(&["--no-such-option"]).status.code(), Some(2));
}

#[test]
fn address_in_use_is_exit_4_and_named() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    home.write_config("");
    let refused = home.run(&["--listen", &address]);
    let told = stderr(&refused);
    assert_eq!(refused.status.code(), Some(4), "{told}");
    assert!(told.contains(&format!("error: cannot listen on {address}")), "{told}");
    assert!(told.contains("hint: ss -ltnp"), "{told}");
}

//! The commands of tokens, the certificate and the audit log.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    fn new(config: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().expect("a directory") };
        let place = home.directory.path().display().to_string();
        let config = format!(
            "listen = \"127.0.0.1:0\"\ndata_directory = \"{place}/data\"\ncache_directory = \
             \"{place}/cache\"\n{}",
            config.replace("HERE", &place)
        );
        fs::write(home.directory.path().join("server.toml"), config).expect("own file");
        fs::create_dir(home.directory.path().join("data")).expect("own directory");
        home
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elivepatch-server"));
        command.args(arguments).arg("--config").arg(self.directory.path().join("server.toml"));
        command.env_remove("RUST_LOG").output().expect("the program")
    }

    /// What a command says that succeeds: data and talk.
    #[track_caller]
    fn says(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{err}");
        (out, err)
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(code), "{err}");
        err
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn token_is_printed_once_listed_without_its_secret_and_revoked() {
    let home = Home::new("");
    let (token, talk) =
        home.says(&["token", "create", "--role", "submit", "--name", "ci", "--expires", "90d"]);
    let token = token.trim();
    let id = &token["elp_".len()..][..12];
    assert_eq!(token.lines().count(), 1, "nothing but the token is data");
    assert!(talk.contains(&format!("the token {id} has the role submit, until ")), "{talk}");
    assert!(talk.contains("note: this server asks for no tokens"), "{talk}");
    let (table, _) = home.says(&["token", "list"]);
    for part in [id, "submit", "ci", "valid", "never"] {
        assert!(table.contains(part), "{part} is missing in {table}");
    }
    let secret = &token[token.len() - 64..];
    let (json, _) = home.says(&["token", "list", "--json"]);
    assert!(!table.contains(secret) && !json.contains(secret));
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json[0]["id"], &json[0]["state"]), (&id.into(), &"valid".into()));
    home.says(&["token", "revoke", id]);
    assert!(home.says(&["token", "revoke", id]).1.contains("was revoked before"));
    assert!(home.says(&["token", "list"]).0.contains("revoked"));
    let error = home.fails(&["token", "revoke", "000000000000"], 1);
    assert!(error.contains("there is no token 000000000000"), "{error}");
}

#[test]
fn enrolment_token_comes_with_the_command_for_the_host() {
    let home = Home::new("[tls]\nenabled = true\n");
    let (fingerprint, _) = home.says(&["certificate"]);
    let create = ["token", "create", "--role", "host", "--tag", "web", "--host", "web-17"];
    let (_, talk) = home.says(&create);
    assert!(talk.contains("enrols one host, until 20"), "{talk}");
    let command = format!(
        "elivepatch enrol --url https://127.0.0.1:0 --server-certificate {} --name web-17 --token-file -",
        fingerprint.trim()
    );
    assert!(talk.contains(&command), "{talk}");
    let (json, _) = home.says(&["token", "list", "--json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&json[0]["kind"], &json[0]["host"]), (&"enrolment".into(), &"web-17".into()));
    assert_eq!(json[0]["tags"], serde_json::json!(["web"]));
}

fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["token", "create", "--role"][..], more].concat()
}

#[test]
fn options_that_do_not_go_together_are_told() {
    let home = Home::new("");
    let error = home.fails(&create(&["admin", "--tag", "web"]), 1);
    assert!(error.contains("error: --tag is for tokens that enrol a host"), "{error}");
    assert!(
        home.fails(&create(&["root"]), 2)
            .contains("is no role: read, submit, admin, host or worker")
    );
    let error = home.fails(&create(&["read", "--expires", "1y"]), 2);
    assert!(error.contains("write it in days, hours or minutes, such as 24h or 90d"), "{error}");
    assert!(home.fails(&create(&["host", "--host", "a/b"]), 2).contains("is no name of a host"));
    let error = home.fails(&["token", "revoke", "elp_x"], 2);
    assert!(error.contains("names no token: it is twelve hexadecimal digits"), "{error}");
    let error = home.fails(&["certificate"], 1);
    assert!(error.contains("connections to 127.0.0.1:0 are not encrypted"), "{error}");
    let error = home.fails(&["audit", "--since", "yesterday"], 2);
    assert!(error.contains("write how long ago it was (24h, 7d)"), "{error}");
    let (out, talk) = home.says(&["token", "list"]);
    assert!(out.is_empty() && talk.contains("elivepatch-server token create"), "{talk}");
}

#[test]
fn certificates_that_cannot_be_used_are_told_with_what_to_do() {
    let home =
        Home::new("[tls]\nenabled = true\ncertificate = \"HERE/c.pem\"\nkey = \"HERE/k.pem\"\n");
    let error = home.fails(&["certificate"], 1);
    assert!(
        error.contains("error: cannot read a certificate in ") && error.contains("[tls]"),
        "{error}"
    );
    let other = Home::new("[tls]\nenabled = true\n");
    other.says(&["certificate"]);
    let copy = |from: &str, to: &str| {
        let from = other.directory.path().join("data/tls").join(from);
        fs::copy(from, home.directory.path().join(to)).expect("own files");
    };
    copy("certificate.pem", "c.pem");
    copy("key.pem", "k.pem");
    assert_eq!(home.says(&["certificate"]).0, other.says(&["certificate"]).0);
    fs::remove_dir_all(other.directory.path().join("data/tls")).expect("own files");
    other.says(&["certificate"]);
    copy("key.pem", "k.pem");
    let error = home.fails(&["certificate"], 1);
    assert!(error.contains("cannot be used with the key "), "{error}");
}

#[test]
fn audit_log_tells_what_was_done_the_oldest_first() {
    let home = Home::new("");
    assert!(home.says(&["audit"]).1.contains("nothing has happened"));
    for name in ["a", "b", "c"] {
        home.says(&["token", "create", "--role", "read", "--name", name]);
    }
    let (log, _) = home.says(&["audit"]);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, name) in lines.iter().zip(["a", "b", "c"]) {
        assert!(line.contains("on the server  token-created  token "), "{line}");
        assert!(line.contains(&format!("name={name}, role=read)")), "{line}");
    }
    let (log, talk) = home.says(&["audit", "--limit", "1", "--json", "--since", "1h"]);
    let log: Value = serde_json::from_str(&log).expect("JSON");
    assert_eq!(log[0]["detail"]["name"], "c");
    assert!(log[1].is_null() && talk.is_empty(), "{talk}");
    assert!(home.says(&["audit", "--limit", "2"]).1.contains("the last 2 entries"));
    let (log, _) = home.says(&["audit", "--since", "2030-01-01", "--json"]);
    assert_eq!(log.trim(), "[]");
}

/// The tests are run by root, for whom alone this is.
#[test]
fn what_root_makes_for_a_server_of_another_user_belongs_to_that_user() {
    const USER: u32 = 65_123;
    let home = Home::new("[tls]\nenabled = true\n");
    let data = home.directory.path().join("data");
    if chown(&data, Some(USER), Some(USER)).is_err() {
        return;
    }
    // He must come to his directory.
    fs::set_permissions(home.directory.path(), fs::Permissions::from_mode(0o755)).expect("own");
    let (_, talk) = home.says(&["token", "create", "--role", "admin"]);
    assert!(talk.contains("going on as the user 65123, to whom "), "{talk}");
    home.says(&["certificate"]);
    let found = walk(&data);
    assert!(found.iter().any(|path| path.ends_with("tls/key.pem")), "{found:?}");
    for path in found {
        assert_eq!(fs::metadata(&path).expect("there").uid(), USER, "{}", path.display());
    }
    assert!(home.says(&["audit"]).0.contains("root on the server  token-created"));
    let error = home.fails(&[], 1);
    for part in
        ["belongs to the user 65123, and this is root", "hint: run it as that user: setpriv"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    // What root's own files need is done before, and what is not for the server stays root's.
    let place = |name: &str| home.directory.path().join(name).display().to_string();
    fs::create_dir(place("closed")).expect("own directory");
    fs::set_permissions(place("closed"), fs::Permissions::from_mode(0o700)).expect("own");
    let (secret, public) = (place("closed/secret.key"), place("closed/public.key"));
    home.says(&["feed", "keygen", "--secret", &secret, "--public", &public]);
    assert_eq!(fs::metadata(&secret).expect("there").uid(), 0);
    fs::write(place("closed/bundle"), "no bundle").expect("own file");
    let import = ["feed", "import", &place("closed/bundle"), "--public-key", &public];
    let error = home.fails(&import, 1);
    assert!(!error.contains("denied"), "{error}");
}

#[test]
fn init_for_a_server_of_another_user_leaves_nothing_that_he_cannot_use() {
    const USER: u32 = 65_123;
    let place = tempfile::tempdir().expect("a directory");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("own");
    let path = |name: &str| place.path().join(name);
    fs::create_dir(path("data")).expect("own directory");
    if chown(path("data"), Some(USER), Some(USER)).is_err() {
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_elivepatch-server"));
    command.args(["init", "--listen", "127.0.0.1:0", "--config"]).arg(path("server.toml"));
    command.arg("--data-directory").arg(path("data"));
    command.arg("--cache-directory").arg(path("cache"));
    let output = command.output().expect("the program");
    assert_eq!(output.status.code(), Some(0), "{}", texts(&output).1);
    let owner = |name: &str| fs::metadata(path(name)).expect(name).uid();
    assert_eq!((owner("server.toml"), owner("cache"), owner("data/manifest.key")), (0, USER, USER));
    // A second one changes nothing.
    let output = command.output().expect("the program");
    assert!(texts(&output).1.contains("exists already; it is left as it is"));
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("own directory").flatten();
    let paths = entries.map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

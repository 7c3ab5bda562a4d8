//! The keys of a server, from the command line.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output},
};

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut server = Command::new(SERVER);
        server.args(arguments).arg("--config").arg(self.path("server.toml"));
        server.current_dir(self.0.path()).output().expect("the server's program")
    }

    /// A config with these lines in its section `[signing]`.
    fn write_config(&self, signing: &str) {
        let (data, cache) = (self.path("data"), self.path("cache"));
        let text = format!(
            "data_directory = {data:?}\ncache_directory = {cache:?}\n[signing]\n{signing}\n"
        );
        fs::write(self.path("server.toml"), text).expect("own file");
    }

    fn pair(&self, name: &str) {
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-new", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", "30"]);
        openssl.args(["-subj", &format!("/CN={name}"), "-keyout"]);
        openssl.arg(self.path(&format!("{name}.key"))).arg("-out");
        openssl.arg(self.path(&format!("{name}.crt")));
        assert!(openssl.output().expect("openssl").status.success());
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn key_for_manifests_is_made_once_and_printed_as_minisign_writes_it() {
    let home = Home::new();
    home.write_config("");
    let missing = home.run(&["manifest-key"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(stderr(&missing).contains("hint: start the server"), "{}", stderr(&missing));
    fs::remove_file(home.path("server.toml")).expect("own file");
    let directories = ["--data-directory", "data", "--cache-directory", "cache"];
    let made = home.run(&[&["init"], &directories[..]].concat());
    assert!(made.status.success(), "{}", stderr(&made));
    let secret = home.path("data/manifest.key");
    let mode = fs::metadata(&secret).expect("it was made").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let printed = home.run(&["manifest-key"]);
    assert!(printed.status.success(), "{}", stderr(&printed));
    assert_eq!(
        stdout(&printed),
        fs::read_to_string(home.path("data/manifest.pub")).expect("own file")
    );
    let id = stdout(&printed).split_whitespace().nth(5).expect("an id").to_owned();
    assert!(stdout(&made).contains(&id) && stderr(&printed).contains("--manifest-key RW"));

    // A server whose public key is there and whose secret one is gone does not make another one unasked.
    fs::remove_file(&secret).expect("own file");
    fs::remove_file(home.path("server.toml")).expect("own file");
    let again = home.run(&[&["init"], &directories[..]].concat());
    assert_eq!(again.status.code(), Some(1));
    assert!(stderr(&again).contains("put the key back"), "{}", stderr(&again));
    fs::write(&secret, "no key").expect("own file");
    let wrong = home.run(&["check-config"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(stderr(&wrong).contains("no secret key of minisign's"), "{}", stderr(&wrong));
}

#[test]
fn key_for_modules_is_tried_and_its_certificate_printed() {
    let home = Home::new();
    home.write_config("");
    let none = home.run(&["module-key"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(stderr(&none).contains("set module_key"), "{}", stderr(&none));
    home.pair("ours");
    home.pair("other");
    let with = |key: &str, certificate: &str| {
        let (key, certificate) = (home.path(key), home.path(certificate));
        home.write_config(&format!("module_key = {key:?}\nmodule_certificate = {certificate:?}"));
    };
    with("ours.key", "ours.crt");
    let printed = home.run(&["module-key"]);
    let certificate = fs::read_to_string(home.path("ours.crt")).expect("own file");
    assert_eq!(stdout(&printed), certificate);
    assert!(stderr(&printed).contains("CN=ours (key "), "{}", stderr(&printed));
    let written = home.run(&["module-key", "--der", "ours.der"]);
    assert!(stderr(&written).contains("mokutil --import ours.der"), "{}", stderr(&written));
    let mut openssl = Command::new("openssl");
    openssl.args(["x509", "-inform", "DER", "-in"]).arg(home.path("ours.der"));
    assert_eq!(stdout(&openssl.output().expect("openssl")), certificate);
    let checked = home.run(&["check-config"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
    assert!(
        stdout(&checked).contains("modules are signed by CN=ours (key "),
        "{}",
        stdout(&checked)
    );
    for (key, certificate, part) in [
        ("ours.key", "other.crt", "do not belong together"),
        ("none.key", "ours.crt", "none.key that modules are signed with cannot be read"),
        ("ours.key", "none.crt", "none.crt that modules are signed with cannot be read"),
    ] {
        with(key, certificate);
        let checked = home.run(&["check-config"]);
        assert_ne!(checked.status.code(), Some(0));
        assert!(stderr(&checked).contains(part), "{part:?}: {}", stderr(&checked));
    }
}

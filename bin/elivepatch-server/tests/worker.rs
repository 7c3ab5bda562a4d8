//! What a worker says that cannot begin. Those that can are in the end-to-end tests.

mod ran;

use std::{fs, process::Command};

use ran::Run;

/// A token as it is written, of no server.
const TOKEN: &str =
    "elp_0123456789ab_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    /// A machine with this in its config, and a token; `HERE` stands for its directory.
    fn new(config: &str) -> Self {
        let machine = Self { directory: tempfile::tempdir().expect("a directory") };
        let place = machine.path("");
        let config = format!(
            "data_directory = \"{place}data\"\ncache_directory = \"{place}cache\"\n{}",
            config.replace("HERE", place.trim_end_matches('/'))
        );
        fs::write(machine.path("server.toml"), config).expect("own file");
        fs::write(machine.path("worker.token"), format!("{TOKEN}\n")).expect("own file");
        machine
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_elivepatch-server"));
        command.args(arguments).arg("--config").arg(self.path("server.toml"));
        let output = command.env_remove("RUST_LOG").current_dir(self.directory.path()).output();
        Run(output.expect("the program"))
    }
}

#[test]
fn worker_without_a_server_or_a_token_says_where_they_are_named() {
    let machine = Machine::new("");
    machine.run(&["worker"]).fails(
        1,
        &[
            "error: no server is named for which this machine is to build",
            "give its address with --url, or as server under [worker]",
        ],
    );
    machine.run(&["worker", "--url", "https://patches"]).fails(
        1,
        &[
            "error: the server wants a token of its workers",
            "elivepatch-server token create --role worker",
            "token_file under [worker]",
        ],
    );
    machine.run(&["worker", "--url", "https://patches", "--token-file", "absent"]).fails(
        1,
        &[
            "absent",
            "No such file",
            "hint: write what elivepatch-server token create --role worker",
        ],
    );
    fs::write(machine.path("empty"), "\n").expect("own file");
    machine
        .run(&["worker", "--url", "https://patches", "--token-file", "empty"])
        .fails(1, &["error: there is no token in ", "the whole line that begins with elp_"]);
    // Nothing was made for it.
    assert!(
        fs::metadata(machine.path("cache")).is_err() && fs::metadata(machine.path("data")).is_err()
    );
}

#[test]
fn what_the_command_line_gives_is_looked_at_as_the_config_is() {
    let machine = Machine::new("[worker]\nname = \"builder 1\"\n");
    machine.run(&["worker"]).fails(1, &["name", "line 4", "\"builder 1\" is not one to 48"]);
    let machine = Machine::new("");
    let with = |option: &str, value: &str| machine.run(&["worker", option, value]);
    with("--url", "ftp://patches").fails(1, &["worker.server: ", "the scheme ftp"]);
    with("--name", "a/b").fails(1, &["worker.name: \"a/b\" is not one to 48"]);
    with("--server-certificate", "5d2f")
        .fails(1, &["worker.certificate: ", "64 hexadecimal digits"]);
}

#[test]
fn token_goes_over_no_connection_that_others_can_read() {
    let config =
        "[worker]\nserver = \"http://192.0.2.1:8420\"\ntoken_file = \"HERE/worker.token\"\n";
    let machine = Machine::new(config);
    machine.run(&["worker"]).fails(
        1,
        &[
            "a token is not sent to the server at http://192.0.2.1:8420: the connection is not encrypted",
            "hint: name the server by https://",
        ],
    );
    let shown = machine.run(&["check-config"]).succeeds().stdout();
    assert!(
        shown.contains("builds for:       http://192.0.2.1:8420, by elivepatch-server worker"),
        "{shown}"
    );
    fs::remove_file(machine.path("worker.token")).expect("it was there");
    machine.run(&["check-config"]).fails(1, &["worker.token"]);
}

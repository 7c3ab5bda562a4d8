//! The options of the first elivepatch's server, one test each.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

mod ran;
mod running;

use ran::Run;
use running::Running;

const SERVER: &str = env!("CARGO_BIN_EXE_elivepatch-server");

struct Home {
    directory: tempfile::TempDir,
}

impl Home {
    /// A server's directory, whose config has directories in it, and `more`.
    fn new(more: &str) -> Self {
        let home = Self { directory: tempfile::tempdir().expect("a directory") };
        let text = format!(
            "data_directory = {:?}\ncache_directory = {:?}\n{more}",
            home.path("data"),
            home.path("cache"),
        );
        std::fs::write(home.path("server.toml"), text).expect("own directory");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, options: &[&str]) -> Running {
        Running::start(&self.path("server.toml"), options)
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new(SERVER);
        command.args(arguments).arg("--config").arg(self.path("server.toml"));
        Run(command.env_remove("RUST_LOG").output().expect("the program"))
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

/// The head of the answer of a server.
fn ask(url: &str, path: &str) -> String {
    let address = url.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    answer
}

#[test]
fn host_takes_the_place_of_the_configs_and_leaves_its_port() {
    let port = free_port();
    let home = Home::new(&format!("listen = \"127.0.0.1:{port}\"\n"));
    for option in ["-H", "--host"] {
        let server = home.start(&[option, "127.0.0.2"]);
        assert_eq!(server.url, format!("http://127.0.0.2:{port}"));
    }
    let server = home.start(&["all", "-H", "localhost"]);
    assert_eq!(server.url, format!("http://127.0.0.1:{port}"));
}

#[test]
fn port_takes_the_place_of_the_configs_and_leaves_its_address() {
    let home = Home::new("listen = \"127.0.0.3:1\"\n");
    for option in ["-P", "--port"] {
        let port = free_port().to_string();
        let server = home.start(&[option, &port]);
        assert_eq!(server.url, format!("http://127.0.0.3:{port}"));
        assert!(ask(&server.url, "/elivepatch/api/v1.0/agent").starts_with("HTTP/1.1 200"));
    }
}

/// Whether the server says a line with all of these words before long; else it is ended.
fn says(server: &mut Running, words: &[&str]) -> bool {
    let process = rustix::process::Pid::from_child(&server.child);
    let (said, waits) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if waits.recv_timeout(Duration::from_secs(20)) == Err(RecvTimeoutError::Timeout) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        }
    });
    let mut lines = server.said.by_ref().lines().map_while(Result::ok);
    let found = lines.any(|line| words.iter().all(|word| line.contains(word)));
    drop(said);
    watchdog.join().expect("it does not panic");
    found
}

#[test]
fn debug_says_more_in_the_log() {
    let home = Home::new("listen = \"127.0.0.1:0\"\n");
    for option in ["-d", "--debug"] {
        let mut server = home.start(&[option]);
        ask(&server.url, "/api/v2/health");
        assert!(says(&mut server, &["DEBUG", "answered"]), "{option}");
    }
}

#[test]
fn jobs_are_those_of_the_builder_that_the_server_opens() {
    let home = Home::new("listen = \"127.0.0.1:0\"\n[builder]\njobs = 5\n");
    for (options, jobs) in [
        (&["-d"][..], "jobs=5"),
        (&["-d", "-j", "3"][..], "jobs=3"),
        (&["-d", "--jobs", "3"][..], "jobs=3"),
        (&["all", "-d", "-j", "3"][..], "jobs=3"),
    ] {
        // The builder is opened before the server listens.
        let mut server = Running::begin(&home.path("server.toml"), options);
        assert!(says(&mut server, &["DEBUG", "opening the builder", jobs]), "{options:?}");
    }
}

#[test]
fn threaded_is_taken_and_changes_nothing() {
    let home = Home::new("listen = \"127.0.0.1:0\"\n");
    for option in ["-T", "--threaded"] {
        let server = home.start(&[option]);
        assert!(ask(&server.url, "/api/v2/health").starts_with("HTTP/1.1 200"));
    }
}

#[test]
fn certificate_adhoc_is_the_servers_own() {
    let home = Home::new("listen = \"127.0.0.1:0\"\n");
    let certificates = ["-C", "--ssl-cert"].map(|option| {
        let server = home.start(&[option, "adhoc"]);
        assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
        std::fs::read(home.path("data/tls/certificate.pem")).expect("it is there")
    });
    assert_eq!(certificates[0], certificates[1], "the same after each start");
}

#[test]
fn certificate_and_key_of_files_take_the_place_of_the_configs() {
    let home = Home::new("listen = \"127.0.0.1:0\"\n[tls]\nenabled = true\n");
    assert_eq!(home.run(&["certificate"]).succeeds().stdout().trim().len(), 64);
    let file = |name: &str| home.path("data/tls").join(name).display().to_string();
    let other = Home::new(
        "listen = \"127.0.0.1:0\"\n[tls]\nenabled = false\ncertificate = \"/no/c\"\nkey = \"/no/k\"\n",
    );
    let (certificate, key) = (file("certificate.pem"), file("key.pem"));
    for options in
        [["-C", &certificate, "-K", &key], ["--ssl-cert", &certificate, "--ssl-key", &key]]
    {
        let server = other.start(&options);
        assert!(server.url.starts_with("https://"), "{}", server.url);
    }
    other
        .run(&["-C", "/no/certificate", "-K", "/no/key"])
        .fails(1, &["error: cannot read a certificate in /no/certificate", "hint: "]);
}

#[test]
fn options_that_do_not_go_together_are_usage_errors() {
    let home = Home::new("");
    for (arguments, part) in [
        (&["--listen", "127.0.0.1:9", "-H", "127.0.0.1"][..], "cannot be used with"),
        (&["--listen", "127.0.0.1:9", "-P", "9"][..], "cannot be used with"),
        (&["-K", "key.pem"][..], "--ssl-cert <FILE|adhoc>"),
        (&["-C", "certificate.pem"][..], "needs its key: add --ssl-key FILE"),
        (&["-C", "adhoc", "-K", "key.pem"][..], "adhoc has a key of its own: leave --ssl-key out"),
        (&["-H", "patches.example"][..], "give an address of this machine"),
        (&["-P", "65536"][..], "65536 is not in 0..=65535"),
        (&["-j", "many"][..], "invalid value 'many' for '--jobs <NUMBER>'"),
    ] {
        home.run(arguments).fails(2, &["error: ", part]);
    }
}

//! A server that is told by SIGHUP to read its certificate again.

mod running;

use std::{
    fs::{self, File},
    io::{BufRead as _, Read as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use running::Running;
use rustix::process::{Pid, Signal, kill_process};

/// Whether SIGHUP calls a handler of the process: proc_pid_status(5).
fn catches_hang_up(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a mask");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a mask");
    caught & 1 << (Signal::HUP.as_raw() - 1) != 0
}

/// Writes a config, and makes the data directory.
fn config(place: &Path, more: &str) -> PathBuf {
    let (path, shown) = (place.join("server.toml"), place.display());
    let text = format!(
        "listen = \"127.0.0.1:0\"\ndata_directory = \"{shown}/data\"\ncache_directory = \"{shown}/cache\"\n{more}"
    );
    fs::write(&path, text).expect("own file");
    fs::create_dir(place.join("data")).expect("own directory");
    path
}

#[test]
fn certificate_is_read_again_also_when_that_is_told_while_the_server_starts() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    let config = config(place, "[tls]\nenabled = true\n");
    // A command that is at the database holds the start up.
    let lock = File::create(place.join("data/elivepatch.sqlite3.lock")).expect("own file");
    lock.lock().expect("nobody has it");
    let mut server = Running::begin(&config, &[]);
    let began = Instant::now();
    while !catches_hang_up(server.child.id()) {
        assert!(began.elapsed() < Duration::from_secs(60), "SIGHUP would end it");
        std::thread::sleep(Duration::from_millis(20));
    }
    let process = Pid::from_child(&server.child);
    kill_process(process, Signal::HUP).expect("it runs");
    drop(lock);
    server.wait_until_it_listens();
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let mut lines = server.said.by_ref().lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("certificate read again")), "it was told at its start");
    kill_process(process, Signal::HUP).expect("it runs");
    assert!(lines.any(|line| line.contains("certificate read again")), "it was told later");
}

#[test]
fn server_without_a_certificate_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = config(directory.path(), "");
    let mut server = Running::start(&config, &[]);
    assert!(server.url.starts_with("http://"), "{}", server.url);
    kill_process(Pid::from_child(&server.child), Signal::HUP).expect("it runs");
    let mut lines = server.said.by_ref().lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("there is no certificate to read again")));
}

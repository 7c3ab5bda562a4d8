//! Under its old name the client loads what it has built.

use std::{
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::PathBuf,
    process::Stdio,
};

use super::*;
use crate::double::Ended;

/// The user that the client runs as where the tests run as root: it must not be root itself.
const NOBODY: u32 = 65_534;

/// A desk on which the client has its old name, and `sudo` is a stand-in that writes down how it was called: the
/// real one needs a user whom it knows.
struct OldDesk {
    desk: Desk,
    program: PathBuf,
}

impl OldDesk {
    fn new(sudo_ends_with: i32) -> Self {
        let desk = Desk::new();
        let program = desk.path().join("elivepatch-client");
        fs::copy(env!("CARGO_BIN_EXE_elivepatch"), &program).expect("a copy");
        let script = format!("#!/bin/sh\necho \"$@\" > called\nexit {sudo_ends_with}\n");
        desk.write("bin/sudo", script.as_bytes());
        for (path, mode) in [("bin/sudo", 0o755), (".", 0o777), ("out", 0o777)] {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(desk.path().join(path), mode).expect("own file");
        }
        Self { desk, program }
    }

    fn run(&self, url: &str, more: &[&str]) -> Ended {
        let line = ["-p", "meminfo.patch", "-k", "config", "-u", url];
        self.run_line(&[&line[..], more].concat())
    }

    fn run_line(&self, line: &[&str]) -> Ended {
        let mut command = Command::new(&self.program);
        command.args(line).current_dir(self.desk.path());
        command.env("PATH", format!("{}:/usr/bin:/bin", self.desk.path().join("bin").display()));
        command.env("ELIVEPATCH_STATE_DIRECTORY", self.state());
        command.env_remove("ELIVEPATCH_URL").stdin(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().expect("the client runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Ended {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn state(&self) -> PathBuf {
        self.desk.path().join("state")
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.desk.path().join(name)).ok()
    }
}

#[test]
fn module_is_where_it_was_and_loaded_through_sudo() {
    let (old, server) = (OldDesk::new(0), Double::start(success()));
    old.desk.write("myfile.ko", b"of the last time");
    fs::set_permissions(old.desk.path().join("myfile.ko"), fs::Permissions::from_mode(0o666))
        .expect("own file");
    let ended = old.run(&server.url, &[]);
    ended.expect(0, &[]);
    assert!(!ended.stdout.contains("load it:"), "it is loaded: {ended:#?}");
    assert_eq!(old.read("myfile.ko").expect("the module"), MODULE);
    let called = String::from_utf8(old.read("called").expect("sudo ran")).expect("text");
    assert_eq!(
        called,
        format!(
            "{} apply --state-directory {} -- ./myfile.ko\n",
            old.program.display(),
            old.state().display()
        )
    );
}

#[test]
fn cve_mode_loads_what_is_stored_also_when_nothing_is_new() {
    let (old, server) = (OldDesk::new(0), Double::start(cve::with(CveScript::finished())));
    let line = ["--cve", "-a", RELEASE, "-u", &server.url];
    let first = old.run_line(&line);
    first.expect(5, &[]);
    assert!(first.stdout.starts_with("1 fixed live"), "{first:#?}");
    assert_eq!(old.read("myfile.ko").expect("the module"), MODULE);
    assert!(old.read("called").is_some(), "it is loaded: {first:#?}");
    fs::remove_file(old.desk.path().join("called")).expect("own file");
    server.change(|script| script.cves.looked = 0);
    let second = old.run_line(&line);
    assert_eq!((second.code, &*second.stdout, &*second.stderr), (Some(0), "", ""));
    assert!(old.read("called").is_some(), "it may have been taken out meanwhile");
}

#[test]
fn module_that_is_not_loaded_is_an_error() {
    let (old, server) = (OldDesk::new(1), Double::start(success()));
    let ended = old.run(&server.url, &["--output", "out"]);
    let module = format!("out/{MODULE_NAME}");
    ended.expect(6, &[&format!("{module} is not loaded"), "hint: load it as root"]);
    assert!(old.read(&module).is_some(), "it is there to be loaded by hand");
}

#[test]
fn order_that_is_not_waited_for_loads_nothing() {
    let (old, server) = (OldDesk::new(0), Double::start(success()));
    old.run(&server.url, &["--no-wait"]).expect(0, &[]);
    assert_eq!((old.read("called"), old.read("myfile.ko")), (None, None));
}

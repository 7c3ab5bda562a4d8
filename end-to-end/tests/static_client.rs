//! The client as one file, on machines whose C library it must not ask.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use elivepatch_end_to_end::static_client_path;
use rustix::fs::{CWD, FileType, Mode};

/// The files of a machine below `/etc`; its `/usr` is this machine's.
struct Machine {
    etc: tempfile::TempDir,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let etc = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(etc.path().join(name), text).expect("own file");
        }
        Self { etc }
    }

    /// Asks a server with a host name, on a network that has nothing but the machine itself.
    fn ask(&self) -> (Option<i32>, String) {
        let mut command = Command::new("timeout");
        command.args(["60", "bwrap", "--unshare-user", "--unshare-net", "--unshare-pid"]);
        command.args(["--die-with-parent", "--clearenv", "--ro-bind", "/usr", "/usr"]);
        for directory in ["/bin", "/lib", "/lib64"].map(Path::new) {
            if directory.exists() {
                command.arg("--ro-bind").args([directory, directory]);
            }
        }
        command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--ro-bind"]);
        command.args([self.etc.path(), Path::new("/etc")]);
        command.arg("--ro-bind").arg(static_client_path()).arg("/elivepatch");
        command.args(["/elivepatch", "builds", "--url", "http://server.example:8420"]);
        let Output { status, stderr, .. } = command.output().expect("timeout");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    }
}

#[test]
fn host_names_are_looked_up_without_the_modules_of_the_c_library() {
    let names = "hosts: files compat myhostname dns\npasswd: compat\ngroup: compat\n";
    let machine =
        Machine::new(&[("nsswitch.conf", names), ("resolv.conf", "nameserver 127.0.0.1\n")]);
    let unanswered = "caused by: no name server of /etc/resolv.conf tells the address of server.example: 127.0.0.1 \
                      (it cannot be reached)";
    let (code, said) = machine.ask();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(unanswered), "{said}");

    // Whoever opens a pipe that nobody writes waits for ever.
    let switch = machine.etc.path().join("nsswitch.conf");
    fs::remove_file(&switch).expect("own file");
    rustix::fs::mknodat(CWD, &switch, FileType::Fifo, Mode::from_raw_mode(0o644), 0)
        .expect("a pipe");
    let (code, said) = machine.ask();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains(unanswered), "{said}");

    fs::write(machine.etc.path().join("hosts"), "127.0.0.1 server.example\n").expect("own file");
    let (code, said) = machine.ask();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("caused by: Connection refused"), "{said}");
}

#[test]
fn machine_without_name_server_is_told_so() {
    let (code, said) = Machine::new(&[]).ask();
    assert_eq!(code, Some(4), "{said}");
    assert!(said.contains("caused by: no name server: /etc/resolv.conf cannot be read"), "{said}");
    assert!(said.contains("hint: name one in /etc/resolv.conf (nameserver ADDRESS)"), "{said}");
}

#[test]
fn users_and_groups_are_not_looked_up_by_name() {
    let listed = Command::new("nm").arg(static_client_path()).output().expect("nm");
    let text = String::from_utf8_lossy(&listed.stdout);
    let symbols: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next_back()).collect();
    assert!(symbols.contains(&"main"), "it is stripped");
    for name in [
        "getpwnam_r",
        "getpwuid_r",
        "getpwent_r",
        "getgrnam_r",
        "getgrgid_r",
        "getgrent_r",
        "getgrouplist",
        "initgroups",
        "getspnam_r",
    ] {
        assert!(!symbols.contains(&name), "{name} loads the modules of /etc/nsswitch.conf");
    }
}

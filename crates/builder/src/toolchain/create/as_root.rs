//! Programs that take themselves for root, for a user who is not: so he can install packages.

use std::{collections::BTreeMap, io::Write, process::Command};

use camino::Utf8Path;
use elivepatch_model::Failure;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use tempfile::NamedTempFile;

use super::run::{failure, mortal};

/// What asks for other owners and users. A user namespace with one id has none, so the kernel refuses these
/// with EINVAL, and dpkg and maintainer scripts give up. That they do without them when they are told that all
/// went well was shown by Charliecloud (Priedhorsky and others, "Zero-consistency root emulation for
/// unprivileged container image build", 2024), whose list this is, but for devices: they are bound instead.
const FEIGNED: [i64; 13] = [
    libc::SYS_chown,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_lchown,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
];

/// What scripts of packages read and write. Nothing of it can harm the machine.
const DEVICES: [&str; 5] = ["/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero"];

/// A place in which this user is root, as far as he can tell: a user namespace where he has all capabilities and
/// the id 0. It needs no subordinate ids and no program with more rights, so it also works where a service may get
/// no new privileges. All files belong to the user.
pub(super) struct AsRoot {
    filter: NamedTempFile,
}

impl AsRoot {
    pub(super) fn new() -> Result<Self, Failure> {
        let filter = NamedTempFile::new().and_then(|mut file| {
            file.write_all(&filter())?;
            Ok(file)
        });
        let filter = filter.map_err(|error| {
            failure(format!("cannot write a temporary file: {error}"), "look at the disk of /tmp")
        })?;
        Ok(Self { filter })
    }

    /// A program in there, of which the arguments are still to be given. It sees the machine read-only, and may write
    /// `writable` and a directory for temporary files. It lives as long as `self` and this process.
    pub(super) fn command(&self, program: &str, writable: &Utf8Path) -> Command {
        // bubblewrap reads the filter from an open file.
        let mut command = mortal("sh");
        command.args(["-c", r#"exec 9< "$0" && exec "$@""#]).arg(self.filter.path());
        command.args([
            "bwrap",
            "--unshare-user",
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
        ]);
        command.args(["--uid", "0", "--gid", "0", "--cap-add", "ALL", "--seccomp", "9"]);
        command.args(["--die-with-parent", "--new-session", "--ro-bind", "/", "/"]);
        command.args(["--bind", writable.as_str(), writable.as_str()]);
        command.args(["--proc", "/proc", "--tmpfs", "/dev"]);
        command.args(["--dir", "/dev/shm", "--setenv", "TMPDIR", "/dev/shm"]);
        for device in DEVICES {
            command.args(["--dev-bind", device, device]);
        }
        command.args(["--", program]);
        command
    }
}

/// The filter in the kernel's form: instructions of classic BPF (`struct sock_filter` of `linux/filter.h`).
fn filter() -> Vec<u8> {
    let rules: BTreeMap<i64, Vec<_>> = FEIGNED.iter().map(|call| (*call, vec![])).collect();
    // The error 0 is none: the call is not made, and the program is told that it was.
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(0),
        TargetArch::x86_64,
    );
    let program: BpfProgram =
        filter.and_then(TryInto::try_into).expect("the rules are few, and the actions differ");
    let instructions = program.iter().flat_map(|instruction| {
        let [low, high] = instruction.code.to_ne_bytes();
        let operand = instruction.k.to_ne_bytes();
        [low, high, instruction.jt, instruction.jf].into_iter().chain(operand)
    });
    instructions.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SilentObserver, toolchain::create::run::run_quietly};

    #[test]
    fn owners_can_be_given_away_and_nothing_but_its_place_can_be_written() {
        let place = tempfile::tempdir().expect("a directory");
        let place = Utf8Path::from_path(place.path()).expect("UTF-8");
        let as_root = AsRoot::new().expect("a filter");
        let mut command = as_root.command("sh", place);
        let script = r#"
            set -e
            id -u; cd "$0"; echo text > file; chown 42:42 file; stat -c %u:%g file
            setpriv --reuid 42 --regid 42 --clear-groups -- id -u
            mkdir root; mount --bind /usr root; umount root
            echo lost > /dev/null; cat /dev/null
            ! touch /usr/elivepatch-was-here; test ! -e /dev/kmsg
            temporary=$(mktemp); rm "$temporary"; ! touch /tmp/elivepatch-was-here"#;
        command.args(["-c", script, place.as_str()]);
        let finished = run_quietly(command, &SilentObserver).expect("it runs");
        let text = finished.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("Read-only")).collect();
        assert!(finished.succeeded(), "{text}");
        assert_eq!(lines, ["0", "0:0", "0"], "{text}");
    }
}

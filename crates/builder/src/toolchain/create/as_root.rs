//! Programs that take themselves for root, for a user who is not: so he can install packages.

use std::{collections::BTreeMap, io::Write, process::Command};

use camino::Utf8Path;
use elivepatch_model::Failure;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use tempfile::NamedTempFile;

use super::run::{failure, mortal, not_installed, run_quietly};
use crate::{Observer, sandbox::how_to_allow};

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

/// What scripts of packages read and write. None of these can harm the machine.
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
        command.args(["--proc", "/proc", "--tmpfs", "/dev"]);
        command.args(["--dir", "/dev/shm", "--setenv", "TMPDIR", "/dev/shm"]);
        for device in DEVICES {
            command.args(["--dev-bind", device, device]);
        }
        // At the end: it may lie below what is covered.
        command.args(["--bind", writable.as_str(), writable.as_str(), "--", program]);
        command
    }

    /// Refuses to begin where this is not enough, or `program` is missing: bubblewrap says neither so that it could be
    /// told from what the program says, and some machines allow namespaces, but no rights in them.
    pub(super) fn check(
        &self,
        program: &str,
        writable: &Utf8Path,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let mut command = self.command("sh", writable);
        let script = r#"command -v "$0" > /dev/null || exit 127
            mount --bind /usr /dev/shm && umount /dev/shm && chown 42:42 "$1""#;
        command.args(["-c", script, program, writable.as_str()]);
        let finished = run_quietly(command, observer)?;
        match finished.code() {
            Some(0) => Ok(()),
            Some(127) => Err(not_installed(program, "it is not installed")),
            _ => Err(failure(
                format!("bubblewrap gives no rights in a namespace, which {program} needs"),
                how_to_allow(),
            )
            .with_details(finished.last_lines(3))),
        }
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
    use crate::SilentObserver;

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
            test ! -e /dev/kmsg; temporary=$(mktemp); rm "$temporary"
            for place in /usr /tmp; do
                if touch $place/elivepatch-was-here; then exit 1; fi
            done"#;
        command.args(["-c", script, place.as_str()]);
        let finished = run_quietly(command, &SilentObserver).expect("it runs");
        let text = finished.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.contains("Read-only")).collect();
        assert!(finished.succeeded(), "{text}");
        assert_eq!(lines, ["0", "0:0", "0"], "{text}");
    }

    #[test]
    fn what_is_missing_is_said_before_anything_is_done() {
        let place = tempfile::tempdir().expect("a directory");
        let place = Utf8Path::from_path(place.path()).expect("UTF-8");
        let as_root = AsRoot::new().expect("a filter");
        as_root.check("sh", place, &SilentObserver).expect("it is there");
        let missing = as_root.check("elivepatch-no-such", place, &SilentObserver);
        let failure = missing.expect_err("it is not there");
        assert_eq!(failure.message, "cannot run elivepatch-no-such: it is not installed");
        assert_eq!(failure.hint, "apt-get install elivepatch-no-such");
    }

    #[test]
    fn place_may_lie_in_the_memory_of_the_machine() {
        let place = tempfile::tempdir_in("/dev/shm").expect("a directory");
        let place = Utf8Path::from_path(place.path()).expect("UTF-8");
        let as_root = AsRoot::new().expect("a filter");
        let mut command = as_root.command("sh", place);
        command.args(["-c", "echo text > \"$0/file\" && mktemp --dry-run", place.as_str()]);
        let finished = run_quietly(command, &SilentObserver).expect("it runs");
        assert!(finished.succeeded(), "{}", finished.text());
        assert!(place.join("file").exists());
    }
}

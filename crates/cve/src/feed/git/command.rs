//! Running git, with settings of our own only and for a limited time.

use std::{
    ffi::OsStr,
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::Duration,
};

use elivepatch_git::isolate;

use super::GitError;

/// What may make git end.
#[derive(Debug)]
pub(super) struct Watchdog {
    has_bitten: Arc<AtomicBool>,
    _end: Sender<()>,
}

impl Watchdog {
    /// Kills a child and all that it has started when it takes longer than a time. It is to be waited for
    /// before the watchdog is dropped.
    pub(super) fn start(child: &Child, limit: Duration) -> Self {
        let (end, ended) = channel::<()>();
        let has_bitten = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&has_bitten);
        let group = rustix::process::Pid::from_child(child);
        thread::spawn(move || {
            // An error other than that of time: the watchdog was dropped.
            if ended.recv_timeout(limit) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                flag.store(true, Ordering::SeqCst);
                // It may have ended by itself at this instant.
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
        });
        Self { has_bitten, _end: end }
    }

    pub(super) fn has_bitten(&self) -> bool {
        self.has_bitten.load(Ordering::SeqCst)
    }
}

/// A git that sees the settings above, those of a file, and nothing else of the machine's.
pub(super) fn git(before: &[&OsStr], settings: &Path) -> Command {
    let mut command = Command::new("git");
    isolate(&mut command, settings);
    // Packs can be counted, and one is faster than many files.
    command.args(["-c", "fetch.unpackLimit=1"]);
    // A mirror that a power cut has broken is made anew, and what was read of it lies in the store.
    command.args(["-c", "core.fsync=none"]);
    // That is for who checks out what he has fetched. Here files are read by their hashes, which git
    // compares in any case; to look at all names of all trees takes longer than all the rest of a fetch.
    command.args(["-c", "fetch.fsckObjects=false"]).args(before);
    command
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .stdin(Stdio::null())
        // Its helpers go with it.
        .process_group(0);
    command
}

/// Runs a git to its end.
pub(super) fn run(mut command: Command, action: &str, limit: Duration) -> Result<Output, GitError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(GitError::Run)?;
    let watchdog = Watchdog::start(&child, limit);
    let output = child.wait_with_output().map_err(GitError::Run)?;
    if watchdog.has_bitten() {
        return Err(GitError::Slow { action: action.to_owned(), seconds: limit.as_secs() });
    }
    if output.status.success() {
        return Ok(output);
    }
    let said = said(&String::from_utf8_lossy(&output.stderr));
    Err(GitError::Failed { action: action.to_owned(), said })
}

/// What a git that failed said: the first line that names a reason, since those after it name what came
/// of that.
fn said(text: &str) -> String {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let reason =
        lines.clone().find(|line| line.starts_with("fatal: ")).or_else(|| lines.next_back());
    reason.unwrap_or("it ended with an error").chars().take(300).collect()
}

/// Writes the settings of every git: a repository is read although it belongs to another user. The git at
/// the other end of a local fetch reads this from a file only.
pub(super) fn write_settings(path: &Path, repository: Option<&Path>) -> io::Result<()> {
    let mut text = String::from("# Written by elivepatch at each fetch.\n");
    if repository.is_some() {
        // To look for what two versions have in common pays on a line, not on a disk: what a pack leaves
        // out is put into it again here.
        text.push_str("[pack]\n\twindow = 0\n\tcompression = 1\n");
    }
    // By the name that it was given, and by that which git finds it under.
    let names =
        repository.into_iter().flat_map(|path| [Some(path.to_owned()), path.canonicalize().ok()]);
    for directory in names.flatten().flat_map(|path| [path.join(".git"), path]) {
        let name = directory.to_str().ok_or_else(|| io::Error::other("its path is no UTF-8"))?;
        if name.contains('\n') {
            return Err(io::Error::other("its path has a line feed"));
        }
        let name = name.replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!("[safe]\n\tdirectory = \"{name}\"\n"));
    }
    std::fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn first_reason_is_told() {
        let text = "warning: a\nfatal: detected dubious ownership\nfatal: the remote end hung up\n";
        assert_eq!(said(text), "fatal: detected dubious ownership");
        assert_eq!(said("error: a\nerror: b\n"), "error: b");
        assert_eq!(said(""), "it ended with an error");
    }

    #[test]
    fn git_that_takes_too_long_is_killed_with_what_it_has_started() {
        let mut command = git(&[], Path::new("/dev/null"));
        // An alias runs a shell, as the helpers of a fetch are run, and the shell holds the pipes.
        command.args(["-c", "alias.slow=!sleep 60; true", "slow"]);
        let began = Instant::now();
        let error = run(command, "wait", Duration::from_millis(300)).expect_err("it is slow");
        assert!(matches!(error, GitError::Slow { .. }), "{error}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}

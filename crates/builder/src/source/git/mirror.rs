//! Fetching tags of remote repositories into one of our own. It holds nothing but what was fetched: no
//! settings, no hooks, no work tree.

use std::{path::Path, process::Child, process::Command, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_git::{isolate, protocol_of, remove_leftovers};
use elivepatch_model::{BuildEvent, Failure, FailureClass, Sha256Digest, StepName};

use super::{no_tag, program};
use crate::{
    Cache, Observer,
    cache::{StagingDirectory, remove_entry},
    failures::{cancelled, io_failure},
    process::{Ended, Finished, ProcessLimits, mortal_command, supervise},
};

/// git tells its progress once a second while something comes in; some servers count objects for
/// minutes before.
const FETCH_LIMITS: ProcessLimits = ProcessLimits {
    time: Duration::from_secs(3600),
    silence: Duration::from_secs(300),
    output_bytes: 16 << 20,
};

/// The largest pack that is fetched, in bytes: one version of Linux has 0.28 GB.
const PACK_BYTES: u64 = 4 << 30;

/// Where what is fetched from an address lies.
pub(super) fn place(cache: &Cache, url: &str) -> Utf8PathBuf {
    cache.sources().join(format!("git-{}", Sha256Digest::of(url.as_bytes()).short()))
}

/// What is locked alone by whoever fetches into a repository, which he shares meanwhile.
pub(super) fn fetches(place: &Utf8Path) -> Utf8PathBuf {
    format!("{place}.fetch").into()
}

/// Fetches one tag, without its history, into a repository that is there. The caller shares the lock of
/// `place`, and holds that of [`fetches`] alone.
///
/// # Errors
/// `release-unknown` when the repository has no such tag; `fetch-failed`.
pub(super) fn fetch(
    place: &Utf8Path,
    url: &str,
    tag: &str,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    // What a git that was killed left would end this one.
    remove_half_made(place)?;
    let mut fetch = git(url)?;
    fetch.arg(format!("--git-dir={place}"));
    fetch.args(["fetch", "--progress", "--depth=1", "--no-tags", "--no-write-fetch-head"]);
    fetch.args(["--no-recurse-submodules", "--no-auto-maintenance", "--end-of-options", url]);
    fetch.arg(format!("+refs/tags/{tag}:refs/tags/{tag}"));
    let result = run(fetch, observer);
    let finished = match result {
        Ok(finished) if finished.succeeded() => return Ok(()),
        result => {
            remove_half_made(place)?;
            result?
        }
    };
    let text = finished.text();
    if text.contains(&format!("find remote ref refs/tags/{tag}")) {
        return Err(no_tag(url, tag));
    }
    Err(failed(url, &finished))
}

/// Makes an empty repository: whole, or not at all. The caller holds the lock of `place` alone.
///
/// # Errors
/// `fetch-failed`, `source-unusable`.
pub(super) fn init(place: &Utf8Path, url: &str, observer: &dyn Observer) -> Result<(), Failure> {
    let staging = StagingDirectory::empty(place)?;
    let mut init = git(url)?;
    let path = staging.path().as_str();
    init.args(["init", "--bare", "--quiet", "--template=", "--", path]);
    let finished = run(init, observer)?;
    if !finished.succeeded() {
        return Err(failed(url, &finished));
    }
    staging.publish(place)
}

/// Removes a repository that cannot be used, with its lock in the caller's hands: all of it can be
/// fetched again.
pub(super) fn remove(place: &Utf8Path) -> Result<(), Failure> {
    remove_entry(place)
        .map_err(|error| io_failure(FailureClass::SourceUnusable, "remove", place, &error))
}

/// A git that knows nothing of this machine's settings, and one protocol.
fn git(url: &str) -> Result<Command, Failure> {
    let protocol = protocol_of(url).ok_or_else(|| {
        Failure::new(
            FailureClass::SourceUnusable,
            format!("the address {url:?} has a protocol that is not used"),
            "name one with https, http, git or ssh in the [[source]] of the server's config",
        )
    })?;
    let mut command = mortal_command("prlimit");
    command.arg(format!("--fsize={PACK_BYTES}")).arg("--").arg(program()?.as_str());
    isolate(&mut command, Path::new("/dev/null"));
    command.env("GIT_ALLOW_PROTOCOL", protocol);
    Ok(command)
}

fn run(command: Command, observer: &dyn Observer) -> Result<Finished, Failure> {
    let mut on_line = |line: &str| {
        // Progress comes as one line that is written over and over.
        let last = line.rsplit('\r').next().unwrap_or(line).to_owned();
        observer.event(BuildEvent::Log { step: StepName::Source, line: last });
    };
    let mut watch = |_: &Child| observer.is_cancelled().then_some(Ended::Cancelled);
    let finished = supervise(command, FETCH_LIMITS, &mut on_line, &mut watch).map_err(|error| {
        let hint = "apt-get install git util-linux";
        Failure::new(FailureClass::FetchFailed, format!("cannot run git: {error}"), hint)
    })?;
    if finished.ended == Ended::Cancelled { Err(cancelled()) } else { Ok(finished) }
}

/// Removes what git leaves of a fetch that did not end well. Nobody else writes here: we hold the lock of the
/// fetches.
fn remove_half_made(place: &Utf8Path) -> Result<(), Failure> {
    remove_leftovers(place.as_std_path())
        .map_err(|error| io_failure(FailureClass::FetchFailed, "clean", place, &error))
}

fn failed(url: &str, finished: &Finished) -> Failure {
    let what = match &finished.ended {
        Ended::LimitExceeded(reason) => format!("git {reason}"),
        _ => {
            let lines = finished.last_lines(5);
            let said = lines.iter().rev().find(|line| line.starts_with("fatal: "));
            said.map_or("git cannot fetch it".to_owned(), Clone::clone)
        }
    };
    Failure::new(
        FailureClass::FetchFailed,
        format!("cannot fetch from {url}: {what}"),
        "check the network and the address in the [[source]] of the server's config, then submit the \
         build again",
    )
    .with_details(finished.last_lines(8))
}

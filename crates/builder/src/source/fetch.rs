//! Fetching files of sources by curl: resumed, bounded, and by one protocol only.

use std::{cell::Cell, process::Child, time::Duration};

use camino::Utf8Path;
use elivepatch_model::{BuildEvent, Failure, FailureClass, StepName};

use super::not_served::not_here;
use crate::{
    Observer,
    attempts::Attempts,
    failures::{cancelled, io_failure},
    process::{Ended, Finished, ProcessLimits, mortal_command, supervise},
};

/// The longest attempt. curl itself gives up on a line that brings nothing; this is for one that brings
/// little forever.
const ATTEMPT: Duration = Duration::from_secs(3600);

/// The most that curl may print, in bytes: some lines.
const OUTPUT_BYTES: u64 = 1 << 20;

/// The largest tarball that is fetched, in bytes: Linux 7.3 has 0.16 GB with xz and 0.27 with gzip.
pub(super) const TARBALL_BYTES: u64 = 2 << 30;

/// The largest list of digests or signature, in bytes: kernel.org's longest list has 0.1 MB.
pub(super) const LIST_BYTES: u64 = 16 << 20;

/// What to fetch.
pub(super) struct Download<'a> {
    /// The `http://` or `https://` address.
    pub url: &'a str,
    /// Where what has come in lies; it is gone on with.
    pub partial: &'a Utf8Path,
    /// The most that it may have, in bytes.
    pub limit_bytes: u64,
    /// How long a server is waited for.
    pub times: FetchTimes,
}

/// How long a server is waited for that trickles or drops the line.
#[derive(Debug, Clone, Copy)]
pub(super) struct FetchTimes {
    /// With fewer than 1000 bytes a second.
    pub slow_seconds: u64,
    /// For all attempts at a file in one build; the next one goes on with what came.
    pub total_seconds: u64,
}

impl Default for FetchTimes {
    fn default() -> Self {
        Self {
            // As much as a server takes that has a disk to wake up.
            slow_seconds: 60,
            // Linux 7.3 with gzip takes six hours at 13 kB/s.
            total_seconds: 6 * 3600,
        }
    }
}

impl Download<'_> {
    /// Brings it in, going on where an earlier run stopped.
    ///
    /// # Errors
    /// `release-unknown` when the server says that there is no such file; `fetch-failed` when it does not
    /// come, or not in time, is too large, or would come by another protocol.
    pub(super) fn run(&self, observer: &dyn Observer) -> Result<(), Failure> {
        let mut attempts = Attempts::begin(Duration::from_secs(self.times.total_seconds));
        let mut may_begin_anew = true;
        loop {
            let before = self.size();
            let time = attempts.time_for_next(ATTEMPT);
            let (finished, is_too_large) = self.curl(time, observer)?;
            let answer = Answer::of(&finished);
            if is_too_large || finished.code() == Some(63) {
                self.remove()?;
                let limit = self.limit_bytes >> 20;
                return Err(self.failed(&format!("has more than {limit} MiB"), &finished));
            }
            match finished.code() {
                Some(0) => return Ok(()),
                Some(22) if answer.code == Some(404) => {
                    return Err(not_here(format!("{} is not there (404)", self.url)));
                }
                // The protocol of a redirect is none of those that are allowed.
                Some(1) => {
                    let text = finished.text();
                    let said = text.lines().find_map(|line| line.strip_prefix("curl: (1) "));
                    let what = format!("leads to another protocol: {}", said.unwrap_or_default());
                    return Err(self.failed(&what, &finished));
                }
                // All of it was there already (416), or the server cannot send the rest.
                Some(22 | 33) if before > 0 && may_begin_anew => {
                    may_begin_anew = false;
                    self.remove()?;
                }
                Some(28) => return Err(self.failed("is too slow or does not answer", &finished)),
                _ if attempts.go_on(self.size().saturating_sub(before)) => {}
                _ => {
                    let what = match answer.code.filter(|code| *code >= 400) {
                        Some(code) => format!("cannot be fetched: the server answers {code}"),
                        None if attempts.is_over() => {
                            let seconds = self.times.total_seconds;
                            format!("is too slow: it has not come in {seconds} s")
                        }
                        None if self.size() > before => {
                            "cannot be fetched: the line breaks off again and again".to_owned()
                        }
                        None => "cannot be fetched".to_owned(),
                    };
                    return Err(self.failed(&what, &finished));
                }
            }
        }
    }

    /// Removes what has come in: it is of no use.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove(&self) -> Result<(), Failure> {
        match fs_err::remove_file(self.partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io_failure(FailureClass::FetchFailed, "remove", self.partial, &error))
            }
            _ => Ok(()),
        }
    }

    fn size(&self) -> u64 {
        fs_err::metadata(self.partial).map_or(0, |metadata| metadata.len())
    }

    /// Runs curl once, for this time at most. The flag says whether it was stopped because of the size: older versions look at it
    /// only where the server tells it before.
    fn curl(&self, time: Duration, observer: &dyn Observer) -> Result<(Finished, bool), Failure> {
        let protocol = if self.url.starts_with("https://") { "=https" } else { "=http" };
        let mut curl = mortal_command("curl");
        // Nothing of a .curlrc: it could switch any of the following off.
        curl.args(["--disable", "--fail", "--silent", "--show-error", "--location", "--globoff"]);
        curl.args(["--proto", protocol, "--proto-redir", protocol, "--max-redirs", "5"]);
        curl.args(["--connect-timeout", "30", "--speed-limit", "1000"]);
        curl.args(["--speed-time", &self.times.slow_seconds.to_string()]);
        curl.args(["--max-filesize", &self.limit_bytes.to_string(), "--continue-at", "-"]);
        curl.args(["--write-out", "\nanswer %{http_code}\n"]);
        curl.args(["--output", self.partial.as_str(), "--", self.url]);
        let name = self.url.rsplit('/').next().unwrap_or(self.url).to_owned();
        let (calls, is_too_large) = (Cell::new(0u32), Cell::new(false));
        let mut watch = |_: &Child| {
            let size = self.size();
            if size > self.limit_bytes {
                is_too_large.set(true);
                return Some(Ended::LimitExceeded("it is too large".to_owned()));
            }
            calls.set(calls.get() + 1);
            if calls.get().is_multiple_of(5) {
                observer.event(BuildEvent::Progress {
                    step: StepName::Source,
                    what: name.clone(),
                    done: size,
                    total: 0,
                    unit: "bytes".to_owned(),
                });
            }
            observer.is_cancelled().then_some(Ended::Cancelled)
        };
        let mut on_line = |line: &str| {
            if !line.starts_with("answer ") {
                observer.event(BuildEvent::Log { step: StepName::Source, line: line.to_owned() });
            }
        };
        let limits = ProcessLimits { time, silence: time, output_bytes: OUTPUT_BYTES };
        let finished = supervise(curl, limits, &mut on_line, &mut watch).map_err(|error| {
            Failure::new(
                FailureClass::FetchFailed,
                format!("cannot run curl: {error}"),
                "apt-get install curl: it fetches the files of sources",
            )
        })?;
        if finished.ended == Ended::Cancelled {
            return Err(cancelled());
        }
        let is_too_large = is_too_large.get() || self.size() > self.limit_bytes;
        Ok((finished, is_too_large))
    }

    fn failed(&self, what: &str, finished: &Finished) -> Failure {
        let text = finished.text();
        let full = text.contains("No space left on device") || finished.code() == Some(23);
        let class = if full { FailureClass::DiskFull } else { FailureClass::FetchFailed };
        let lines = text.lines().filter(|line| !line.starts_with("answer ") && !line.is_empty());
        Failure::new(
            class,
            format!("{} {what}", self.url),
            "check the network and the address in the [[source]] of the server's config, then submit \
             the build again: what was fetched is kept",
        )
        .with_details(lines.map(str::to_owned).collect::<Vec<_>>())
    }
}

/// What the server said last.
struct Answer {
    code: Option<u16>,
}

impl Answer {
    fn of(finished: &Finished) -> Self {
        let text = finished.text();
        let last = text.lines().rev().find_map(|line| line.strip_prefix("answer "));
        Self { code: last.and_then(|code| code.parse().ok()) }
    }
}

/// Fetches a small file whole, and reads it. It is not gone on with, for it may have changed; so it lies in
/// a file of its own meanwhile, whoever else fetches the same. What is left of one that was killed is
/// removed by its name.
///
/// # Errors
/// As [`Download::run`].
pub(super) fn fetch_text(
    url: &str,
    directory: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Vec<u8>, Failure> {
    let failed = |action: &str, error: &std::io::Error| {
        io_failure(FailureClass::FetchFailed, action, directory, error)
    };
    let file = tempfile::NamedTempFile::new_in(directory).map_err(|e| failed("write to", &e))?;
    let partial = Utf8Path::from_path(file.path()).expect("below a directory with a UTF-8 name");
    let times = FetchTimes::default();
    Download { url, partial, limit_bytes: LIST_BYTES, times }.run(observer)?;
    fs_err::read(partial).map_err(|error| failed("read a file of", &error))
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;

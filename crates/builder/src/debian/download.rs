//! Fetching package files: curl brings them, and their digests are those of the signed index.

use std::{process::Command, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, Sha256Digest, StepName};

use super::{
    apt::{Apt, PackageFile},
    faults::{apt_io, fetch_failure, not_installed},
};
use crate::{
    Observer,
    attempts::Attempts,
    cache::CacheLock,
    digest_file::digest_file,
    housekeeping::mark_used,
    process::{Ended, mortal_command},
};

/// A package's file that is kept from removal while this value lives.
#[derive(Debug)]
pub struct HeldPackage {
    path: Utf8PathBuf,
    _lock: CacheLock,
}

impl std::ops::Deref for HeldPackage {
    type Target = Utf8Path;

    fn deref(&self) -> &Utf8Path {
        &self.path
    }
}

impl Apt {
    /// The package's file: from the cache when its digest is right, else fetched; what was fetched
    /// in part is resumed. The file may go at any time when the cache is cleaned: see [`Apt::hold`].
    ///
    /// # Errors
    /// `fetch-failed` when it cannot be fetched or its digest is not that of the signed index.
    pub fn fetch(
        &self,
        package: &PackageFile,
        observer: &dyn Observer,
    ) -> Result<Utf8PathBuf, Failure> {
        self.hold(package, observer).map(|held| held.path)
    }

    /// As [`Apt::fetch`]; the file stays while the value lives.
    ///
    /// # Errors
    /// As [`Apt::fetch`].
    pub fn hold(
        &self,
        package: &PackageFile,
        observer: &dyn Observer,
    ) -> Result<HeldPackage, Failure> {
        let path = self.cache.packages().join(&package.file_name);
        loop {
            // Shared first: who unpacks it for a base holds it for half a minute.
            let lock = self.cache.share(&path, observer)?;
            if path.exists() && self.digest(&path)? == package.digest {
                mark_used(&path);
                return Ok(HeldPackage { path, _lock: lock });
            }
            drop(lock);
            // A file that is damaged each time is found out there.
            self.bring(package, observer)?;
        }
    }

    /// Brings the package's file into the cache, unless it is there.
    fn bring(&self, package: &PackageFile, observer: &dyn Observer) -> Result<(), Failure> {
        let path = self.cache.packages().join(&package.file_name);
        let _lock = self.cache.lock(&path, observer)?;
        if path.exists() {
            if self.digest(&path)? == package.digest {
                return Ok(());
            }
            observer.event(BuildEvent::Log {
                step: StepName::Source,
                line: format!("{path} is damaged; it is fetched again"),
            });
            fs_err::remove_file(&path).map_err(|error| apt_io("remove", &path, &error))?;
        }
        if self.take_kept(package, &path)? {
            return Ok(());
        }
        let address = self.address(package, observer)?;
        // A first file that was resumed may be damaged; a second one is fetched whole.
        for _ in 0..2 {
            let partial = self.download(&address, package, observer)?;
            if self.digest(&partial)? == package.digest {
                fs_err::rename(&partial, &path).map_err(|error| apt_io("move", &path, &error))?;
                return Ok(());
            }
            fs_err::remove_file(&partial).map_err(|error| apt_io("remove", &partial, &error))?;
        }
        Err(Failure::new(
            FailureClass::FetchFailed,
            format!(
                "{} {} does not have the digest of the archive's signed index",
                package.name, package.version
            ),
            "the mirror is faulty or someone tampers with it: try another one",
        ))
    }

    /// Where the package lies, as apt knows from the signed index.
    fn address(&self, package: &PackageFile, observer: &dyn Observer) -> Result<String, Failure> {
        if package.is_source_part()
            && let Some(address) = self.address_of_source_part(package, observer)?
        {
            return Ok(address);
        }
        let mut command = self.command("apt-get");
        command.args(["download", "--print-uris", "--"]);
        command.arg(format!("{}={}", package.name, package.version));
        // apt finds nothing in an index that somebody else is writing.
        let lock = self.lock_index(observer)?;
        let output = command.output().map_err(|error| not_installed(&error))?;
        drop(lock);
        let text = String::from_utf8_lossy(&output.stdout);
        let address = text.lines().find_map(|line| line.strip_prefix('\'')?.split('\'').next());
        address.map(str::to_owned).ok_or_else(|| {
            Failure::new(
                FailureClass::FetchFailed,
                format!("apt does not know where {} {} lies", package.name, package.version),
                "remove the directory apt in the server's cache and submit the build again",
            )
            .with_details(String::from_utf8_lossy(&output.stderr).lines().map(str::to_owned))
        })
    }

    /// Fetches a file, going on where an interrupted run stopped. curl does it, because apt-get
    /// begins anew when it was killed.
    fn download(
        &self,
        address: &str,
        package: &PackageFile,
        observer: &dyn Observer,
    ) -> Result<Utf8PathBuf, Failure> {
        let partial = self.cache.packages().join(format!("{}.partial", package.file_name));
        let size = || fs_err::metadata(&partial).map_or(0, |metadata| metadata.len());
        if size() > package.size_bytes {
            fs_err::remove_file(&partial).map_err(|error| apt_io("remove", &partial, &error))?;
        }
        let times = self.options.times;
        let mut attempts = Attempts::begin(Duration::from_secs(times.package_seconds));
        let mut may_begin_anew = true;
        loop {
            let before = size();
            if before == package.size_bytes {
                return Ok(partial);
            }
            let time = attempts.time_for_next(Duration::from_secs(times.attempt_seconds));
            let curl = self.curl(address, package, &partial);
            let finished = self.run(curl, time, observer, &mut |observer| {
                let done = size();
                observer.event(BuildEvent::Progress {
                    step: StepName::Source,
                    what: package.name.clone(),
                    done,
                    total: package.size_bytes,
                    unit: "bytes".to_owned(),
                });
                // curl before 8.4 looks at the size only where the mirror tells it before.
                let is_too_large = done > package.size_bytes;
                is_too_large.then(|| Ended::LimitExceeded("sent more than it should".to_owned()))
            })?;
            if size() > package.size_bytes {
                return Ok(partial);
            }
            // A mirror or proxy that cannot send the rest of a file (curl: 33, or 22 for a code of
            // HTTP) sends all of it.
            if matches!(finished.code(), Some(22 | 33)) && before > 0 && may_begin_anew {
                may_begin_anew = false;
                fs_err::remove_file(&partial).map_err(|e| apt_io("remove", &partial, &e))?;
                continue;
            }
            if !finished.succeeded() && !attempts.go_on(size().saturating_sub(before)) {
                let what = format!("cannot fetch {} {}", package.name, package.version);
                return Err(fetch_failure(&what, &finished));
            }
            if finished.succeeded() && size() != package.size_bytes {
                return Ok(partial);
            }
        }
    }

    fn curl(&self, address: &str, package: &PackageFile, output: &Utf8Path) -> Command {
        let mut curl = mortal_command("curl");
        let times = self.options.times;
        curl.args(["--fail", "--silent", "--show-error", "--location", "--continue-at", "-"]);
        // A mirror may redirect to another host, but not to files of this machine.
        curl.args(["--proto", "=http,https", "--proto-redir", "=http,https", "--max-redirs", "5"]);
        curl.args(["--connect-timeout", &times.silence_seconds.to_string()]);
        curl.args(["--speed-limit", "1000", "--speed-time", &times.slow_seconds.to_string()]);
        curl.args(["--max-filesize", &package.size_bytes.to_string()]);
        if let Some(proxy) = &self.proxy {
            curl.args(["--proxy", proxy]);
        }
        curl.args(["--output", output.as_str(), "--", address]);
        curl
    }

    fn digest(&self, path: &Utf8Path) -> Result<Sha256Digest, Failure> {
        digest_file(path).map_err(|error| apt_io("read", path, &error))
    }
}

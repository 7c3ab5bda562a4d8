use std::{
    cell::Cell,
    process::{Child, Command, Output},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, Sha256Digest, StepName};
use serde::{Deserialize, Serialize};

use super::{
    DebianOptions, MirrorTimes,
    faults::{apt_io, check_keyring, fetch_failure, not_installed, program_missing},
    indexes::{Index, IndexPlace, mirrors_of},
    mirror::Mirrors,
    proxy::{machine_proxies, machine_proxy},
    stanza::{Stanza, read_stanzas},
};
use crate::{
    Cache, Observer, SilentObserver,
    cache::CacheLock,
    failures::cancelled,
    housekeeping::mark_used,
    process::{Ended, Finished, ProcessLimits, mortal_command, supervise},
};

/// The index is fetched anew after this time when something is not found in it: Debian's archive
/// changes four times a day.
const INDEX_AGE: Duration = Duration::from_secs(600);

/// The most that apt or curl may print, in bytes: some lines for each suite.
const OUTPUT_BYTES: u64 = 16 * 1024 * 1024;

/// A package in the archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The digest in the archive's signed index.
    pub digest: Sha256Digest,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// Its file name in the archive.
    pub(super) file_name: String,
}

/// apt with a state directory of its own.
#[derive(Debug)]
pub struct Apt {
    pub(super) cache: Cache,
    pub(super) options: DebianOptions,
    mirrors: Mirrors,
    index: Index,
    directory: Utf8PathBuf,
    pub(super) proxy: Option<String>,
    /// The directory is not removed while this value lives.
    _in_use: CacheLock,
}

impl Apt {
    /// Writes apt's configuration into the cache.
    ///
    /// # Errors
    /// When no mirror is known, or the cache cannot be written.
    pub fn open(cache: &Cache, options: &DebianOptions) -> Result<Self, Failure> {
        Self::open_index(cache, options, Index::Packages)
    }

    /// The same archive's index of source packages.
    ///
    /// # Errors
    /// As [`Apt::open`].
    pub(super) fn of_sources(&self) -> Result<Self, Failure> {
        Self::open_index(&self.cache, &self.options, Index::Sources)
    }

    fn open_index(cache: &Cache, options: &DebianOptions, index: Index) -> Result<Self, Failure> {
        let mirrors = mirrors_of(options)?;
        let IndexPlace { sources, directory } = IndexPlace::of(cache, options, &mirrors, index);
        // Nobody holds it alone but who removes it, which takes a moment.
        let in_use = cache.share(&directory, &SilentObserver)?;
        let apt = Self {
            cache: cache.clone(),
            options: options.clone(),
            mirrors,
            index,
            directory: directory.clone(),
            proxy: machine_proxy(),
            _in_use: in_use,
        };
        for part in ["state/lists/partial", "archives/partial"] {
            let path = directory.join(part);
            fs_err::create_dir_all(&path).map_err(|error| apt_io("make", &path, &error))?;
        }
        apt.write("status", "")?;
        apt.write("sources.list", &sources)?;
        // Servers that share the directory may come to it by different symbolic links, and all of
        // them read and write this one file.
        let directory =
            directory.canonicalize_utf8().map_err(|error| apt_io("find", &directory, &error))?;
        apt.write("apt.conf", &configuration_text(&directory, options))?;
        Ok(apt)
    }

    /// The lines of a sources.list for `suites`, each with the key it must be signed with. Suites
    /// of an archive that is not configured are left out.
    pub fn source_lines(&self, suites: &[String]) -> Vec<String> {
        source_lines(&self.options, &self.mirrors, self.index, suites)
    }

    /// How files are fetched, as lines of an apt configuration.
    pub(crate) fn acquire_lines(&self) -> Vec<String> {
        acquire_lines(&self.options)
    }

    /// apt's configuration file: for other programs that run apt.
    pub fn configuration(&self) -> Utf8PathBuf {
        self.directory.join("apt.conf")
    }

    /// Refuses a keyring that cannot be read.
    ///
    /// # Errors
    /// `fetch-failed`.
    pub(crate) fn check_keyring(&self) -> Result<(), Failure> {
        check_keyring(&self.options.keyring)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.directory.join(name);
        // Others may be reading it: replace it in one go, and only when it changes.
        if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let failed = |error: std::io::Error| apt_io("write", &path, &error);
        let mut file = tempfile::NamedTempFile::new_in(&self.directory).map_err(failed)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Fetches the archive's signed indexes, unless that was done within the last ten minutes. A
    /// suite that the mirror does not have is left out, with a line in the log.
    ///
    /// # Errors
    /// `fetch-failed` when the mirror does not answer, has none of the suites, or a signature is
    /// wrong.
    pub fn update(&self, observer: &dyn Observer) -> Result<(), Failure> {
        let _lock = self.lock_index(observer)?;
        if self.index_age().is_some_and(|age| age < INDEX_AGE) {
            return Ok(());
        }
        self.check_keyring()?;
        let mut update = self.command("apt-get");
        update.args(["update", "--quiet", "--error-on=any"]);
        let time = Duration::from_secs(self.options.times.index_seconds);
        let finished = self.run(update, time, observer, &mut |_| None)?;
        if !finished.succeeded() {
            let suites = self.source_lines(&self.options.suites);
            match missing_suites(&finished.text()) {
                // Another suite may have the kernel. What a mirror leaves out is not found; what it
                // has must still be signed.
                Some(missing) if missing.len() < suites.len() => {
                    for suite in missing {
                        observer.event(BuildEvent::Log {
                            step: StepName::Source,
                            line: format!("the mirror has no {suite}: it is left out"),
                        });
                    }
                }
                _ => return Err(fetch_failure("cannot fetch the package index", &finished)),
            }
        }
        self.write("updated", &jiff::Timestamp::now().to_string())
    }

    pub(super) fn lock_index(&self, observer: &dyn Observer) -> Result<CacheLock, Failure> {
        mark_used(&self.directory);
        self.cache.lock(&self.directory.join("index"), observer)
    }

    fn index_age(&self) -> Option<Duration> {
        let metadata = fs_err::metadata(self.directory.join("updated")).ok()?;
        SystemTime::now().duration_since(metadata.modified().ok()?).ok()
    }

    /// All versions of a package in the index, newest first; fetches the index when it is not
    /// there, or is old and does not know the package.
    ///
    /// # Errors
    /// `fetch-failed` when the index cannot be fetched.
    pub fn versions(
        &self,
        package: &str,
        observer: &dyn Observer,
    ) -> Result<Vec<PackageFile>, Failure> {
        self.versions_of_each(&[package], &[], observer)
    }

    /// All versions of several packages in one answer, as [`Apt::versions`]: apt takes longer to
    /// start than to find them. For the sake of those in `optional` the index is not fetched anew.
    ///
    /// # Errors
    /// As [`Apt::versions`].
    pub fn versions_of_each(
        &self,
        packages: &[&str],
        optional: &[&str],
        observer: &dyn Observer,
    ) -> Result<Vec<PackageFile>, Failure> {
        let all = [packages, optional].concat();
        let kept = self.kept_packages(packages)?;
        if packages.iter().all(|name| kept.iter().any(|package| package.name == *name)) {
            // All of it was kept: the archive need not answer. But it may have newer ones.
            return self.show_or_kept(&all, observer);
        }
        if self.index_age().is_some() {
            let found = self.show(&all, observer)?;
            if packages.iter().all(|name| found.iter().any(|package| package.name == *name)) {
                return Ok(found);
            }
        }
        self.update(observer)?;
        self.show(&all, observer)
    }

    /// What index and kept files have; without an index, the kept files alone.
    fn show_or_kept(
        &self,
        packages: &[&str],
        observer: &dyn Observer,
    ) -> Result<Vec<PackageFile>, Failure> {
        match self.index_age() {
            Some(_) => self.show(packages, observer),
            None => self.kept_packages(packages),
        }
    }

    fn show(
        &self,
        packages: &[&str],
        observer: &dyn Observer,
    ) -> Result<Vec<PackageFile>, Failure> {
        let mut arguments = vec!["show", "--"];
        arguments.extend(packages);
        let output = self.query(&arguments, observer)?;
        let stanzas = read_stanzas(&String::from_utf8_lossy(&output.stdout));
        let mut found: Vec<PackageFile> = stanzas.into_iter().filter_map(into_package).collect();
        found.retain(|package| packages.contains(&package.name.as_str()));
        // What was kept comes behind what the archive has: without a version, its newest is meant.
        for package in self.kept_packages(packages)? {
            if !found.contains(&package) {
                found.push(package);
            }
        }
        Ok(found)
    }

    /// The names of all packages that begin with `prefix`.
    ///
    /// # Errors
    /// When apt cannot be run.
    pub fn names(&self, prefix: &str, observer: &dyn Observer) -> Result<Vec<String>, Failure> {
        let output = self.query(&["pkgnames", "--", prefix], observer)?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Asks the index. Only one at a time, and not while it is fetched: apt-cache writes a cache
    /// of its own, and finds nothing in one that somebody else is writing.
    pub(super) fn query(
        &self,
        arguments: &[&str],
        observer: &dyn Observer,
    ) -> Result<Output, Failure> {
        let _lock = self.lock_index(observer)?;
        let output =
            self.command("apt-cache").args(arguments).output().map_err(|e| not_installed(&e))?;
        if output.status.code() == Some(127) {
            return Err(program_missing("apt-cache"));
        }
        // apt ends with the same code when it knows no such package and when it failed.
        let errors = String::from_utf8_lossy(&output.stderr);
        let failed = |line: &&str| line.starts_with("E: ") && *line != "E: No packages found";
        match errors.lines().find(failed) {
            Some(error) => Err(Failure::new(
                FailureClass::FetchFailed,
                format!("cannot read the package index: {error}"),
                "submit the build again; if that does not help, remove the directory apt of the \
                 server's cache directory",
            )),
            None => Ok(output),
        }
    }

    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = mortal_command(program);
        command.env("APT_CONFIG", self.configuration()).env("LC_ALL", "C");
        command
    }

    /// Runs apt or curl for this time at most. `tick` is called a few times a second, and may say why it
    /// is to be ended.
    pub(super) fn run(
        &self,
        command: Command,
        time: Duration,
        observer: &dyn Observer,
        tick: &mut dyn FnMut(&dyn Observer) -> Option<Ended>,
    ) -> Result<Finished, Failure> {
        // They tell nothing for long while a large file comes in, and look themselves whether it does.
        let limits = ProcessLimits { time, silence: time, output_bytes: OUTPUT_BYTES };
        let mut on_line = |line: &str| {
            observer.event(BuildEvent::Log { step: StepName::Source, line: line.to_owned() });
        };
        let calls = Cell::new(0u32);
        let mut watch = |_: &Child| {
            if observer.is_cancelled() {
                return Some(Ended::Cancelled);
            }
            calls.set(calls.get() + 1);
            if calls.get().is_multiple_of(5) { tick(observer) } else { None }
        };
        let finished = supervise(command, limits, &mut on_line, &mut watch)
            .map_err(|error| not_installed(&error))?;
        if let Some(program) = finished.missing_program() {
            return Err(program_missing(&program));
        }
        if finished.ended == Ended::Cancelled { Err(cancelled()) } else { Ok(finished) }
    }
}

/// The lines of a sources.list. Suites of an archive that has no mirror are left out.
pub(super) fn source_lines(
    options: &DebianOptions,
    mirrors: &Mirrors,
    index: Index,
    suites: &[String],
) -> Vec<String> {
    let keyring = &options.keyring;
    let kind = match index {
        Index::Packages => "deb",
        Index::Sources => "deb-src",
    };
    let line = |suite: &String| {
        let mirror = if suite.ends_with("-security") {
            mirrors.security.as_ref()?
        } else {
            &mirrors.archive
        };
        Some(format!("{kind} [signed-by={keyring}] {mirror} {suite} main"))
    };
    suites.iter().filter_map(line).collect()
}

/// The repositories that the mirror does not have, when that is all that is wrong with an update.
fn missing_suites(output: &str) -> Option<Vec<String>> {
    // apt ends as if it were missing where a suite leads elsewhere.
    if output.contains("edirection ") {
        return None;
    }
    let errors = output.lines().filter(|line| line.starts_with("E: ") || line.starts_with("W: "));
    let missing = errors.map(|line| {
        let repository = line.strip_prefix("E: The repository '")?;
        repository.strip_suffix("' does not have a Release file.").map(str::to_owned)
    });
    missing.collect::<Option<Vec<String>>>().filter(|missing| !missing.is_empty())
}

/// apt's configuration for a state directory of its own; nothing of the machine's is read.
fn configuration_text(directory: &Utf8Path, options: &DebianOptions) -> String {
    let acquire = acquire_lines(options).join("\n");
    format!(
        "Dir::State \"{directory}/state\";\nDir::State::status \"{directory}/status\";\n\
         Dir::Cache \"{directory}\";\nDir::Cache::archives \"{directory}/archives\";\n\
         Dir::Etc::sourcelist \"{directory}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
         Dir::Etc::trusted \"/dev/null\";\nDir::Etc::trustedparts \"/dev/null\";\n\
         APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
         APT::Sandbox::User \"root\";\nAPT::Get::AllowUnauthenticated \"false\";\n\
         Acquire::Languages \"none\";\n{acquire}\n"
    )
}

/// How files are fetched: how long is waited, and through which proxy.
fn acquire_lines(options: &DebianOptions) -> Vec<String> {
    let MirrorTimes { silence_seconds, retries, .. } = options.times;
    let own = [
        format!("Acquire::Retries \"{retries}\";"),
        format!("Acquire::http::Timeout \"{silence_seconds}\";"),
        // The signature is checked whatever this says.
        format!("Acquire::Check-Valid-Until \"{}\";", options.valid_until),
    ];
    own.into_iter().chain(machine_proxies()).collect()
}

fn into_package(stanza: Stanza) -> Option<PackageFile> {
    Some(PackageFile {
        digest: stanza.sha256.parse().ok()?,
        name: stanza.name,
        version: stanza.version,
        size_bytes: stanza.size_bytes,
        file_name: stanza.file_name,
    })
}

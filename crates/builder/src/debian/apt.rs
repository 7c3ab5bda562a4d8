use std::{
    cell::Cell,
    process::{Child, Command},
    time::{Duration, SystemTime},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, Sha256Digest, StepName};

use super::{
    mirror::{Mirrors, find_mirrors},
    stanza::{Stanza, read_stanzas},
};
use crate::{
    Cache, Observer,
    digest_file::digest_file,
    failures::{cancelled, io_failure},
    process::{Ended, Finished, ProcessLimits, mortal_command, supervise},
};

/// The index is fetched anew after this time when something is not found in it: Debian's archive
/// changes four times a day.
const INDEX_AGE: Duration = Duration::from_secs(600);

/// apt tells nothing for long while a large package comes in; it has time limits of its own.
const FETCH_LIMITS: ProcessLimits = ProcessLimits {
    time: Duration::from_secs(3600),
    silence: Duration::from_secs(3600),
    output_bytes: 16 * 1024 * 1024,
};

/// Where Debian's packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DebianOptions {
    /// The main archive; `None` takes the one in the machine's own apt configuration.
    pub mirror: Option<String>,
    /// The security archive; `None` as above, and without it security updates are not found.
    pub security_mirror: Option<String>,
    /// The suites to look in. Those that end in `-security` are in the security archive.
    pub suites: Vec<String>,
    /// The keys that the archive must be signed with.
    pub keyring: Utf8PathBuf,
}

impl Default for DebianOptions {
    fn default() -> Self {
        let suites = ["bookworm", "bookworm-updates", "bookworm-security"];
        Self {
            mirror: None,
            security_mirror: None,
            suites: suites.map(str::to_owned).to_vec(),
            keyring: "/usr/share/keyrings/debian-archive-keyring.gpg".into(),
        }
    }
}

/// A package in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    file_name: String,
}

/// apt with a state directory of its own.
#[derive(Debug)]
pub struct Apt {
    cache: Cache,
    options: DebianOptions,
    mirrors: Mirrors,
    configuration: Utf8PathBuf,
    proxy: Option<String>,
}

impl Apt {
    /// Writes apt's configuration into the cache.
    ///
    /// # Errors
    /// When no mirror is known, or the cache cannot be written.
    pub fn open(cache: &Cache, options: &DebianOptions) -> Result<Self, Failure> {
        let mirrors = find_mirrors(options.mirror.as_deref(), options.security_mirror.as_deref())?;
        let directory = cache.apt();
        let apt = Self {
            cache: cache.clone(),
            options: options.clone(),
            mirrors,
            configuration: directory.join("apt.conf"),
            proxy: machine_proxy(),
        };
        for part in ["state/lists/partial", "archives/partial"] {
            let path = directory.join(part);
            fs_err::create_dir_all(&path).map_err(|error| apt_io("make", &path, &error))?;
        }
        apt.write("status", "")?;
        apt.write("sources.list", &(apt.source_lines(&options.suites).join("\n") + "\n"))?;
        apt.write("apt.conf", &apt.configuration_text())?;
        Ok(apt)
    }

    /// The lines of a sources.list for `suites`, each with the key it must be signed with. Suites
    /// of an archive that is not configured are left out.
    pub fn source_lines(&self, suites: &[String]) -> Vec<String> {
        let keyring = &self.options.keyring;
        let line = |suite: &String| {
            let mirror = if suite.ends_with("-security") {
                self.mirrors.security.as_ref()?
            } else {
                &self.mirrors.archive
            };
            Some(format!("deb [signed-by={keyring}] {mirror} {suite} main"))
        };
        suites.iter().filter_map(line).collect()
    }

    /// apt's configuration file: for other programs that run apt.
    pub fn configuration(&self) -> &Utf8Path {
        &self.configuration
    }

    fn configuration_text(&self) -> String {
        let directory = self.cache.apt();
        let proxies = machine_proxies();
        format!(
            "Dir::State \"{directory}/state\";\nDir::State::status \"{directory}/status\";\n\
             Dir::Cache \"{directory}\";\nDir::Cache::archives \"{directory}/archives\";\n\
             Dir::Etc::sourcelist \"{directory}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::Etc::trusted \"/dev/null\";\nDir::Etc::trustedparts \"/dev/null\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"root\";\nAPT::Get::AllowUnauthenticated \"false\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"3\";\nAcquire::http::Timeout \"30\";\n\
             {proxies}"
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.cache.apt().join(name);
        // Others may be reading it: replace it in one go, and only when it changes.
        if fs_err::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let failed = |error: std::io::Error| apt_io("write", &path, &error);
        let mut file = tempfile::NamedTempFile::new_in(self.cache.apt()).map_err(failed)?;
        std::io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Fetches the archive's signed indexes, unless that was done within the last ten minutes.
    ///
    /// # Errors
    /// `fetch-failed` when the mirror does not answer or the signature is wrong.
    pub fn update(&self, observer: &dyn Observer) -> Result<(), Failure> {
        let _lock = self.cache.lock(&self.cache.apt().join("index"), observer)?;
        if self.index_age().is_some_and(|age| age < INDEX_AGE) {
            return Ok(());
        }
        let mut update = self.command("apt-get");
        update.args(["update", "--quiet", "--error-on=any"]);
        let finished = self.run(update, observer, &mut |_| {})?;
        if !finished.succeeded() {
            return Err(fetch_failure("cannot fetch the package index", &finished));
        }
        self.write("updated", &jiff::Timestamp::now().to_string())
    }

    fn index_age(&self) -> Option<Duration> {
        let metadata = fs_err::metadata(self.cache.apt().join("updated")).ok()?;
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
        if self.index_age().is_some() {
            let found = self.show(package)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        self.update(observer)?;
        self.show(package)
    }

    fn show(&self, package: &str) -> Result<Vec<PackageFile>, Failure> {
        let mut show = self.command("apt-cache");
        show.args(["show", "--", package]);
        // Exit code 100 says that there is no such package.
        let output = show.output().map_err(|error| not_installed(&error))?;
        let stanzas = read_stanzas(&String::from_utf8_lossy(&output.stdout));
        Ok(stanzas.into_iter().filter_map(into_package).filter(|p| p.name == package).collect())
    }

    /// The names of all packages that begin with `prefix`.
    ///
    /// # Errors
    /// When apt cannot be run.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let mut names = self.command("apt-cache");
        names.args(["pkgnames", "--", prefix]);
        let output = names.output().map_err(|error| not_installed(&error))?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// The package's file: from the cache when its digest is right, else fetched; what was fetched
    /// in part is resumed.
    ///
    /// # Errors
    /// `fetch-failed` when it cannot be fetched or its digest is not that of the signed index.
    pub fn fetch(
        &self,
        package: &PackageFile,
        observer: &dyn Observer,
    ) -> Result<Utf8PathBuf, Failure> {
        let path = self.cache.packages().join(&package.file_name);
        let _lock = self.cache.lock(&path, observer)?;
        if path.exists() {
            if self.digest(&path)? == package.digest {
                return Ok(path);
            }
            observer.event(BuildEvent::Log {
                step: StepName::Source,
                line: format!("{path} is damaged; it is fetched again"),
            });
            fs_err::remove_file(&path).map_err(|error| apt_io("remove", &path, &error))?;
        }
        let address = self.address(package)?;
        // A first file that was resumed may be damaged; a second one is fetched whole.
        for _ in 0..2 {
            let partial = self.download(&address, package, observer)?;
            if self.digest(&partial)? == package.digest {
                fs_err::rename(&partial, &path).map_err(|error| apt_io("move", &path, &error))?;
                return Ok(path);
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
    fn address(&self, package: &PackageFile) -> Result<String, Failure> {
        let mut command = self.command("apt-get");
        command.args(["download", "--print-uris", "--"]);
        command.arg(format!("{}={}", package.name, package.version));
        let output = command.output().map_err(|error| not_installed(&error))?;
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
        loop {
            let before = size();
            if before == package.size_bytes {
                return Ok(partial);
            }
            let finished =
                self.run(self.curl(address, package, &partial), observer, &mut |observer| {
                    observer.event(BuildEvent::Progress {
                        step: StepName::Source,
                        what: package.name.clone(),
                        done: size(),
                        total: package.size_bytes,
                        unit: "bytes".to_owned(),
                    });
                })?;
            // A line that drops now and then still gets there; one that brings nothing does not.
            if !finished.succeeded() && size() <= before {
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
        curl.args(["--fail", "--silent", "--show-error", "--location", "--continue-at", "-"]);
        // A mirror may redirect to another host, but not to files of this machine.
        curl.args(["--proto", "=http,https", "--proto-redir", "=http,https", "--max-redirs", "5"]);
        curl.args(["--connect-timeout", "30", "--speed-limit", "1000", "--speed-time", "60"]);
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

    fn command(&self, program: &str) -> Command {
        let mut command = mortal_command(program);
        command.env("APT_CONFIG", &self.configuration).env("LC_ALL", "C");
        command
    }

    /// Runs apt; `tick` is called a few times a second.
    fn run(
        &self,
        command: Command,
        observer: &dyn Observer,
        tick: &mut dyn FnMut(&dyn Observer),
    ) -> Result<Finished, Failure> {
        let mut on_line = |line: &str| {
            observer.event(BuildEvent::Log { step: StepName::Source, line: line.to_owned() });
        };
        let calls = Cell::new(0u32);
        let mut watch = |_: &Child| {
            calls.set(calls.get() + 1);
            if calls.get().is_multiple_of(5) {
                tick(observer);
            }
            observer.is_cancelled().then_some(Ended::Cancelled)
        };
        let finished = supervise(command, FETCH_LIMITS, &mut on_line, &mut watch)
            .map_err(|error| not_installed(&error))?;
        if finished.ended == Ended::Cancelled { Err(cancelled()) } else { Ok(finished) }
    }
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

/// The proxy that the machine's own apt uses for http, for curl.
fn machine_proxy() -> Option<String> {
    let name = "Acquire::http::Proxy";
    let output = Command::new("apt-config").args(["shell", "proxy", name]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = text.trim().strip_prefix("proxy=")?.trim_matches('\'').to_owned();
    (!value.is_empty() && value != "DIRECT").then_some(value)
}

/// The machine's own proxy and TLS settings for apt, as configuration lines.
fn machine_proxies() -> String {
    let Ok(output) = Command::new("apt-config").args(["dump", "Acquire"]).output() else {
        return String::new();
    };
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| {
            let lower = line.to_ascii_lowercase();
            lower.starts_with("acquire::http")
                && ["proxy", "cainfo", "sslcert", "sslkey", "verify"]
                    .iter()
                    .any(|w| lower.contains(w))
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

fn apt_io(action: &str, path: &Utf8Path, error: &std::io::Error) -> Failure {
    io_failure(FailureClass::FetchFailed, action, path, error)
}

fn not_installed(error: &std::io::Error) -> Failure {
    Failure::new(
        FailureClass::FetchFailed,
        format!("cannot run apt or curl: {error}"),
        "apt-get install apt curl: they fetch and verify the kernel's packages",
    )
}

fn fetch_failure(what: &str, finished: &Finished) -> Failure {
    let full = finished.text().contains("No space left on device")
        || finished.text().contains("Failure writing output")
        || finished.text().contains("don't have enough free space");
    let class = if full { FailureClass::DiskFull } else { FailureClass::FetchFailed };
    Failure::new(
        class,
        format!("{what} from Debian's archive"),
        "check the network and the mirror ([debian] section of the server's config), then submit \
         the build again: what was fetched is kept",
    )
    .with_details(finished.last_lines(8))
}

//! apt and curl against a small archive of the test's own: signed with a key made here, served on
//! the loopback interface, and faulty on demand.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{Apt, Cache, DebianOptions, Observer, PackageDirectory, SilentObserver};
use elivepatch_model::{BuildEvent, FailureClass, Sha256Digest};

/// What the mirror does wrong.
#[derive(Default)]
struct Faults {
    /// Where packages lead to instead.
    redirect: Option<String>,
    /// The next answers for a package break off after so many bytes.
    cuts: Vec<usize>,
    /// Packages are sent whole, whatever part is asked for.
    ignores_ranges: bool,
    /// Packages are sent with other bytes than the index says.
    corrupt: bool,
    /// How many bytes of packages were sent in all.
    sent: usize,
}

/// Keeps the lines of the log.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Log { line, .. } = event {
            self.0.lock().expect("no panic holds it").push(line);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

struct Archive {
    directory: tempfile::TempDir,
    address: String,
    faults: Arc<Mutex<Faults>>,
    package_bytes: usize,
}

impl Archive {
    fn new() -> Self {
        Self::with("")
    }

    /// One whose Release file has these lines, too.
    fn with(release_lines: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path();
        let package = build_package(root);
        let mut files = HashMap::new();
        let packages = format!(
            "Package: elivepatch-sample\nVersion: 1.0\nArchitecture: amd64\nMaintainer: t <t@t>\n\
             Description: sample\nFilename: pool/elivepatch-sample_1.0_amd64.deb\nSize: {}\nSHA256: {}\n\n",
            package.len(),
            Sha256Digest::of(&package)
        );
        let release = format!(
            "Origin: Debian\nLabel: Debian\nSuite: sample\nCodename: sample\nArchitectures: amd64\n\
             Components: main\nDate: Thu, 01 Oct 2026 00:00:00 UTC\n{release_lines}SHA256:\n {} {} main/binary-amd64/Packages\n",
            Sha256Digest::of(packages.as_bytes()),
            packages.len()
        );
        let signed = sign(root, &release);
        let package_bytes = package.len();
        files.insert("/debian/dists/sample/InRelease".to_owned(), signed);
        files.insert(
            "/debian/dists/sample/main/binary-amd64/Packages".to_owned(),
            packages.into_bytes(),
        );
        files.insert("/debian/pool/elivepatch-sample_1.0_amd64.deb".to_owned(), package);
        let faults = Arc::new(Mutex::new(Faults::default()));
        let address = serve(files, Arc::clone(&faults));
        Self { directory, address, faults, package_bytes }
    }

    fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::from_path_buf(self.directory.path().join(name)).expect("UTF-8")
    }

    fn apt(&self, keyring: &str) -> (Cache, Apt) {
        self.apt_with_suites(keyring, &["sample"])
    }

    fn apt_with_suites(&self, keyring: &str, suites: &[&str]) -> (Cache, Apt) {
        let cache = Cache::open(&self.path("cache")).expect("own directory");
        let mirror = format!("{}/debian", self.address);
        let options = DebianOptions {
            mirror: Some(mirror.clone()),
            security_mirror: Some(mirror),
            suites: suites.iter().map(|suite| (*suite).to_owned()).collect(),
            keyring: self.path(keyring),
            ..DebianOptions::default()
        };
        let apt = Apt::open(&cache, &options).expect("the mirror is given");
        (cache, apt)
    }
}

impl Archive {
    /// apt as a source of its own has it.
    fn apt_with(&self, keyring: &str, change: impl FnOnce(&mut DebianOptions)) -> Apt {
        let cache = Cache::open(&self.path("cache")).expect("own directory");
        let mut options = DebianOptions {
            mirror: Some(format!("{}/debian", self.address)),
            without_security: true,
            suites: vec!["sample".to_owned()],
            keyring: self.path(keyring),
            ..DebianOptions::default()
        };
        change(&mut options);
        Apt::open(&cache, &options).expect("the mirror is given")
    }

    /// The package as it was built, in a directory of its own.
    fn keep(&self) -> (PackageDirectory, Utf8PathBuf) {
        let directory = self.path("kept");
        std::fs::create_dir_all(&directory).expect("own directory");
        let file = directory.join("elivepatch-sample_1.0_amd64.deb");
        std::fs::copy(self.path("sample.deb"), &file).expect("it was built");
        (PackageDirectory { directory, digests: BTreeMap::new() }, file)
    }
}

#[test]
fn index_past_its_time_is_accepted_only_where_the_config_says_so_and_signed_all_the_same() {
    let archive = Archive::with("Valid-Until: Fri, 02 Oct 2026 00:00:00 UTC\n");
    let apt = archive.apt_with("keyring.gpg", |_| {});
    let failure = apt.versions("elivepatch-sample", &SilentObserver).expect_err("it has expired");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("expired")), "{failure:?}");
    let apt = archive.apt_with("keyring.gpg", |options| options.valid_until = false);
    assert_eq!(apt.versions("elivepatch-sample", &SilentObserver).expect("a snapshot").len(), 1);
    let apt = archive.apt_with("other.gpg", |options| options.valid_until = false);
    apt.versions("elivepatch-sample", &SilentObserver).expect_err("signed by somebody else");
}

#[test]
fn file_that_was_kept_is_taken_instead_of_fetching_it() {
    let archive = Archive::new();
    let (packages, file) = archive.keep();
    let apt = archive.apt_with("keyring.gpg", |options| options.packages = Some(packages));
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is there");
    assert_eq!(file_digest(&path), versions[0].digest);
    assert_eq!(archive.faults.lock().expect("unused").sent, 0, "it was fetched");

    std::fs::remove_file(path).expect("in the cache");
    std::fs::write(&file, "another file").expect("own file");
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("another digest");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains(file.as_str()), "{failure}");
}

#[test]
fn package_that_left_the_archive_is_served_from_where_it_was_kept() {
    let archive = Archive::new();
    let (mut packages, file) = archive.keep();
    let digest = file_digest(&file);
    packages.digests.insert("elivepatch-sample_1.0_amd64.deb".to_owned(), digest);
    let unused = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let open = |packages: &PackageDirectory| {
        archive.apt_with("keyring.gpg", |options| {
            options.mirror = Some(format!("http://{unused}/debian"));
            options.packages = Some(packages.clone());
        })
    };
    let apt = open(&packages);
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("nobody is asked");
    assert_eq!((versions[0].version.as_str(), versions[0].digest), ("1.0", digest));
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it was kept");
    assert_eq!(file_digest(&path), digest);

    // Without a digest in the config an index has to say what it is, and that does not answer.
    packages.digests.clear();
    let failure = open(&packages).versions("elivepatch-sample", &SilentObserver);
    assert_eq!(failure.expect_err("no index").class, FailureClass::FetchFailed);
    packages.digests.insert("elivepatch-sample_1.0_amd64.deb".to_owned(), Sha256Digest::of(b"x"));
    let failure = open(&packages).versions("elivepatch-sample", &SilentObserver);
    assert_eq!(failure.expect_err("another digest").class, FailureClass::SourceUnusable);
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().expect("the program is installed");
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A package of 300 kB that does not compress.
fn build_package(root: &std::path::Path) -> Vec<u8> {
    let tree = root.join("tree");
    std::fs::create_dir_all(tree.join("DEBIAN")).expect("own directory");
    let control = "Package: elivepatch-sample\nVersion: 1.0\nArchitecture: amd64\nMaintainer: t <t@t>\nDescription: sample\n";
    std::fs::write(tree.join("DEBIAN/control"), control).expect("own file");
    let mut noise = Vec::new();
    let mut state: u64 = 88172645463325252;
    while noise.len() < 300_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    std::fs::write(tree.join("noise"), noise).expect("own file");
    let package = root.join("sample.deb");
    let (tree, file) = (tree.to_str().expect("UTF-8"), package.to_str().expect("UTF-8"));
    run("dpkg-deb", &["--root-owner-group", "--build", tree, file]);
    std::fs::read(package).expect("it was built")
}

/// Signs with a fresh key; leaves `keyring.gpg` (that key) and `other.gpg` (another one).
fn sign(root: &std::path::Path, release: &str) -> Vec<u8> {
    let path = |name: &str| root.join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(root.join("Release"), release).expect("own file");
    for (home, keyring) in [("gnupg", "keyring.gpg"), ("gnupg-other", "other.gpg")] {
        let home = path(home);
        std::fs::create_dir(&home).expect("own directory");
        run("chmod", &["700", &home]);
        run(
            "gpg",
            &[
                "--homedir",
                &home,
                "--batch",
                "--quiet",
                "--passphrase",
                "",
                "--quick-generate-key",
                "t@t",
                "rsa2048",
                "sign",
            ],
        );
        run("gpg", &["--homedir", &home, "--batch", "--output", &path(keyring), "--export"]);
    }
    run(
        "gpg",
        &[
            "--homedir",
            &path("gnupg"),
            "--batch",
            "--output",
            &path("InRelease"),
            "--clearsign",
            &path("Release"),
        ],
    );
    for home in ["gnupg", "gnupg-other"] {
        run("gpgconf", &["--homedir", &path(home), "--kill", "all"]);
    }
    std::fs::read(root.join("InRelease")).expect("it was signed")
}

fn serve(files: HashMap<String, Vec<u8>>, faults: Arc<Mutex<Faults>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = format!("http://{}", listener.local_addr().expect("bound"));
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            // A client that hangs up is no fault of the mirror.
            let _ = answer(connection, &files, &faults);
        }
    });
    address
}

fn answer(
    mut connection: TcpStream,
    files: &HashMap<String, Vec<u8>>,
    faults: &Mutex<Faults>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut start = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if let Some(range) = header.to_ascii_lowercase().strip_prefix("range: bytes=") {
            start = range.split('-').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        }
        if header.trim().is_empty() {
            break;
        }
    }
    if faults.lock().expect("no panic holds it").ignores_ranges {
        start = 0;
    }
    let redirect = faults.lock().expect("no panic holds it").redirect.clone();
    if let Some(to) = redirect.filter(|_| path.ends_with(".deb")) {
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        return connection.write_all(head.as_bytes());
    }
    let Some(content) = files.get(&path) else {
        return connection.write_all(
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        );
    };
    let mut body = content[start.min(content.len())..].to_vec();
    let status = if start > 0 { "206 Partial Content" } else { "200 OK" };
    let range = format!(
        "Content-Range: bytes {start}-{}/{}\r\n",
        content.len().saturating_sub(1),
        content.len()
    );
    let range = if start > 0 { range.as_str() } else { "" };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\n{range}Connection: close\r\n\r\n",
        body.len()
    )?;
    if path.ends_with(".deb") {
        let mut faults = faults.lock().expect("no panic holds it");
        if faults.corrupt {
            body.iter_mut().for_each(|byte| *byte = !*byte);
        }
        if !faults.cuts.is_empty() {
            body.truncate(faults.cuts.remove(0));
        }
        faults.sent += body.len();
    }
    connection.write_all(&body)
}

fn file_digest(path: &Utf8Path) -> Sha256Digest {
    Sha256Digest::of(&std::fs::read(path).expect("it was fetched"))
}

#[test]
fn package_is_fetched_verified_and_kept() {
    let archive = Archive::new();
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    assert_eq!(versions.len(), 1);
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is there");
    assert_eq!(file_digest(&path), versions[0].digest);
    apt.fetch(&versions[0], &SilentObserver).expect("it is in the cache");
    assert_eq!(archive.faults.lock().expect("unused").sent, archive.package_bytes, "fetched twice");
}

#[test]
fn damaged_file_in_the_cache_is_fetched_again() {
    let archive = Archive::new();
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is there");
    std::fs::write(&path, "damaged").expect("own file");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("it is fetched again");
    assert_eq!(file_digest(&path), versions[0].digest);
}

#[test]
fn interrupted_download_is_resumed_where_it_stopped() {
    let archive = Archive::new();
    archive.faults.lock().expect("unused").cuts = vec![100_000, 50_000];
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("the third attempt ends it");
    assert_eq!(file_digest(&path), versions[0].digest);
    let sent = archive.faults.lock().expect("unused").sent;
    assert_eq!(sent, archive.package_bytes, "something was sent twice");
}

#[test]
fn what_an_earlier_run_left_is_resumed() {
    let archive = Archive::new();
    archive.faults.lock().expect("unused").cuts = vec![100_000, 0];
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let failure =
        apt.fetch(&versions[0], &SilentObserver).expect_err("the line brings nothing more");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.hint.contains("kept"), "{failure:?}");
    let (_, apt) = archive.apt("keyring.gpg");
    apt.fetch(&versions[0], &SilentObserver).expect("the rest is fetched");
    let sent = archive.faults.lock().expect("unused").sent;
    assert_eq!(sent, archive.package_bytes, "something was sent twice");
}

#[test]
fn mirror_that_cannot_resume_sends_all_again() {
    let archive = Archive::new();
    {
        let mut faults = archive.faults.lock().expect("unused");
        faults.cuts = vec![100_000];
        faults.ignores_ranges = true;
    }
    let (_, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    let path = apt.fetch(&versions[0], &SilentObserver).expect("fetched from the beginning");
    assert_eq!(file_digest(&path), versions[0].digest);
}

#[test]
fn package_with_another_digest_than_the_index_is_refused() {
    let archive = Archive::new();
    let (cache, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    archive.faults.lock().expect("unused").corrupt = true;
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("another digest");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.message.contains("elivepatch-sample 1.0"), "{failure}");
    let left: Vec<_> = std::fs::read_dir(cache.packages())
        .expect("own directory")
        .flatten()
        .filter(|entry| entry.path().extension().is_none_or(|extension| extension != "lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn redirect_to_a_file_of_this_machine_is_not_followed() {
    let archive = Archive::new();
    let (cache, apt) = archive.apt("keyring.gpg");
    let versions = apt.versions("elivepatch-sample", &SilentObserver).expect("signed index");
    archive.faults.lock().expect("unused").redirect = Some("file:///etc/hostname".to_owned());
    let failure = apt.fetch(&versions[0], &SilentObserver).expect_err("another scheme");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("curl: (1)")), "{failure:?}");
    assert!(!cache.packages().join("elivepatch-sample_1.0_amd64.deb").exists());
}

#[test]
fn index_with_a_foreign_signature_is_refused() {
    let archive = Archive::new();
    let (_, apt) = archive.apt("other.gpg");
    let failure =
        apt.versions("elivepatch-sample", &SilentObserver).expect_err("signed by somebody else");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("sign")), "{failure:?}");
}

#[test]
fn suite_that_the_mirror_lacks_is_left_out_and_named() {
    let archive = Archive::new();
    let (_, apt) = archive.apt_with_suites("keyring.gpg", &["sample", "sample-backports"]);
    let log = Log::default();
    let versions = apt.versions("elivepatch-sample", &log).expect("the other suite is there");
    assert_eq!(versions.len(), 1);
    let log = log.0.lock().expect("unused");
    assert!(log.iter().any(|line| line.contains("sample-backports")), "{log:?}");

    // A server with other suites has an index of its own beside it.
    let (_, apt) = archive.apt_with_suites("keyring.gpg", &["sample"]);
    assert_eq!(apt.versions("elivepatch-sample", &SilentObserver).expect("signed").len(), 1);
}

#[test]
fn mirror_without_any_of_the_suites_is_refused() {
    let archive = Archive::new();
    let (_, apt) = archive.apt_with_suites("keyring.gpg", &["other", "sample-backports"]);
    let failure = apt.versions("elivepatch-sample", &SilentObserver).expect_err("neither is there");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains("sample-backports")), "{failure:?}");
}

#[test]
fn suite_with_a_foreign_signature_is_refused_beside_a_missing_one() {
    let archive = Archive::new();
    let (_, apt) = archive.apt_with_suites("other.gpg", &["sample", "sample-backports"]);
    let failure =
        apt.versions("elivepatch-sample", &SilentObserver).expect_err("signed by somebody else");
    assert_eq!(failure.class, FailureClass::FetchFailed);
}

#[test]
fn mirror_that_does_not_answer_is_named() {
    let archive = Archive::new();
    let cache = Cache::open(&archive.path("cache")).expect("own directory");
    let unused = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let mirror = format!("http://{unused}/debian");
    let options = DebianOptions {
        mirror: Some(mirror.clone()),
        security_mirror: Some(mirror),
        suites: vec!["sample".to_owned()],
        keyring: archive.path("keyring.gpg"),
        ..DebianOptions::default()
    };
    let apt = Apt::open(&cache, &options).expect("the mirror is given");
    let failure = apt.versions("elivepatch-sample", &SilentObserver).expect_err("nobody there");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.details.iter().any(|line| line.contains(&unused.to_string())), "{failure:?}");
}

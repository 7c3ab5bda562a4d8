//! The search for the source that has a kernel.

use std::sync::Mutex;

use camino::Utf8Path;
use elivepatch_model::{BuildEvent, BuilderIdentity, Failure, FailureClass, KernelConfig};

use super::{KernelSource, Search, SourceKind, Sources, Wanted};
use crate::{
    BaselinePatch, Cache, DirectoryOptions, GitOptions, Observer, Place, PortageOptions,
    Repository, SourceOptions, SourceTree, Sweep, TarballCheck, TarballOptions,
    source::{
        FoundSource, Tools, repository::OpenedRepository, test_place::TestPlace, test_web::Web,
    },
};

/// Keeps the lines of the log.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn event(&self, event: BuildEvent) {
        if let BuildEvent::Log { line, .. } = event {
            self.0.lock().expect("nobody panicked").push(line);
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }
}

struct Server {
    place: TestPlace,
    log: Log,
}

impl Server {
    fn new() -> (Self, camino::Utf8PathBuf) {
        let place = TestPlace::new();
        let directory = place.directory.clone();
        (Self { place, log: Log::default() }, directory)
    }

    fn find(
        &self,
        sources: &[SourceOptions],
        release: &str,
        baseline: &[BaselinePatch],
    ) -> Result<FoundSource, Failure> {
        self.find_in(&Sources::open(sources, &self.place.cache), release, baseline)
    }

    fn find_in(
        &self,
        opened: &Sources,
        release: &str,
        baseline: &[BaselinePatch],
    ) -> Result<FoundSource, Failure> {
        let config = KernelConfig::parse(b"CONFIG_X86_64=y\n").expect("a config");
        let release = release.parse().expect("a release");
        let wanted = Wanted { release: &release, config: &config, kernel_version: None, baseline };
        let no_archive = || {
            Err(Failure::new(FailureClass::ReleaseUnknown, "the archive does not have it", "look"))
        };
        let search = Search {
            tools: Tools {
                cache: &self.place.cache,
                sandbox: &self.place.sandbox,
                observer: &self.log,
            },
            apt: Box::new(no_archive),
        };
        opened.find(&wanted, &search)
    }
}

fn directory(name: &str, releases: &[&str], path: &str) -> SourceOptions {
    SourceOptions {
        name: name.to_owned(),
        releases: releases.iter().map(|pattern| pattern.parse().expect("a pattern")).collect(),
        kind: SourceKind::Directory(DirectoryOptions { path: path.parse().expect("a template") }),
    }
}

fn tree(directory: &Utf8Path, name: &str) {
    let tree = directory.join(name);
    fs_err::create_dir_all(&tree).expect("own directory");
    fs_err::write(tree.join("Makefile"), "all:\n").expect("own file");
}

#[test]
fn first_source_that_has_the_kernel_serves_it_and_those_before_say_why_not() {
    let (server, place) = Server::new();
    tree(&place, "b/linux-6.12.31-x");
    tree(&place, "c/linux-6.12.31-x");
    let path = |part: &str| format!("{place}/{part}/linux-{{release}}");
    let sources = [
        directory("gentoo", &["*-gentoo*"], &path("b")),
        directory("empty", &[], &path("a")),
        directory("second", &[], &path("b")),
        directory("third", &[], &path("c")),
    ];
    let found = server.find(&sources, "6.12.31-x", &[]).expect("it is there");
    assert_eq!(found.name, "second");
    let record = found.record();
    assert_eq!((record.kind.as_str(), record.name.as_str()), ("directory", "second"));
    assert_eq!(record.version, "6.12.31");
    assert_eq!(record.packages[0].name, "linux-6.12.31-x");
    let log = server.log.0.lock().expect("nobody panicked").join("\n");
    assert!(log.contains("gentoo does not serve: it is for *-gentoo* only"), "{log}");
    assert!(log.contains("empty does not serve: ") && log.contains("is not there"), "{log}");
    assert!(log.contains("the source second serves 6.12.31-x") && !log.contains("third"), "{log}");
}

#[test]
fn kernel_that_nobody_has_is_told_with_the_reason_of_each_source() {
    let (server, place) = Server::new();
    let sources = [
        directory("gentoo", &["*-gentoo*"], &format!("{place}/{{release}}")),
        directory("trees", &[], &format!("{place}/{{release}}")),
    ];
    let failure = server.find(&sources, "6.12.31-x", &[]).expect_err("nobody has it");
    assert_eq!(failure.class, FailureClass::ReleaseUnknown);
    assert_eq!(failure.message, "no source of this server has 6.12.31-x");
    let expected = [
        "gentoo: it is for *-gentoo* only".to_owned(),
        format!("trees: {place}/6.12.31-x is not there"),
        "debian: the archive does not have it".to_owned(),
    ];
    assert_eq!(failure.details, expected);
}

#[test]
fn source_that_has_the_kernel_and_is_unusable_is_not_passed_over() {
    let (server, place) = Server::new();
    tree(&place, "a/linux-6.12.31-x");
    std::os::unix::fs::symlink("/etc", place.join("a/linux-6.12.31-x/out")).expect("own link");
    tree(&place, "b/linux-6.12.31-x");
    let path = |part: &str| format!("{place}/{part}/linux-{{release}}");
    let sources = [directory("first", &[], &path("a")), directory("other", &[], &path("b"))];
    let failure = server.find(&sources, "6.12.31-x", &[]).expect_err("it is not clean");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    let opened = Sources::open(&sources, &server.place.cache);
    let unusable = opened.unusable();
    assert_eq!(unusable.len(), 1);
    assert_eq!(unusable[0].0, "first for 6.12.31-x");
}

#[test]
fn baseline_is_part_of_what_a_tree_is_and_nothing_for_stock_kernels() {
    let (server, place) = Server::new();
    tree(&place, "linux-6.12.31-x");
    let sources = [directory("trees", &[], &format!("{place}/linux-{{release}}"))];
    let patch = BaselinePatch { name: "a.patch".to_owned(), text: b"x".to_vec() };
    let plain = server.find(&sources, "6.12.31-x", &[]).expect("it is there");
    let patched = server.find(&sources, "6.12.31-x", std::slice::from_ref(&patch));
    let patched = patched.expect("it is there");
    assert_ne!(plain.source.identity(), patched.source.identity());
    assert_eq!(patched.record().patches[0].name, "a.patch");
    let failure = server.find(&[], "6.1.0-50-cloud-amd64", &[patch]).expect_err("a stock kernel");
    assert_eq!(failure.class, FailureClass::BaselineDoesNotApply);
    assert!(failure.hint.contains("--baseline"), "{failure:?}");
}

#[test]
fn source_of_one_release_is_what_it_was_before_there_were_names() {
    let (server, place) = Server::new();
    tree(&place, "linux");
    let release = "6.12.31-x".parse().expect("a release");
    let sources = [SourceTree { release, path: place.join("linux") }.into()];
    let record = server.find(&sources, "6.12.31-x", &[]).expect("it is there").record();
    assert_eq!((record.kind.as_str(), record.name.as_str()), ("tree", ""));
    assert_eq!(record.version, "linux");
    let other = server.find(&sources, "6.12.32-x", &[]).expect_err("of one release");
    assert_eq!(other.message, "the archive does not have it");
}

#[test]
fn source_that_was_found_is_in_use_until_its_base_is_ready() {
    let (server, _) = Server::new();
    let web = Web::new();
    web.put_content("/linux-6.12.31.tar", &[7; 2 << 20]);
    let url = format!("{}/linux-{{version}}.tar", web.address);
    let place = Place::Url(url.parse().expect("a template"));
    let options = TarballOptions { place, patches: None, check: TarballCheck::None };
    let kind = SourceKind::Tarball(options);
    let sources = [SourceOptions { name: "kernel.org".to_owned(), releases: Vec::new(), kind }];
    let find = || server.find(&sources, "6.12.31", &[]).expect("it is there");
    let path = |found: &FoundSource| match &found.source {
        KernelSource::Tree(tree) => tree.path.clone(),
        KernelSource::Debian(_) => panic!("it is a tarball"),
    };
    let modified = |path: &Utf8Path| path.metadata().and_then(|facts| facts.modified());
    let mut first = find();
    let path = path(&first);
    // Finding is using, also when a base is there and nothing is unpacked.
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    std::fs::File::open(&path).and_then(|file| file.set_modified(old)).expect("own file");
    // It does not wait for who makes a base of it.
    let mut second = find();
    assert!(modified(&path).expect("own file") > old);
    assert_eq!(web.requests("/linux-6.12.31.tar"), 1);

    let sweep = Sweep { budget_bytes: Some(0), ..Sweep::default() };
    first.let_go();
    let swept = sweep.run(&server.place.cache).expect("own directory");
    assert_eq!(swept.kept[0].reason, "it is in use");
    second.let_go();
    sweep.run(&server.place.cache).expect("own directory");
    assert!(!path.exists());
    let KernelSource::Tree(tree) = &first.source else { panic!("it is a tarball") };
    let failure = tree.hold(&server.place.cache, &server.log).expect_err("it is gone");
    assert!(failure.message.contains("was removed from the cache"), "{failure}");
    assert!(failure.hint.contains("it is fetched again"), "{failure:?}");
    find();
    assert_eq!(web.requests("/linux-6.12.31.tar"), 2);
}

/// The words about a kernel's sources in the key of its builds.
fn words(sources: &[SourceOptions], release: &str, cache: &Cache) -> String {
    let sources = Sources::open(sources, cache).identities();
    let identity = BuilderIdentity { sources, ..BuilderIdentity::default() };
    identity.of_builds_for(&release.parse().expect("a release"))
}

fn git(repository: &Utf8Path, arguments: &[&str]) {
    fs_err::create_dir_all(repository).expect("own directory");
    let status = std::process::Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.hooksPath=/dev/null"])
        .args(arguments)
        .current_dir(repository)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status()
        .expect("git is installed");
    assert!(status.success(), "{arguments:?}");
}

#[test]
fn tag_that_moves_is_refused_until_the_start_that_gives_its_builds_another_key() {
    let (server, place) = Server::new();
    let repository = place.join("linux");
    let git = |arguments: &[&str]| git(&repository, arguments);
    git(&["init", "--quiet"]);
    for version in ["v6.12.30", "v6.12.31"] {
        git(&["commit", "--quiet", "--allow-empty", "--message", version]);
        git(&["tag", version]);
    }
    let options = GitOptions {
        repository: Repository::Path(repository.clone()),
        tag: "v{version}".parse().expect("a template"),
        verify_tag: None,
    };
    let source = SourceOptions {
        name: "linux".to_owned(),
        releases: Vec::new(),
        kind: SourceKind::Git(options),
    };
    let sources = [source];
    let key = |release| words(&sources, release, &server.place.cache);
    let (first, other) = (key("6.12.31-x"), key("6.12.30-x"));
    let opened = Sources::open(&sources, &server.place.cache);
    server.find_in(&opened, "6.12.31-x", &[]).expect("unchanged");
    git(&["pack-refs", "--all"]);
    server.find_in(&opened, "6.12.31-x", &[]).expect("packed, and the same");
    assert_eq!(key("6.12.31-x"), first);

    git(&["commit", "--quiet", "--allow-empty", "--message", "moved"]);
    git(&["tag", "--force", "v6.12.31"]);
    git(&["tag", "v6.12.32"]);
    for release in ["6.12.31-x", "6.12.32-x"] {
        let failure = server.find_in(&opened, release, &[]).expect_err("not what it was");
        assert_eq!(failure.class, FailureClass::SourceUnusable);
        assert!(failure.hint.contains("restart elivepatch-server"), "{failure:?}");
    }
    server.find_in(&opened, "6.12.30-x", &[]).expect("another tag");
    assert_ne!(key("6.12.31-x"), first);
    assert_eq!(key("6.12.30-x"), other);
    server.find(&sources, "6.12.31-x", &[]).expect("after a start");
}

#[test]
fn ebuilds_and_eclasses_are_part_of_the_key() {
    let (server, place) = Server::new();
    let ebuild = place.join("repository/sys-kernel/gentoo-sources/gentoo-sources-6.12.31.ebuild");
    let eclass = place.join("repository/eclass/kernel-2.eclass");
    for path in [&ebuild, &eclass] {
        fs_err::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs_err::write(path, "EAPI=8\n").expect("own file");
    }
    let options = PortageOptions {
        root: "/".into(),
        repository: place.join("repository"),
        distfiles: place.join("distfiles"),
        package: "sys-kernel/gentoo-sources".to_owned(),
    };
    let kind = SourceKind::Portage(options);
    let sources = [SourceOptions { name: "gentoo".to_owned(), releases: Vec::new(), kind }];
    let mut keys = vec![words(&sources, "6.12.31-gentoo", &server.place.cache)];
    let release = "6.12.31-gentoo".parse().expect("a release");
    for path in [&ebuild, &eclass] {
        let opened = OpenedRepository::open(&sources[0].kind);
        opened.check(&sources[0].kind, &release).expect("unchanged");
        fs_err::write(path, "EAPI=8\n# changed\n").expect("own file");
        let failure = opened.check(&sources[0].kind, &release).expect_err("changed");
        assert!(failure.hint.contains("restart elivepatch-server"), "{failure:?}");
        keys.push(words(&sources, "6.12.31-gentoo", &server.place.cache));
    }
    keys.dedup();
    assert_eq!(keys.len(), 3);
}

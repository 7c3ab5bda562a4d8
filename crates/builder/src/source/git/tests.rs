//! Repositories on the spot, good and hostile, read by the real git in the real sandbox.

use std::process::{Child, Command, Stdio};

use super::*;
use crate::source::{test_place::TestPlace, test_web::Key};

struct Setting {
    place: TestPlace,
}

impl Setting {
    fn new() -> Self {
        let place = TestPlace::new();
        let setting = Self { place };
        fs_err::create_dir_all(setting.repository()).expect("own directory");
        setting.git(&["init", "--quiet", "--initial-branch=main"]);
        setting
    }

    fn repository(&self) -> Utf8PathBuf {
        self.place.directory.join("linux")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@t", "-c", "core.hooksPath=/dev/null"])
            .args(arguments)
            .current_dir(self.repository())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .expect("git is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.repository().join(name);
        fs_err::create_dir_all(path.parent().expect("it has one")).expect("own directory");
        fs_err::write(path, text).expect("own file");
    }

    /// Two versions of a small tree, both with tags.
    fn with_versions(self) -> Self {
        self.write("Makefile", "VERSION = 30\n");
        self.write("fs/a.c", "int a;\n");
        self.write("scripts/run", "#!/bin/sh\n");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs_err::set_permissions(self.repository().join("scripts/run"), mode).expect("own file");
        std::os::unix::fs::symlink("../fs/a.c", self.repository().join("scripts/link"))
            .expect("own link");
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=30"]);
        self.git(&["tag", "--annotate", "--message=30", "v6.12.30"]);
        self.write("Makefile", "VERSION = 31\n");
        self.git(&["commit", "--quiet", "--all", "--message=31"]);
        self.git(&["tag", "--annotate", "--message=31", "v6.12.31"]);
        self
    }

    fn options(&self, repository: Repository) -> GitOptions {
        GitOptions { repository, tag: "v{version}".parse().expect("a template"), verify_tag: None }
    }

    fn find_by(&self, options: &GitOptions, release: &str) -> Result<TreeFacts, Failure> {
        let release = release.parse().expect("a release");
        let tools = self.place.tools();
        GitSource { options, release: &release, tools }.find()
    }

    fn find(&self, release: &str) -> Result<TreeFacts, Failure> {
        self.find_by(&self.options(Repository::Path(self.repository())), release)
    }

    fn makefile(&self, facts: &TreeFacts) -> String {
        let tree = self.place.unpack(facts).expect("it is whole");
        fs_err::read_to_string(tree.join("Makefile")).expect("a file")
    }
}

fn refused(result: Result<impl std::fmt::Debug, Failure>, expected: &str) {
    let failure = result.expect_err(expected);
    assert_eq!(failure.class, FailureClass::SourceUnusable, "{failure:?}");
    assert!(failure.message.contains(expected), "{failure:?}");
}

#[test]
fn tag_of_the_version_is_exported_as_it_is() {
    let setting = Setting::new().with_versions();
    let facts = setting.find("6.12.30-custom").expect("it is there");
    let record = facts.record();
    assert_eq!((record.kind.as_str(), record.version.as_str()), ("git", "6.12.30"));
    let git = record.git.expect("a commit");
    assert_eq!(git.commit, setting.git(&["rev-parse", "v6.12.30^{commit}"]));
    assert_eq!(git.tree, setting.git(&["rev-parse", "v6.12.30^{tree}"]));
    let tree = setting.place.unpack(&facts).expect("it is whole");
    let read = |name: &str| fs_err::read_to_string(tree.join(name)).expect("a file");
    assert_eq!(read("Makefile"), "VERSION = 30\n");
    assert_eq!(read("scripts/link"), "int a;\n");
    let mode = fs_err::metadata(tree.join("scripts/run")).expect("a file").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o111, 0o111);
    assert!(!tree.join(".git").exists());
    assert_eq!(setting.makefile(&setting.find("6.12.31").expect("it is there")), "VERSION = 31\n");
    let failure = setting.find("6.12.32").expect_err("no such tag");
    assert_eq!(failure.class, FailureClass::ReleaseUnknown);
    assert!(failure.message.ends_with("has no tag v6.12.32"), "{failure}");
}

#[test]
fn tag_without_an_object_of_its_own_serves_too() {
    let setting = Setting::new().with_versions();
    setting.git(&["tag", "v6.12.33"]);
    assert_eq!(setting.makefile(&setting.find("6.12.33").expect("there")), "VERSION = 31\n");
}

#[test]
fn hooks_settings_and_attributes_of_the_repository_do_nothing() {
    let setting = Setting::new().with_versions();
    let marker = setting.place.directory.join("marker");
    let script = setting.place.directory.join("evil");
    fs_err::write(&script, format!("#!/bin/sh\ntouch {marker}\ncat\n")).expect("own file");
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs_err::set_permissions(&script, mode.clone()).expect("own file");
    let git = setting.repository().join(".git");
    for hook in ["post-checkout", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"] {
        let path = git.join("hooks").join(hook);
        fs_err::create_dir_all(git.join("hooks")).expect("own directory");
        fs_err::copy(&script, path).expect("own file");
    }
    fs_err::write(setting.place.directory.join("more"), format!("[core]\n\tpager = {script}\n"))
        .expect("own file");
    let hostile = format!(
        "[core]\n\tfsmonitor = {script}\n\tsshCommand = {script}\n\tpager = {script}\n\
         \thooksPath = {git}/hooks\n\talternateRefsCommand = {script}\n\tgitProxy = {script}\n\
         [uploadpack]\n\tpackObjectsHook = {script}\n[include]\n\tpath = {more}\n\
         [filter \"evil\"]\n\tsmudge = {script}\n\tprocess = {script}\n\
         [diff \"evil\"]\n\ttextconv = {script}\n[tar \"tar\"]\n\tcommand = {script}\n\
         [alias]\n\tcat-file = !{script}\n\tls-tree = !{script}\n[gpg]\n\tprogram = {script}\n",
        more = setting.place.directory.join("more"),
    );
    let config = fs_err::read_to_string(git.join("config")).expect("own file");
    fs_err::write(git.join("config"), config + &hostile).expect("own file");
    fs_err::write(git.join("info/attributes"), "* filter=evil diff=evil export-ignore\n")
        .expect("own file");
    let facts = setting.find("6.12.31").expect("it is there");
    assert_eq!(setting.makefile(&facts), "VERSION = 31\n");
    assert!(!marker.exists(), "a program of the repository has run");
}

#[test]
fn attributes_in_the_tree_change_nothing_of_it() {
    let setting = Setting::new().with_versions();
    setting.write(".gitattributes", "fs/a.c export-ignore\nMakefile export-subst eol=crlf\n");
    setting.write("Makefile", "# $Format:%H$\n");
    setting.git(&["add", "--all"]);
    setting.git(&["commit", "--quiet", "--message=attributes"]);
    setting.git(&["tag", "--annotate", "--message=34", "v6.12.34"]);
    let facts = setting.find("6.12.34").expect("it is there");
    assert_eq!(setting.makefile(&facts), "# $Format:%H$\n");
    assert!(setting.place.directory.join("tree/fs/a.c").exists());
}

#[test]
fn object_that_was_exchanged_is_refused() {
    let setting = Setting::new().with_versions();
    let facts = setting.find("6.12.31").expect("it is there");
    let exchange = |from: &str, to: &str| {
        let path =
            |id: &str| setting.repository().join(format!(".git/objects/{}/{}", &id[..2], &id[2..]));
        let (from, to) = (setting.git(&["rev-parse", from]), setting.git(&["rev-parse", to]));
        let before = fs_err::read(path(&from)).expect("a loose object");
        fs_err::remove_file(path(&from)).expect("own file");
        fs_err::copy(path(&to), path(&from)).expect("own file");
        (path(&from), before)
    };
    let restore = |(path, content): (Utf8PathBuf, Vec<u8>)| {
        fs_err::remove_file(&path).expect("own file");
        fs_err::write(path, content).expect("own file");
    };
    let blob = exchange("v6.12.31:Makefile", "v6.12.30:Makefile");
    refused(setting.place.unpack(&facts), "cannot be used");
    restore(blob);
    let tree = exchange("v6.12.31^{tree}", "v6.12.30^{tree}");
    refused(setting.place.unpack(&facts), "cannot be used");
    restore(tree);
    let commit = exchange("v6.12.31^{commit}", "v6.12.30^{commit}");
    refused(setting.find("6.12.31"), "cannot be used");
    restore(commit);
    assert_eq!(setting.makefile(&facts), "VERSION = 31\n");
    // A replacement is not what the tag means.
    setting.git(&["replace", "v6.12.31^{commit}", "v6.12.30^{commit}"]);
    assert_eq!(setting.makefile(&setting.find("6.12.31").expect("there")), "VERSION = 31\n");
}

#[test]
fn tree_with_what_no_source_has_is_refused() {
    let setting = Setting::new().with_versions();
    std::os::unix::fs::symlink("/etc/passwd", setting.repository().join("fs/out"))
        .expect("own link");
    setting.git(&["add", "--all"]);
    setting.git(&["commit", "--quiet", "--message=link"]);
    setting.git(&["tag", "v6.12.35"]);
    let facts = setting.find("6.12.35").expect("a tag");
    refused(setting.place.unpack(&facts), "is a symbolic link to an absolute path");
    let commit = setting.git(&["rev-parse", "HEAD"]);
    // A submodule is named by a commit that is not in the repository.
    let mode = format!("160000,{commit},tools/module");
    setting.git(&["rm", "--quiet", "fs/out"]);
    setting.git(&["update-index", "--add", "--cacheinfo", &mode]);
    setting.git(&["commit", "--quiet", "--message=module"]);
    setting.git(&["tag", "v6.12.36"]);
    let facts = setting.find("6.12.36").expect("a tag");
    assert_eq!(setting.makefile(&facts), "VERSION = 31\n");
    assert!(!setting.place.directory.join("tree/tools/module").exists());
}

#[test]
fn repository_that_is_none_or_borrows_is_refused() {
    let setting = Setting::new().with_versions();
    let elsewhere = Repository::Path(setting.place.directory.join("elsewhere"));
    refused(setting.find_by(&setting.options(elsewhere), "6.12.31"), "is not there, or is none");
    let info = setting.repository().join(".git/objects/info");
    fs_err::create_dir_all(&info).expect("own directory");
    fs_err::write(info.join("alternates"), "/srv/other/objects\n").expect("own file");
    refused(setting.find("6.12.31"), "borrows objects");
}

#[test]
fn signature_of_the_tag_is_checked() {
    let setting = Setting::new().with_versions();
    let key = Key::new(&setting.place.directory, "own");
    let expired = Key::expired(&setting.place.directory, "expired");
    let find = |keyring: &Utf8Path, release: &str| {
        let options = setting.options(Repository::Path(setting.repository()));
        let verify_tag = Some(keyring.to_owned());
        setting.find_by(&GitOptions { verify_tag, ..options }, release)
    };
    let failure = find(&key.keyring, "6.12.31").expect_err("not signed");
    assert!(failure.message.contains("the tag v6.12.31 is not signed"), "{failure}");
    let commit = setting.git(&["rev-parse", "HEAD"]);
    let sign = |key: &Key, name: &str, place: &str| {
        let text =
            format!("object {commit}\ntype commit\ntag {name}\ntagger t <t@t> 1 +0000\n\n31\n");
        let signature = key.sign_armoured(text.as_bytes());
        let path = setting.place.directory.join("tag");
        fs_err::write(&path, [text.as_bytes(), &signature].concat()).expect("own file");
        let id = setting.git(&["hash-object", "-t", "tag", "-w", path.as_str()]);
        setting.git(&["update-ref", &format!("refs/tags/{place}"), &id]);
    };
    sign(&key, "v6.12.40", "v6.12.40");
    find(&key.keyring, "6.12.40").expect("signed");
    let failure = find(&expired.keyring, "6.12.40").expect_err("another key");
    assert!(failure.message.contains("is not signed by a key of the keyring"), "{failure}");
    sign(&expired, "v6.12.41", "v6.12.41");
    let failure = find(&expired.keyring, "6.12.41").expect_err("expired");
    assert!(failure.message.contains("key that has expired"), "{failure}");
    // The signed tag of another version under this name.
    sign(&key, "v6.12.40", "v6.12.42");
    find(&key.keyring, "6.12.42").expect_err("it is that of 6.12.40");
}

/// `git daemon` on the loopback interface, ended with the test.
struct Daemon(Child);

impl Daemon {
    fn serve(setting: &Setting) -> (Self, String) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let child = Command::new("git")
            .args(["daemon", "--export-all", "--listen=127.0.0.1", "--reuseaddr"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", setting.place.directory))
            // The daemon's own git looks at owners, too.
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("git is installed");
        for _ in 0..100 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        (Self(child), format!("git://127.0.0.1:{port}/linux"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It is a git that runs the daemon: both have to go.
        for process in crate::sandbox::with_descendants(self.0.id()) {
            let _ = Command::new("kill").arg(process.to_string()).stderr(Stdio::null()).status();
        }
        let _ = self.0.wait();
    }
}

#[test]
fn remote_tag_is_fetched_alone_and_once() {
    let setting = Setting::new().with_versions();
    let (daemon, url) = Daemon::serve(&setting);
    let options = setting.options(Repository::Url(url.clone()));
    let facts = setting.find_by(&options, "6.12.31").expect("it is there");
    assert_eq!(setting.makefile(&facts), "VERSION = 31\n");
    let mirror = mirror::place(&setting.place.cache, &url);
    let has = |name: &str| {
        let git = format!("--git-dir={mirror}");
        let output = Command::new("git").args([&git, "cat-file", "-e", name]).output();
        output.expect("git is installed").status.success()
    };
    assert!(has("refs/tags/v6.12.31") && !has("refs/tags/v6.12.30"));
    let before = setting.git(&["rev-parse", "v6.12.30^{commit}"]);
    assert!(!has(&before), "the history came along");
    let failure = setting.find_by(&options, "6.12.99").expect_err("no such tag");
    assert_eq!(failure.class, FailureClass::ReleaseUnknown, "{failure:?}");
    drop(daemon);
    // What is here needs no network.
    setting.find_by(&options, "6.12.31").expect("it is here");
    let failure = setting.find_by(&options, "6.12.30").expect_err("nobody answers");
    assert_eq!(failure.class, FailureClass::FetchFailed, "{failure:?}");
    assert!(failure.message.contains(&url), "{failure}");
    let packs = mirror.join("objects/pack").read_dir_utf8().expect("own directory").flatten();
    assert!(packs.into_iter().all(|entry| !entry.file_name().starts_with("tmp_")));
}

/// Gives up after a time that is longer than a fetch takes.
struct Patience(std::time::Instant);

impl crate::Observer for Patience {
    fn event(&self, _event: BuildEvent) {}

    fn is_cancelled(&self) -> bool {
        self.0.elapsed().as_secs() >= 30
    }
}

#[test]
fn another_tag_is_fetched_while_a_base_is_made_of_the_first() {
    let setting = Setting::new().with_versions();
    let (_daemon, url) = Daemon::serve(&setting);
    let options = setting.options(Repository::Url(url.clone()));
    let facts = setting.find_by(&options, "6.12.31").expect("it is there");
    let cache = &setting.place.cache;
    // As the making of a base keeps it, for as long as a kernel is built.
    let held = facts.hold(cache, &crate::SilentObserver).expect("it is there");
    let patience = Patience(std::time::Instant::now());
    let tools = crate::source::Tools { observer: &patience, ..setting.place.tools() };
    let release = "6.12.30".parse().expect("a release");
    let source = GitSource { options: &options, release: &release, tools };
    let other = source.find().expect("it waits for nobody");
    assert_eq!(setting.makefile(&other), "VERSION = 30\n");
    assert_eq!(setting.makefile(&facts), "VERSION = 31\n");
    // Removing and making anew still waits for those who read.
    let mirror = mirror::place(cache, &url);
    assert!(cache.lock_at_once(&mirror).is_none(), "it could be removed");
    drop(held);
    assert!(cache.lock_at_once(&mirror).is_some());
}

#[test]
fn repository_that_a_killed_git_left_does_not_block_its_source() {
    let setting = Setting::new().with_versions();
    let (daemon, url) = Daemon::serve(&setting);
    let options = setting.options(Repository::Url(url.clone()));
    let mirror = mirror::place(&setting.place.cache, &url);
    // Killed in its beginning, as an earlier version made it, and as this one does.
    for half_made in [mirror.clone(), format!("{mirror}.partial").into()] {
        fs_err::create_dir_all(half_made.join("objects")).expect("own directory");
    }
    setting.find_by(&options, "6.12.31").expect("it is fetched");
    // Killed while it fetched: these ended each later fetch.
    for lock in ["shallow.lock", "packed-refs.lock", "refs/tags/v6.12.30.lock", "config.lock"] {
        fs_err::write(mirror.join(lock), "").expect("own file");
    }
    fs_err::write(mirror.join("objects/pack/tmp_pack_x"), "half").expect("own file");
    let facts = setting.find_by(&options, "6.12.30").expect("it is fetched");
    assert_eq!(setting.makefile(&facts), "VERSION = 30\n");
    assert!(!mirror.join("shallow.lock").exists());
    assert!(!mirror.join("objects/pack/tmp_pack_x").exists());
    // Damaged by the disk or a careless hand.
    for name in ["HEAD", "config"] {
        fs_err::write(mirror.join(name), "\0\0\0").expect("own file");
        setting.find_by(&options, "6.12.31").expect("it is fetched again");
    }
    // One that is the administrator's is never touched.
    drop(daemon);
    let own = setting.repository().join(".git/HEAD");
    fs_err::write(&own, "\0\0\0").expect("own file");
    let local = setting.options(Repository::Path(setting.repository()));
    refused(setting.find_by(&local, "6.12.31"), "cannot be used");
    assert_eq!(fs_err::read(own).expect("it is there"), b"\0\0\0");
}

#[test]
fn protocols_that_run_programs_or_read_files_are_not_used() {
    let setting = Setting::new().with_versions();
    let marker = setting.place.directory.join("marker");
    // The config refuses them; this is what is behind it.
    for url in [
        format!("ext::sh -c touch% {marker}"),
        format!("file://{}", setting.repository()),
        setting.repository().to_string(),
        format!("--upload-pack=touch {marker}"),
    ] {
        let options = setting.options(Repository::Url(url));
        refused(setting.find_by(&options, "6.12.31"), "has a protocol that is not used");
    }
    // A server that leads elsewhere is not followed there.
    let web = crate::source::test_web::Web::new();
    let to = format!("git://127.0.0.1:1/{marker}");
    let redirect = crate::source::test_web::Answer { redirect: Some(to), ..Default::default() };
    web.put("/linux/info/refs?service=git-upload-pack", redirect);
    let options = setting.options(Repository::Url(format!("{}/linux", web.address)));
    let failure = setting.find_by(&options, "6.12.31").expect_err("another protocol");
    assert_eq!(failure.class, FailureClass::FetchFailed, "{failure:?}");
    assert!(!marker.exists());
}

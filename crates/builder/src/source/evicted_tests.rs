//! Sources that were evicted from the cache while their bases stayed.

use elivepatch_model::{Failure, FailureClass, KernelConfig};

use super::{FoundSource, KernelSource, Search, SourceKind, Sources, Wanted, test_web::Web};
use crate::{
    Place, SilentObserver, SourceOptions, TarballCheck, TarballOptions,
    base::fake_kernel::{CONFIG, Kernel},
    list_bases, remove_base,
    source::Tools,
};

const TARBALL: &str = "/linux-6.12.117.tar";

/// A kernel whose source lies behind an address.
struct Setting {
    kernel: Kernel,
    web: Web,
    sources: Sources,
}

impl Setting {
    fn new() -> Self {
        let (kernel, web) = (Kernel::new(), Web::new());
        let address = format!("{}/linux-{{version}}.tar", web.address);
        let place = Place::Url(address.parse().expect("a template"));
        let options = TarballOptions { place, patches: None, check: TarballCheck::None };
        let kind = SourceKind::Tarball(options);
        let source = SourceOptions { name: "kernel.org".to_owned(), releases: Vec::new(), kind };
        let sources = Sources::open(&[source], &kernel.cache);
        let setting = Self { kernel, web, sources };
        setting.publish();
        setting
    }

    /// Puts the tree as it is behind the address.
    fn publish(&self) {
        let mut builder = tar::Builder::new(Vec::new());
        builder.mode(tar::HeaderMode::Deterministic);
        let tree = self.kernel.path("linux");
        builder.append_dir_all("linux-6.12.117", tree).expect("own directory");
        self.web.put_content(TARBALL, &builder.into_inner().expect("in memory"));
    }

    fn with_search<'a, T>(&'a self, work: impl FnOnce(&Wanted, &Search<'a>) -> T) -> T {
        let Kernel { cache, sandbox, release, baseline, .. } = &self.kernel;
        let config = KernelConfig::parse(CONFIG.as_bytes()).expect("a config");
        let wanted = Wanted { release, config: &config, kernel_version: None, baseline };
        let no_archive = || {
            Err(Failure::new(FailureClass::ReleaseUnknown, "the archive does not have it", "look"))
        };
        let tools = Tools { cache, sandbox, observer: &SilentObserver };
        work(&wanted, &Search { tools, apt: Box::new(no_archive) })
    }

    fn find(&self) -> FoundSource {
        self.try_find().expect("it is there")
    }

    fn try_find(&self) -> Result<FoundSource, Failure> {
        self.with_search(|wanted, search| self.sources.find(wanted, search))
    }

    /// Whether the base of what was found was there.
    fn ready(&self, found: &FoundSource) -> Result<bool, Failure> {
        self.ready_for(found, CONFIG)
    }

    /// The same for another config of the kernel.
    fn ready_for(&self, found: &FoundSource, config: &str) -> Result<bool, Failure> {
        self.with_search(|wanted, search| {
            let bring = || self.sources.bring(found, wanted, search);
            let ready = self.kernel.ready_with(&found.source, &bring, config, &SilentObserver);
            ready.map(|(_, was_there)| was_there)
        })
    }

    /// Takes the sources from the cache, as a small budget does.
    fn evict(&self) {
        for entry in self.kernel.cache.sources().read_dir_utf8().expect("own directory").flatten() {
            if entry.file_name().starts_with("tarball-") && entry.path().is_file() {
                fs_err::remove_file(entry.path()).expect("own file");
            }
        }
    }

    /// Makes the base of what is found, and takes the source away. Gives what it was.
    fn make_base_and_evict(&self) -> FoundSource {
        let mut found = self.find();
        assert_eq!(self.ready(&found), Ok(false));
        found.let_go();
        self.evict();
        found
    }

    fn remove_bases(&self) {
        for base in list_bases(&self.kernel.cache).expect("own directory") {
            remove_base(&self.kernel.cache, &base.name).expect("nobody uses it");
        }
    }
}

fn identity(found: &FoundSource) -> (String, elivepatch_model::SourceRecord) {
    let KernelSource::Tree(tree) = &found.source else { panic!("it is a tarball") };
    (tree.identity(), found.record())
}

#[test]
fn source_of_a_base_that_is_there_is_not_fetched_again() {
    let setting = Setting::new();
    let before = identity(&setting.make_base_and_evict());
    let found = setting.find();
    assert_eq!(identity(&found), before);
    assert_eq!(setting.ready(&found), Ok(true));
    assert_eq!(setting.web.requests(TARBALL), 1);
    // It is wanted when the base is gone: who found it before gets it, and so does who comes later.
    setting.remove_bases();
    assert_eq!(setting.ready(&found), Ok(false));
    assert_eq!(setting.web.requests(TARBALL), 2);
    setting.remove_bases();
    let found = setting.find();
    assert_eq!(identity(&found), before);
    assert_eq!(setting.ready(&found), Ok(false));
}

#[test]
fn source_that_is_another_one_when_it_comes_again_is_refused_once() {
    let setting = Setting::new();
    let before = identity(&setting.make_base_and_evict());
    let found = setting.find();
    setting.remove_bases();
    setting.kernel.write("fs/f00.c", "int f0(void) { return 7; }\n");
    setting.publish();
    let failure = setting.ready(&found).expect_err("another one");
    assert_eq!(failure.class, FailureClass::SourceUnusable);
    assert!(failure.message.contains("is not what the base of it was made from"), "{failure:?}");
    let found = setting.find();
    assert_ne!(identity(&found), before);
    assert_eq!(setting.ready(&found), Ok(false));
}

#[test]
fn source_with_other_baseline_patches_or_for_another_release_is_not_taken_for_it() {
    let mut setting = Setting::new();
    setting.make_base_and_evict();
    let text = b"--- a/fs/f00.c\n+++ b/fs/f00.c\n@@ -1 +1 @@\n-int f0(void) { return 1; }\n\
        +int f0(void) { return 8; }\n"
        .to_vec();
    let patch = crate::BaselinePatch { name: "local.patch".to_owned(), text };
    setting.kernel.baseline.push(patch);
    setting.find();
    assert_eq!(setting.web.requests(TARBALL), 2);
    setting.evict();
    setting.kernel.baseline.clear();
    setting.kernel.release = "6.12.117-large".parse().expect("a release");
    setting.find();
    assert_eq!(setting.web.requests(TARBALL), 3);
}

/// A second config of the kernel: another base.
fn other_config() -> String {
    format!("{CONFIG}CONFIG_OTHER=y\n")
}

#[test]
fn source_that_does_not_come_any_more_is_asked_of_others_the_next_time() {
    let setting = Setting::new();
    setting.make_base_and_evict();
    setting.web.remove(TARBALL);
    let found = setting.find();
    let failure = setting.ready_for(&found, &other_config()).expect_err("it is gone");
    assert_eq!(failure.class, FailureClass::FetchFailed);
    assert!(failure.message.contains("(404)"), "{failure:?}");
    // What the base says of it is not taken any more: the search goes on, and here nobody has it.
    let failure = setting.try_find().expect_err("nobody has it");
    assert_eq!(failure.class, FailureClass::ReleaseUnknown);
}

#[test]
fn source_of_which_bases_say_otherwise_is_looked_at_again() {
    let setting = Setting::new();
    setting.make_base_and_evict();
    setting.kernel.write("fs/f00.c", "int f0(void) { return 7; }\n");
    setting.publish();
    let found = setting.find();
    setting.ready_for(&found, &other_config()).expect_err("it was exchanged");
    let mut second = setting.find();
    assert_eq!(setting.ready_for(&second, &other_config()), Ok(false));
    second.let_go();
    setting.evict();
    // Both bases are there. What there is now counts, whatever the order of the bases.
    let fetched = setting.web.requests(TARBALL);
    assert_eq!(identity(&setting.find()), identity(&second));
    assert_eq!(setting.web.requests(TARBALL), fetched + 1);
}

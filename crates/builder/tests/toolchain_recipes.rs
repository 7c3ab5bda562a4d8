//! What recipes take from Debian's archive, and that those that take nothing do without it.

mod archive;

use std::process::Command;

use archive::Archive;
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{
    Builder, BuilderOptions, Cache, DirectoryOptions, Recipe, SilentObserver, SourceKind,
    SourceOptions, Toolchains,
};
use elivepatch_model::{Architecture, Failure, FailureClass, Sha256Digest, TargetFacts};

/// The text of a recipe whose root comes from a tarball.
fn recipe_text(tarball: &Utf8Path, more: &str) -> String {
    let digest =
        std::fs::read(tarball).map_or(Sha256Digest::of(b""), |text| Sha256Digest::of(&text));
    format!(
        "name = \"mine\"\narchitecture = \"x86_64\"\ncompiler = \"gcc\"\n\
         compiler_text_begins = \"gcc (Mine) \"\n[tarball]\npath = \"{tarball}\"\nsha256 = \"{digest}\"\n{more}"
    )
}

/// A tarball of a root file system in which no program is.
fn empty_root(directory: &Utf8Path) -> Utf8PathBuf {
    let (root, tarball) = (directory.join("empty-root"), directory.join("empty-root.tar"));
    for part in ["usr/bin", "etc"] {
        std::fs::create_dir_all(root.join(part)).expect("own directory");
    }
    let packed = Command::new("tar")
        .args(["--create", &format!("--file={tarball}"), &format!("--directory={root}"), "."])
        .status();
    assert!(packed.expect("tar is installed").success());
    tarball
}

/// Makes the root, which cannot be used in the end: it has no compiler.
fn make(cache: &Cache, recipe: &str, archive: Option<&Archive>) -> Failure {
    let toolchains = Toolchains::of(cache, vec![Recipe::parse(recipe).expect("valid")]);
    let apt = archive.map(|archive| archive.apt_with_suites("keyring.gpg", &["old", "new"]).1);
    let open = || Ok(apt.as_ref().expect("nothing is needed of the archive"));
    let made = toolchains.root(&toolchains.recipes()[0], &open, &SilentObserver);
    let failure = made.expect_err("there is no compiler in it");
    assert_eq!(failure.class, FailureClass::ToolchainFailed, "{failure:?}");
    failure
}

const NOT_A_ROOT: &str = "no program runs in the file system of mine";

#[test]
fn package_is_unpacked_from_the_suite_that_the_recipe_names() {
    for (suite, version, other) in [("old", "1.0", "2.0"), ("new", "2.0", "1.0")] {
        let archive = Archive::with_suites(&[("old", Some("1.0")), ("new", Some("2.0"))]);
        let cache = Cache::open(&archive.path("cache")).expect("own directory");
        let unpack = format!("[[unpack]]\nsuite = \"{suite}\"\npackage = \"elivepatch-sample\"\n");
        let recipe = recipe_text(&empty_root(&archive.path("")), &unpack);
        let failure = make(&cache, &recipe, Some(&archive));
        assert_eq!(failure.message, NOT_A_ROOT, "{failure:?}");
        let package = |version: &str| {
            cache.packages().join(format!("elivepatch-sample_{version}_amd64.deb")).exists()
        };
        assert!(package(version) && !package(other), "{suite}");
    }
}

#[test]
fn package_that_the_suite_lacks_is_refused_though_another_suite_has_it() {
    let archive = Archive::with_suites(&[("old", None), ("new", Some("2.0"))]);
    let cache = Cache::open(&archive.path("cache")).expect("own directory");
    let unpack = "[[unpack]]\nsuite = \"old\"\npackage = \"elivepatch-sample\"\n";
    let recipe = recipe_text(&empty_root(&archive.path("")), unpack);
    let failure = make(&cache, &recipe, Some(&archive));
    assert_eq!(failure.message, "the suite old has no package elivepatch-sample", "{failure:?}");
    assert_eq!(failure.details, ["new has 2.0"]);
    assert!(failure.hint.contains("[[unpack]] of the recipe"), "{failure:?}");
}

#[test]
fn root_that_takes_nothing_from_the_archive_is_made_without_one() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    let cache = Cache::open(&directory.join("cache")).expect("own directory");
    let failure = make(&cache, &recipe_text(&empty_root(directory), ""), None);
    assert_eq!(failure.message, NOT_A_ROOT, "{failure:?}");
}

#[test]
fn build_of_own_source_with_own_compiler_opens_no_archive() {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    let at = |name: &str| directory.join(name);
    for name in ["cache", "recipes", "linux-6.12.31-mine"] {
        std::fs::create_dir(at(name)).expect("own directory");
    }
    std::fs::write(at("linux-6.12.31-mine/Makefile"), "all:\n").expect("own file");
    // Where apt's state would be: opening it fails, as on a machine without apt.
    std::fs::write(at("cache/apt"), "").expect("own file");
    let recipe = recipe_text(&at("no-such.tar"), "");
    std::fs::write(at("recipes/mine.toml"), recipe).expect("own file");
    let mut options = BuilderOptions::new(at("cache"));
    options.toolchain_recipes = Some(at("recipes"));
    let path = format!("{directory}/linux-{{release}}").parse().expect("a template");
    let kind = SourceKind::Directory(DirectoryOptions { path });
    options.sources = vec![SourceOptions { name: "mine".to_owned(), releases: Vec::new(), kind }];
    let builder = Builder::open(options, &at("scratch")).expect("a builder");

    let config = "CONFIG_MODULES=y\nCONFIG_LIVEPATCH=y\nCONFIG_FUNCTION_TRACER=y\n\
        CONFIG_HAVE_FENTRY=y\nCONFIG_KALLSYMS_ALL=y\nCONFIG_DEBUG_INFO=y\n\
        CONFIG_CC_VERSION_TEXT=\"gcc (Mine) 14.2.0\"\n";
    let release = "6.12.31-mine".parse().expect("a release");
    let target = TargetFacts::new(release, Architecture::X86_64);
    let failure = builder.warm(&target, config.as_bytes(), &[], &SilentObserver);
    let failure = failure.expect_err("there is no tarball");
    assert_eq!(failure.class, FailureClass::ToolchainFailed, "{failure:?}");
    assert!(failure.message.contains("no-such.tar"), "{failure:?}");

    // Of a kernel that no source has, the reason of each is told, and not that there is no apt.
    let release = "6.12.32-mine".parse().expect("a release");
    let target = TargetFacts::new(release, Architecture::X86_64);
    let failure = builder.warm(&target, config.as_bytes(), &[], &SilentObserver);
    let failure = failure.expect_err("nobody has it");
    assert_eq!(failure.class, FailureClass::ReleaseUnknown, "{failure:?}");
    let told = |begin: &str| failure.details.iter().any(|line| line.starts_with(begin));
    assert!(told("mine: ") && told("debian: "), "{failure:?}");
}

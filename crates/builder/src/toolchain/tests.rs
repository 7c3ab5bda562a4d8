use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;

use super::*;
use crate::{SilentObserver, debian::DebianOptions};

const RELEASED: &str = "gcc-12 (Debian 12.2.0-14) 12.2.0";
const UPDATED: &str = "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0";

/// Asks for the root of a config where the root that is there has these compilers.
fn root_for(
    config: &str,
    compiler_text: &str,
    rust_compiler_text: Option<&str>,
) -> Result<ToolchainRoot, Failure> {
    let temporary = tempfile::tempdir().expect("a directory");
    let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
    let cache = Cache::open(&directory.join("cache")).expect("own directory");
    // Nothing listens there: a root that is there is not made.
    let mirror = Some("http://127.0.0.1:9/debian".to_owned());
    let options =
        DebianOptions { mirror: mirror.clone(), security_mirror: mirror, ..Default::default() };
    let apt = Apt::open(&cache, &options).expect("own directory");
    let toolchains = Toolchains::new(&cache);
    let config = KernelConfig::parse(config.as_bytes()).expect("a config");
    let recipes = toolchains.recipes_for(&config).expect("a shipped one");
    for recipe in recipes {
        make_root(&cache, recipe, compiler_text, rust_compiler_text);
    }
    toolchains.root_for(&config, &apt, &SilentObserver)
}

/// Makes a root with one program in it, and the binutils of Debian 12.
fn make_root(cache: &Cache, recipe: &Recipe, compiler: &str, rust: Option<&str>) -> Utf8PathBuf {
    let place = cache.toolchain_roots().join(&recipe.name);
    let program = place.join("root/usr/bin/as");
    fs_err::create_dir_all(program.parent().expect("it has one")).expect("own directory");
    fs_err::write(&program, "an assembler").expect("own file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs_err::set_permissions(&program, mode).expect("own file");
    let contents = contents::Contents::read(&place.join("root")).expect("own directory");
    let packages = vec!["gcc-12 12.2.0-14 amd64".to_owned()];
    let facts = RootFacts {
        recipe: recipe.digest,
        digest: Sha256Digest::of(packages.join("\n").as_bytes()),
        packages,
        compiler_text: compiler.to_owned(),
        rust_compiler_text: rust.map(str::to_owned),
        tools: tools::ToolVersions::read(
            compiler,
            "GNU assembler (GNU Binutils for Debian) 2.40",
            "GNU ld (GNU Binutils for Debian) 2.40",
        ),
        contents: Some(contents.digest()),
    };
    facts.write(&place, &contents).expect("own directory");
    place
}

fn compiled_by(compiler_text: &str) -> String {
    format!("CONFIG_X86_64=y\nCONFIG_CC_VERSION_TEXT=\"{compiler_text}\"\n")
}

#[test]
fn root_with_the_targets_own_compiler_is_taken() {
    let root = root_for(&compiled_by(UPDATED), UPDATED, None).expect("the same");
    assert_eq!(root.compiler_text(), UPDATED);
}

#[test]
fn root_with_another_patch_level_of_the_compiler_is_refused_with_both() {
    let failure = root_for(&compiled_by(RELEASED), UPDATED, None).expect_err("another one");
    assert_eq!(failure.class, FailureClass::ToolchainUnknown);
    assert_eq!(
        failure.message,
        format!(
            "the target was compiled by {RELEASED}, and the toolchain root debian-12-gcc-12 has \
             {UPDATED}"
        )
    );
    assert!(failure.hint.contains("add a recipe"), "{}", failure.hint);
    // Made at another time it may well fit.
    let step = "`elivepatch-server toolchain remove debian-12-gcc-12`";
    assert!(failure.hint.contains(step), "{}", failure.hint);
}

#[test]
fn root_with_another_rust_compiler_or_none_is_refused_with_both() {
    let gcc = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0";
    let rustc = "rustc 1.85.0 (4d91de4e4 2025-02-17) (built from a source tarball)";
    let config =
        format!("{}CONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"{rustc}\"\n", compiled_by(gcc));
    assert!(root_for(&config, gcc, Some(rustc)).is_ok());
    for (there, said) in [(Some("rustc 1.85.1"), "has rustc 1.85.1"), (None, "has none")] {
        let failure = root_for(&config, gcc, there).expect_err("another one");
        assert_eq!(failure.class, FailureClass::ToolchainUnknown);
        let compiled = format!("the target was compiled by {rustc}, and the toolchain root ");
        assert!(failure.message.starts_with(&compiled), "{}", failure.message);
        assert!(failure.message.ends_with(said), "{}", failure.message);
    }
}

#[test]
fn root_with_another_assembler_or_linker_is_refused_with_both_versions() {
    let binutils = |version: u32| {
        let numbers = format!("CONFIG_AS_VERSION={version}\nCONFIG_LD_VERSION={version}\n");
        root_for(&(compiled_by(UPDATED) + &numbers), UPDATED, None)
    };
    binutils(24_000).expect("Debian 12's own");
    let failure = binutils(24_400).expect_err("the compiler alone is not all");
    assert_eq!(failure.class, FailureClass::ToolchainUnknown);
    assert_eq!(
        failure.message,
        "the toolchain root debian-12-gcc-12 has the target's compiler, but not its binutils: \
         assembler: 2.44 in the target (CONFIG_AS_VERSION), 2.40 here; GNU linker: 2.44 in the target \
         (CONFIG_LD_VERSION), 2.40 here"
    );
}

#[test]
fn recipe_that_cannot_be_made_does_not_end_the_search() {
    let two = Two::new();
    // The first is not there, and its archive does not answer; the second is there and does not fit.
    two.make(1, RELEASED);
    let failure = two.root_for(UPDATED).expect_err("the first might fit");
    assert_eq!(failure.class, FailureClass::ToolchainFailed);
    let misfit = format!("mine-too: compiler: {UPDATED} in the target, {RELEASED} here");
    assert!(failure.details.contains(&misfit), "{failure:?}");
    // Now one that is there and fits, behind one that has to be made anew and cannot.
    let place = two.make(0, UPDATED);
    fs_err::write(place.join("root/usr/bin/as"), "something else").expect("own file");
    two.make(1, UPDATED);
    assert_eq!(two.root_for(UPDATED).expect("the second").record().name, "mine-too");
}

/// A cache with two roots that the begin of a text serves: `mine` and `mine-too`.
struct Two {
    _temporary: tempfile::TempDir,
    cache: Cache,
    apt: Apt,
    toolchains: Toolchains,
}

impl Two {
    fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let cache = Cache::open(&directory.join("cache")).expect("own directory");
        let mirror = Some("http://127.0.0.1:9/debian".to_owned());
        let options =
            DebianOptions { mirror: mirror.clone(), security_mirror: mirror, ..Default::default() };
        let apt = Apt::open(&cache, &options).expect("own directory");
        let recipe = |name: &str| {
            let text = format!(
                "name = \"{name}\"\narchitecture = \"x86_64\"\ncompiler = \"gcc-12\"\n\
                 compiler_text_begins = \"gcc-12 (Debian 12.2\"\n\
                 suites = [\"bookworm\"]\npackages = [\"no-such-package\"]\n"
            );
            Recipe::parse(&text).expect("valid")
        };
        let toolchains = Toolchains::of(&cache, vec![recipe("mine"), recipe("mine-too")]);
        Self { _temporary: temporary, cache, apt, toolchains }
    }

    fn make(&self, index: usize, compiler: &str) -> Utf8PathBuf {
        make_root(&self.cache, &self.toolchains.recipes[index], compiler, None)
    }

    fn root_for(&self, compiler: &str) -> Result<ToolchainRoot, Failure> {
        let config = compiled_by(compiler);
        let config = KernelConfig::parse(config.as_bytes()).expect("a config");
        self.toolchains.root_for(&config, &self.apt, &SilentObserver)
    }
}

#[test]
fn of_several_versions_side_by_side_the_one_of_the_target_is_taken() {
    let two = Two::new();
    two.make(0, RELEASED);
    two.make(1, UPDATED);
    assert_eq!(two.root_for(RELEASED).expect("the first").record().name, "mine");
    assert_eq!(two.root_for(UPDATED).expect("the second").record().name, "mine-too");
    // Almost right is not right, and all that there are are named.
    let other = "gcc-12 (Debian 12.2.0-14+deb12u2) 12.2.0";
    let failure = two.root_for(other).expect_err("neither");
    assert_eq!(failure.class, FailureClass::ToolchainUnknown);
    assert!(failure.message.starts_with(&format!("the target was compiled by {other}, and ")));
    let expected = [
        format!("mine: compiler: {other} in the target, {RELEASED} here"),
        format!("mine-too: compiler: {other} in the target, {UPDATED} here"),
    ];
    assert_eq!(failure.details, expected);
}

#[test]
fn root_whose_program_was_changed_is_not_used_and_verified_as_what_it_is() {
    let two = Two::new();
    let place = two.make(0, UPDATED);
    two.make(1, UPDATED);
    let recipe = &two.toolchains.recipes[0];
    assert_eq!(two.toolchains.verify(recipe), Ok(Some(Vec::new())));
    fs_err::write(place.join("root/usr/bin/as"), "something else").expect("own file");
    let seen = Ok(Some(vec!["usr/bin/as is changed".to_owned()]));
    assert_eq!(two.toolchains.verify(recipe), seen);
    // It is made anew, which this recipe cannot be: no livepatch comes of a changed assembler. Another
    // one serves.
    assert_eq!(two.root_for(UPDATED).expect("the second").record().name, "mine-too");
    fs_err::remove_dir_all(place.with_file_name("mine-too")).expect("own directory");
    let failure = two.root_for(UPDATED).expect_err("damaged");
    assert_eq!(failure.class, FailureClass::ToolchainFailed);
    fs_err::remove_dir_all(&place).expect("own directory");
    let lock = place.with_file_name("mine.lock");
    fs_err::remove_file(&lock).expect("own file");
    assert_eq!(two.toolchains.verify(recipe), Ok(None));
    assert!(!lock.exists(), "looking changes nothing");
}

#[test]
fn list_of_contents_that_was_changed_with_the_program_is_seen_by_its_own_digest() {
    let two = Two::new();
    let place = two.make(0, UPDATED);
    fs_err::write(place.join("root/usr/bin/as"), "something else").expect("own file");
    let forged = contents::Contents::read(&place.join("root")).expect("own directory");
    fs_err::write(place.join("contents"), forged.to_text()).expect("own file");
    let seen = two.toolchains.verify(&two.toolchains.recipes[0]).expect("readable");
    let said = "contents, the list of its files, is missing or changed".to_owned();
    assert_eq!(seen, Some(vec![said]));
}

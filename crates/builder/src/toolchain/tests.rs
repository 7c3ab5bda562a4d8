use camino::Utf8Path;
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
    let recipe = toolchains.recipe_for(&config).expect("a shipped one");
    let packages = vec!["gcc-12 12.2.0-14 amd64".to_owned()];
    let facts = RootFacts {
        recipe: recipe.digest,
        digest: Sha256Digest::of(packages.join("\n").as_bytes()),
        packages,
        compiler_text: compiler_text.to_owned(),
        rust_compiler_text: rust_compiler_text.map(str::to_owned),
    };
    let place = cache.toolchain_roots().join(&recipe.name);
    fs_err::create_dir(&place).expect("own directory");
    let text = serde_json::to_vec(&facts).expect("plain data");
    fs_err::write(place.join("root.json"), text).expect("own file");
    toolchains.root_for(&config, &apt, &SilentObserver)
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

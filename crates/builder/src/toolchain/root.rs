use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, Sha256Digest, ToolchainRecord};
use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::{cache::CacheLock, failures::io_failure};

/// A toolchain root that is there, complete, and kept from removal while this value lives.
#[derive(Debug)]
pub struct ToolchainRoot {
    facts: RootFacts,
    place: Utf8PathBuf,
    compiler: String,
    _lock: CacheLock,
}

/// What `root.json` beside the file system says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RootFacts {
    /// The recipe's digest: another recipe, another root.
    pub recipe: Sha256Digest,
    /// The digest of `packages`: it identifies the root.
    pub digest: Sha256Digest,
    /// `name version architecture`, or `name version digest` of unpacked ones, sorted.
    pub packages: Vec<String>,
    /// The compiler's command and the first line of its `--version`, as Kbuild puts them together.
    pub compiler_text: String,
    /// The first line of `rustc --version`, when the recipe has one.
    #[serde(default)]
    pub rust_compiler_text: Option<String>,
}

impl RootFacts {
    /// Reads the facts of the root at `place`; `None` when it is not there, damaged, or made from
    /// another recipe.
    pub fn read(place: &Utf8Path, recipe: &Recipe) -> Result<Option<Self>, Failure> {
        let path = place.join("root.json");
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(io_failure(FailureClass::ToolchainFailed, "read", &path, &error));
            }
        };
        let Ok(facts) = serde_json::from_slice::<Self>(&text) else {
            return Ok(None);
        };
        let whole = Sha256Digest::of(facts.packages.join("\n").as_bytes()) == facts.digest;
        Ok((whole && facts.recipe == recipe.digest).then_some(facts))
    }
}

impl ToolchainRoot {
    pub(super) fn new(
        facts: RootFacts,
        place: &Utf8Path,
        recipe: &Recipe,
        lock: CacheLock,
    ) -> Self {
        let (place, compiler) = (place.to_owned(), recipe.compiler.clone());
        Self { facts, place, compiler, _lock: lock }
    }

    /// The machine's own programs as a toolchain root; `place` is a new directory.
    #[cfg(test)]
    pub(crate) fn of_this_machine(place: &Utf8Path) -> Self {
        fs_err::create_dir_all(place).expect("own directory");
        // Two at a time may ask for it.
        let _ = std::os::unix::fs::symlink("/", place.join("root"));
        let digest = Sha256Digest::of(b"this machine");
        let facts = RootFacts {
            recipe: digest,
            digest,
            packages: Vec::new(),
            compiler_text: "cc".to_owned(),
            rust_compiler_text: None,
        };
        let cache = crate::Cache::open(&place.join("cache")).expect("own directory");
        let lock = cache.share(&cache.toolchain_roots().join("own"), &crate::SilentObserver);
        let (compiler, lock) = ("cc".to_owned(), lock.expect("own file"));
        Self { facts, place: place.to_owned(), compiler, _lock: lock }
    }

    /// The root of the file system.
    pub fn path(&self) -> Utf8PathBuf {
        self.place.join("root")
    }

    /// What the compiler says of itself, as in `CONFIG_CC_VERSION_TEXT`.
    pub fn compiler_text(&self) -> &str {
        &self.facts.compiler_text
    }

    /// What its Rust compiler says of itself, as in `CONFIG_RUSTC_VERSION_TEXT`.
    pub fn rust_compiler_text(&self) -> Option<&str> {
        self.facts.rust_compiler_text.as_deref()
    }

    /// The compiler's command.
    pub fn compiler(&self) -> &str {
        &self.compiler
    }

    /// The digest of its package list.
    pub fn digest(&self) -> Sha256Digest {
        self.facts.digest
    }

    /// The statically linked busybox for guests.
    pub fn busybox(&self) -> Utf8PathBuf {
        self.path().join("usr/bin/busybox")
    }

    /// The record for the manifest.
    pub fn record(&self) -> ToolchainRecord {
        ToolchainRecord {
            name: self.place.file_name().unwrap_or_default().to_owned(),
            digest: self.facts.digest,
            compiler: self.facts.compiler_text.clone(),
        }
    }
}

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, KernelConfig, Sha256Digest, ToolchainRecord};
use serde::{Deserialize, Serialize};

use super::{Recipe, contents::Contents, tools::ToolVersions};
use crate::{
    cache::CacheLock,
    failures::io_failure,
    shared_file::{Flush, write_shared},
};

/// A toolchain root that is there, complete, and kept from removal while this value lives.
#[derive(Debug)]
pub struct ToolchainRoot {
    facts: RootFacts,
    place: Utf8PathBuf,
    compiler: String,
    make_flags: Vec<String>,
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
    /// The versions of assembler and linker; absent in a root that was made before they were noted.
    #[serde(default)]
    pub tools: Option<ToolVersions>,
    /// The digest of the list of what is in the root; absent likewise.
    #[serde(default)]
    pub contents: Option<Sha256Digest>,
}

/// The files beside the root's file system.
pub(super) const FACTS: &str = "root.json";
pub(super) const CONTENTS: &str = "contents";
pub(super) const ROOT: &str = "root";

impl RootFacts {
    /// Reads the facts of the root at `place`; `None` when it is not there, damaged, or made from
    /// another recipe.
    pub fn read(place: &Utf8Path, recipe: &Recipe) -> Result<Option<Self>, Failure> {
        let path = place.join(FACTS);
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

    /// The list of what is in the root at `place`; `None` when it is missing or damaged.
    pub fn contents(&self, place: &Utf8Path) -> Option<Contents> {
        let text = fs_err::read_to_string(place.join(CONTENTS)).ok()?;
        let contents = Contents::parse(&text)?;
        (self.contents == Some(contents.digest())).then_some(contents)
    }

    /// Writes the facts and the list of what is in the root, the facts last.
    pub fn write(&self, place: &Utf8Path, contents: &Contents) -> io::Result<()> {
        write_shared(&place.join(CONTENTS), contents.to_text().as_bytes(), Flush::First)?;
        let text = serde_json::to_vec_pretty(self).expect("plain data has a JSON form");
        write_shared(&place.join(FACTS), &text, Flush::First)
    }

    /// Why this is not the root that a kernel with this config was built with, for people; empty
    /// when it is, as far as the config says.
    pub fn differences(&self, config: &KernelConfig) -> Vec<String> {
        let texts = [
            (Some(self.compiler_text.as_str()), config.compiler_text()),
            (self.rust_compiler_text.as_deref(), config.text("RUSTC_VERSION_TEXT")),
        ];
        let differs = texts.into_iter().filter_map(|(found, wanted)| {
            let wanted = wanted.filter(|wanted| found != Some(wanted))?;
            Some(format!("compiler: {wanted} in the target, {} here", found.unwrap_or("none")))
        });
        let tools = self.tools.iter().flat_map(|tools| tools.differences(config));
        differs.chain(tools).collect()
    }
}

impl ToolchainRoot {
    pub(super) fn new(
        facts: RootFacts,
        place: &Utf8Path,
        recipe: &Recipe,
        lock: CacheLock,
    ) -> Self {
        let (compiler, make_flags) = (recipe.compiler.clone(), recipe.make_flags.clone());
        Self { facts, place: place.to_owned(), compiler, make_flags, _lock: lock }
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
            tools: None,
            contents: None,
        };
        let cache = crate::Cache::open(&place.join("cache")).expect("own directory");
        let lock = cache.share(&cache.toolchain_roots().join("own"), &crate::SilentObserver);
        let (compiler, lock) = ("cc".to_owned(), lock.expect("own file"));
        let (place, make_flags) = (place.to_owned(), Vec::new());
        Self { facts, place, compiler, make_flags, _lock: lock }
    }

    /// The root of the file system.
    pub fn path(&self) -> Utf8PathBuf {
        self.place.join(ROOT)
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

    /// What make is told beside the compiler.
    pub fn make_flags(&self) -> &[String] {
        &self.make_flags
    }

    /// The facts that are written down of it.
    pub(super) fn facts(&self) -> &RootFacts {
        &self.facts
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

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Architecture, ConfigValue, KernelConfig, Sha256Digest};
use serde::Deserialize;

use super::recipe_file::{RecipeError, RecipeFile, invalid};
use crate::untrusted_file::read_untrusted;

/// The largest recipe that is read, in bytes.
const RECIPE_BYTES: u64 = 64 * 1024;

/// How a toolchain root is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    /// The root's name, such as `debian-12-gcc-12`.
    pub name: String,
    /// The architecture that its compiler compiles for.
    pub architecture: Architecture,
    /// What the compiler text of the targets begins with that it serves.
    pub compiler_text_begins: String,
    /// The compiler's command, spelled as in the compiler text.
    pub compiler: String,
    /// What the text of the Rust compiler begins with, when there is one in the root. Such a root
    /// serves the configs that were made where rustc was at hand, and no others.
    pub rust_compiler_text_begins: Option<String>,
    /// What make is told beside the compiler, such as `LLVM=1`.
    pub make_flags: Vec<String>,
    /// Where its file system comes from.
    pub origin: Origin,
    /// The packages that are only unpacked over it.
    pub unpack: Vec<UnpackedPackage>,
    /// The digest of the recipe's text.
    pub digest: Sha256Digest,
}

/// Where the file system of a toolchain root comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Installed from Debian's archive.
    Debian {
        /// The suites; the first names the root, the others hold updates.
        suites: Vec<String>,
        /// The packages.
        packages: Vec<String>,
    },
    /// Unpacked from a tarball of a root file system, such as a stage3 of Gentoo.
    Tarball(TarballOrigin),
    /// Unpacked from an OCI image.
    Oci(OciOrigin),
    /// The machine's own tools.
    Host,
}

impl Origin {
    /// The kind, for people and programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Debian { .. } => "debian",
            Self::Tarball(_) => "tarball",
            Self::Oci(_) => "oci",
            Self::Host => "host",
        }
    }
}

/// A tarball that an administrator put on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TarballOrigin {
    /// Where it lies; of any form that tar knows by the file's name or content.
    pub path: Utf8PathBuf,
    /// Its digest.
    pub sha256: Sha256Digest,
}

/// An OCI image that an administrator put on the machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OciOrigin {
    /// A directory in the OCI image layout, or an archive of one.
    pub path: Utf8PathBuf,
    /// The name of the image in it, when it holds several.
    pub reference: Option<String>,
    /// The digest of the image's manifest, without `sha256:`. It names the digests of all layers.
    pub digest: Sha256Digest,
}

/// A package that is unpacked over the root, without its dependencies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnpackedPackage {
    /// The suite to take it from; the mirror must have it.
    pub suite: String,
    /// Its name.
    pub package: String,
}

impl Recipe {
    /// The recipes that come with elivepatch.
    pub fn shipped() -> Vec<Self> {
        [
            include_str!("../../recipes/debian-12-gcc-11.toml"),
            include_str!("../../recipes/debian-12-gcc-12.toml"),
            include_str!("../../recipes/debian-12-gcc-12-triplet.toml"),
            include_str!("../../recipes/debian-13-clang-19.toml"),
            include_str!("../../recipes/debian-13-gcc-12.toml"),
            include_str!("../../recipes/debian-13-gcc-13.toml"),
            include_str!("../../recipes/debian-13-gcc-14.toml"),
            include_str!("../../recipes/debian-13-gcc-14-rust.toml"),
        ]
        .into_iter()
        .map(|text| Self::parse(text).expect("shipped recipes are valid: a test reads them"))
        .collect()
    }

    /// Reads a recipe.
    ///
    /// # Errors
    /// When the text is not TOML or lacks a field (the error names line and field), or a value
    /// cannot be used.
    pub fn parse(text: &str) -> Result<Self, RecipeError> {
        let mut file: RecipeFile = toml::from_str(text)?;
        let origin = file.origin()?;
        file.check(&origin)?;
        Ok(Self {
            name: file.name,
            architecture: file.architecture,
            compiler_text_begins: file.compiler_text_begins,
            compiler: file.compiler,
            rust_compiler_text_begins: file.rust_compiler_text_begins,
            make_flags: file.make_flags,
            origin,
            unpack: file.unpack,
            digest: Sha256Digest::of(text.as_bytes()),
        })
    }

    /// The recipes in an administrator's directory, by the names of their files; other files than
    /// `*.toml` are passed over.
    ///
    /// # Errors
    /// When the directory or a recipe in it cannot be read, or two recipes have one name, also with
    /// one of `known`.
    pub fn read_directory(directory: &Utf8Path, known: &[Self]) -> Result<Vec<Self>, RecipeError> {
        let unreadable = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| RecipeError::Unreadable { path, source }
        };
        let mut paths = Vec::new();
        for entry in directory.read_dir_utf8().map_err(unreadable(directory))? {
            let path = entry.map_err(unreadable(directory))?.into_path();
            if path.extension() == Some("toml") {
                paths.push(path);
            }
        }
        paths.sort_unstable();
        let mut names: BTreeSet<String> = known.iter().map(|recipe| recipe.name.clone()).collect();
        let mut recipes = Vec::new();
        for path in paths {
            let text = read_untrusted(&path, RECIPE_BYTES).map_err(unreadable(&path))?;
            let recipe =
                Self::parse(&String::from_utf8_lossy(&text)).and_then(|recipe| {
                    match names.insert(recipe.name.clone()) {
                        true => Ok(recipe),
                        false => Err(invalid(
                            "name",
                            format!("another recipe is called {}", recipe.name),
                        )),
                    }
                });
            let source = match recipe {
                Ok(recipe) => {
                    recipes.push(recipe);
                    continue;
                }
                Err(source) => Box::new(source),
            };
            return Err(RecipeError::File { path, source });
        }
        Ok(recipes)
    }

    /// Whether its compilers may be those of the kernel with this config, whose compiler text is
    /// `compiler_text`.
    pub fn serves(&self, compiler_text: &str, config: &KernelConfig) -> bool {
        compiler_text.starts_with(&self.compiler_text_begins)
            && match (&self.rust_compiler_text_begins, made_with_rust(config)) {
                (None, with_rust) => !with_rust,
                // The text is in configs with CONFIG_RUST only; where that is off, the compiler's
                // version shows when the config is normalised.
                (Some(begins), true) => config
                    .text("RUSTC_VERSION_TEXT")
                    .is_none_or(|text| text.starts_with(begins.as_str())),
                (Some(_), false) => false,
            }
    }

    /// What its compilers say of themselves, for people.
    pub fn compilers(&self) -> String {
        match &self.rust_compiler_text_begins {
            None => format!("{}…", self.compiler_text_begins),
            Some(rust) => format!("{}… and {rust}…", self.compiler_text_begins),
        }
    }
}

/// Whether rustc was at hand when the config was made: from 6.12 on Kconfig then notes its version
/// (0 when there is none), and before that only a kernel with Rust in it says so.
pub(super) fn made_with_rust(config: &KernelConfig) -> bool {
    let has_version = match config.value("RUSTC_VERSION") {
        Some(ConfigValue::Number(version)) => version != "0",
        _ => false,
    };
    has_version || config.is_yes("RUST")
}

#[cfg(test)]
#[path = "recipe_tests.rs"]
mod tests;

//! A recipe as it is written: TOML, and what may stand in it.

use camino::Utf8PathBuf;
use elivepatch_model::Architecture;
use serde::Deserialize;

use super::recipe::{OciOrigin, Origin, TarballOrigin, UnpackedPackage};

/// What make may be told by a recipe: which tools it takes. All else would change the kernel.
const MAKE_VARIABLES: [&str; 15] = [
    "LLVM",
    "LLVM_IAS",
    "LD",
    "AR",
    "NM",
    "OBJCOPY",
    "OBJDUMP",
    "READELF",
    "STRIP",
    "HOSTCC",
    "HOSTCXX",
    "HOSTLD",
    "HOSTAR",
    "PAHOLE",
    "CROSS_COMPILE",
];

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file or directory cannot be read.
    #[error("{path} cannot be read")]
    Unreadable {
        /// Which.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not TOML, lacks a field or has one too many.
    #[error("{}", .0.to_string().trim_end())]
    Syntax(#[from] toml::de::Error),
    /// A value cannot be used, or does not go with another.
    #[error("{key}: {message}")]
    Invalid {
        /// The key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A recipe of the administrator's directory cannot be used.
    #[error("the recipe {path} cannot be used")]
    File {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: Box<RecipeError>,
    },
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecipeFile {
    pub(super) name: String,
    pub(super) architecture: Architecture,
    pub(super) compiler_text_begins: String,
    pub(super) compiler: String,
    pub(super) rust_compiler_text_begins: Option<String>,
    #[serde(default)]
    pub(super) make_flags: Vec<String>,
    suites: Option<Vec<String>>,
    packages: Option<Vec<String>>,
    tarball: Option<TarballOrigin>,
    oci: Option<OciOrigin>,
    host: Option<HostSection>,
    #[serde(default)]
    pub(super) unpack: Vec<UnpackedPackage>,
}

/// `[host]` has no keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostSection {}

impl RecipeFile {
    pub(super) fn origin(&mut self) -> Result<Origin, RecipeError> {
        let debian = match (self.suites.take(), self.packages.take()) {
            (Some(suites), Some(packages)) if !suites.is_empty() => {
                Some(Origin::Debian { suites, packages })
            }
            (None, None) => None,
            _ => {
                return Err(invalid(
                    "suites",
                    "it goes with packages, and names one suite at least",
                ));
            }
        };
        let origins = [
            debian,
            self.tarball.take().map(Origin::Tarball),
            self.oci.take().map(Origin::Oci),
            self.host.take().map(|_| Origin::Host),
        ];
        let mut origins = origins.into_iter().flatten();
        match (origins.next(), origins.next()) {
            (Some(origin), None) => Ok(origin),
            (None, _) => Err(invalid(
                "suites",
                "the recipe does not say where the root comes from: suites and packages, [tarball], \
                 [oci] or [host]",
            )),
            (Some(first), Some(second)) => Err(invalid(
                "suites",
                format!("the root cannot come from {} and {}", first.kind(), second.kind()),
            )),
        }
    }

    pub(super) fn check(&self, origin: &Origin) -> Result<(), RecipeError> {
        // It becomes a directory's name, and a part of others.
        let is_name = |text: &str| {
            text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text.len() <= 100
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte))
        };
        if !is_name(&self.name) || [".lock", ".partial"].iter().any(|end| self.name.ends_with(end))
        {
            let message = format!("{:?} is not letters, digits and - . _ +", self.name);
            return Err(invalid("name", message));
        }
        if !is_name(&self.compiler) {
            let message = format!("{:?} is not the name of a command", self.compiler);
            return Err(invalid("compiler", message));
        }
        if self.compiler_text_begins.is_empty() {
            return Err(invalid(
                "compiler_text_begins",
                "it is empty, and would serve every kernel",
            ));
        }
        let all = match origin {
            Origin::Debian { suites, packages } => [&suites[..], &packages[..]].concat(),
            _ => Vec::new(),
        };
        let unpacked = self.unpack.iter().flat_map(|package| [&package.suite, &package.package]);
        if let Some(wrong) = all.iter().chain(unpacked).find(|name| !is_name(name)) {
            let message = format!("{wrong:?} is not the name of a suite or package");
            return Err(invalid("packages", message));
        }
        let (key, path) = match origin {
            Origin::Tarball(tarball) => ("tarball.path", &tarball.path),
            Origin::Oci(image) => ("oci.path", &image.path),
            Origin::Host if !self.unpack.is_empty() => {
                return Err(invalid("unpack", "nothing is unpacked over the machine's own tools"));
            }
            _ => return self.check_flags(),
        };
        if !path.is_absolute() {
            return Err(invalid(key, format!("\"{path}\" is not an absolute path")));
        }
        let reference = match origin {
            Origin::Oci(image) => image.reference.as_deref(),
            _ => None,
        };
        // Those of Docker's archives are repositories with tags.
        let is_reference = |text: &str| is_name(&text.replace(['/', ':'], "-"));
        if let Some(reference) = reference.filter(|reference| !is_reference(reference)) {
            return Err(invalid("oci.reference", format!("{reference:?} is not a name")));
        }
        self.check_flags()
    }

    fn check_flags(&self) -> Result<(), RecipeError> {
        let may_be = |flag: &&String| {
            let Some((name, value)) = flag.split_once('=') else { return false };
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+/".contains(&byte);
            MAKE_VARIABLES.contains(&name) && value.bytes().all(is_plain)
        };
        match self.make_flags.iter().find(|flag| !may_be(flag)) {
            None => Ok(()),
            Some(flag) => Err(invalid(
                "make_flags",
                format!("{flag:?} is not VARIABLE=VALUE with one of {}", MAKE_VARIABLES.join(", ")),
            )),
        }
    }
}

pub(super) fn invalid(key: &'static str, message: impl Into<String>) -> RecipeError {
    RecipeError::Invalid { key, message: message.into() }
}

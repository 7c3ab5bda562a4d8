use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Architecture, ConfigValue, KernelConfig, Sha256Digest};
use serde::Deserialize;

use crate::untrusted_file::read_untrusted;

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
    /// The suite to take it from; it must be among the server's suites.
    pub suite: String,
    /// Its name.
    pub package: String,
}

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
struct RecipeFile {
    name: String,
    architecture: Architecture,
    compiler_text_begins: String,
    compiler: String,
    rust_compiler_text_begins: Option<String>,
    #[serde(default)]
    make_flags: Vec<String>,
    suites: Option<Vec<String>>,
    packages: Option<Vec<String>>,
    tarball: Option<TarballOrigin>,
    oci: Option<OciOrigin>,
    host: Option<HostSection>,
    #[serde(default)]
    unpack: Vec<UnpackedPackage>,
}

/// `[host]` has no keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostSection {}

impl RecipeFile {
    fn origin(&mut self) -> Result<Origin, RecipeError> {
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

    fn check(&self, origin: &Origin) -> Result<(), RecipeError> {
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
        if let Some(reference) = reference.filter(|reference| !is_name(reference)) {
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

fn invalid(key: &'static str, message: impl Into<String>) -> RecipeError {
    RecipeError::Invalid { key, message: message.into() }
}

impl Recipe {
    /// The recipes that come with elivepatch.
    pub fn shipped() -> Vec<Self> {
        [
            include_str!("../../recipes/debian-12-gcc-11.toml"),
            include_str!("../../recipes/debian-12-gcc-12.toml"),
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
mod tests {
    use super::*;

    const GCC_14: &str = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0";

    /// The names of the recipes that serve a config.
    fn serving(compiler_text: &str, config: &str) -> Vec<String> {
        let config = format!("CONFIG_CC_VERSION_TEXT=\"{compiler_text}\"\n{config}");
        let config = KernelConfig::parse(config.as_bytes()).expect("a valid config");
        let recipes = Recipe::shipped().into_iter();
        recipes
            .filter(|recipe| recipe.serves(compiler_text, &config))
            .map(|recipe| recipe.name)
            .collect()
    }

    #[test]
    fn shipped_recipes_are_valid_and_have_names_of_their_own() {
        let recipes = Recipe::shipped();
        let mut names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), recipes.len());
    }

    #[test]
    fn config_is_served_by_the_one_recipe_with_its_compilers() {
        let gcc_12 = "gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0";
        assert_eq!(serving(gcc_12, ""), ["debian-12-gcc-12"]);
        // Debian 12 has kernels of Debian 13, and compiles them with its own compiler.
        assert_eq!(serving(gcc_12, "CONFIG_RUSTC_VERSION=0\n"), ["debian-12-gcc-12"]);
        assert_eq!(serving(GCC_14, "CONFIG_RUSTC_VERSION=0\n"), ["debian-13-gcc-14"]);
        assert_eq!(serving("gcc-14 (Debian 14.2.0-19) 14.2.0", ""), Vec::<String>::new());
    }

    #[test]
    fn config_that_was_made_with_rust_is_served_with_that_rust_only() {
        let with_rust = |text: &str| {
            let text = format!(
                "CONFIG_RUSTC_VERSION=108501\nCONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT=\"{text}\"\n"
            );
            serving(GCC_14, &text)
        };
        let debian = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)";
        assert_eq!(with_rust(debian), ["debian-13-gcc-14-rust"]);
        assert_eq!(with_rust("rustc 1.96.1 (x)"), Vec::<String>::new());
        assert_eq!(serving(GCC_14, "CONFIG_RUSTC_VERSION=108501\n"), ["debian-13-gcc-14-rust"]);
    }

    #[test]
    fn unknown_field_is_refused_by_name() {
        let error = Recipe::parse("name = \"x\"\ncolour = 1\n").expect_err("unknown field");
        assert!(error.to_string().contains("colour"), "{error}");
    }

    #[test]
    fn each_compiler_of_debian_is_served_by_its_own_root() {
        assert_eq!(serving("gcc-11 (Debian 11.3.0-12) 11.3.0", ""), ["debian-12-gcc-11"]);
        assert_eq!(serving("gcc-13 (Debian 13.3.0-13) 13.3.0", ""), ["debian-13-gcc-13"]);
        // Both have a gcc-12; which patch level is the target's shows when the root is there.
        let two = ["debian-12-gcc-12", "debian-13-gcc-12"];
        assert_eq!(serving("gcc-12 (Debian 12.4.0-5) 12.4.0", ""), two);
        assert_eq!(serving("Debian clang version 19.1.7 (3+b1)", ""), ["debian-13-clang-19"]);
    }

    const BEGINNING: &str = "name = \"mine\"\narchitecture = \"x86_64\"\n\
        compiler_text_begins = \"gcc (Gentoo\"\ncompiler = \"gcc\"\n";

    #[test]
    fn root_comes_from_one_place_of_each_kind() {
        let zeros = "0".repeat(64);
        let kind = |more: &str| {
            let text = format!("{BEGINNING}{}", more.replace("ZEROS", &zeros));
            Recipe::parse(&text).map(|recipe| recipe.origin.kind()).map_err(|e| e.to_string())
        };
        assert_eq!(kind("[tarball]\npath = \"/x.tar\"\nsha256 = \"ZEROS\"\n"), Ok("tarball"));
        assert_eq!(kind("[oci]\npath = \"/x\"\ndigest = \"ZEROS\"\n"), Ok("oci"));
        assert_eq!(kind("[host]\n"), Ok("host"));
        assert_eq!(kind("suites = [\"sid\"]\npackages = []\n"), Ok("debian"));
        let refused = |more: &str, said: &str| {
            let error = kind(more).expect_err(more);
            assert!(error.contains(said), "{error}");
        };
        refused("", "does not say where the root comes from");
        refused("suites = [\"sid\"]\n", "it goes with packages");
        refused("suites = [\"sid\"]\npackages = []\n[host]\n", "from debian and host");
        refused("[tarball]\npath = \"x.tar\"\nsha256 = \"ZEROS\"\n", "not an absolute path");
        refused("[tarball]\npath = \"/x.tar\"\nsha256 = \"0\"\n", "sha256");
        refused("[host]\nroot = \"/\"\n", "root");
        refused("[host]\n[[unpack]]\nsuite = \"sid\"\npackage = \"x\"\n", "nothing is unpacked");
        refused("suites = [\"sid\"]\npackages = [\"gcc --force\"]\n", "\"gcc --force\" is not");
        refused("make_flags = [\"KCFLAGS=-O0\"]\n[host]\n", "make_flags: \"KCFLAGS=-O0\"");
        refused("make_flags = [\"LD=$(shell id)\"]\n[host]\n", "make_flags: ");
        let escaping = BEGINNING.replace("\"mine\"", "\"../mine\"") + "[host]\n";
        let error = Recipe::parse(&escaping).expect_err("it would leave the cache");
        assert!(error.to_string().contains("name: \"../mine\""), "{error}");
    }

    #[test]
    fn recipes_of_a_directory_are_read_and_each_problem_names_its_file() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let write = |name: &str, text: &str| {
            fs_err::write(directory.join(name), text).expect("own file");
        };
        let read = || Recipe::read_directory(directory, &Recipe::shipped());
        write("b.toml", &format!("{BEGINNING}[host]\n"));
        write("README", "not a recipe");
        let names: Vec<String> = read().expect("valid").into_iter().map(|r| r.name).collect();
        assert_eq!(names, ["mine"]);
        for (text, said) in [
            (format!("{BEGINNING}[host]\n"), "another recipe is called mine"),
            (
                BEGINNING.replace("mine", "debian-13-gcc-14") + "[host]\n",
                "another recipe is called",
            ),
            ("x = 1".to_owned(), "unknown field"),
        ] {
            write("c.toml", &text);
            let error = read().expect_err(said);
            assert!(error.to_string().contains("c.toml cannot be used"), "{error}");
            let cause = std::error::Error::source(&error).expect("a cause").to_string();
            assert!(cause.contains(said), "{cause}");
        }
    }

    #[test]
    fn template_is_a_recipe_for_each_kind_when_its_comment_signs_are_taken_away() {
        let template = include_str!("../../recipes/template.toml");
        let parts: Vec<&str> = template.split("\n#= ").collect();
        let kinds: Vec<&str> = parts[1..]
            .iter()
            .map(|part| {
                // "#key" is a key, "# text" is a comment.
                let uncomment = |line: &str| match line.strip_prefix('#') {
                    Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
                    _ => line.to_owned(),
                };
                let own: Vec<String> = part.lines().skip(1).map(uncomment).collect();
                let text = format!("{}\n{}", parts[0], own.join("\n"));
                Recipe::parse(&text).expect("a valid recipe").origin.kind()
            })
            .collect();
        assert_eq!(kinds, ["debian", "tarball", "oci", "host"]);
    }
}

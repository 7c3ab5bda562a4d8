use elivepatch_model::{Architecture, ConfigValue, KernelConfig, Sha256Digest};
use serde::Deserialize;

/// How a toolchain root is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
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
    #[serde(default)]
    pub rust_compiler_text_begins: Option<String>,
    /// The Debian suites that it is installed from.
    pub suites: Vec<String>,
    /// The packages that are installed.
    pub packages: Vec<String>,
    /// The packages that are only unpacked.
    #[serde(default)]
    pub unpack: Vec<UnpackedPackage>,
    /// The digest of the recipe's text.
    #[serde(skip, default = "no_digest")]
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

fn no_digest() -> Sha256Digest {
    Sha256Digest::of(b"")
}

impl Recipe {
    /// The recipes that come with elivepatch.
    pub fn shipped() -> Vec<Self> {
        [
            include_str!("../../recipes/debian-12-gcc-12.toml"),
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
    /// When the text is not TOML or lacks a field; the error names line and field.
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        let mut recipe: Self = toml::from_str(text)?;
        recipe.digest = Sha256Digest::of(text.as_bytes());
        Ok(recipe)
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
}

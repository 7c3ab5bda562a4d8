use elivepatch_model::{Architecture, Sha256Digest};
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
        [include_str!("../../recipes/debian-12-gcc-12.toml")]
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

    /// Whether its compiler may be the one that says `compiler_text` of itself.
    pub fn serves(&self, compiler_text: &str) -> bool {
        compiler_text.starts_with(&self.compiler_text_begins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shipped_recipes_are_valid_and_have_names_of_their_own() {
        let recipes = Recipe::shipped();
        let mut names: Vec<&str> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
        names.dedup();
        assert_eq!(names.len(), recipes.len());
        assert!(recipes[0].serves("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"));
        assert!(!recipes[0].serves("x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"));
    }

    #[test]
    fn unknown_field_is_refused_by_name() {
        let error = Recipe::parse("name = \"x\"\ncolour = 1\n").expect_err("unknown field");
        assert!(error.to_string().contains("colour"), "{error}");
    }
}

use jiff::Timestamp;
use serde::Serialize;

use super::{Recipe, Toolchains, root::RootFacts};
use crate::{
    EntryKind, HousekeepingError,
    housekeeping::{self, CacheEntry},
};

/// A toolchain root that is there, or could be made, as `toolchain list` shows it.
#[derive(Debug, Clone, Serialize)]
pub struct ListedToolchain {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub state: RootState,
    /// Where its file system comes from: `debian`, `tarball`, `oci` or `host`; absent when no recipe
    /// names it.
    pub origin: Option<String>,
    /// What begins the compiler text of the kernels that it serves.
    pub serves: Option<String>,
    /// What its compiler says of itself.
    pub compiler: Option<String>,
    /// Its assembler and linker.
    pub binutils: Option<String>,
    /// The digest that identifies it.
    pub digest: Option<String>,
    /// What it takes on the disk, in bytes.
    pub bytes: u64,
    /// When a build used it last.
    pub last_used: Option<Timestamp>,
    /// Whether a build uses it, or somebody makes it, now.
    pub in_use: bool,
}

/// Whether a toolchain root is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootState {
    /// It is made when a build needs it.
    NotMade,
    /// It is there.
    Ready,
    /// What is there was made from another text of the recipe, or is damaged: it is made anew when a
    /// build needs it.
    Outdated,
    /// It is there, and no recipe names it.
    NoRecipe,
}

impl std::fmt::Display for RootState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::NotMade => "not made",
            Self::Ready => "ready",
            Self::Outdated => "outdated",
            Self::NoRecipe => "no recipe",
        })
    }
}

impl Toolchains {
    /// All toolchain roots: those of the recipes, and others in the cache, by their names.
    ///
    /// # Errors
    /// When the cache cannot be read.
    pub fn list(&self) -> Result<Vec<ListedToolchain>, HousekeepingError> {
        let entries = housekeeping::list(&self.cache, EntryKind::ToolchainRoot)?;
        let entry = |name: &str| entries.iter().find(|entry| entry.name == name);
        let of_recipes = self.recipes.iter().map(|recipe| self.listed(recipe, entry(&recipe.name)));
        let is_other = |entry: &&CacheEntry| self.recipe(&entry.name).is_none();
        let others = entries.iter().filter(is_other).map(|entry| ListedToolchain {
            state: RootState::NoRecipe,
            ..bare(&entry.name, Some(entry))
        });
        let mut list: Vec<ListedToolchain> = of_recipes.chain(others).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    fn listed(&self, recipe: &Recipe, entry: Option<&CacheEntry>) -> ListedToolchain {
        let facts: Option<RootFacts> = self.peek(recipe);
        let state = match (&facts, entry) {
            (Some(_), Some(_)) => RootState::Ready,
            (_, Some(_)) => RootState::Outdated,
            (_, None) => RootState::NotMade,
        };
        let tools = facts.as_ref().and_then(|facts| facts.tools.as_ref());
        ListedToolchain {
            state,
            origin: Some(recipe.origin.kind().to_owned()),
            serves: Some(recipe.compilers()),
            binutils: tools.map(super::tools::ToolVersions::describe),
            digest: facts.as_ref().map(|facts| facts.digest.to_string()),
            compiler: facts.map(|facts| facts.compiler_text),
            ..bare(&recipe.name, entry)
        }
    }

    /// The recipe with this name.
    pub fn recipe(&self, name: &str) -> Option<&Recipe> {
        self.recipes.iter().find(|recipe| recipe.name == name)
    }

    /// Removes the root with this name. Gives the name, and the bytes that it took.
    ///
    /// # Errors
    /// When there is no such root, or it is in use, or cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(String, u64), HousekeepingError> {
        housekeeping::remove(&self.cache, EntryKind::ToolchainRoot, name)
    }
}

fn bare(name: &str, entry: Option<&CacheEntry>) -> ListedToolchain {
    ListedToolchain {
        name: name.to_owned(),
        state: RootState::NotMade,
        origin: None,
        serves: None,
        compiler: None,
        binutils: None,
        digest: None,
        bytes: entry.map_or(0, |entry| entry.bytes),
        last_used: entry.map(|entry| entry.last_used),
        in_use: entry.is_some_and(|entry| entry.in_use),
    }
}

//! Toolchain roots: read-only root file systems with one pinned compiler, binutils and kpatch's
//! tools. They are made from recipes, on first use, and kept in the cache.

mod create;
mod recipe;
mod root;
#[cfg(test)]
mod tests;

use elivepatch_model::{Failure, FailureClass, KernelConfig};

pub use recipe::Recipe;
pub use root::ToolchainRoot;

use crate::{Cache, Observer, debian::Apt, housekeeping::mark_used};
use recipe::made_with_rust;
use root::RootFacts;

/// All toolchain roots that this server can have.
#[derive(Debug)]
pub struct Toolchains {
    cache: Cache,
    recipes: Vec<Recipe>,
}

impl Toolchains {
    /// The shipped recipes.
    pub fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), recipes: Recipe::shipped() }
    }

    /// These recipes, for roots that are none of the server's.
    pub fn of(cache: &Cache, recipes: Vec<Recipe>) -> Self {
        Self { cache: cache.clone(), recipes }
    }

    /// The recipes.
    pub fn recipes(&self) -> &[Recipe] {
        &self.recipes
    }

    /// The names of the recipes' roots.
    pub fn names(&self) -> Vec<String> {
        self.recipes.iter().map(|recipe| recipe.name.clone()).collect()
    }

    /// The root that holds the compiler of `config`'s kernel; makes it when it is not there yet.
    ///
    /// # Errors
    /// `toolchain-unknown` when no recipe gives that compiler, or the one that was made has
    /// another patch level; `toolchain-failed` when it cannot be made.
    pub fn root_for(
        &self,
        config: &KernelConfig,
        apt: &Apt,
        observer: &dyn Observer,
    ) -> Result<ToolchainRoot, Failure> {
        let recipe = self.recipe_for(config)?;
        let root = self.root(recipe, apt, observer)?;
        let texts = [
            (Some(root.compiler_text()), config.compiler_text()),
            (root.rust_compiler_text(), config.text("RUSTC_VERSION_TEXT")),
        ];
        for (found, wanted) in texts {
            if let Some(wanted) = wanted
                && found != Some(wanted)
            {
                return Err(Failure::new(
                    FailureClass::ToolchainUnknown,
                    format!(
                        "the target was compiled by {wanted}, and the toolchain root {} has {}",
                        recipe.name,
                        found.unwrap_or("none")
                    ),
                    "a livepatch must be compiled by the target's own compiler: add a recipe for \
                     it, or update the target to a kernel that this compiler built",
                ));
            }
        }
        Ok(root)
    }

    /// Refuses, without making anything, a config whose compiler no recipe gives.
    ///
    /// # Errors
    /// `toolchain-unknown`.
    pub fn check(&self, config: &KernelConfig) -> Result<(), Failure> {
        self.recipe_for(config).map(drop)
    }

    fn recipe_for(&self, config: &KernelConfig) -> Result<&Recipe, Failure> {
        let wanted = config.compiler_text().ok_or_else(|| {
            Failure::new(
                FailureClass::ToolchainUnknown,
                "the config does not say which compiler built the kernel (CONFIG_CC_VERSION_TEXT)",
                "send the config of the running kernel, from /proc/config.gz or /boot",
            )
        })?;
        let recipe = self.recipes.iter().find(|recipe| recipe.serves(wanted, config));
        recipe.ok_or_else(|| {
            let rust = config.text("RUSTC_VERSION_TEXT");
            let rust = match rust {
                Some(rust) => format!(" and {rust}"),
                None if made_with_rust(config) => " and some rustc".to_owned(),
                None => String::new(),
            };
            Failure::new(
                FailureClass::ToolchainUnknown,
                format!("no toolchain root has the target's compiler, {wanted}{rust}"),
                "a livepatch must be compiled by the target's own compiler",
            )
            .with_details(self.recipes.iter().map(|recipe| {
                format!("{} serves kernels built by {}", recipe.name, recipe.compilers())
            }))
        })
    }

    /// The root of a recipe; makes it when it is not there yet.
    ///
    /// # Errors
    /// `toolchain-failed` when it cannot be made.
    pub fn root(
        &self,
        recipe: &Recipe,
        apt: &Apt,
        observer: &dyn Observer,
    ) -> Result<ToolchainRoot, Failure> {
        let place = self.cache.toolchain_roots().join(&recipe.name);
        let mut was_made = false;
        loop {
            let shared = self.cache.share(&place, observer)?;
            if let Some(facts) = RootFacts::read(&place, recipe)? {
                mark_used(&place);
                return Ok(ToolchainRoot::new(facts, &place, recipe, shared));
            }
            // The locks of one process exclude each other like those of two.
            drop(shared);
            if was_made {
                return Err(Failure::new(
                    FailureClass::ToolchainFailed,
                    format!("the toolchain root {place} is damaged right after it was made"),
                    "check the disk of the server's cache directory",
                ));
            }
            let _alone = self.cache.lock(&place, observer)?;
            // Someone else may have made it while we waited.
            if RootFacts::read(&place, recipe)?.is_none() {
                was_made = true;
                create::create(recipe, &place, apt, observer)?;
            }
        }
    }
}

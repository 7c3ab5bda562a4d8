//! Toolchain roots: read-only root file systems with one pinned compiler, binutils and kpatch's
//! tools. They are made from recipes, on first use, and kept in the cache.

mod contents;
mod create;
mod listing;
mod recipe;
mod recipe_file;
mod root;
#[cfg(test)]
mod tests;
mod tools;
mod verify;

use std::{collections::BTreeSet, sync::Mutex};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{BuildEvent, Failure, FailureClass, KernelConfig, Sha256Digest, StepName};

pub use listing::{ListedToolchain, RootState};
pub use recipe::{Origin, Recipe};
pub use recipe_file::RecipeError;
pub use root::ToolchainRoot;

use crate::{Cache, DebianOptions, Observer, debian::Apt, housekeeping::mark_used};
use contents::Depth;
use recipe::made_with_rust;
use root::RootFacts;

/// Debian's archive, opened when something is installed or unpacked from it: on a machine that is no Debian
/// there may be no apt, and no mirror that it knows.
pub type OpenApt<'s, 'a> = &'s dyn Fn() -> Result<&'a Apt, Failure>;

/// All toolchain roots that this server can have.
#[derive(Debug)]
pub struct Toolchains {
    cache: Cache,
    recipes: Vec<Recipe>,
    /// The roots whose programs were looked at, with the digests of their contents.
    verified: Mutex<BTreeSet<(Utf8PathBuf, Option<Sha256Digest>)>>,
}

impl Toolchains {
    /// The shipped recipes.
    pub fn new(cache: &Cache) -> Self {
        Self::of(cache, Recipe::shipped())
    }

    /// The shipped recipes, and those in a directory of the server's administrator.
    ///
    /// # Errors
    /// `toolchain-failed` when one of them cannot be used.
    pub fn with_directory(cache: &Cache, directory: &Utf8Path) -> Result<Self, Failure> {
        let mut recipes = Recipe::shipped();
        let own = Recipe::read_directory(directory, &recipes).map_err(|error| {
            let cause = std::error::Error::source(&error);
            let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
            Failure::new(
                FailureClass::ToolchainFailed,
                format!("{error}{cause}"),
                "correct it, or toolchain_recipes in the server's config; recipes/template.toml in \
                 elivepatch's source shows what a recipe may say",
            )
        })?;
        recipes.extend(own);
        Ok(Self::of(cache, recipes))
    }

    /// These recipes, for roots that are none of the server's.
    pub fn of(cache: &Cache, recipes: Vec<Recipe>) -> Self {
        Self { cache: cache.clone(), recipes, verified: Mutex::default() }
    }

    /// The recipes.
    pub fn recipes(&self) -> &[Recipe] {
        &self.recipes
    }

    /// The options of an archive that has also what the recipes unpack.
    pub fn with_suites(&self, options: &DebianOptions) -> DebianOptions {
        let mut options = options.clone();
        for package in self.recipes.iter().flat_map(|recipe| &recipe.unpack) {
            if !options.suites.contains(&package.suite) {
                options.suites.push(package.suite.clone());
            }
        }
        options
    }

    /// The names of the recipes' roots.
    pub fn names(&self) -> Vec<String> {
        self.recipes.iter().map(|recipe| recipe.name.clone()).collect()
    }

    /// The root that holds the compiler, assembler and linker of `config`'s kernel; makes it when it
    /// is not there yet. When several recipes may serve, one that is there and is exactly the
    /// target's is taken, else each is made until one is; one that cannot be made is passed over.
    ///
    /// # Errors
    /// `toolchain-unknown` when no recipe gives that compiler, or what was made has another patch
    /// level or other binutils; `toolchain-failed` or `fetch-failed` when none fits and one cannot be made.
    pub fn find_root(
        &self,
        config: &KernelConfig,
        apt: OpenApt,
        observer: &dyn Observer,
    ) -> Result<ToolchainRoot, Failure> {
        let mut recipes = self.recipes_for(config)?;
        // Those that are there and fit first, those that are not there next; the one that says most of
        // the target's compiler before the others.
        recipes.sort_by_cached_key(|recipe| {
            let state = match self.peek(recipe) {
                Some(facts) if facts.differences(config).is_empty() => 0,
                None => 1,
                Some(_) => 2,
            };
            (state, std::cmp::Reverse(recipe.compiler_text_begins.len()))
        });
        let mut misfits = Vec::new();
        let mut unmade: Vec<(&Recipe, Failure)> = Vec::new();
        for recipe in recipes {
            let was_there = self.peek(recipe).is_some();
            let root = match self.root(recipe, apt, observer) {
                Ok(root) => root,
                Err(failure) if may_pass(&failure) => {
                    let line =
                        format!("the toolchain root {} cannot be made: {failure}", recipe.name);
                    observer.event(BuildEvent::Log { step: StepName::Toolchain, line });
                    unmade.push((recipe, failure));
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let differences = root.facts().differences(config);
            if differences.is_empty() {
                return Ok(root);
            }
            misfits.push(Misfit { recipe, root, differences, was_there });
        }
        if unmade.is_empty() {
            return Err(misfit(config, &misfits));
        }
        // What could not be made may well be what is wanted.
        let (_, failure) = unmade.remove(0);
        let others =
            unmade.into_iter().map(|(recipe, failure)| format!("{}: {failure}", recipe.name));
        let details: Vec<String> = others.chain(misfits.iter().flat_map(Misfit::lines)).collect();
        let told = failure.details.clone();
        Err(failure.with_details(told.into_iter().chain(details)))
    }

    /// As [`Toolchains::find_root`], with an archive that is open.
    ///
    /// # Errors
    /// As [`Toolchains::find_root`].
    pub fn root_for(
        &self,
        config: &KernelConfig,
        apt: &Apt,
        observer: &dyn Observer,
    ) -> Result<ToolchainRoot, Failure> {
        self.find_root(config, &|| Ok(apt), observer)
    }

    fn peek(&self, recipe: &Recipe) -> Option<RootFacts> {
        RootFacts::read(&self.place(recipe), recipe).ok().flatten()
    }

    fn place(&self, recipe: &Recipe) -> Utf8PathBuf {
        self.cache.toolchain_roots().join(&recipe.name)
    }

    /// Refuses, without making anything, a config whose compiler no recipe gives.
    ///
    /// # Errors
    /// `toolchain-unknown`.
    pub fn check(&self, config: &KernelConfig) -> Result<(), Failure> {
        self.recipes_for(config).map(drop)
    }

    /// The recipes that may give the compiler of a config's kernel; one at least.
    fn recipes_for(&self, config: &KernelConfig) -> Result<Vec<&Recipe>, Failure> {
        let wanted = config.compiler_text().ok_or_else(|| {
            Failure::new(
                FailureClass::ToolchainUnknown,
                "the config does not say which compiler built the kernel (CONFIG_CC_VERSION_TEXT)",
                "send the config of the running kernel, from /proc/config.gz or /boot",
            )
        })?;
        let serves = |recipe: &&Recipe| recipe.serves(wanted, config);
        let recipes: Vec<&Recipe> = self.recipes.iter().filter(serves).collect();
        if !recipes.is_empty() {
            return Ok(recipes);
        }
        Err({
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

    /// The root of a recipe; makes it when it is not there yet, and anew when it is damaged. Its
    /// programs are compared with their digests, once for this value.
    ///
    /// # Errors
    /// `toolchain-failed` when it cannot be made.
    pub fn root(
        &self,
        recipe: &Recipe,
        apt: OpenApt,
        observer: &dyn Observer,
    ) -> Result<ToolchainRoot, Failure> {
        let place = self.place(recipe);
        let mut was_made = false;
        loop {
            let shared = self.cache.share(&place, observer)?;
            if let Some(facts) = self.usable(recipe, observer)? {
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
            if self.usable(recipe, observer)?.is_none() {
                was_made = true;
                create::create(recipe, &place, apt, observer)?;
            }
        }
    }

    /// The facts of a recipe's root that is there and whole, as far as a quick look shows. The caller
    /// has its lock.
    fn usable(
        &self,
        recipe: &Recipe,
        observer: &dyn Observer,
    ) -> Result<Option<RootFacts>, Failure> {
        let place = self.place(recipe);
        let Some(facts) = RootFacts::read(&place, recipe)? else { return Ok(None) };
        let facts = match (facts.contents, &facts.tools) {
            (Some(_), Some(_)) => facts,
            // Made by an earlier version: what is in it now is taken for what it is.
            _ => create::complete(recipe, facts, &place, observer)?,
        };
        let known = (place.clone(), facts.contents);
        if self.verified.lock().expect("no holder panics").contains(&known) {
            return Ok(Some(facts));
        }
        let differences = verify::differences(&facts, &place, Depth::Programs)?;
        if let Some(first) = differences.first() {
            let name = &recipe.name;
            let line = format!("the toolchain root {name} is damaged, and made anew: {first}");
            observer.event(BuildEvent::Log { step: StepName::Toolchain, line });
            return Ok(None);
        }
        self.verified.lock().expect("no holder panics").insert(known);
        Ok(Some(facts))
    }
}

/// Whether another recipe may be tried after this failure.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure.class, FailureClass::ToolchainFailed | FailureClass::FetchFailed)
}

/// A root that is not the target's own.
struct Misfit<'a> {
    recipe: &'a Recipe,
    root: ToolchainRoot,
    differences: Vec<String>,
    /// Whether it was there before this build.
    was_there: bool,
}

impl Misfit<'_> {
    /// In what it differs, a line each.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.differences.iter().map(|difference| format!("{}: {difference}", self.recipe.name))
    }

    /// Whether it might fit if it were made anew: the archive changes, what has a digest does not.
    fn may_be_outdated(&self) -> bool {
        self.was_there && self.recipe.origin.kind() == "debian"
    }
}

/// The failure when no root is the target's own.
fn misfit(config: &KernelConfig, misfits: &[Misfit]) -> Failure {
    let Misfit { recipe, root, differences, .. } = &misfits[0];
    let texts = [
        (Some(root.compiler_text()), config.compiler_text()),
        (root.rust_compiler_text(), config.text("RUSTC_VERSION_TEXT")),
    ];
    let compiler = texts.into_iter().find(|(found, wanted)| wanted.is_some() && found != wanted);
    let message = match compiler {
        Some((found, Some(wanted))) => format!(
            "the target was compiled by {wanted}, and the toolchain root {} has {}",
            recipe.name,
            found.unwrap_or("none")
        ),
        _ => format!(
            "the toolchain root {} has the target's compiler, but not its binutils: {}",
            recipe.name,
            differences.join("; ")
        ),
    };
    let mut hint =
        "a livepatch must be compiled by the target's own compiler, assembler and linker: \
                    add a recipe for them, or update the target to a kernel that these built"
            .to_owned();
    if let Some(Misfit { recipe, .. }) = misfits.iter().find(|misfit| misfit.may_be_outdated()) {
        hint.push_str(&format!(
            "; where Debian has updated them since the root was made, `elivepatch-server toolchain remove \
             {}` has the next build make it anew",
            recipe.name
        ));
    }
    Failure::new(FailureClass::ToolchainUnknown, message, hint)
        .with_details(misfits.iter().flat_map(Misfit::lines))
}

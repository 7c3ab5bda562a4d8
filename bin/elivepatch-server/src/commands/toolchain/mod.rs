//! `elivepatch-server toolchain`: looking after toolchain roots.

mod create;
mod list;
mod remove;
mod verify;

use elivepatch_builder::{Recipe, Toolchains};

use crate::{
    arguments::{Arguments, ToolchainCommand},
    error::CommandError,
};

/// Does what is asked for.
pub fn run(arguments: &Arguments, command: &ToolchainCommand) -> Result<(), CommandError> {
    match command {
        ToolchainCommand::List(list) => list::run(arguments, list.json),
        ToolchainCommand::Create(root) => create::run(arguments, &root.name),
        ToolchainCommand::Verify(root) => verify::run(arguments, &root.name),
        ToolchainCommand::Remove(root) => remove::run(arguments, &root.name),
    }
}

/// The recipe with this name, or the only one whose name begins so.
fn find<'a>(toolchains: &'a Toolchains, name: &str) -> Result<&'a Recipe, CommandError> {
    if let Some(recipe) = toolchains.recipe(name) {
        return Ok(recipe);
    }
    let begins = |recipe: &&Recipe| !name.is_empty() && recipe.name.starts_with(name);
    let matches: Vec<&Recipe> = toolchains.recipes().iter().filter(begins).collect();
    let names = |recipes: &[&Recipe]| {
        recipes.iter().map(|recipe| recipe.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    match matches[..] {
        [recipe] => Ok(recipe),
        [] => Err(CommandError::input(
            anyhow::anyhow!("there is no recipe {name}"),
            format!("there are: {}", names(&toolchains.recipes().iter().collect::<Vec<_>>())),
        )),
        _ => Err(CommandError::input(
            anyhow::anyhow!("{name} may be any of {}", names(&matches)),
            "give more of the name",
        )),
    }
}

//! `elivepatch-server base`: looking after bases.

mod list;
mod pin;
mod remove;
mod warm;

use crate::{
    arguments::{Arguments, BaseCommand},
    error::CommandError,
};

/// Does what is asked for.
pub fn run(arguments: &Arguments, command: &BaseCommand) -> Result<(), CommandError> {
    match command {
        BaseCommand::List(list) => list::run(arguments, list.json),
        BaseCommand::Warm(warm) => warm::run(arguments, warm),
        BaseCommand::Pin(base) => pin::run(arguments, &base.name, true),
        BaseCommand::Unpin(base) => pin::run(arguments, &base.name, false),
        BaseCommand::Remove(base) => remove::run(arguments, &base.name),
    }
}

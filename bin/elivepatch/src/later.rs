use std::ops::Deref;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Id, builder::Resettable};

/// The arguments of a command, which the parser makes only when it is that command: to make those of all of them takes
/// more than half of what `elivepatch status` does.
#[derive(Debug)]
pub struct Later<T>(pub Box<T>);

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(|arguments| Self(Box::new(arguments)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Later<T> {
    fn group_id() -> Option<Id> {
        T::group_id()
    }

    fn augment_args(command: Command) -> Command {
        command.defer(|command| with_own_words(command, T::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(|command| with_own_words(command, T::augment_args_for_update))
    }
}

/// Adds the arguments. The command keeps what is said of it: the arguments' type has words of its own.
fn with_own_words(command: Command, add: fn(Command) -> Command) -> Command {
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    let command = add(command);
    let command = match about {
        Some(about) => command.about(about),
        None => command,
    };
    command.long_about(long_about.map_or(Resettable::Reset, Resettable::Value))
}

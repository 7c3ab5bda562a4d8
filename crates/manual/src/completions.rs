use clap::{Command, ValueEnum};
use clap_complete::aot;

/// The shells that there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU bash, from version 4.4.
    Bash,
    /// zsh.
    Zsh,
    /// fish.
    Fish,
}

/// Makes the completions of a program's command line for a shell, as that shell reads them. Commands that are hidden
/// are not offered.
pub fn completions(program: &'static str, command: &Command, shell: Shell) -> Vec<u8> {
    let mut command = without_hidden(program, command);
    let name = program;
    let mut text = Vec::new();
    match shell {
        Shell::Bash => clap_complete::generate(aot::Bash, &mut command, name, &mut text),
        Shell::Zsh => clap_complete::generate(aot::Zsh, &mut command, name, &mut text),
        Shell::Fish => clap_complete::generate(aot::Fish, &mut command, name, &mut text),
    }
    match shell {
        Shell::Bash => with_one_name(program, text),
        Shell::Zsh | Shell::Fish => text,
    }
}

/// clap_complete 4.6 writes a hyphen in a program's name in two ways, and then finds none of its commands in bash.
fn with_one_name(program: &str, text: Vec<u8>) -> Vec<u8> {
    let (known, looked_for) = (program.replace('-', "__"), program.replace('-', "__subcmd__"));
    match String::from_utf8(text) {
        Ok(text) => text.replace(&looked_for, &known).into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// The same command line without the commands that are hidden; clap can take none away.
fn without_hidden(program: &'static str, command: &Command) -> Command {
    let visible = Command::new(program)
        .about(command.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        // It makes clap add the option; completions do not hold the version itself.
        .version("");
    let has_version = command.get_version().is_some() && !command.is_disable_version_flag_set();
    visible
        .disable_version_flag(!has_version)
        .args(command.get_arguments().cloned())
        .groups(command.get_groups().cloned())
        .subcommands(command.get_subcommands().filter(|each| !each.is_hide_set()).cloned())
}

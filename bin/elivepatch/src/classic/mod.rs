//! The command line of the first elivepatch, as far as it has more than a build: its options, its config file, and
//! its name.

mod conf_file;
mod log_level;

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use clap::{ArgMatches, Args, CommandFactory, FromArgMatches};

pub use self::log_level::LogLevel;
use crate::{
    cli::Cli,
    commands::{
        build::BuildArgs,
        host::{
            StateArgs,
            apply::{IS_ACTIVE_ALREADY, Module},
        },
    },
    exit::Exit,
    output,
    problem::{Problem, warn},
    text::printable_lines,
};

/// What the first elivepatch's program was called. Under this name it loads what it has built, as it always did.
const OLD_NAME: &str = "elivepatch-client";

/// Where the first elivepatch put the module, in the current directory.
const OLD_OUTPUT: &str = "myfile.ko";

const CONF_FILE_HELP: &str = "Take options from FILE, an INI file: below [Defaults] stand long options without their \
    dashes, such as url = HOST:PORT; those of the command line win";

/// Arguments of a build that have no meaning in CVE mode.
const OF_BUILDS: [&str; 6] = ["patches", "no_wait", "follow", "verbose", "alone", "drop"];

/// What the first elivepatch had beside a build. (Without words of its own: clap would show them as the program's.)
#[derive(Debug, Args)]
pub struct ClassicArgs {
    /// Fix the CVEs that matter on the kernel: the same as elivepatch cve
    #[arg(short = 'e', long, conflicts_with_all = OF_BUILDS)]
    pub cve: bool,
    /// Forget what the last run for this kernel said
    #[arg(short = 'l', long)]
    pub clear: bool,
    /// The config file. (The help is apart: rustdoc would take the section's name for a link.)
    #[arg(short = 'c', long = "conf_file", alias = "conf-file", value_name = "FILE", help = CONF_FILE_HELP)]
    pub conf_file: Option<PathBuf>,
    /// How much is said: debug or info, also what the build's tools print; notice, as without it; warning or error,
    /// no more than that
    #[arg(short = 'd', long, value_name = "LEVEL")]
    pub debug: Option<LogLevel>,
    /// Append what is said to FILE, with the time, instead of saying it; errors are said all the same
    #[arg(short = 'o', long = "log_output", alias = "log-output", value_name = "FILE")]
    pub log_output: Option<PathBuf>,
}

/// The command line as it was understood.
pub struct Understood {
    /// What it says.
    pub cli: Cli,
    /// What is to be warned of, when it is known where to.
    pub warnings: Vec<String>,
}

/// Where this program is: a package may replace it while a build goes on.
static PROGRAM: LazyLock<io::Result<PathBuf>> = LazyLock::new(env::current_exe);

/// Reads the command line, and the config file that it names.
///
/// # Errors
/// When there is something wrong with that file. A command line that cannot be understood ends the program here.
pub fn command_line() -> Result<Understood, Problem> {
    let given: Vec<OsString> = env::args_os().collect();
    let matches = Cli::command().get_matches_from(&given);
    let mut warnings = Vec::new();
    let matches = match matches.subcommand_name() {
        Some(_) => matches,
        None => with_conf_file(given.clone(), matches, &mut warnings)?,
    };
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| {
        Problem::new(Exit::Bug, "the command line cannot be read twice").caused_by(&error)
    })?;
    if cli.command.is_none() && given.first().is_some_and(|program| is_old_name(program)) {
        LazyLock::force(&PROGRAM);
        act_as_before(&mut cli.build);
    }
    Ok(Understood { cli, warnings })
}

/// Makes hold what is said of how much is said, and where.
///
/// # Errors
/// When the log cannot be written.
pub fn set_up(arguments: &mut Cli) -> Result<(), Problem> {
    let ClassicArgs { cve, clear, debug, log_output, .. } = &arguments.classic;
    let forgets_nothing = *clear && !*cve;
    if forgets_nothing && arguments.build.patches.is_empty() {
        return Err(Problem::usage("--clear is about CVEs only")
            .hint("give it with --cve: elivepatch --cve --clear"));
    }
    if let Some(level) = debug {
        arguments.build.verbose |= level.shows_tools();
        output::say_from(level.least());
    }
    if let Some(path) = log_output {
        output::log_to(path).map_err(|error| {
            Problem::input(format!("cannot write the log {}", path.display()))
                .caused_by(&error)
                .hint("name a file in a directory that is there with --log_output FILE")
        })?;
    }
    if forgets_nothing {
        warn("--clear is about CVEs only: it is passed over");
    }
    Ok(())
}

/// The same with what the config file says, if one is named.
fn with_conf_file(
    given: Vec<OsString>,
    matches: ArgMatches,
    warnings: &mut Vec<String>,
) -> Result<ArgMatches, Problem> {
    let Some(path) = matches.get_one::<PathBuf>("conf_file") else { return Ok(matches) };
    let shown = path.display();
    let settings = conf_file::read(path)?;
    let (more, unknown) = conf_file::arguments(&settings, &Cli::command(), &matches)
        .map_err(|problem| problem.aside(format!("in the config file {shown}")))?;
    let warning = |key| format!("{key} in {shown} is no option of elivepatch: it is passed over");
    warnings.extend(unknown.into_iter().map(warning));
    // The command line by itself was understood: what is wrong now is in the file.
    Cli::command().try_get_matches_from(given.into_iter().chain(more)).map_err(|error| {
        let text = error.render().to_string();
        let first = text.lines().next().unwrap_or_default();
        let what = first.strip_prefix("error: ").unwrap_or(first);
        Problem::input(format!("the config file {shown} cannot be used: {what}"))
            .hint("see what each option takes: elivepatch --help")
    })
}

fn is_old_name(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new(OLD_NAME))
}

/// Adds what went without saying.
fn act_as_before(build: &mut BuildArgs) {
    if build.no_wait {
        return;
    }
    build.apply = true;
    build.through_sudo = true;
    if build.output.is_none() {
        build.output = Some(OLD_OUTPUT.into());
        build.force = true;
    }
}

/// Loads a module as the first elivepatch did for who is not root: through sudo, which asks for a password if need
/// be, and lets nothing of the environment through. When `module` is to be loaded quietly, it is not told that it is
/// active already.
///
/// # Errors
/// When it is not loaded; why was said by then, by sudo or by what it has run.
pub fn apply_through_sudo(module: &Module<'_>) -> Result<(), Problem> {
    let path = module.path.display();
    let hint = format!("load it as root: elivepatch apply {path}");
    let program = PROGRAM.as_ref().map_err(|error| {
        Problem::input("cannot find this program to run it through sudo")
            .caused_by(error)
            .hint(&hint)
    })?;
    let mut command = Command::new("sudo");
    command.arg(program).arg("apply");
    if let Some(keys) = module.key.given() {
        command.arg("--manifest-key").arg(keys);
    }
    if let Some(directory) = StateArgs::of_environment().state_directory {
        command.arg("--state-directory").arg(directory);
    }
    let ended = command.arg("--").arg(module.path).stderr(Stdio::piped()).output();
    let ended = ended.map_err(|error| {
        Problem::input("only root can load a livepatch, and sudo cannot be run")
            .caused_by(&error)
            .hint(&hint)
    })?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if !(module.quiet && ended.status.success() && is_no_news(&said)) {
        output::release();
        output::say(printable_lines(&said).trim_end());
    }
    match ended.status.success() {
        true => Ok(()),
        false => Err(Problem::new(Exit::Host, format!("{path} is not loaded")).hint(hint)),
    }
}

/// Whether nothing is said but that the livepatch was loaded before.
fn is_no_news(said: &str) -> bool {
    said.lines().all(|line| line.ends_with(IS_ACTIVE_ALREADY))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn only_that_it_is_active_already_is_no_news() {
        assert!(is_no_news("livepatch_fix_1a2b3c4d is active already\n"));
        assert!(!is_no_news("warning: it takes out a livepatch\na is active already\n"));
        assert!(!is_no_news("livepatch_fix_1a2b3c4d is active (0.4 s)\n"));
    }

    #[test]
    fn old_name_loads_what_it_has_built_and_the_new_one_does_not() {
        assert!(is_old_name(OsStr::new("/usr/bin/elivepatch-client")));
        assert!(!is_old_name(OsStr::new("elivepatch")));
        let mut cli = Cli::parse_from(["elivepatch-client", "-p", "a.patch"]);
        act_as_before(&mut cli.build);
        assert!(cli.build.apply && cli.build.force && cli.build.through_sudo);
        assert_eq!(cli.build.output.as_deref(), Some(Path::new("myfile.ko")));
        let line = ["elivepatch-client", "-p", "a.patch", "--output", "mine.ko"];
        let mut cli = Cli::parse_from(line);
        act_as_before(&mut cli.build);
        assert!(!cli.build.force, "another file of that name is not the program's");
        let mut cli = Cli::parse_from(["elivepatch-client", "-p", "a.patch", "--no-wait"]);
        act_as_before(&mut cli.build);
        assert!(!cli.build.apply && cli.build.output.is_none());
    }
}

use clap::{Arg, ArgAction, Parser, Subcommand, ValueEnum};

use crate::{
    classic::ClassicArgs,
    commands::{
        build::BuildArgs,
        builds::BuildsArgs,
        cancel::CancelArgs,
        check::CheckArgs,
        completions::CompletionsArgs,
        cve::CveArgs,
        drop::DropArgs,
        facts::FactsArgs,
        host::{
            ViewArgs, agent::AgentArgs, apply::ApplyArgs, boot::BootArgs, enrol::EnrolArgs,
            guard::GuardArgs, revert::RevertArgs, unlock::UnlockArgs,
        },
        man::ManArgs,
        rebuild::RebuildArgs,
        show::ShowArgs,
    },
    exit::{CVE_HELP, EXIT_CODES, STATUS_HELP, VERDICTS, program_help},
    later::Later,
};

/// Live patches for the Linux kernel that you run, from a server that builds and tries them
#[derive(Debug, Parser)]
#[command(
    name = "elivepatch",
    version,
    disable_version_flag = true,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = program_help(),
    mut_args = below_a_heading
)]
pub struct Cli {
    /// What to do; without a command: build
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What the first elivepatch had beside a build.
    #[command(flatten)]
    pub classic: ClassicArgs,
    /// The classic form.
    #[command(flatten)]
    pub build: BuildArgs,
    /// Colour the output; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", global = true)]
    pub color: Color,
    /// Print the version
    #[arg(short, long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// Puts the options of a build below a heading of their own, and leaves to the short help those without which none
/// begins: newcomers are to see the commands.
fn below_a_heading(argument: Arg) -> Arg {
    let is_one_of = |names: &[&str]| names.contains(&argument.get_id().as_str());
    if is_one_of(&["color", "version"]) {
        return argument;
    }
    let is_first = is_one_of(&["cve", "patches", "url"]);
    argument
        .help_heading("Options without a command, as of elivepatch build")
        .hide_short_help(!is_first)
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a livepatch, or go on with a build: the command to use most
    #[command(after_help = EXIT_CODES)]
    Build(Later<BuildArgs>),
    /// Judge patches before they are built: offline, in under a second
    #[command(after_help = VERDICTS)]
    Check(Later<CheckArgs>),
    /// Fix the CVEs that matter on a kernel by one livepatch, and say which stay open
    #[command(after_help = CVE_HELP)]
    Cve(Later<CveArgs>),
    /// Build what is live without some of its fixes
    #[command(after_help = EXIT_CODES)]
    Drop(Later<DropArgs>),
    /// Load a livepatch into the running kernel
    #[command(after_help = EXIT_CODES)]
    Apply(Later<ApplyArgs>),
    /// Say how this machine stands: what is loaded, how it is with it, what is pending and wrong
    #[command(after_help = STATUS_HELP)]
    Status(Later<ViewArgs>),
    /// List the livepatches that are kept on this machine
    List(Later<ViewArgs>),
    /// Go back to an earlier livepatch, or to the kernel as it was booted
    #[command(after_help = EXIT_CODES)]
    Revert(Later<RevertArgs>),
    /// Say what was loaded and taken back on this machine
    History(Later<ViewArgs>),
    /// Let a livepatch be loaded again that was locked out
    Unlock(Later<UnlockArgs>),
    /// Load the last livepatch of this kernel: to be run early at boot
    #[command(after_help = EXIT_CODES)]
    Boot(Later<BootArgs>),
    /// Keep this machine as its server wants it: report, and load what is assigned to it
    #[command(after_help = EXIT_CODES)]
    Agent(Later<AgentArgs>),
    /// Look after the machine for a quarter of an hour after loading; apply and boot start it
    #[command(hide = true)]
    Guard(Later<GuardArgs>),
    /// Register this machine on a server, with a one-time token
    #[command(after_help = EXIT_CODES)]
    Enrol(Later<EnrolArgs>),
    /// Show or save what is known of the running kernel: all that is sent to order a livepatch for it
    Facts(Later<FactsArgs>),
    /// List the builds of the server
    Builds(Later<BuildsArgs>),
    /// Build a livepatch again from its manifest, and compare the two modules byte by byte
    #[command(after_help = EXIT_CODES)]
    Rebuild(Later<RebuildArgs>),
    /// Show a build on the server, or what is in a livepatch
    Show(Later<ShowArgs>),
    /// Cancel a build, also for everybody who joined it with an equal request
    Cancel(Later<CancelArgs>),
    /// Print completions for a shell
    Completions(Later<CompletionsArgs>),
    /// Write the manual pages of all commands
    #[command(hide = true)]
    Man(Later<ManArgs>),
}

/// When to colour. (The variants have no text: clap would show it, and it says nothing new.)
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Makes it hold for all output.
    pub fn apply(self) {
        match self {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn classic_form_and_both_spellings_of_the_release_are_read() {
        for spelling in ["--kernel", "--kernel_version", "-a"] {
            let line = ["elivepatch", "-k", "c", "-p", "a", "--patch", "b", spelling, "6.1.2"];
            let cli = Cli::try_parse_from(line.iter().chain(&["-u", "host:5000"]))
                .expect("the classic form");
            assert!(cli.command.is_none());
            assert_eq!(cli.build.kernel.expect("a release").as_str(), "6.1.2");
            assert_eq!(cli.build.patches.len(), 2);
        }
    }

    #[test]
    fn classic_cve_mode_is_read() {
        for switch in ["-e", "--cve"] {
            let line = ["elivepatch", switch, "--kernel", "6.1.176", "-l", "-u", "host:5000"];
            let cli = Cli::try_parse_from(line).expect("the classic form");
            assert!(cli.command.is_none() && cli.classic.cve && cli.classic.clear);
        }
        for wrong in [&["-e", "-p", "a"][..], &["-e", "--follow", "1"]] {
            Cli::try_parse_from([&["elivepatch"], wrong].concat()).expect_err("of a build only");
        }
        let line = ["elivepatch", "cve", "--cve", "CVE-2026-1001", "--dry-run"];
        Cli::try_parse_from(line).expect("the issue's spelling of --explain");
    }

    /// The documentation shows no command and no option that is not there.
    #[test]
    fn every_command_line_of_the_documentation_is_read() {
        assert_eq!(elivepatch_docs::unread(&Cli::command()), [""; 0]);
    }
}

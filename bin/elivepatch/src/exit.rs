/// How the program ends. The numbers are documented in the help text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// Something that the user gave is at fault: a file, an argument's value, a build number.
    Input = 1,
    /// The command line is not one that the program understands; clap uses the same number.
    Usage = 2,
    /// There is no livepatch: the build failed, or the patch cannot be one.
    Build = 3,
    /// The server or the network is at fault; the same command may pass later.
    Server = 4,
    /// A CVE is open that no livepatch fixes.
    Exposed = 5,
    /// The kernel did not take a livepatch, or it was taken back.
    Host = 6,
    /// elivepatch itself is at fault (`EX_SOFTWARE` of sysexits.h).
    Bug = 70,
    /// Ctrl-C: 128 and the number of SIGINT, as shells have it.
    Interrupted = 130,
}

/// What the program's own help text has below its options.
pub fn program_help() -> String {
    format!("{EXAMPLES}\n\n{EXIT_CODES}")
}

/// What people come for first, as the program's help text shows it.
const EXAMPLES: &str = "\
Examples, with the server in ELIVEPATCH_URL:
  elivepatch check fix.patch                   whether a patch can be a livepatch, without a server
  elivepatch --patch fix.patch                 build a livepatch for the running kernel
  elivepatch apply livepatch_fix_1a2b3c4d.ko   load it, as root
  elivepatch status                            how this machine stands
  elivepatch cve --dry-run                     which CVEs matter on the running kernel

elivepatch COMMAND --help, or man elivepatch-COMMAND, has the options of a command.";

/// The exit codes, as the help text shows them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    something that was given is at fault: a file, a value, a patch or config that is refused
  2    usage: the command line cannot be understood
  3    no livepatch: the build failed, was cancelled, or the patch cannot be live-patched
  4    the server or the network is at fault; the same command may pass later
  5    elivepatch cve: done, and a CVE is open that no livepatch fixes
  6    elivepatch apply, revert, boot: the kernel did not take it, it was taken back, or another
       elivepatch is at work; agent --once: not all is well
  70   a bug in elivepatch
  130  interrupted by Ctrl-C; a build that was submitted goes on";

/// How `elivepatch status` ends, as its help text shows it.
pub const STATUS_HELP: &str = "\
Exit codes, for monitoring:
  0    well: what belongs to this kernel is active, or nothing belongs to it and nothing is pending
  1    a newer livepatch is here and not loaded
  2    trouble: a livepatch that should be active is not, the kernel has oopsed or warned since it
       was loaded, a transition does not end, a livepatch is locked out, or it cannot be looked at";

/// How `elivepatch cve` is used from cron, and how it ends, as its help text shows it.
pub const CVE_HELP: &str = "\
From cron (when standard input, output and error are no terminal) and with --changes-only nothing
is printed, and the exit code is 0, when the last run for this kernel, server and selection said the
same and its module is still where it was stored. Otherwise the summary says what is new. What was
asked for by --json, --verdict or --explain is printed each time, and files are written each time.
What is remembered is in --state-directory, $ELIVEPATCH_STATE_DIRECTORY, /var/lib/elivepatch/cve
for root, or $XDG_STATE_HOME/elivepatch/cve or ~/.local/state/elivepatch/cve for others. --clear
forgets it.

Exit codes:
  0    all that matters is fixed by the livepatch, or nothing matters; nothing is new (from cron);
       --dry-run has answered, --cancel has cancelled
  1    something that was given is at fault: a file, a value, a config or kernel that is refused
  2    usage: the command line cannot be understood
  3    the run failed by the kernel that it is for, or was cancelled
  4    the server or the network is at fault; the same command may pass later
  5    a CVE is open: it needs a reboot, waits for a person, has no fix, could not be tried, or is
       left out by the server's policy (what you leave out yourself does not count)
  70   a bug in elivepatch
  130  interrupted by Ctrl-C; a run that was started goes on

docs/cves.md says what each verdict means.";

/// What `elivepatch check` says and how it ends, as its help text shows it.
pub const VERDICTS: &str = "\
Verdicts:
  nothing to do here: no file of it is     exit code 0; build refuses such a patch
  in the kernel
  patchable as far as can be seen offline  exit code 0
  cannot be sure, with reasons             exit code 0; 3 with --strict
  refused, with reasons                    exit code 3

Exit code 1 says that a patch, config or source tree could not be read. With --json the verdict is
the field \"verdict\": nothing-to-do, patchable, unsure or refused; what could not be read is in the
field \"error\". docs/patchability.md explains every reason.";

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn examples_of_the_help_are_command_lines() {
        let examples: Vec<&str> =
            EXAMPLES.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert!(examples.len() > 3, "{EXAMPLES}");
        for line in examples {
            let (command, _) = line.split_once("   ").expect("what it does");
            Cli::try_parse_from(command.split_whitespace())
                .unwrap_or_else(|error| panic!("{command}: {error}"));
        }
    }
}

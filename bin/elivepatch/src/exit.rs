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
    /// elivepatch itself is at fault (`EX_SOFTWARE` of sysexits.h).
    Bug = 70,
    /// Ctrl-C: 128 and the number of SIGINT, as shells have it.
    Interrupted = 130,
}

/// The exit codes, as the help text shows them.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    something that was given is at fault: a file, a value, a patch or config that is refused
  2    usage: the command line cannot be understood
  3    no livepatch: the build failed, was cancelled, or the patch cannot be live-patched
  4    the server or the network is at fault; the same command may pass later
  70   a bug in elivepatch
  130  interrupted by Ctrl-C; a build that was submitted goes on";

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

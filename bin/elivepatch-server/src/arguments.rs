use std::net::SocketAddr;

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};
use elivepatch_model::KernelRelease;
use elivepatch_server::config::{Overrides, Places};

/// Exit codes, for the end of the help.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 something you gave cannot be used, 2 usage, \
    4 network (address in use), 70 a bug.";

/// Builds livepatches for Linux kernels.
///
/// Without a command, runs the API and its workers in one process.
#[derive(Debug, Parser)]
#[command(name = "elivepatch-server", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do; `all` when absent.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The config file [default: /etc/elivepatch/server.toml for root, else
    /// ~/.config/elivepatch/server.toml].
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<Utf8PathBuf>,
    #[command(flatten)]
    all: AllArguments,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the API and its workers in one process (the default).
    All(AllArguments),
    /// Write a commented config file and make the directories.
    Init(AllArguments),
    /// Read the config, show what it says, and name every problem.
    CheckConfig,
    /// Print the config of a stock kernel, out of its package.
    KernelConfig {
        /// The kernel's release, as `uname -r` prints it.
        release: KernelRelease,
        /// Keep packages here, whatever the config says.
        #[arg(long, value_name = "DIRECTORY")]
        cache_directory: Option<Utf8PathBuf>,
    },
}

/// What wins over the config file.
#[derive(Debug, Args)]
pub struct AllArguments {
    /// Listen on this address, whatever the config says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Keep records and blobs here, whatever the config says.
    #[arg(long, value_name = "DIRECTORY")]
    data_directory: Option<Utf8PathBuf>,
    /// Keep packages, toolchain roots and bases here, whatever the config says.
    #[arg(long, value_name = "DIRECTORY")]
    cache_directory: Option<Utf8PathBuf>,
}

impl Arguments {
    /// The config file: the one that was named, or the one of this user.
    pub fn config_file(&self, places: &Places) -> Utf8PathBuf {
        self.config.clone().unwrap_or_else(|| places.config_file.clone())
    }

    /// The values that win over the config file.
    pub fn overrides(&self) -> Overrides {
        let all = match &self.command {
            Some(Command::All(all) | Command::Init(all)) => all,
            Some(Command::CheckConfig | Command::KernelConfig { .. }) | None => &self.all,
        };
        let cache_directory = match &self.command {
            Some(Command::KernelConfig { cache_directory, .. }) => cache_directory,
            _ => &all.cache_directory,
        };
        // A path on the command line is relative to where the command was given.
        let absolute =
            |path: &Utf8PathBuf| camino::absolute_utf8(path).unwrap_or_else(|_| path.clone());
        Overrides {
            listen: all.listen,
            data_directory: all.data_directory.as_ref().map(absolute),
            cache_directory: cache_directory.as_ref().map(absolute),
        }
    }
}

use std::net::SocketAddr;

use camino::Utf8PathBuf;
use clap::{Args, CommandFactory, Parser, Subcommand, error::ErrorKind};
use elivepatch_manual::Shell;
use elivepatch_model::{HostName, KernelRelease, Role, Tag, TokenId};
use elivepatch_server::{
    app::{CveId, LinuxVersion},
    config::{Overrides, Places},
};
use jiff::{SignedDuration, Timestamp};

use crate::{
    host_arguments::HostCommand, old_arguments::OldArguments, times,
    worker_arguments::WorkerArguments,
};

/// Exit codes, for the end of the help.
const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   something that was given cannot be used
  2   usage: the command line cannot be understood
  3   something could not be made, or is damaged
  4   the network: the address is in use, or not of this machine
  70  a bug in elivepatch";

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
    serve: ServeArguments,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the API and its workers in one process (the default).
    All(ServeArguments),
    /// Run the API without workers: those of other machines build.
    Serve(ServeArguments),
    /// Build for a server on another machine, which the section `worker` of the config names.
    Worker(WorkerArguments),
    /// Write a commented config file and make the directories.
    Init(AllArguments),
    /// Read the config, show what it says, and name every problem.
    CheckConfig,
    /// List, make ready, pin and remove bases.
    #[command(subcommand)]
    Base(BaseCommand),
    /// List, make, verify and remove toolchain roots.
    #[command(subcommand)]
    Toolchain(ToolchainCommand),
    /// Read the CVE feed, and tell what was read of it.
    #[command(subcommand)]
    Feed(FeedCommand),
    /// Approve, list and withdraw fixes of CVEs that are not taken by themselves.
    #[command(subcommand)]
    Fix(FixCommand),
    /// Look after hosts: what they are to run and what not, and what they are exposed to.
    #[command(subcommand)]
    Host(HostCommand),
    /// Make, list and revoke the tokens with which people, programs and hosts come.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show who ordered, approved, assigned and loaded what, and whose requests were refused.
    Audit(AuditArguments),
    /// Print the SHA-256 of the server's certificate, by which clients know it.
    Certificate,
    /// Remove from the cache what was given up, and what is over the disk budget.
    Gc(GcArguments),
    /// Print the public key that the server's manifests are verified with.
    ManifestKey,
    /// Print the certificate of the key that modules are signed with.
    ModuleKey {
        /// Write it to this file instead, in DER, as `mokutil --import` takes it.
        #[arg(long, value_name = "FILE")]
        der: Option<Utf8PathBuf>,
    },
    /// Print the config of a stock kernel, out of its package.
    KernelConfig {
        /// The kernel's release, as `uname -r` prints it.
        release: KernelRelease,
        /// Keep packages here, whatever the config says.
        #[command(flatten)]
        cache: CacheArguments,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write the manual pages of all commands.
    #[command(hide = true)]
    Man {
        /// Where man8 is made; man looks into /usr/local/share/man.
        #[arg(long, value_name = "DIRECTORY")]
        output: Utf8PathBuf,
        /// The seconds since 1970 of the day that stands on the pages [default: today].
        #[arg(long, value_name = "SECONDS", env = "SOURCE_DATE_EPOCH", hide_env_values = true)]
        date: Option<i64>,
    },
}

/// What is to be done with bases. They are named as `base list` shows them.
#[derive(Debug, Subcommand)]
pub enum BaseCommand {
    /// List the bases in the cache, those that were used last first.
    List(ListArguments),
    /// Make the base of a kernel ready, with its packages and toolchain root, at low priority.
    Warm(WarmArguments),
    /// Keep a base, whatever the disk budget says.
    Pin(NameArguments),
    /// Let a base go when the disk budget says so.
    Unpin(NameArguments),
    /// Remove a base that nobody uses.
    Remove(NameArguments),
}

/// What is to be done with the CVE feed.
#[derive(Debug, Subcommand)]
pub enum FeedCommand {
    /// Read what has changed in the feed. A server that runs does it by itself.
    Update {
        /// Take the feed as it is, also when most of its records are gone.
        #[arg(long)]
        force: bool,
    },
    /// Tell where the feed comes from, how old it is, and what is in it.
    Status(JsonArguments),
    /// List the records that cannot be used, with the reason.
    Faults(JsonArguments),
    /// Write the feed and the texts of fixes into one signed file, for a server without a network.
    Export(ExportArguments),
    /// Take over what another server exported. This server may run meanwhile.
    Import(ImportArguments),
    /// Make the pair of keys that exports are signed and verified with.
    Keygen {
        /// Where the secret key goes; it has no password, and only this user can read it.
        #[arg(long, value_name = "FILE")]
        secret: Utf8PathBuf,
        /// Where the public key goes, which the importing server needs.
        #[arg(long, value_name = "FILE")]
        public: Utf8PathBuf,
    },
}

/// What `feed export` takes.
#[derive(Debug, Args)]
pub struct ExportArguments {
    /// The file; what is there is replaced.
    pub file: Utf8PathBuf,
    /// The secret key: of `feed keygen`, or one of minisign's without a password.
    #[arg(long, value_name = "SECRET_KEY_FILE")]
    pub key: Utf8PathBuf,
    /// Fetch the fixes of all CVEs that this version of Linux has, such as 6.1.176, as far as its branch fixes
    /// them; give several with commas, or several times. Without it the file has the fixes that the server
    /// remembers.
    #[arg(long, value_name = "VERSION", value_delimiter = ',')]
    pub fixes_for: Vec<LinuxVersion>,
    /// Fetch all fixes that the feed names, of all branches: tens of thousands. Have a clone of linux-stable.
    #[arg(long, conflicts_with = "fixes_for")]
    pub all_fixes: bool,
}

/// What `feed import` takes.
#[derive(Debug, Args)]
pub struct ImportArguments {
    /// The file that `feed export` wrote.
    pub file: Utf8PathBuf,
    /// The public key that signed it: a file, or its line with `RW`; without it, those of the config.
    #[arg(long, value_name = "FILE|BASE64")]
    pub public_key: Option<String>,
    /// Take it also when it is older than what is here, or most records are not in it.
    #[arg(long)]
    pub force: bool,
}

/// What is to be done with fixes of CVEs. The server may run meanwhile.
#[derive(Debug, Subcommand)]
pub enum FixCommand {
    /// Approve a patch as the fix of a CVE, such as one that only mainline has: the server then builds it.
    Approve {
        /// The CVE, such as CVE-2026-63824.
        #[arg(value_name = "CVE")]
        cve: CveId,
        /// The patch, as for `elivepatch build`.
        #[arg(long, value_name = "FILE")]
        patch: Utf8PathBuf,
        /// Why, by whom, or where it comes from; one line.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
    },
    /// List the patches that are approved.
    List(JsonArguments),
    /// Take the approval for a CVE back.
    Withdraw {
        /// The CVE.
        #[arg(value_name = "CVE")]
        cve: CveId,
    },
}

/// What is to be done with tokens. The server may run meanwhile.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token. It is printed once; the server keeps only a digest of it.
    Create(TokenCreateArguments),
    /// List the tokens, the newest first.
    List(JsonArguments),
    /// Take a token back: it is refused from then on.
    Revoke {
        /// What the list names it by.
        #[arg(value_name = "ID")]
        id: TokenId,
    },
}

/// What `token create` takes.
#[derive(Debug, Args)]
pub struct TokenCreateArguments {
    /// What it allows: read, submit (also order and cancel builds), admin (everything else), worker (to build for
    /// the server), or host: to enrol one host, once.
    #[arg(long, value_name = "ROLE")]
    pub role: Role,
    /// Whose it is; for people, in lists and in the audit log.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub name: String,
    /// For how long it is good, such as 12h or 90d [default: for ever; of the role host 24h].
    #[arg(long, value_name = "DURATION", value_parser = times::duration)]
    pub expires: Option<SignedDuration>,
    /// A tag that the host gets; give several with several --tag.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<Tag>,
    /// The only host that it may enrol, also when it is registered already, as after it was set up anew.
    #[arg(long, value_name = "NAME")]
    pub host: Option<HostName>,
}

/// What `audit` takes.
#[derive(Debug, Args)]
pub struct AuditArguments {
    /// Only what happened since then: how long ago (24h, 7d), a day, or a time.
    #[arg(long, value_name = "DURATION|TIME", value_parser = times::moment)]
    pub since: Option<Timestamp>,
    /// At most so many entries, the last.
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// Print them as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What a command takes that prints something.
#[derive(Debug, Args)]
pub struct JsonArguments {
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// What is to be done with toolchain roots.
#[derive(Debug, Subcommand)]
pub enum ToolchainCommand {
    /// List the toolchain roots of all recipes, and others in the cache.
    List(ListArguments),
    /// Make the toolchain root of a recipe, before a build needs it.
    Create(NameArguments),
    /// Compare every file of a toolchain root with what it was when it was made.
    Verify(NameArguments),
    /// Remove a toolchain root that nobody uses.
    Remove(NameArguments),
}

/// Which cache is meant.
#[derive(Debug, Args)]
pub struct CacheArguments {
    /// Use this cache, whatever the config says.
    #[arg(long, value_name = "DIRECTORY")]
    cache_directory: Option<Utf8PathBuf>,
}

/// What a list takes.
#[derive(Debug, Args)]
pub struct ListArguments {
    /// Print the list as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    cache: CacheArguments,
}

/// What is named.
#[derive(Debug, Args)]
pub struct NameArguments {
    /// The name, or its beginning where nothing is removed.
    pub name: String,
    #[command(flatten)]
    cache: CacheArguments,
}

/// What `base warm` takes.
#[derive(Debug, Args)]
pub struct WarmArguments {
    /// The kernel's release, as `uname -r` prints it.
    #[arg(required_unless_present = "facts")]
    pub release: Option<KernelRelease>,
    /// What `elivepatch facts --output FILE` saved on a machine with the kernel: its release, version,
    /// config and the patches that are compiled into it.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["release", "kernel_config", "kernel_version", "baseline"]
    )]
    pub facts: Option<Utf8PathBuf>,
    /// The kernel's config, plain or gzip; without it, that of the stock kernel's package.
    #[arg(long, value_name = "FILE")]
    pub kernel_config: Option<Utf8PathBuf>,
    /// What `uname -v` prints; of a stock kernel it says which version of the package runs. Without
    /// it, the newest one is taken.
    #[arg(long, value_name = "TEXT")]
    pub kernel_version: Option<String>,
    /// A patch that is compiled into the kernel; give several in the order in which they are applied.
    #[arg(long, value_name = "FILE")]
    pub baseline: Vec<Utf8PathBuf>,
    #[command(flatten)]
    cache: CacheArguments,
}

/// What `gc` takes.
#[derive(Debug, Args)]
pub struct GcArguments {
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
    /// Print what was removed as JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    cache: CacheArguments,
}

/// What the server takes.
#[derive(Debug, Args)]
pub struct ServeArguments {
    #[command(flatten)]
    all: AllArguments,
    #[command(flatten)]
    old: OldArguments,
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

impl Command {
    /// The cache that is named, by a command that can be told only that.
    fn cache(&self) -> Option<&CacheArguments> {
        match self {
            Self::All(_)
            | Self::Serve(_)
            | Self::Worker(_)
            | Self::Init(_)
            | Self::CheckConfig
            | Self::Feed(_)
            | Self::Fix(_)
            | Self::Host(_)
            | Self::Token(_)
            | Self::Audit(_)
            | Self::Certificate
            | Self::ManifestKey
            | Self::ModuleKey { .. }
            | Self::Completions { .. }
            | Self::Man { .. } => None,
            Self::KernelConfig { cache, .. } => Some(cache),
            Self::Gc(arguments) => Some(&arguments.cache),
            Self::Toolchain(command) => Some(match command {
                ToolchainCommand::List(arguments) => &arguments.cache,
                ToolchainCommand::Create(arguments)
                | ToolchainCommand::Verify(arguments)
                | ToolchainCommand::Remove(arguments) => &arguments.cache,
            }),
            Self::Base(command) => Some(match command {
                BaseCommand::List(arguments) => &arguments.cache,
                BaseCommand::Warm(arguments) => &arguments.cache,
                BaseCommand::Pin(arguments)
                | BaseCommand::Unpin(arguments)
                | BaseCommand::Remove(arguments) => &arguments.cache,
            }),
        }
    }
}

impl Arguments {
    /// The config file: the one that was named, or the one of this user.
    pub fn config_file(&self, places: &Places) -> Utf8PathBuf {
        self.config.clone().unwrap_or_else(|| places.config_file.clone())
    }

    /// The options of the first elivepatch's server.
    pub fn old(&self) -> &OldArguments {
        match &self.command {
            Some(Command::All(serve) | Command::Serve(serve)) => &serve.old,
            _ => &self.serve.old,
        }
    }

    /// Reads the command line. What is wrong with it ends the program.
    pub fn read() -> Self {
        let arguments = Self::parse();
        if let Err(conflict) = arguments.old().tls(Utf8PathBuf::clone) {
            Self::command().error(ErrorKind::ArgumentConflict, conflict).exit();
        }
        arguments
    }

    /// The values that win over the config file.
    pub fn overrides(&self) -> Overrides {
        let all = match &self.command {
            Some(Command::All(serve) | Command::Serve(serve)) => &serve.all,
            Some(Command::Init(all)) => all,
            _ => &self.serve.all,
        };
        let old = self.old();
        let own = self.command.as_ref().and_then(Command::cache);
        let (data_directory, cache_directory) = match &self.command {
            Some(Command::Worker(worker)) => (&worker.data_directory, &worker.cache_directory),
            _ => {
                (&all.data_directory, own.map_or(&all.cache_directory, |own| &own.cache_directory))
            }
        };
        // A path on the command line is relative to where the command was given.
        let absolute =
            |path: &Utf8PathBuf| camino::absolute_utf8(path).unwrap_or_else(|_| path.clone());
        Overrides {
            listen: all.listen,
            host: old.host,
            port: old.port,
            jobs: old.jobs,
            tls: old.tls(absolute).ok().flatten(),
            data_directory: data_directory.as_ref().map(absolute),
            cache_directory: cache_directory.as_ref().map(absolute),
        }
    }
}

#[cfg(test)]
mod tests {
    use elivepatch_server::config::TlsOverride;

    use super::*;

    fn overrides(arguments: &[&str]) -> Overrides {
        let all = ["elivepatch-server"].into_iter().chain(arguments.iter().copied());
        Arguments::try_parse_from(all).expect("a command line").overrides()
    }

    #[test]
    fn jobs_of_the_first_elivepatch_are_the_builders_before_and_behind_the_command() {
        for arguments in [&["-j", "3"][..], &["--jobs", "3"][..], &["all", "-j", "3"][..]] {
            assert_eq!(overrides(arguments).jobs, Some(3), "{arguments:?}");
        }
        assert_eq!(overrides(&[]).jobs, None, "the config's");
    }

    #[test]
    fn files_on_the_command_line_are_where_it_was_given() {
        let tls = overrides(&["-C", "certificate.pem", "-K", "key.pem"]).tls;
        let Some(TlsOverride::Files { certificate, key }) = tls else { panic!("{tls:?}") };
        assert!(certificate.is_absolute() && certificate.ends_with("certificate.pem"));
        assert!(key.is_absolute() && key.ends_with("key.pem"));
    }

    /// The documentation shows no command and no option that is not there.
    #[test]
    fn every_command_line_of_the_documentation_is_read() {
        assert_eq!(elivepatch_docs::unread(&Arguments::command()), [""; 0]);
    }
}

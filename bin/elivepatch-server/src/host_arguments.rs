use clap::{Args, Subcommand};
use elivepatch_api::HostState;
use elivepatch_model::{BuildNumber, HostName, KernelRelease, Tag, Whom};
use elivepatch_server::app::CveId;

use crate::arguments::JsonArguments;

/// What is to be done with hosts. The server may run meanwhile: hosts hear of it at their next report.
#[derive(Debug, Subcommand)]
pub enum HostCommand {
    /// List the hosts that are registered.
    List(HostListArguments),
    /// Show a host: its last report, what it is told, and what happened on it.
    Show {
        /// The host.
        name: HostName,
        #[command(flatten)]
        output: JsonArguments,
    },
    /// Forget a host with all that is known of it, and with what was assigned to it alone.
    Forget {
        /// The host.
        name: HostName,
    },
    /// Give a host tags beside those that it has.
    Tag {
        /// The host.
        name: HostName,
        /// The tags, such as web or site:vienna.
        #[arg(value_name = "TAG", required = true)]
        tags: Vec<Tag>,
        /// Take these tags from it instead.
        #[arg(long)]
        remove: bool,
    },
    /// Assign the livepatch of a build: hosts whose kernel it is for are told to load it.
    ///
    /// What is assigned to a host goes before what is assigned to a tag of it, and that before what is assigned to
    /// all; of equals the newest counts.
    Assign {
        /// The build that made it.
        build: BuildNumber,
        #[command(flatten)]
        whom: WhomArguments,
        /// Why, or by whom; one line.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        note: String,
    },
    /// List what is assigned, newest first.
    Assignments(JsonArguments),
    /// Take an assignment away. What hosts have loaded by it stays loaded.
    Unassign {
        /// Its id, as `host assignments` shows it.
        id: i64,
    },
    /// Hold hosts: they stay as they are, but for livepatches that are withdrawn.
    Hold {
        #[command(flatten)]
        whom: WhomArguments,
        /// Why; the hosts are told. One line.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Release hosts that were held by exactly this.
    Release {
        #[command(flatten)]
        whom: WhomArguments,
    },
    /// List what is held.
    Holds(JsonArguments),
    /// Withdraw the livepatch of a build: hosts that run it take it back, and none loads it.
    Withdraw {
        /// The build that made it.
        build: BuildNumber,
        /// Why; the hosts are told. One line.
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Let hosts run a livepatch again that was withdrawn.
    Allow {
        /// The build that made it.
        build: BuildNumber,
    },
    /// List the livepatches that were withdrawn.
    Withdrawals(JsonArguments),
    /// Say which hosts are exposed to which CVEs, by their last reports.
    Exposure(ExposureArguments),
}

/// What `host list` takes.
#[derive(Debug, Args)]
pub struct HostListArguments {
    /// Only hosts with this tag.
    #[arg(long)]
    pub tag: Option<Tag>,
    /// Only hosts whose kernel has this release.
    #[arg(long)]
    pub release: Option<KernelRelease>,
    /// Only hosts that stand so by their last reports: patched, not-patched, pending or trouble.
    #[arg(long)]
    pub state: Option<HostState>,
    /// Only hosts that have left out so many reports; 3 when no number is given.
    #[arg(long, value_name = "REPORTS", num_args = 0..=1, default_missing_value = "3")]
    pub silent: Option<u32>,
    #[command(flatten)]
    pub output: JsonArguments,
}

/// What `host exposure` takes.
#[derive(Debug, Args)]
pub struct ExposureArguments {
    /// Which hosts are exposed to this CVE.
    #[arg(long, value_name = "CVE", conflicts_with = "host")]
    pub cve: Option<CveId>,
    /// To which CVEs this host is exposed.
    #[arg(long, value_name = "NAME")]
    pub host: Option<HostName>,
    #[command(flatten)]
    pub output: JsonArguments,
}

/// Which hosts are meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhomArguments {
    /// This host.
    #[arg(long, value_name = "NAME")]
    host: Option<HostName>,
    /// All hosts with this tag, also those that get it later.
    #[arg(long, value_name = "TAG")]
    tag: Option<Tag>,
    /// All hosts.
    #[arg(long)]
    all: bool,
}

impl WhomArguments {
    /// Which.
    pub fn whom(&self) -> Whom {
        match (&self.host, &self.tag) {
            (Some(host), _) => Whom::Host(host.clone()),
            (None, Some(tag)) => Whom::Tag(tag.clone()),
            (None, None) => Whom::All,
        }
    }
}

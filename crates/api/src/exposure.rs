//! Which hosts are exposed to which CVEs.

use elivepatch_cve::{CveId, Cvss};
use elivepatch_model::{ElfBuildId, HostName, KernelRelease};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// What is asked of the exposure. Without `cve` and `host`: how many hosts are exposed to each CVE.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExposureQuery {
    /// How each host stands to this CVE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub cve: Option<CveId>,
    /// To which CVEs this host is exposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = Option<String>)]
    pub host: Option<HostName>,
    /// With `cve`: only hosts that stand so to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub standing: Option<HostStanding>,
    /// The next page: behind the CVE or the host with this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many CVEs or hosts, 1 to 1000; 200 when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// Which hosts are exposed to which CVEs, by their last reports.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExposureResource {
    /// How old the feed's data is.
    #[schema(value_type = String, format = DateTime)]
    pub feed_data_at: Timestamp,
    /// When the feed was read.
    #[schema(value_type = String, format = DateTime)]
    pub feed_read_at: Timestamp,
    /// Whether the feed's data is too old, or it was not read for too long.
    pub feed_is_stale: bool,
    /// How many hosts this is about.
    pub hosts: u64,
    /// What hosts run: each kernel with what is loaded into it, that of most hosts first. With `host` its own.
    pub kernels: Vec<ExposedKernel>,
    /// How many further kernels there are, of few hosts each, that were not assessed.
    pub kernels_left_out: u64,
    /// A page of CVEs, the worst first; with `cve` that one; with `host` those to which it is exposed.
    pub cves: Vec<ExposedCve>,
    /// With `cve`: a page of hosts, by their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<ExposedHost>,
    /// What `after` is for the next page; absent: this is the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A kernel of hosts with what is loaded into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposedKernel {
    /// Its release.
    #[schema(value_type = String)]
    pub release: KernelRelease,
    /// Its build-id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub build_id: Option<ElfBuildId>,
    /// `uname -v` of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_version: Option<String>,
    /// The names of the livepatches that are active on it.
    pub livepatches: Vec<String>,
    /// How many hosts have it.
    pub hosts: u64,
    /// To how many CVEs they are exposed.
    pub exposed: u64,
    /// How many CVEs their livepatches fix.
    pub patched: u64,
    /// The base by which it is known what the kernel is built from; absent: no base of it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// Why the hosts may be exposed to fewer CVEs than this says; one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upper_bound: Vec<String>,
    /// Why it could not be assessed: the hosts are neither exposed nor not, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When it was assessed.
    #[schema(value_type = String, format = DateTime)]
    pub assessed_at: Timestamp,
}

/// A CVE with how many hosts stand how to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExposedCve {
    /// Its name.
    #[schema(value_type = String)]
    pub id: CveId,
    /// What it is about, in one line.
    pub title: String,
    /// How bad it is, when somebody has judged that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub cvss: Option<Cvss>,
    /// Hosts whose kernel may have the flaw, and whose livepatch does not fix it.
    pub exposed: u64,
    /// Hosts whose livepatch fixes it.
    pub patched: u64,
    /// Hosts whose kernel does not have it.
    pub not_affected: u64,
    /// Hosts whose kernel could not be assessed.
    pub unknown: u64,
}

/// How a host stands to a CVE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostStanding {
    /// Its kernel may have the flaw, and its livepatch does not fix it.
    Exposed,
    /// Its livepatch fixes it.
    Patched,
    /// Its kernel does not have it.
    NotAffected,
    /// Its kernel could not be assessed.
    Unknown,
}

impl HostStanding {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exposed => "exposed",
            Self::Patched => "patched",
            Self::NotAffected => "not-affected",
            Self::Unknown => "unknown",
        }
    }
}

/// How a host stands to the CVE that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExposedHost {
    /// Its name.
    #[schema(value_type = String)]
    pub name: HostName,
    /// The release of its kernel.
    #[schema(value_type = String)]
    pub release: KernelRelease,
    /// How it stands.
    pub standing: HostStanding,
}

//! Which CVEs matter on a kernel.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use elivepatch_api::{AssessedCve, AssessmentRequest, AssessmentResource};
use elivepatch_cve::{
    Applicability, CveInput, FileState, Fixes, Kernel, LinuxVersion, applicability,
};
use elivepatch_model::{BuiltFiles, TargetFacts};
use elivepatch_store::CveFacts;
use jiff::Timestamp;

use super::{App, AppError};

/// Distributions that carry fixes which the version of their kernels does not tell.
const BACKPORTERS: [&str; 11] = [
    "ubuntu",
    "rhel",
    "centos",
    "rocky",
    "almalinux",
    "ol",
    "fedora",
    "sles",
    "opensuse-leap",
    "amzn",
    "azurelinux",
];

/// The most CVEs that can be asked for by name.
const MOST_EXPLAINED: usize = 1000;

/// What kernels are built from, as far as that is known here.
pub trait Inventories: Debug + Send + Sync {
    /// What is known of a kernel; `None` when no base of it is ready.
    ///
    /// # Errors
    /// Why it cannot be looked up, in one line.
    fn find(&self, target: &TargetFacts) -> Result<Option<Inventory>, String>;
}

/// What a kernel is built from.
pub struct Inventory {
    /// The base that says so.
    pub base: String,
    /// The version of its source: of Debian's packages `6.1.176-1`.
    pub version: Option<String>,
    /// What it is linked from.
    pub built: BuiltFiles,
    /// Whether the source has a file.
    pub has_file: Box<dyn Fn(&str) -> bool>,
}

/// The version of a kernel, with where it is known from.
#[derive(Debug, PartialEq, Eq)]
struct Version {
    linux: LinuxVersion,
    origin: &'static str,
}

impl App {
    /// Works out which CVEs of the feed matter on a kernel.
    ///
    /// # Errors
    /// When no feed was read, the kernel's version cannot be told, or the store fails.
    pub async fn assess(&self, request: AssessmentRequest) -> Result<AssessmentResource, AppError> {
        if let Err(error) = request.target.check_form() {
            return Err(AppError::bad_request(error.message, error.hint));
        }
        if request.explain.len() > MOST_EXPLAINED {
            return Err(AppError::bad_request(
                format!("more than {MOST_EXPLAINED} CVEs are asked for"),
                "ask for fewer, or for none: those that may matter are in the answer",
            ));
        }
        let Some(feed) = self.feed().await? else {
            return Err(AppError::bad_request(
                "this server has read no CVE feed yet",
                "its administrator can: set source in the [feed] section of the server's config, then \
                 elivepatch-server feed update",
            ));
        };
        let facts = self.cve_facts(feed.read_at).await?;
        let inventories = self.inner.options.inventories.clone();
        let explained: BTreeSet<_> = request.explain.iter().copied().collect();
        let work = move || assess(&request, &facts, inventories.as_deref(), &explained);
        let assessed = tokio::task::spawn_blocking(work).await;
        let mut assessed = assessed.map_err(|error| AppError::Panicked(error.to_string()))??;
        assessed.feed_read_at = feed.read_at;
        assessed.feed_is_stale = feed.is_stale;
        for cve in &mut assessed.cves {
            if cve.description.is_some() {
                let entry = self.store().cve(cve.id).await?;
                cve.description = entry.map(|entry| entry.record.description);
            }
        }
        Ok(assessed)
    }

    /// The facts of all CVEs of the feed that was read at a time; kept until it is read again.
    async fn cve_facts(&self, read_at: Timestamp) -> Result<Arc<Vec<CveFacts>>, AppError> {
        let mut kept = self.inner.cve_facts.lock().await;
        if let Some((at, facts)) = &*kept
            && *at == read_at
        {
            return Ok(Arc::clone(facts));
        }
        let facts = Arc::new(self.store().cve_facts().await?);
        *kept = Some((read_at, Arc::clone(&facts)));
        Ok(facts)
    }
}

/// The facts of a feed, with when it was read.
pub(super) type KeptFacts = Option<(Timestamp, Arc<Vec<CveFacts>>)>;

fn assess(
    request: &AssessmentRequest,
    facts: &[CveFacts],
    inventories: Option<&dyn Inventories>,
    explained: &BTreeSet<elivepatch_cve::CveId>,
) -> Result<AssessmentResource, AppError> {
    let target = &request.target;
    let inventory = inventories.map(|inventories| inventories.find(target)).transpose();
    let inventory = inventory
        .map_err(|why| {
            let message =
                format!("what {} is built from cannot be looked up: {why}", target.release);
            AppError::bad_request(message, "look at the base: elivepatch-server base list")
        })?
        .flatten();
    let version = version(request, inventory.as_ref())?;
    let loaded = target.machine.as_ref().and_then(|machine| machine.loaded_modules.as_ref());
    let loaded: Option<BTreeSet<String>> = loaded.map(|names| names.iter().cloned().collect());
    let kernel = Kernel {
        version: version.linux,
        built: inventory.as_ref().map(|inventory| &inventory.built),
        file_state: &|path| match &inventory {
            Some(inventory) if !(inventory.has_file)(path) => FileState::Absent,
            _ => FileState::Present,
        },
        loaded_modules: loaded.as_ref(),
    };
    let mut counts = BTreeMap::new();
    let mut cves = Vec::new();
    for facts in facts {
        let CveFacts { id, title, rejected, cvss, program_files, dyads } = facts;
        let (id, rejected) = (*id, *rejected);
        let input = CveInput { id, rejected, program_files, dyads };
        let applicability = applicability(&input, &kernel);
        *counts.entry(name(&applicability).to_owned()).or_default() += 1;
        let is_explained = explained.contains(&id);
        if may_matter(&applicability) || is_explained {
            let description = is_explained.then(String::new);
            cves.push(AssessedCve {
                id,
                title: title.clone(),
                description,
                cvss: cvss.clone(),
                program_files: program_files.clone(),
                applicability,
            });
        }
    }
    cves.sort_by_key(|cve| Reverse((score(cve), cve.id)));
    Ok(AssessmentResource {
        linux_version: version.linux.to_string(),
        version_origin: version.origin.to_owned(),
        is_upper_bound: is_upper_bound(target),
        base: inventory.map(|inventory| inventory.base),
        feed_read_at: jiff::Timestamp::UNIX_EPOCH,
        feed_is_stale: false,
        counts,
        cves,
    })
}

/// The score in tenths; what nobody has judged comes before what was judged to be low.
fn score(cve: &AssessedCve) -> u32 {
    cve.cvss.as_ref().map_or(50, |cvss| (cvss.score * 10.0).round() as u32)
}

fn name(applicability: &Applicability) -> &'static str {
    match applicability {
        Applicability::Rejected => "rejected",
        Applicability::NotAffected => "not-affected",
        Applicability::AlreadyFixed { .. } => "already-fixed",
        Applicability::NotBuilt { .. } => "not-built",
        Applicability::NotLoaded { .. } => "not-loaded",
        Applicability::Candidate { fixes: Fixes::OwnBranch(_), .. } => "candidate",
        Applicability::Candidate { fixes: Fixes::MainlineOnly(_), .. } => "mainline-only",
        Applicability::Candidate { fixes: Fixes::None, .. } => "no-fix",
    }
}

fn may_matter(applicability: &Applicability) -> bool {
    match applicability {
        Applicability::Rejected
        | Applicability::NotAffected
        | Applicability::AlreadyFixed { .. } => false,
        Applicability::NotBuilt { .. }
        | Applicability::NotLoaded { .. }
        | Applicability::Candidate { .. } => true,
    }
}

/// The kernel's version of Linux: what the request says, or the base's source, or Debian's `uname -v`, or
/// the release.
fn version(
    request: &AssessmentRequest,
    inventory: Option<&Inventory>,
) -> Result<Version, AppError> {
    let target = &request.target;
    if let Some(text) = &request.linux_version {
        let linux = text.parse::<LinuxVersion>().map_err(|error| {
            AppError::bad_request(
                error.to_string(),
                "give it as MAJOR.MINOR.PATCH, such as 6.1.176",
            )
        })?;
        return Ok(Version { linux, origin: "as asked for" });
    }
    let base = inventory.and_then(|inventory| upstream(inventory.version.as_deref()?));
    let debian = target.kernel_version.as_deref().and_then(debian_version).and_then(upstream);
    let known = [(debian, "from uname -v"), (base, "from the source of its base")];
    if let Some((linux, origin)) =
        known.into_iter().find_map(|(linux, origin)| Some((linux?, origin)))
    {
        return Ok(Version { linux, origin });
    }
    let (_, _, patch) = target.release.version();
    let suffix = target.release.suffix();
    // `5.15.0-91-generic` and `6.1.0-50-cloud-amd64` name an ABI and not a version.
    let has_abi = patch == 0
        && suffix
            .strip_prefix('-')
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
    let linux = target.release.upstream_version().parse().ok().filter(|_| !has_abi);
    linux.map(|linux| Version { linux, origin: "from the release" }).ok_or_else(|| {
        AppError::bad_request(
            format!("the release {} does not tell which version of Linux it is", target.release),
            "say it with --linux-version, or send the facts of the machine (its uname -v)",
        )
    })
}

/// The version of Linux in that of a package or source: 6.1.176 in `6.1.176-1`, 7.3.4 in
/// `7.3.4-1~bpo13+1`, 6.13-rc3 in `6.13~rc3-1~exp1` and `6.13-rc3`.
fn upstream(version: &str) -> Option<LinuxVersion> {
    let mut parts = version.split(['-', '~', '+']);
    let numbers = parts.next()?;
    let is_candidate = |part: &&str| part.strip_prefix("rc").is_some_and(is_number);
    match parts.next().filter(is_candidate) {
        Some(candidate) => format!("{numbers}-{candidate}").parse().ok(),
        None => numbers.parse().ok(),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The package version in Debian's `uname -v`: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)`.
fn debian_version(kernel_version: &str) -> Option<&str> {
    let mut words = kernel_version.split_whitespace();
    words.find(|word| *word == "Debian")?;
    words.next()
}

fn is_upper_bound(target: &TargetFacts) -> bool {
    let distribution = target.machine.as_ref().and_then(|machine| machine.distribution.as_ref());
    let is_backporter = distribution.is_some_and(|found| BACKPORTERS.contains(&found.id.as_str()));
    is_backporter
        || target.release.suffix().contains(".el")
        || target.release.suffix().contains("-generic")
}

#[cfg(test)]
#[path = "assessment_tests.rs"]
mod tests;

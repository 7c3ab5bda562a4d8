//! Which CVEs matter on a kernel.

mod live;
mod version;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    sync::Arc,
};

use elivepatch_api::{AssessedCve, AssessmentRequest, AssessmentResource, FaultyCve};
use elivepatch_cve::{
    Applicability, CveId, CveInput, Cvss, Exposure, FileState, Kernel, LinuxVersion, Standing,
    applicability, standing,
};
use elivepatch_model::{BuiltFiles, Failure, KernelRelease, LeftOut, TargetFacts};
use elivepatch_store::CveFacts;
use jiff::Timestamp;

use version::{Version, is_upper_bound, version};

use super::{App, AppError, FeedStatus};

/// The most CVEs that can be asked for by name.
const MOST_EXPLAINED: usize = 1000;

/// What kernels are built from, as far as that is known here.
pub trait Inventories: Debug + Send + Sync {
    /// What is known of a kernel; `None` when no base of it is ready.
    ///
    /// # Errors
    /// Why it cannot be told though there are bases, in one line.
    fn find(&self, target: &TargetFacts) -> Result<Option<Inventory>, String>;

    /// The config of a stock kernel, from its package. It may have to be fetched.
    ///
    /// # Errors
    /// Why it cannot be had.
    fn stock_config(&self, release: &KernelRelease) -> Result<Vec<u8>, Failure>;

    /// The stock kernels whose source has the version of a release without a suffix, such as `6.1.176`; one for
    /// each flavour. The archive's index may have to be fetched.
    ///
    /// # Errors
    /// When the archive cannot be asked.
    fn stock_releases(&self, version: &KernelRelease) -> Result<Vec<KernelRelease>, Failure>;
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
    pub has_file: FileQuestion<bool>,
    /// What leaves a file out that is not built, as far as that is known.
    pub left_out: FileQuestion<Option<LeftOut>>,
}

/// What is asked about a file of the source, by its path.
pub type FileQuestion<T> = Box<dyn Fn(&str) -> T + Send>;

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
        let feed = self.needed_feed().await?;
        let facts = self.cve_facts(feed.read_at).await?;
        let inventories = self.inner.options.inventories.clone();
        let asked: BTreeSet<CveId> = request.explain.iter().copied().collect();
        let look = move || {
            let grounds = Grounds::find(&request, inventories.as_deref());
            grounds.map(|grounds| (request, grounds))
        };
        let (request, grounds) = blocking(look).await??;
        let version = grounds.version.linux;
        let live = self.live_cves(&request.target, &facts, version).await?;
        let own_files = self.own_files(&facts, grounds.version.linux).await?;
        let work = {
            let asked = asked.clone();
            move || judge(&request, &asked, &facts, &feed, grounds, &Found { own_files, live })
        };
        let mut assessed = blocking(work).await?;
        if assessed.faulty > 0 && !asked.is_empty() {
            let faults = self.store().feed_faults().await?.into_iter();
            let asked_for = faults.filter(|fault| asked.contains(&fault.id));
            let faulty = asked_for.map(|fault| FaultyCve { id: fault.id, reason: fault.what });
            assessed.faults = faulty.collect();
        }
        for cve in &mut assessed.cves {
            if cve.description.is_some() {
                let entry = self.store().cve(cve.id).await?;
                cve.description = entry.map(|entry| entry.record.description);
            }
        }
        Ok(assessed)
    }

    /// The feed, without which nothing can be said of CVEs.
    pub(super) async fn needed_feed(&self) -> Result<FeedStatus, AppError> {
        self.feed().await?.ok_or_else(|| {
            AppError::bad_request(
                "this server has read no CVE feed yet",
                "its administrator can: set source in the [feed] section of the server's config, then \
                 elivepatch-server feed update",
            )
        })
    }

    /// The files that the fixes of the kernel's own branch change, of CVEs whose fixes are at hand. They
    /// decide what a CVE is to the kernel: those that the records name are mainline's.
    async fn own_files(
        &self,
        facts: &[CveFacts],
        version: LinuxVersion,
    ) -> Result<BTreeMap<CveId, Vec<String>>, AppError> {
        let mut found = BTreeMap::new();
        // What was imported is at hand without any source.
        if self.inner.options.cve.fixes.is_empty() && !self.store().has_known_fixes().await? {
            return Ok(found);
        }
        for cve in facts.iter().filter(|cve| !cve.rejected) {
            let Standing::Affected { own_fixes, .. } = standing(&cve.dyads, version) else {
                continue;
            };
            let mut files: BTreeSet<String> = BTreeSet::new();
            let mut are_all_at_hand = !own_fixes.is_empty();
            for commit in own_fixes {
                match self.files_at_hand(&commit.hash).await? {
                    Some(changed) => files.extend(changed.iter().cloned()),
                    None => {
                        are_all_at_hand = false;
                        break;
                    }
                }
            }
            if are_all_at_hand {
                found.insert(cve.id, files.into_iter().collect());
            }
        }
        Ok(found)
    }

    /// The first of some CVEs that the feed does not have. Without a feed nothing is known to be unknown.
    pub(super) async fn unknown_cve(&self, asked: &[CveId]) -> Result<Option<CveId>, AppError> {
        if asked.is_empty() {
            return Ok(None);
        }
        let Some(feed) = self.feed().await? else { return Ok(None) };
        let facts = self.cve_facts(feed.read_at).await?;
        let known: BTreeSet<CveId> = facts.iter().map(|cve| cve.id).collect();
        Ok(asked.iter().copied().find(|id| !known.contains(id)))
    }

    /// The facts of all CVEs of the feed that was read at a time; kept until it is read again.
    pub(super) async fn cve_facts(
        &self,
        read_at: Timestamp,
    ) -> Result<Arc<Vec<CveFacts>>, AppError> {
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| AppError::Panicked(error.to_string()))
}

/// What is known of the kernel itself.
struct Grounds {
    inventory: Option<Inventory>,
    base_doubt: Option<String>,
    version: Version,
}

impl Grounds {
    fn find(
        request: &AssessmentRequest,
        inventories: Option<&dyn Inventories>,
    ) -> Result<Self, AppError> {
        let target = &request.target;
        let found = inventories.map_or(Ok(None), |inventories| inventories.find(target));
        let (inventory, base_doubt) = match found {
            Ok(inventory) => (inventory, None),
            Err(why) => {
                tracing::warn!(release = %target.release, why, "no base is used to judge CVEs");
                (None, Some(why))
            }
        };
        let version = version(request, inventory.as_ref(), base_doubt.as_deref())?;
        Ok(Self { inventory, base_doubt, version })
    }
}

/// What is known beside the feed and the kernel itself.
#[derive(Default)]
struct Found {
    /// The files of fixes that are at hand.
    own_files: BTreeMap<CveId, Vec<String>>,
    /// What livepatches fix that are active on the machine.
    live: BTreeMap<CveId, String>,
}

/// Judges all CVEs. The descriptions of those that were
/// asked for, and what is wrong with their records, are left to who has the store.
fn judge(
    request: &AssessmentRequest,
    asked: &BTreeSet<CveId>,
    facts: &[CveFacts],
    feed: &FeedStatus,
    grounds: Grounds,
    found: &Found,
) -> AssessmentResource {
    let target = &request.target;
    let Grounds { inventory, base_doubt, version } = grounds;
    let loaded = target.machine.as_ref().and_then(|machine| machine.loaded_modules.as_ref());
    let loaded: Option<BTreeSet<String>> = loaded.map(|names| names.iter().cloned().collect());
    let kernel = Kernel {
        version: version.linux,
        built: inventory.as_ref().map(|inventory| &inventory.built),
        file_state: &|path| match &inventory {
            Some(inventory) if !(inventory.has_file)(path) => FileState::Absent,
            _ => FileState::Present,
        },
        left_out: &|path| (inventory.as_ref()?.left_out)(path),
        loaded_modules: loaded.as_ref(),
        live: &found.live,
    };
    let mut counts = BTreeMap::new();
    let mut cves = Vec::new();
    for facts in facts {
        let CveFacts { id, title, rejected, cvss, program_files, dyads } = facts;
        let (id, rejected) = (*id, *rejected);
        let program_files = found.own_files.get(&id).unwrap_or(program_files);
        let input = CveInput { id, rejected, program_files, dyads };
        let applicability = applicability(&input, &kernel);
        *counts.entry(applicability.verdict().to_owned()).or_default() += 1;
        let is_asked = asked.contains(&id);
        if may_matter(&applicability) || is_asked {
            let description = is_asked.then(String::new);
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
    cves.sort_by_cached_key(|cve| {
        // Of equals the oldest: for that one there has been most time.
        (Reverse((tenths(cve.cvss.as_ref()), Exposure::of(&cve.program_files))), cve.id)
    });
    AssessmentResource {
        linux_version: version.linux.to_string(),
        version_origin: version.origin.to_owned(),
        is_upper_bound: is_upper_bound(target),
        base: inventory.map(|inventory| inventory.base),
        base_doubt,
        feed_data_at: feed.data_at,
        feed_read_at: feed.read_at,
        feed_is_stale: feed.is_stale,
        faulty: feed.counts.faulty,
        faults: Vec::new(),
        counts,
        cves,
    }
}

/// The score in tenths; what nobody has judged comes before what was judged to be low.
pub(super) fn tenths(cvss: Option<&Cvss>) -> u32 {
    cvss.map_or(50, |cvss| (cvss.score * 10.0).round() as u32)
}

fn may_matter(applicability: &Applicability) -> bool {
    match applicability {
        Applicability::Rejected
        | Applicability::NotAffected
        | Applicability::AlreadyFixed { .. } => false,
        Applicability::AlreadyLive { .. }
        | Applicability::NotBuilt { .. }
        | Applicability::NotLoaded { .. }
        | Applicability::Candidate { .. } => true,
    }
}

#[cfg(test)]
mod tests;

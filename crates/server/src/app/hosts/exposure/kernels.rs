//! What matters on the kernels of hosts: one assessment for all hosts with the same kernel and livepatches.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use elivepatch_api::{AssessmentRequest, AssessmentResource};
use elivepatch_cve::{Applicability, CveId};
use elivepatch_model::{Sha256Digest, TargetFacts};
use elivepatch_store::HostKernel;
use jiff::Timestamp;

use crate::app::{App, AppError, FeedStatus, now};

/// How many kernels are assessed for one answer, those of most hosts first. Whoever has broken into hosts can
/// make up kernels, one for each; an assessment takes some tenths of a second.
pub(super) const MOST_KERNELS: usize = 100;

/// How long an assessment is kept though nothing that is marked has changed: bases come and go, and texts of
/// fixes come to sources.
const KEPT: Duration = Duration::from_secs(600);

/// What matters on a kernel with what is loaded into it.
#[derive(Debug, Clone)]
pub(super) struct KernelExposure {
    /// The CVEs that may matter, the worst first; whether a livepatch fixes each.
    pub cves: Vec<(CveId, bool)>,
    /// The base by which it is known what it is built from.
    pub base: Option<String>,
    /// Why fewer may matter than this says.
    pub upper_bound: Vec<String>,
    /// Why it could not be assessed.
    pub problem: Option<String>,
    /// When it was assessed.
    pub assessed_at: Timestamp,
}

/// Assessments that are kept until what they rest on changes.
#[derive(Debug, Default)]
pub(in crate::app) struct KeptExposures {
    /// When the feed was read, and the mark of fixes.
    mark: Option<(Timestamp, (i64, i64, i64))>,
    kernels: HashMap<Sha256Digest, (Instant, Arc<KernelExposure>)>,
}

impl App {
    /// What matters on some kernels, in their order.
    pub(super) async fn exposures(
        &self,
        kernels: &[HostKernel],
        feed: &FeedStatus,
    ) -> Result<Vec<Arc<KernelExposure>>, AppError> {
        // Held until all are there: who asks meanwhile would work out the same.
        let mut kept = self.inner.exposures.lock().await;
        let mark = Some((feed.read_at, self.store().fixes_mark().await?));
        if kept.mark != mark {
            *kept = KeptExposures { mark, kernels: HashMap::new() };
        }
        let began = Instant::now();
        kept.kernels.retain(|_, (at, _)| began.duration_since(*at) < KEPT);
        let mut found = Vec::new();
        for kernel in kernels {
            let exposure = match kept.kernels.get(&kernel.digest) {
                Some((_, exposure)) => Arc::clone(exposure),
                None => {
                    let exposure = Arc::new(self.exposure_of(&kernel.facts).await?);
                    kept.kernels.insert(kernel.digest, (Instant::now(), Arc::clone(&exposure)));
                    exposure
                }
            };
            found.push(exposure);
        }
        if kept.kernels.len() > 2 * MOST_KERNELS {
            let asked: HashSet<Sha256Digest> = kernels.iter().map(|kernel| kernel.digest).collect();
            kept.kernels.retain(|digest, _| asked.contains(digest));
        }
        Ok(found)
    }

    async fn exposure_of(&self, facts: &TargetFacts) -> Result<KernelExposure, AppError> {
        let target = facts.clone();
        let request = AssessmentRequest { target, linux_version: None, explain: Vec::new() };
        match self.assess(request).await {
            Ok(assessed) => Ok(exposure(facts, assessed)),
            // The kernel's version cannot be told: another one's can.
            Err(error @ AppError::BadRequest { .. }) => Ok(KernelExposure {
                cves: Vec::new(),
                base: None,
                upper_bound: Vec::new(),
                problem: Some(error.to_string()),
                assessed_at: now(),
            }),
            Err(error) => Err(error),
        }
    }
}

fn exposure(facts: &TargetFacts, assessed: AssessmentResource) -> KernelExposure {
    let mut at_work: HashSet<&str> = HashSet::new();
    let mut cves = Vec::new();
    for cve in &assessed.cves {
        match &cve.applicability {
            Applicability::AlreadyLive { livepatch, .. } => {
                at_work.insert(livepatch);
                cves.push((cve.id, true));
            }
            // A module that is not loaded now may be soon.
            Applicability::Candidate { .. } | Applicability::NotLoaded { .. } => {
                cves.push((cve.id, false));
            }
            Applicability::Rejected
            | Applicability::NotAffected
            | Applicability::AlreadyFixed { .. }
            | Applicability::NotBuilt { .. } => {}
        }
    }
    let mut upper_bound = Vec::new();
    if assessed.is_upper_bound {
        let why = "the distribution carries fixes that the kernel's version does not tell";
        upper_bound.push(why.to_owned());
    }
    match (&assessed.base, &assessed.base_doubt) {
        (Some(_), _) => {}
        (None, Some(doubt)) => upper_bound.push(format!("all code counts as built: {doubt}")),
        (None, None) => upper_bound.push(format!(
            "all code counts as built, for no base of the kernel is ready: elivepatch-server base warm {}",
            facts.release
        )),
    }
    for name in active(facts).filter(|name| !at_work.contains(name)) {
        upper_bound.push(format!(
            "no CVE is known here that the livepatch {name} fixes: no CVE run of this server made it"
        ));
    }
    let (base, problem) = (assessed.base.clone(), None);
    KernelExposure { cves, base, upper_bound, problem, assessed_at: now() }
}

/// The names of the livepatches that are active.
pub(super) fn active(facts: &TargetFacts) -> impl Iterator<Item = &str> {
    let livepatches = facts.machine.as_ref().and_then(|machine| machine.livepatches.as_ref());
    livepatches.into_iter().flatten().map(|livepatch| livepatch.name.as_str())
}

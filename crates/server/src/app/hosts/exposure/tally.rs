//! How many hosts stand how to each CVE.

use std::{cmp::Reverse, collections::HashMap};

use elivepatch_api::ExposedCve;
use elivepatch_cve::{CveId, Exposure};
use elivepatch_store::CveFacts;

use super::Assessed;
use crate::app::{AppError, assessment::tenths};

/// A page, with what `after` is for the next one.
type Page = (Vec<ExposedCve>, Option<String>);

/// How many hosts are exposed to each CVE, how many are patched, and how many could not be assessed.
pub(super) struct Tally {
    /// By CVE: exposed and patched hosts.
    counts: HashMap<CveId, (u64, u64)>,
    /// The CVEs in an order that is known already.
    order: Vec<CveId>,
    unknown: u64,
}

impl Tally {
    /// Of all CVEs that matter on any of the kernels.
    pub(super) fn of(kernels: &[Assessed]) -> Self {
        let mut tally = Self { counts: HashMap::new(), order: Vec::new(), unknown: 0 };
        for (kernel, exposure) in kernels {
            let Some(exposure) = exposure.as_ref().filter(|found| found.problem.is_none()) else {
                tally.unknown += kernel.hosts;
                continue;
            };
            for (id, is_patched) in &exposure.cves {
                let (exposed, patched) = tally.counts.entry(*id).or_default();
                *(if *is_patched { patched } else { exposed }) += kernel.hosts;
            }
        }
        tally
    }

    /// Of the CVEs to which hosts of one kernel are exposed, in its order.
    pub(super) fn exposed_in_order(kernels: &[Assessed]) -> Self {
        let exposures = kernels.iter().filter_map(|(_, exposure)| exposure.as_ref());
        let exposed = exposures.flat_map(|exposure| &exposure.cves).filter(|(_, patched)| !patched);
        let order = exposed.map(|(id, _)| *id).collect();
        Self { order, ..Self::of(kernels) }
    }

    /// A CVE with how many of the hosts stand how to it.
    pub(super) fn counted(&self, facts: &CveFacts, hosts: u64) -> ExposedCve {
        let (exposed, patched) = self.counts.get(&facts.id).copied().unwrap_or_default();
        ExposedCve {
            id: facts.id,
            title: facts.title.clone(),
            cvss: facts.cvss.clone(),
            exposed,
            patched,
            not_affected: hosts.saturating_sub(exposed + patched + self.unknown),
            unknown: self.unknown,
        }
    }

    /// A page of the CVEs, the worst first; those to which nobody is exposed any more come last.
    pub(super) fn page(
        mut self,
        facts: &[CveFacts],
        hosts: u64,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, AppError> {
        let mut found: Vec<&CveFacts> =
            facts.iter().filter(|cve| self.counts.contains_key(&cve.id)).collect();
        found.sort_by_cached_key(|cve| {
            let (exposed, _) = self.counts.get(&cve.id).copied().unwrap_or_default();
            let badness = (tenths(cve.cvss.as_ref()), Exposure::of(&cve.program_files), exposed);
            (exposed == 0, Reverse(badness), cve.id)
        });
        self.order = found.iter().map(|cve| cve.id).collect();
        self.page_as_it_is(facts, hosts, after, limit)
    }

    /// A page of the CVEs in the order that is known.
    pub(super) fn page_as_it_is(
        &self,
        facts: &[CveFacts],
        hosts: u64,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, AppError> {
        let first = match after {
            None => 0,
            Some(after) => {
                let place = self.order.iter().position(|id| id.to_string() == after);
                let hint = "begin again without after: what is exposed has changed meanwhile";
                1 + place.ok_or_else(|| {
                    AppError::bad_request(format!("{after:.40?} is not in the list"), hint)
                })?
            }
        };
        let by_id: HashMap<CveId, &CveFacts> = facts.iter().map(|cve| (cve.id, cve)).collect();
        let page: Vec<ExposedCve> = self.order[first..]
            .iter()
            .take(limit)
            .filter_map(|id| by_id.get(id))
            .map(|cve| self.counted(cve, hosts))
            .collect();
        let is_last = self.order.len() <= first + limit;
        let next = page.last().map(|cve| cve.id.to_string()).filter(|_| !is_last);
        Ok((page, next))
    }
}

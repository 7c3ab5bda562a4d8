//! Which hosts are exposed to which CVEs, by their last reports.

mod kernels;
mod tally;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use elivepatch_api::{ExposedHost, ExposedKernel, ExposureQuery, ExposureResource, HostStanding};
use elivepatch_cve::CveId;
use elivepatch_model::{HostName, Sha256Digest};
use elivepatch_store::{CveFacts, HostKernel};

use super::page;
use crate::app::{App, AppError, FeedStatus};

pub(in crate::app) use kernels::KeptExposures;
use kernels::{KernelExposure, MOST_KERNELS, active};
use tally::Tally;

/// How many hosts are looked at in one go for a page of those that stand so.
const HOSTS_AT_A_TIME: u32 = 1000;

/// A kernel of hosts with what matters on it; `None`: too many kernels have more hosts.
type Assessed = (HostKernel, Option<Arc<KernelExposure>>);

impl App {
    /// Which hosts are exposed to which CVEs. The kernels are assessed, each once, and not the hosts.
    ///
    /// # Errors
    /// When no feed was read, the CVE or the host is unknown, or the query cannot be answered.
    pub async fn exposure(&self, query: ExposureQuery) -> Result<ExposureResource, AppError> {
        let limit = page(query.limit)? as usize;
        let feed = self.needed_feed().await?;
        let facts = self.cve_facts(feed.read_at).await?;
        if query.cve.is_some() && query.host.is_some() {
            return Err(AppError::bad_request(
                "both a CVE and a host are asked for",
                "ask for one of them: who is exposed to a CVE, or what a host is exposed to",
            ));
        }
        if query.standing.is_some() && query.cve.is_none() {
            return Err(AppError::bad_request(
                "standing is asked for without a CVE",
                "add cve=CVE: it chooses hosts by how they stand to that",
            ));
        }
        match (&query.cve, &query.host) {
            (Some(cve), _) => self.exposure_to(*cve, &query, limit, &feed, &facts).await,
            (None, Some(host)) => self.exposure_of_host(host, &query, limit, &feed, &facts).await,
            (None, None) => {
                let (kernels, left_out) = self.assessed_kernels(&feed).await?;
                let tally = Tally::of(&kernels);
                let mut found = resource(&feed, kernels, left_out);
                (found.cves, found.next) =
                    tally.page(&facts, found.hosts, query.after.as_deref(), limit)?;
                Ok(found)
            }
        }
    }

    /// How each host stands to a CVE.
    async fn exposure_to(
        &self,
        cve: CveId,
        query: &ExposureQuery,
        limit: usize,
        feed: &FeedStatus,
        facts: &[CveFacts],
    ) -> Result<ExposureResource, AppError> {
        let known = facts.iter().find(|known| known.id == cve);
        let known = known.ok_or(AppError::NoSuchCve(cve))?;
        let after: Option<HostName> = query.after.as_deref().map(host_name).transpose()?;
        let (kernels, left_out) = self.assessed_kernels(feed).await?;
        let tally = Tally::of(&kernels);
        let standings: HashMap<Sha256Digest, HostStanding> =
            kernels.iter().map(|kernel| (kernel.0.digest, standing(kernel, cve))).collect();
        let releases: HashMap<_, _> = kernels
            .iter()
            .map(|(kernel, _)| (kernel.digest, kernel.facts.release.clone()))
            .collect();
        let mut found = resource(feed, kernels, left_out);
        found.cves = vec![tally.counted(known, found.hosts)];
        let mut last = after;
        loop {
            let some = self.store().kernels_by_host(last.as_ref(), HOSTS_AT_A_TIME).await?;
            let Some((name, _)) = some.last() else { break };
            last = Some(name.clone());
            for (name, kernel) in some {
                // One that has come since the kernels were read is in the next answer.
                let Some(release) = releases.get(&kernel) else { continue };
                let standing = standings.get(&kernel).copied().unwrap_or(HostStanding::Unknown);
                if query.standing.is_none_or(|asked| asked == standing) {
                    let release = release.clone();
                    found.machines.push(ExposedHost { name, release, standing });
                }
            }
            if found.machines.len() > limit {
                found.machines.truncate(limit);
                found.next = found.machines.last().map(|host| host.name.to_string());
                break;
            }
        }
        Ok(found)
    }

    /// To which CVEs a host is exposed.
    async fn exposure_of_host(
        &self,
        name: &HostName,
        query: &ExposureQuery,
        limit: usize,
        feed: &FeedStatus,
        facts: &[CveFacts],
    ) -> Result<ExposureResource, AppError> {
        let host = self.store().host(name).await?;
        let kernel = self.store().host_kernel(host.kernel).await?;
        let kernels = vec![HostKernel { hosts: 1, ..kernel }];
        let exposures = self.exposures(&kernels, feed).await?;
        let kernels: Vec<Assessed> =
            kernels.into_iter().zip(exposures.into_iter().map(Some)).collect();
        let tally = Tally::exposed_in_order(&kernels);
        let mut found = resource(feed, kernels, 0);
        (found.cves, found.next) = tally.page_as_it_is(facts, 1, query.after.as_deref(), limit)?;
        Ok(found)
    }

    /// The kernels of all hosts with what matters on them, and how many are too many.
    async fn assessed_kernels(&self, feed: &FeedStatus) -> Result<(Vec<Assessed>, u64), AppError> {
        let kernels = self.store().host_kernels().await?;
        let left_out = kernels.len().saturating_sub(MOST_KERNELS) as u64;
        let first = &kernels[..kernels.len().min(MOST_KERNELS)];
        let exposures = self.exposures(first, feed).await?;
        let exposures = exposures.into_iter().map(Some).chain(std::iter::repeat(None));
        Ok((kernels.into_iter().zip(exposures).collect(), left_out))
    }
}

/// How hosts with a kernel stand to a CVE.
fn standing((_, exposure): &Assessed, cve: CveId) -> HostStanding {
    match exposure {
        None => HostStanding::Unknown,
        Some(exposure) if exposure.problem.is_some() => HostStanding::Unknown,
        Some(exposure) => match exposure.cves.iter().find(|(id, _)| *id == cve) {
            Some((_, true)) => HostStanding::Patched,
            Some((_, false)) => HostStanding::Exposed,
            None => HostStanding::NotAffected,
        },
    }
}

fn resource(feed: &FeedStatus, kernels: Vec<Assessed>, left_out: u64) -> ExposureResource {
    let hosts = kernels.iter().map(|(kernel, _)| kernel.hosts).sum();
    let shown = |(kernel, exposure): Assessed| {
        let exposure = exposure?;
        let livepatches = active(&kernel.facts).map(str::to_owned).collect();
        let patched = exposure.cves.iter().filter(|(_, is_patched)| *is_patched).count();
        Some(ExposedKernel {
            livepatches,
            release: kernel.facts.release,
            build_id: kernel.facts.build_id,
            kernel_version: kernel.facts.kernel_version,
            hosts: kernel.hosts,
            exposed: (exposure.cves.len() - patched) as u64,
            patched: patched as u64,
            base: exposure.base.clone(),
            upper_bound: exposure.upper_bound.clone(),
            problem: exposure.problem.clone(),
            assessed_at: exposure.assessed_at,
        })
    };
    ExposureResource {
        feed_data_at: feed.data_at,
        feed_read_at: feed.read_at,
        feed_is_stale: feed.is_stale,
        hosts,
        kernels: kernels.into_iter().filter_map(shown).collect(),
        kernels_left_out: left_out,
        cves: Vec::new(),
        machines: Vec::new(),
        next: None,
    }
}

fn host_name(text: &str) -> Result<HostName, AppError> {
    text.parse().map_err(|error: elivepatch_model::NameError| {
        AppError::bad_request(error.to_string(), "give what next said")
    })
}

use elivepatch_api::{
    HostChange, HostEvent, HostList, HostReport, HostResource, HostSummary, ListHostsQuery,
};
use elivepatch_model::HostName;
use elivepatch_store::{HostEventRecord, HostFilter, HostRecord};
use jiff::{SignedDuration, Timestamp};

use super::{
    Fleet, SILENT_AFTER_REPORTS, cut, hold::shown as shown_hold, order::order, page, report::read,
};
use crate::app::{AppError, now};

/// For how many reports a host may be asked to have been silent.
const MOST_SILENT_REPORTS: u32 = 100_000;

impl Fleet {
    /// A page of hosts, by their names.
    ///
    /// # Errors
    /// When the limit or `silent` is out of range.
    pub async fn list(&self, query: ListHostsQuery) -> Result<HostList, AppError> {
        let limit = page(query.limit)?;
        if let Some(reports) = query.silent
            && !(1..=MOST_SILENT_REPORTS).contains(&reports)
        {
            return Err(AppError::bad_request(
                format!("silent is {reports}, but it must be 1 to {MOST_SILENT_REPORTS}"),
                "it is how many reports have not come",
            ));
        }
        let filter = HostFilter {
            tag: query.tag,
            state: query.state.map(|state| state.as_str().to_owned()),
            release: query.release,
            silent_since: query.silent.map(|reports| self.silent_since(reports)),
            after: query.after,
        };
        let mut found = self.store.hosts(&filter, limit + 1).await?;
        let is_cut = cut(&mut found, limit);
        let next = found.last().map(|host| host.name.clone()).filter(|_| is_cut);
        Ok(HostList { hosts: found.into_iter().map(|host| self.summary(host)).collect(), next })
    }

    /// A host with its report, what it is told, and what happened on it.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn show(&self, name: &HostName) -> Result<HostResource, AppError> {
        let host = self.store.host(name).await?;
        let grounds = self.store.order_grounds(name).await?;
        let report = self.store.host_report(name).await?.and_then(|text| read(name, &text));
        let uptime_seconds = host.uptime_seconds.unwrap_or_default();
        let report = report.map(|report| HostReport { uptime_seconds, ..report });
        let order = report.as_ref().map(|report| order(report, &grounds));
        let livepatch_build = match host.livepatch {
            Some(digest) => self.store.build_that_made(digest).await?,
            None => None,
        };
        let events = self.store.host_events(name).await?;
        Ok(HostResource {
            summary: self.summary(host),
            livepatch_build,
            report,
            order,
            holds: grounds.holds.into_iter().map(shown_hold).collect(),
            events: events.into_iter().filter_map(|event| shown(name, event)).collect(),
        })
    }

    fn summary(&self, host: HostRecord) -> HostSummary {
        let heard_of = host.last_seen.unwrap_or(host.registered_at);
        HostSummary {
            is_silent: heard_of < self.silent_since(SILENT_AFTER_REPORTS),
            name: host.name,
            tags: host.tags,
            release: host.release,
            build_id: host.build_id,
            state: host.state.and_then(|state| state.parse().ok()),
            livepatch: host.livepatch,
            registered_at: host.registered_at,
            last_seen: host.last_seen,
        }
    }

    /// The time before which who was not heard of since has left out so many reports.
    fn silent_since(&self, reports: u32) -> Timestamp {
        let seconds = i64::from(self.report_seconds) * i64::from(reports);
        now().checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN)
    }
}

fn shown(name: &HostName, event: HostEventRecord) -> Option<HostEvent> {
    let change: HostChange = serde_json::from_str(&event.body)
        .inspect_err(|error| tracing::warn!(host = %name, %error, "an event cannot be read"))
        .ok()?;
    Some(HostEvent { at: event.at, change })
}

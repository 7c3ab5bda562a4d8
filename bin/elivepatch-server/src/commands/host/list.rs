use elivepatch_api::{HostSummary, ListHostsQuery};
use elivepatch_model::Tag;
use elivepatch_server::{AppError, app::Fleet};

use super::PAGE;
use crate::{host_arguments::HostListArguments, report};

pub(super) async fn list(fleet: &Fleet, asked: &HostListArguments) -> Result<(), AppError> {
    let mut hosts = Vec::new();
    let mut query = ListHostsQuery {
        tag: asked.tag.clone(),
        state: asked.state,
        release: asked.release.clone(),
        silent: asked.silent,
        after: None,
        limit: Some(PAGE),
    };
    loop {
        let page = fleet.list(query.clone()).await?;
        hosts.extend(page.hosts);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    if asked.output.json {
        report::json(&hosts);
        return Ok(());
    }
    if hosts.is_empty() {
        anstream::eprintln!("no such host is registered");
        return Ok(());
    }
    let rows = hosts.iter().map(|host| {
        vec![
            host.name.to_string(),
            state(host),
            host.last_seen.map_or_else(|| "never".to_owned(), report::time),
            host.release.to_string(),
            host.livepatch.map_or_else(|| "-".to_owned(), |digest| digest.short()),
            tags(&host.tags),
        ]
    });
    report::table(&["HOST", "STATE", "LAST SEEN (UTC)", "KERNEL", "LIVEPATCH", "TAGS"], rows);
    Ok(())
}

/// How a host stands, in a word or two.
pub(super) fn state(host: &HostSummary) -> String {
    let told = host.state.map_or("never reported", |state| state.as_str());
    match host.is_silent {
        true => format!("{told}, silent"),
        false => told.to_owned(),
    }
}

/// Tags, for people.
pub(super) fn tags(tags: &[Tag]) -> String {
    match tags {
        [] => "-".to_owned(),
        tags => tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" "),
    }
}

use elivepatch_model::printable;
use elivepatch_server::{
    app::{AuditFilter, AuditRecord},
    config::Places,
};
use serde::Serialize;

use super::{
    feed::{of_store, open},
    load_config, wait_for,
};
use crate::{
    arguments::{Arguments, AuditArguments},
    error::CommandError,
    report,
};

/// An entry as `--json` prints it.
#[derive(Serialize)]
struct Entry<'a> {
    number: i64,
    at: jiff::Timestamp,
    actor: &'a str,
    action: &'a str,
    subject: &'a str,
    detail: &'a serde_json::Value,
}

/// Shows who did what, the oldest first. The server may run or not.
pub fn run(arguments: &Arguments, audit: &AuditArguments) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    let filter = AuditFilter { since: audit.since, before: None };
    let log = wait_for(async {
        let store = open(&config).await?;
        // One more tells whether there are more.
        let log = store.audit_log(filter, audit.limit.saturating_add(1)).await;
        store.close().await;
        log.map_err(of_store)
    });
    let mut log = log?;
    let has_more = log.len() > audit.limit as usize;
    log.truncate(audit.limit as usize);
    log.reverse();
    if audit.json {
        let entries: Vec<Entry<'_>> = log.iter().map(entry).collect();
        report::json(&entries);
        return Ok(());
    }
    if has_more {
        report::say(&format!("the last {} entries; more with --limit", audit.limit));
    }
    if log.is_empty() {
        report::say("nothing has happened");
    }
    for record in &log {
        anstream::println!("{}", line(record));
    }
    Ok(())
}

fn entry(record: &AuditRecord) -> Entry<'_> {
    Entry {
        number: record.number,
        at: record.at,
        actor: &record.actor,
        action: &record.action,
        subject: &record.subject,
        detail: &record.detail,
    }
}

/// An entry in one line; what of its details is empty is left out.
fn line(record: &AuditRecord) -> String {
    let is_empty = |value: &serde_json::Value| match value {
        serde_json::Value::Null => true,
        serde_json::Value::Bool(is_so) => !is_so,
        serde_json::Value::String(text) => text.is_empty(),
        serde_json::Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let details = record.detail.as_object().into_iter().flatten();
    let details = details.filter(|(_, value)| !is_empty(value)).map(|(key, value)| match value {
        serde_json::Value::String(text) => format!("{key}={text}"),
        value => format!("{key}={value}"),
    });
    let details: Vec<String> = details.collect();
    let details = match details.is_empty() {
        true => String::new(),
        false => format!(" ({})", details.join(", ")),
    };
    let AuditRecord { actor, action, subject, .. } = record;
    let at = record.at.strftime("%Y-%m-%d %H:%M:%SZ");
    printable(&format!("{at}  {actor}  {action}  {subject}{details}"))
}

//! Hosts: what they tell, what they are told, and which CVEs they are exposed to.

mod assign;
mod changes;
mod exposure;
mod form;
mod hints;
mod hold;
mod list;
#[cfg(test)]
mod made_for_tests;
mod order;
mod register;
mod report;
mod withdraw;

use std::collections::BTreeSet;

use elivepatch_model::Tag;
use elivepatch_store::{AuditAction, Store};
use serde_json::Value;

use super::{App, AppError, access::note};

pub(super) use exposure::KeptExposures;
pub(super) use hints::hint;
#[cfg(test)]
pub(super) use made_for_tests::build_for_tests;

/// The most tags of a host.
const MOST_TAGS: usize = 64;

/// The longest note or reason of a person, in characters: a sentence or two, and an address.
const NOTE_CHARACTERS: usize = 500;

/// What a page has when the query does not say.
const DEFAULT_PAGE: u32 = 200;

/// The most that a page has.
const LARGEST_PAGE: u32 = 1000;

/// After how many reports that did not come a host is called silent: one may be lost, and two are a machine that
/// is being started anew.
const SILENT_AFTER_REPORTS: u32 = 3;

/// The hosts in a store. The server that has the store may run: it keeps nothing of this in memory, and what
/// is changed here counts at each host's next report.
#[derive(Debug, Clone)]
pub struct Fleet {
    store: Store,
    report_seconds: u32,
    /// Who changes them, for the audit log.
    actor: String,
}

impl Fleet {
    /// The hosts in a store, which report once in so many seconds.
    pub fn new(store: Store, report_seconds: u32) -> Self {
        Self { store, report_seconds, actor: "somebody on the server".to_owned() }
    }

    /// The same, changed by somebody whom the audit log names so.
    pub fn acting_as(self, actor: impl Into<String>) -> Self {
        Self { actor: actor.into(), ..self }
    }

    /// Writes down what was done.
    async fn note(&self, action: AuditAction, subject: &str, detail: Value) {
        note(&self.store, &self.actor, action, subject, detail).await;
    }

    /// Closes the store, when a command is done with it.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

impl App {
    /// The hosts of this server.
    pub fn fleet(&self) -> Fleet {
        Fleet::new(self.store().clone(), self.inner.options.host_report_seconds)
    }
}

/// The tags of a host, each once, in their order.
///
/// # Errors
/// When there are too many.
pub fn checked_tags(tags: Vec<Tag>) -> Result<Vec<Tag>, AppError> {
    let tags: BTreeSet<Tag> = tags.into_iter().collect();
    if tags.len() > MOST_TAGS {
        return Err(AppError::bad_request(
            format!("{} tags are more than the {MOST_TAGS} that a host may have", tags.len()),
            "give fewer; a tag is for hosts that are assigned the same livepatches",
        ));
    }
    Ok(tags.into_iter().collect())
}

/// Checks what a person said: a note or a reason.
fn checked_note(what: &str, text: &str) -> Result<(), AppError> {
    if text.chars().count() > NOTE_CHARACTERS || text.contains(char::is_control) {
        return Err(AppError::bad_request(
            format!("the {what} is not one line of at most {NOTE_CHARACTERS} characters"),
            "shorten it",
        ));
    }
    Ok(())
}

/// How many a page is to have.
fn page(limit: Option<u32>) -> Result<u32, AppError> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if (1..=LARGEST_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(AppError::bad_request(
        format!("limit is {limit}, but it must be 1 to {LARGEST_PAGE}"),
        "take smaller pages, and the next one by what next says",
    ))
}

/// Cuts one more than asked for off; gives whether it was there, which is whether there is a next page.
fn cut<T>(found: &mut Vec<T>, limit: u32) -> bool {
    let is_cut = found.len() > limit as usize;
    found.truncate(limit as usize);
    is_cut
}

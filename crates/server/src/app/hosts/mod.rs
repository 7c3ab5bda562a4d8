//! Hosts: what they tell, and what they are told.

mod register;

use std::collections::BTreeSet;

use elivepatch_model::Tag;

use super::AppError;

/// The most tags of a host.
const MOST_TAGS: usize = 64;

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

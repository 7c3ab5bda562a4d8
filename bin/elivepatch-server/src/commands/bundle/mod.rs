//! The commands that carry the feed to a server without a network.

mod export;
mod import;
mod keygen;

use elivepatch_server::app::{BundleError, KeyError, bundle_hint};

use crate::error::CommandError;

pub(super) use export::export;
pub(super) use import::import;
pub(super) use keygen::keygen;

/// What a bundle or key that cannot be used is to a command: what the user gave, unless the disk is meant.
fn of_bundle(error: impl Into<BundleError>) -> CommandError {
    let error = error.into();
    let hint = bundle_hint(&error);
    match is_failure(&error) {
        true => CommandError::failed(error, hint),
        false => CommandError::input(error, hint),
    }
}

fn is_failure(error: &BundleError) -> bool {
    matches!(
        error,
        BundleError::Scratch { .. }
            | BundleError::Json { .. }
            | BundleError::Key(KeyError::Sign(_))
    )
}

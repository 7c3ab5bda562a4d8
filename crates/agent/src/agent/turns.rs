//! Times that differ from machine to machine, and stay the same on each.

use std::time::Duration;

use elivepatch_model::Sha256Digest;
use sha2::{Digest as _, Sha256};

/// The part of the longest wait that is this machine's for this livepatch.
pub(super) fn jitter(longest: Duration, name: &str, digest: Sha256Digest) -> Duration {
    longest.mul_f64(share(&format!("{name} {digest}")))
}

/// Between nine tenths of a time and the whole, so that machines that were started together do not stay together.
pub(super) fn spread(time: Duration, name: &str) -> Duration {
    time.mul_f64(0.9 + share(name) / 10.0)
}

/// A number from 0 to below 1 that is always the same for a text, and spread evenly over texts.
fn share(text: &str) -> f64 {
    let digest = Sha256::digest(text.as_bytes());
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    f64::from(number) / (f64::from(u32::MAX) + 1.0)
}

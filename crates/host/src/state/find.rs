use elivepatch_model::Sha256Digest;

use super::{State, StateDirectory};
use crate::HostProblem;

impl StateDirectory {
    /// The livepatch that is meant by the beginning of its digest or by its module's name, of those that are kept or
    /// locked out.
    ///
    /// # Errors
    /// When none is, or several are.
    pub fn find(&self, state: &State, given: &str) -> Result<Sha256Digest, HostProblem> {
        let mut digests = self.held_digests()?;
        let kernels = state.kernels.values();
        digests.extend(kernels.flat_map(|kernel| kernel.locked_out.keys().copied()));
        // One that is damaged has no name.
        let name = |digest| self.held(digest).ok().flatten().map(|held| held.module.name);
        find(digests, given, name)
    }
}

fn find(
    digests: impl IntoIterator<Item = Sha256Digest>,
    given: &str,
    name: impl Fn(Sha256Digest) -> Option<String>,
) -> Result<Sha256Digest, HostProblem> {
    /// Fewer digits than this would name one by accident.
    const LEAST_DIGITS: usize = 6;
    let mut found = Vec::new();
    for digest in digests {
        let is_begun = given.len() >= LEAST_DIGITS && digest.to_string().starts_with(given);
        if is_begun || name(digest).as_deref() == Some(given) {
            found.push(digest);
        }
    }
    match found[..] {
        [] => Err(HostProblem::Unknown(given.to_owned())),
        [one] => Ok(one),
        _ => Err(HostProblem::Ambiguous {
            given: given.to_owned(),
            candidates: found.iter().map(ToString::to_string).collect(),
        }),
    }
}

//! Whether a toolchain root is still what it was when it was made.

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use super::{
    Recipe, Toolchains,
    contents::Depth,
    root::{CONTENTS, ROOT, RootFacts},
};
use crate::{Observer, SilentObserver, failures::io_failure};

/// In what the root at `place` is not what was written down of it, as far as is looked.
pub(super) fn differences(
    facts: &RootFacts,
    place: &Utf8Path,
    depth: Depth,
) -> Result<Vec<String>, Failure> {
    let Some(contents) = facts.contents(place) else {
        return Ok(vec![format!("{CONTENTS}, the list of its files, is missing or changed")]);
    };
    let root = place.join(ROOT);
    // The machine's own tools are all that is looked at of it.
    let depth = if root.join("usr").is_symlink() { Depth::Programs } else { depth };
    contents
        .differences(&root, depth)
        .map_err(|error| io_failure(FailureClass::ToolchainFailed, "read", &root, &error))
}

impl Toolchains {
    /// Compares every file of a recipe's root with its digest. Gives what differs, `None` when there
    /// is no root.
    ///
    /// # Errors
    /// When the root cannot be read.
    pub fn verify(&self, recipe: &Recipe) -> Result<Option<Vec<String>>, Failure> {
        let observer: &dyn Observer = &SilentObserver;
        let place = self.place(recipe);
        // No lock for what is not there: looking changes nothing.
        if !place.exists() {
            return Ok(None);
        }
        let _shared = self.cache.share(&place, observer)?;
        match RootFacts::read(&place, recipe)? {
            None => Ok(None),
            Some(facts) if facts.contents.is_none() => {
                let line = "it was made by an earlier version, which kept no digests: the next build \
                            that uses it notes them";
                Ok(Some(vec![line.to_owned()]))
            }
            Some(facts) => differences(&facts, &place, Depth::Everything).map(Some),
        }
    }
}

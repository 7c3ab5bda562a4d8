//! Whether a base is still what it was when a build began to use it.

use std::{os::unix::fs::MetadataExt as _, time::SystemTime};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};

use super::{Base, BaseFacts};

/// By what a source tree is known again. Nothing is added to or taken from the tree of a complete
/// base, and one that is made anew is another directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeMark {
    device: u64,
    inode: u64,
    /// When an entry was added or removed last.
    modified: SystemTime,
}

impl TreeMark {
    /// The mark of the directory; `None` when there is none.
    pub(super) fn of(tree: &Utf8Path) -> Option<Self> {
        let metadata = tree.symlink_metadata().ok()?;
        let modified = metadata.modified().ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino(), modified })
    }
}

impl Base {
    /// Says that the base has been removed, when that is why a build failed.
    pub fn explain(&self, failure: Failure) -> Failure {
        match self.check_whole() {
            Ok(()) => failure,
            // Said already.
            Err(removed) if removed.message == failure.message => failure,
            Err(removed) => removed.with_details([failure.message.clone()]).of_step(failure.step),
        }
    }

    /// Refuses a base that was removed or damaged since this value was made, also when another was
    /// made in its place.
    ///
    /// # Errors
    /// `base-failed`.
    pub fn check_whole(&self) -> Result<(), Failure> {
        let tree = self.tree();
        let is_same = self.mark.is_some() && TreeMark::of(&tree) == self.mark;
        if is_same
            && BaseFacts::read(&self.place).is_ok_and(|facts| facts.as_ref() == Some(&self.facts))
            && tree.join("Makefile").exists()
        {
            return Ok(());
        }
        Err(Failure::new(
            FailureClass::BaseFailed,
            format!("the base {} was removed or damaged while a build used it", self.place),
            "submit the build again: the base is made anew; clean the cache only while the server is \
             stopped",
        ))
    }
}

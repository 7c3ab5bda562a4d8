//! How much disk something takes: asked before it begins, and told when it was not there.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass};

/// What something will write, at its height.
#[derive(Debug)]
pub(crate) struct DiskNeed {
    /// Where, or what will be there.
    pub place: Utf8PathBuf,
    /// An estimate, in bytes.
    pub bytes: u64,
    /// For what, to begin a sentence with: `building the base of 6.12.117`.
    pub what: String,
}

impl DiskNeed {
    /// Does the work, unless what it needs is not free. A disk that fills all the same is told with
    /// what was needed.
    ///
    /// # Errors
    /// `disk-full`, saying how much is needed; those of the work.
    pub(crate) fn fits<T>(&self, work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
        self.check()?;
        self.explain(work())
    }

    /// Refuses to begin with what will not fit.
    fn check(&self) -> Result<(), Failure> {
        // What is to be there may not be yet.
        let there = self.place.ancestors().find(|place| place.exists());
        let facts = there.map(|place| rustix::fs::statvfs(place.as_std_path()));
        let Some(Ok(facts)) = facts else { return Ok(()) };
        let free = facts.f_bavail * facts.f_frsize;
        if free >= self.bytes {
            return Ok(());
        }
        Err(self.failure(&format!("{} are free", gigabytes(free))))
    }

    /// The result, with what was needed when the disk was full.
    fn explain<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        result.map_err(|failure| match failure.class {
            FailureClass::DiskFull => {
                let explained = self.failure(&format!("the disk was full: {}", failure.message));
                explained.with_details(failure.details).of_step(failure.step)
            }
            _ => failure,
        })
    }

    fn failure(&self, there: &str) -> Failure {
        Failure::new(
            FailureClass::DiskFull,
            format!("{} needs about {}, and {there}", self.what, gigabytes(self.bytes)),
            format!(
                "free space on the file system of {}, or put cache_directory on a larger one, and \
                 submit the build again",
                self.place.parent().unwrap_or(&self.place)
            ),
        )
    }
}

/// What a directory takes on disk, in bytes.
pub(crate) fn bytes_below(directory: &Utf8Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = walkdir::WalkDir::new(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|facts| facts.blocks() * 512).sum()
}

/// An amount for people.
pub(crate) fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(bytes: u64) -> DiskNeed {
        let what = "building the base of 6.12.117-small".to_owned();
        DiskNeed { place: "/tmp/not-there/base".into(), bytes, what }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_figures() {
        assert_eq!(need(0).fits(|| Ok(7)), Ok(7));
        let failure = need(u64::MAX).fits(|| -> Result<(), Failure> { panic!("it began") });
        let failure = failure.expect_err("too much");
        assert_eq!(failure.class, FailureClass::DiskFull);
        let message = &failure.message;
        assert!(message.starts_with("building the base of 6.12.117-small needs about "));
        assert!(message.ends_with(" GB are free"), "{message}");
    }

    #[test]
    fn disk_that_was_full_is_told_with_what_was_needed_and_other_failures_as_they_are() {
        let failing = |class| Err::<(), _>(Failure::new(class, "no room in /tmp", "look"));
        let full = need(2_000_000).fits(|| failing(FailureClass::DiskFull)).expect_err("it failed");
        assert_eq!(
            full.message,
            "building the base of 6.12.117-small needs about 0.0 GB, and the disk was full: no room \
             in /tmp"
        );
        let other = need(0).fits(|| failing(FailureClass::Internal));
        assert_eq!(other, failing(FailureClass::Internal));
    }
}

//! Which files the fixes change that are at hand, remembered: an answer about a kernel asks for hundreds of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use crate::app::{App, AppError};

/// How many commits are remembered. All fixes of all CVEs in all branches are some 90,000, and those of one
/// branch 8,000.
const MOST_COMMITS: usize = 20_000;

/// How long it is remembered that no source on this machine has a commit: a clone is asked by processes, some
/// 20 ms each, and somebody may fetch into it.
const ABSENT: Duration = Duration::from_secs(180);

/// What is known of commits.
#[derive(Debug, Default)]
pub(super) struct FilesAtHand(Mutex<HashMap<String, Known>>);

#[derive(Debug, Clone)]
enum Known {
    /// The files. What a commit changes stays the same wherever it is read.
    Files(Arc<[String]>),
    /// Nobody had it at this time.
    Absent(Instant),
}

impl FilesAtHand {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().expect("no holder of the lock panics")
    }

    /// What is remembered of a commit at a time: its files, or that it is not at hand.
    fn get(&self, commit: &str, now: Instant) -> Option<Option<Arc<[String]>>> {
        match self.known().get(commit)? {
            Known::Files(files) => Some(Some(Arc::clone(files))),
            Known::Absent(at) => (now.duration_since(*at) < ABSENT).then_some(None),
        }
    }

    fn insert(&self, commit: &str, found: Known) {
        let mut known = self.known();
        if known.len() >= MOST_COMMITS && !known.contains_key(commit) {
            // Rare enough to begin anew.
            known.clear();
        }
        known.insert(commit.to_owned(), found);
    }

    /// Forgets that a commit is not at hand: now it is.
    pub(super) fn is_there(&self, commit: &str) {
        let mut known = self.known();
        if matches!(known.get(commit), Some(Known::Absent(_))) {
            known.remove(commit);
        }
    }
}

impl App {
    /// The files that a commit changes, as far as that can be told without a network. A fix that comes to a source
    /// on this machine is seen some minutes later here at the latest.
    pub(in crate::app) async fn files_at_hand(
        &self,
        commit: &str,
    ) -> Result<Option<Arc<[String]>>, AppError> {
        let remembered = &self.inner.fixes.files_at_hand;
        if let Some(known) = remembered.get(commit, Instant::now()) {
            return Ok(known);
        }
        let files: Option<Arc<[String]>> =
            self.fix_at_hand(commit).await?.map(|fix| fix.files.into());
        let known = match &files {
            Some(files) => Known::Files(Arc::clone(files)),
            None => Known::Absent(Instant::now()),
        };
        remembered.insert(commit, known);
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stay_and_absence_is_forgotten_after_some_minutes() {
        let kept = FilesAtHand::default();
        let began = Instant::now();
        assert_eq!(kept.get("a", began), None);
        kept.insert("a", Known::Files(["mm/mmap.c".to_owned()].into()));
        kept.insert("b", Known::Absent(began));
        kept.insert("c", Known::Absent(began));
        kept.is_there("a");
        kept.is_there("c");
        assert_eq!(kept.get("c", began), None, "it has come");
        assert_eq!(kept.get("b", began), Some(None));
        let later = began + ABSENT;
        assert_eq!(kept.get("b", later), None);
        let files = kept.get("a", later).flatten().expect("they stay");
        assert_eq!(&*files, ["mm/mmap.c"]);
    }

    #[test]
    fn memory_has_an_end() {
        let kept = FilesAtHand::default();
        for number in 0..=MOST_COMMITS {
            kept.insert(&number.to_string(), Known::Absent(Instant::now()));
        }
        assert_eq!(kept.known().len(), 1);
    }
}

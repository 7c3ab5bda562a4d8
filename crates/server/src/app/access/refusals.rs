use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long the same refusal is not written down again: a host that asks every minute for what it may not have
/// must not fill the disk.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// The most refusals that are remembered: of so many tokens and routes at the same time none is an accident.
const REMEMBERED: usize = 10_000;

/// Which refusals were written down lately.
#[derive(Debug, Default)]
pub(in crate::app) struct Refusals {
    noted: Mutex<HashMap<(String, String), Instant>>,
}

impl Refusals {
    /// Whether this one was not written down lately; from now on it was.
    pub(super) fn is_first(&self, actor: &str, subject: &str) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let key = (actor.to_owned(), subject.to_owned());
        if noted.get(&key).is_some_and(|at| now.duration_since(*at) < AGAIN_AFTER) {
            return false;
        }
        if noted.len() >= REMEMBERED {
            noted.retain(|_, at| now.duration_since(*at) < AGAIN_AFTER);
            if noted.len() >= REMEMBERED {
                return false;
            }
        }
        noted.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_refusal_is_noted_once_and_their_number_is_bounded() {
        let refusals = Refusals::default();
        assert!(refusals.is_first("a", "GET /x"));
        assert!(!refusals.is_first("a", "GET /x"));
        assert!(refusals.is_first("a", "GET /y") && refusals.is_first("b", "GET /x"));
        let noted = (0..2 * REMEMBERED).filter(|n| refusals.is_first("a", &n.to_string())).count();
        assert_eq!(noted, REMEMBERED - 3);
    }
}

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::Sha256Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{By, Kernel, Vitals};

/// The form of the record.
pub(crate) const VERSION: u64 = 1;

/// How many livepatches of a kernel are kept to go back to.
const KEPT: usize = 3;

/// What is known of all kernels of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The form of the record.
    pub(crate) version: u64,
    /// The kernels by release and build-id.
    #[serde(default)]
    pub kernels: BTreeMap<String, KernelState>,
    /// What is being loaded, or was so just now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<Marker>,
}

/// What is known of one kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KernelState {
    /// The livepatch that is to be loaded: its module's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Sha256Digest>,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Those under which the machine has lived for the guard time: its end is not put down to them any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub proven: BTreeSet<Sha256Digest>,
    /// Those before it, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Sha256Digest>,
    /// Who had it loaded; absent in older records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_by: Option<By>,
    /// Those that the server has withdrawn, or that somebody has gone back from: nothing loads them by itself any more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub withdrawn: BTreeSet<Sha256Digest>,
    /// Those that somebody on this machine has taken back, or replaced: the agent does not load them again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub taken_back: BTreeSet<Sha256Digest>,
    /// Those that are not to be loaded, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locked_out: BTreeMap<Sha256Digest, Lockout>,
}

/// Why a livepatch is not to be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lockout {
    /// What happened under it; one line.
    pub reason: String,
    /// When that was noticed.
    pub at: Timestamp,
}

/// Written before a livepatch is loaded, and removed when the machine has lived with it for the guard time.
/// When it is there after a reboot, the machine may have died of the livepatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The kernel.
    pub kernel: String,
    /// The livepatch.
    pub livepatch: Sha256Digest,
    /// What was active before it, and is gone back to: one of elivepatch's, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Sha256Digest>,
    /// Who has it loaded.
    #[serde(default)]
    pub by: By,
    /// The boot in which it is loaded.
    pub boot_id: String,
    /// How long the machine was up then, in milliseconds.
    pub uptime_ms: u64,
    /// What the kernel said of itself before.
    pub vitals: Vitals,
    /// When that was.
    pub at: Timestamp,
}

impl Default for State {
    fn default() -> Self {
        Self { version: VERSION, kernels: BTreeMap::new(), marker: None }
    }
}

impl State {
    /// The key of a kernel.
    pub fn key(kernel: &Kernel) -> String {
        format!("{} {}", kernel.release, kernel.build_id)
    }

    /// What is known of a kernel.
    pub fn of(&self, kernel: &Kernel) -> KernelState {
        self.kernels.get(&Self::key(kernel)).cloned().unwrap_or_default()
    }

    /// What is known of a kernel, to be changed.
    pub fn of_mut(&mut self, kernel: &Kernel) -> &mut KernelState {
        self.kernels.entry(Self::key(kernel)).or_default()
    }

    /// All livepatches that something here names.
    pub fn named(&self) -> impl Iterator<Item = Sha256Digest> + '_ {
        let of_kernels = self.kernels.values().flat_map(|kernel| {
            let locked = kernel.locked_out.keys().copied();
            kernel.current.into_iter().chain(kernel.earlier.iter().copied()).chain(locked)
        });
        of_kernels.chain(self.marker.iter().map(|marker| marker.livepatch))
    }
}

impl KernelState {
    /// Makes a livepatch the current one. The one before it is kept to go back to.
    pub fn make_current(&mut self, livepatch: Sha256Digest, now: Timestamp) {
        if self.current == Some(livepatch) {
            return;
        }
        self.earlier.retain(|earlier| *earlier != livepatch);
        self.earlier.extend(self.current.replace(livepatch));
        let more = self.earlier.len().saturating_sub(KEPT);
        self.earlier.drain(..more);
        self.since = Some(now);
    }

    /// Makes none the current one.
    pub fn make_none_current(&mut self) {
        if let Some(before) = self.current.take() {
            self.earlier.retain(|earlier| *earlier != before);
            self.earlier.push(before);
        }
        self.since = None;
    }

    /// Keeps a livepatch from being loaded again. When it is the current one, `instead` takes its place.
    pub fn lock_out(
        &mut self,
        livepatch: Sha256Digest,
        instead: Option<Sha256Digest>,
        reason: String,
        now: Timestamp,
    ) {
        self.locked_out.insert(livepatch, Lockout { reason, at: now });
        self.proven.remove(&livepatch);
        self.earlier.retain(|earlier| *earlier != livepatch);
        if self.current == Some(livepatch) {
            self.current = instead.filter(|instead| {
                !self.locked_out.contains_key(instead) && !self.withdrawn.contains(instead)
            });
            self.since = self.current.map(|_| now);
            let current = self.current;
            self.earlier.retain(|earlier| Some(*earlier) != current);
        }
    }

    /// Whether a livepatch may take the place of another one that cannot be loaded.
    pub fn may_come_back(&self, livepatch: Sha256Digest) -> bool {
        self.may_be_loaded(livepatch) && !self.withdrawn.contains(&livepatch)
    }

    /// Whether a livepatch is one of this kernel that may be loaded.
    pub fn may_be_loaded(&self, livepatch: Sha256Digest) -> bool {
        (self.current == Some(livepatch) || self.earlier.contains(&livepatch))
            && !self.locked_out.contains_key(&livepatch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(of: &str) -> Sha256Digest {
        Sha256Digest::of(of.as_bytes())
    }

    #[test]
    fn each_livepatch_is_there_once_and_the_latest_are_kept() {
        let now = Timestamp::UNIX_EPOCH;
        let mut kernel = KernelState::default();
        for name in ["a", "b", "b", "c", "a", "d", "e", "f"] {
            kernel.make_current(digest(name), now);
        }
        assert_eq!(kernel.current, Some(digest("f")));
        assert_eq!(kernel.earlier, ["a", "d", "e"].map(digest));
        kernel.proven.insert(digest("f"));
        kernel.lock_out(digest("f"), Some(digest("e")), "it oopsed".to_owned(), now);
        assert_eq!(kernel.current, Some(digest("e")));
        assert!(!kernel.proven.contains(&digest("f")) && !kernel.may_be_loaded(digest("f")));
        kernel.lock_out(digest("a"), Some(digest("d")), "it, too".to_owned(), now);
        assert_eq!(kernel.current, Some(digest("e")), "it was not the current one");
        kernel.lock_out(digest("e"), None, "it, too".to_owned(), now);
        assert_eq!((kernel.current, kernel.since), (None, None));
        kernel.make_current(digest("d"), now);
        kernel.make_none_current();
        assert_eq!((kernel.current, &kernel.earlier), (None, &vec![digest("d")]));
        assert!(kernel.may_be_loaded(digest("d")));
    }
}

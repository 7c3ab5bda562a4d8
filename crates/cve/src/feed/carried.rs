//! A feed that was read elsewhere.

use super::{Entry, Fault, Snapshot};

impl Snapshot {
    /// What another server has read, all of it. An entry that has a fault is the last state of it that could
    /// be used.
    pub fn carried(mut entries: Vec<Entry>, mut faults: Vec<Fault>) -> Self {
        entries.sort_by_key(|entry| entry.record.id);
        faults.sort_by_key(|fault| fault.id);
        Self { entries, faults, ..Self::default() }
    }
}

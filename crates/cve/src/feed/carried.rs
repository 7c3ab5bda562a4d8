//! A feed that was read elsewhere.

use super::{
    Entry, Fault, Snapshot, SpoolError,
    entries::{Entries, Indexed},
    spool::Spool,
};

impl Snapshot {
    /// What another server has read, all of it. An entry that has a fault is the last state of it that could
    /// be used.
    ///
    /// # Errors
    /// When what they say cannot be put away.
    pub fn carried(mut entries: Vec<Entry>, mut faults: Vec<Fault>) -> Result<Self, SpoolError> {
        entries.sort_by_key(|entry| entry.record.id);
        faults.sort_by_key(|fault| fault.id);
        let mut spool = Spool::default();
        let mut index = Vec::with_capacity(entries.len());
        for Entry { record, rejected, dyads, digest } in entries {
            let (id, dyads) = (record.id, Some(spool.put(&dyads)?));
            let record = spool.put(&record)?;
            index.push(Indexed { id, rejected, digest, record, dyads, file: 0 });
        }
        Ok(Self { entries: Entries::new(index, spool.finish()?), faults, ..Self::default() })
    }
}

use std::fs::File;

use elivepatch_model::{BuildNumber, Sha256Digest};
use jiff::Timestamp;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use super::StateDirectory;
use crate::HostProblem;

/// The file.
const FILE: &str = "agent.json";

/// What is locked.
const LOCK: &str = "agent.lock";

/// The form of the file.
const VERSION: u64 = 1;

/// What the agent knows from one time to the next, and what is told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    version: u64,
    /// The boot in which it has seen to it that what belongs to the kernel is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_id: Option<String>,
    /// When the server has last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// Why it did not answer the last time; one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard: Option<String>,
    /// What the server wants, and is not done yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<PendingOrder>,
    /// What was tried last for the server, and failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<FailedOrder>,
    /// Why what the server wants is not done; what can be done about it. Each one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<(String, String)>,
}

/// A livepatch that the server wants to be loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingOrder {
    /// The build that made it.
    pub build: BuildNumber,
    /// The digest of its module.
    pub digest: Sha256Digest,
    /// What it waits for; one line.
    pub waits_for: String,
    /// Since when.
    pub since: Timestamp,
}

/// A livepatch that could not be loaded for the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedOrder {
    /// The digest of its module; absent: taking back what is loaded has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Sha256Digest>,
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried last.
    pub at: Timestamp,
    /// Why it failed; one line.
    pub what: String,
    /// What can be done; one line.
    pub hint: String,
}

/// The right to be the agent of this machine.
#[derive(Debug)]
pub struct AgentLock {
    _file: File,
}

impl Default for AgentRecord {
    fn default() -> Self {
        Self {
            version: VERSION,
            boot_id: None,
            heard_at: None,
            unheard: None,
            pending: None,
            failed: None,
            refused: None,
        }
    }
}

impl StateDirectory {
    /// Takes the right to be the agent; it is not waited for.
    ///
    /// # Errors
    /// [`HostProblem::OtherAgent`] when another process has it, or the directory cannot be written to.
    pub fn lock_agent(&self) -> Result<AgentLock, HostProblem> {
        let file = self.lock_file(LOCK)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(AgentLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(HostProblem::OtherAgent),
            Err(error) => Err(self.cannot("lock", LOCK, error.into())),
        }
    }

    /// What the agent has written down; empty when it never ran.
    ///
    /// # Errors
    /// When it cannot be read or understood, or a newer version has written it.
    pub fn agent_record(&self) -> Result<AgentRecord, HostProblem> {
        Ok(self.read_record(FILE, VERSION)?.unwrap_or_default())
    }

    /// Writes down what the agent knows. Its lock says that nobody else does.
    ///
    /// # Errors
    /// When it cannot be written; then what was there is still there.
    pub fn write_agent_record(
        &self,
        _lock: &AgentLock,
        record: &AgentRecord,
    ) -> Result<(), HostProblem> {
        let mut text = serde_json::to_vec_pretty(record).expect("plain data");
        text.push(b'\n');
        self.put(FILE, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_is_read_as_it_was_written_and_there_is_one_agent() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = StateDirectory::at(Some(place.path()));
        assert_eq!(directory.agent_record().expect("none yet"), AgentRecord::default());
        let lock = directory.lock_agent().expect("it is free");
        assert!(matches!(directory.lock_agent(), Err(HostProblem::OtherAgent)));
        let record = AgentRecord { unheard: Some("refused".to_owned()), ..AgentRecord::default() };
        directory.write_agent_record(&lock, &record).expect("written");
        assert_eq!(directory.agent_record().expect("there"), record);
        drop(lock);
        directory.lock_agent().expect("it is free again");
    }
}

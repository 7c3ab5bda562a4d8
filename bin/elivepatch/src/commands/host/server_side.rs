//! What is known on this machine of the server at which it is registered.

use elivepatch_host::{AgentRecord, Enrolment, StateDirectory};
use jiff::Timestamp;
use serde::Serialize;

use crate::text::printable;

/// For how long a server may be silent until that is trouble, in seconds: a day, as long as the agent may be told to
/// wait between two reports.
const SILENCE_SECONDS: i64 = 24 * 3600;

/// How a machine stands with its server.
#[derive(Debug, Serialize)]
pub struct ServerSide {
    /// Its address.
    pub url: String,
    /// The name of this machine there.
    pub name: String,
    /// When it has last answered the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<Timestamp>,
    /// Why it did not the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unheard: Option<String>,
    /// What it wants, and what that waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// What is wrong with it, with what to do.
    #[serde(skip)]
    pub trouble: Vec<(String, String)>,
}

impl ServerSide {
    /// Reads it; `None`: this machine is registered nowhere. What cannot be read is trouble.
    pub fn look(directory: &StateDirectory, now: Timestamp) -> Option<Self> {
        let (enrolment, record) = (directory.enrolment(), directory.agent_record());
        let mut trouble = Vec::new();
        for problem in [enrolment.as_ref().err(), record.as_ref().err()].into_iter().flatten() {
            trouble.push((problem.to_string(), problem.hint()));
        }
        let enrolment = match enrolment {
            Ok(Some(enrolment)) => Some(enrolment),
            Ok(None) => return None,
            Err(_) => None,
        };
        Some(Self::of(enrolment, record.unwrap_or_default(), trouble, now))
    }

    fn of(
        enrolment: Option<Enrolment>,
        record: AgentRecord,
        mut trouble: Vec<(String, String)>,
        now: Timestamp,
    ) -> Self {
        let (url, name, since) = match enrolment {
            Some(enrolment) => {
                (enrolment.url, enrolment.name.to_string(), Some(enrolment.enrolled_at))
            }
            None => ("?".to_owned(), "?".to_owned(), None),
        };
        if let Some(since) = record.heard_at.max(since)
            && now.as_second() - since.as_second() > SILENCE_SECONDS
        {
            trouble.push((
                format!("the server {url} has given no order for {}", ago(since, now)),
                "is the agent running? systemctl status elivepatch-agent".to_owned(),
            ));
        }
        trouble.extend(record.failed.map(|failed| (failed.what, failed.hint)));
        trouble.extend(record.refused);
        let pending = record
            .pending
            .map(|pending| format!("build {}: waits for {}", pending.build, pending.waits_for));
        Self { url, name, heard_at: record.heard_at, unheard: record.unheard, pending, trouble }
    }

    /// In one line.
    pub fn words(&self, now: Timestamp) -> String {
        let heard = match (&self.unheard, self.heard_at) {
            (Some(why), Some(at)) => {
                format!("it did not answer the last time ({why}), and did {} ago", ago(at, now))
            }
            (Some(why), None) => format!("it has not answered yet ({why})"),
            (None, Some(at)) => format!("it answered {} ago", ago(at, now)),
            (None, None) => "the agent has not asked it yet".to_owned(),
        };
        printable(&format!("{} at {}: {heard}", self.name, self.url))
    }
}

/// How long ago a time is, in its largest unit.
fn ago(then: Timestamp, now: Timestamp) -> String {
    match (now.as_second() - then.as_second()).max(0) {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    #[test]
    fn server_that_is_silent_for_a_day_is_trouble_and_not_before() {
        let place = tempfile::tempdir().expect("a directory");
        let directory = StateDirectory::at(Some(place.path()));
        assert!(ServerSide::look(&directory, at(0)).is_none());
        let name = "web-17".parse().expect("a name");
        let mut enrolment = Enrolment::new("https://s".to_owned(), name, "secret".to_owned());
        enrolment.enrolled_at = at(0);
        directory.enrol(&directory.lock().expect("free"), &enrolment).expect("written");
        let new = ServerSide::look(&directory, at(60)).expect("it is registered");
        assert_eq!(new.words(at(60)), "web-17 at https://s: the agent has not asked it yet");
        assert_eq!(new.trouble, []);
        let lock = directory.lock_agent().expect("free");
        let mut record = AgentRecord::default();
        record.heard_at = Some(at(100));
        record.unheard = Some("connection refused\u{1b}".to_owned());
        directory.write_agent_record(&lock, &record).expect("written");
        let now = at(100 + SILENCE_SECONDS);
        let silent = ServerSide::look(&directory, now).expect("it is registered");
        assert_eq!(silent.trouble, []);
        let words = silent.words(now);
        assert!(words.contains("refused\\u{1b}") && words.ends_with("and did 24 h ago"), "{words}");
        let trouble = ServerSide::look(&directory, at(101 + SILENCE_SECONDS)).expect("it is");
        assert!(trouble.trouble[0].0.contains("no order for 24 h"), "{:?}", trouble.trouble);
        assert!(!serde_json::to_string(&silent).expect("plain data").contains("secret"));
        std::fs::write(place.path().join("agent.json"), "{").expect("own file");
        let broken = ServerSide::look(&directory, at(60)).expect("it is registered");
        assert!(broken.trouble[0].0.contains("agent.json"), "{:?}", broken.trouble);
    }
}

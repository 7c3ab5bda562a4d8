//! What a bundle says of itself.

use std::collections::BTreeSet;

use elivepatch_model::{Sha256Digest, limits};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{FAULTS_BYTES, MOST_FIXES, UNPACKED_BYTES};

/// The name of the index.
pub(crate) const NAME: &str = "index.json";

/// The name of the records: one a line, as JSON.
pub(crate) const RECORDS: &str = "feed.jsonl";

/// The name of the list of faults.
pub(crate) const FAULTS: &str = "faults.json";

/// What the index says that it is.
pub(crate) const FORM: &str = "elivepatch-feed-bundle";

/// The version of the form: raised when a program that knows this one could not read it.
pub(crate) const VERSION: u32 = 1;

/// The first member of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// [`FORM`].
    pub(crate) form: String,
    /// [`VERSION`].
    pub(crate) version: u32,
    /// When it was written.
    pub exported_at: Timestamp,
    /// The program that wrote it.
    pub exported_by: String,
    /// What is known of the feed.
    pub feed: FeedHeader,
    /// All other members, in their order: the records, the faults, the fixes by their commits.
    pub members: Vec<Member>,
}

/// Where the feed came from when it was read, how old it is, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedHeader {
    /// Where it was read from.
    pub source: String,
    /// The commit that was read, of a repository.
    pub revision: Option<String>,
    /// The version of the parser that read it.
    pub parser: u32,
    /// How old its data is.
    pub data_at: Timestamp,
    /// When it was read.
    pub read_at: Timestamp,
    /// How many CVEs there are.
    pub published: u64,
    /// How many were rejected.
    pub rejected: u64,
    /// How many records could not be used.
    pub faulty: u64,
}

/// A member of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its size.
    pub size_bytes: u64,
    /// The digest of its bytes.
    pub sha256: Sha256Digest,
    /// Where a fix was had from, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// The name of a fix.
pub(crate) fn fix_name(commit: &str) -> String {
    format!("fixes/{commit}.patch")
}

/// The commit of a name that [`fix_name`] makes; `None` of any other.
pub(crate) fn commit_of(name: &str) -> Option<&str> {
    let commit = name.strip_prefix("fixes/")?.strip_suffix(".patch")?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (commit.len() == 40 && commit.bytes().all(is_digit)).then_some(commit)
}

impl Index {
    /// How many fixes there are.
    pub fn fixes(&self) -> usize {
        self.members.len().saturating_sub(2)
    }

    /// What is wrong with the list of members: it has exactly the names that there are, each once and in
    /// its place, and none that leads anywhere.
    pub(crate) fn problem(&self) -> Option<String> {
        let [records, faults, fixes @ ..] = &self.members[..] else {
            return Some("its index does not name records and faults".to_owned());
        };
        for (member, name) in [(records, RECORDS), (faults, FAULTS)] {
            if member.name != name {
                return Some(format!("its index has {:?} in the place of {name}", member.name));
            }
        }
        if faults.size_bytes > FAULTS_BYTES {
            return Some(format!("{FAULTS} has more than {FAULTS_BYTES} bytes"));
        }
        if fixes.len() > MOST_FIXES {
            return Some(format!("it has more than {MOST_FIXES} fixes"));
        }
        let mut seen = BTreeSet::new();
        for fix in fixes {
            if commit_of(&fix.name).is_none() {
                return Some(format!("{:?} is not the name of a fix", fix.name));
            }
            if fix.size_bytes > limits::PATCH_BYTES {
                return Some(format!("{} has more than {} bytes", fix.name, limits::PATCH_BYTES));
            }
            if !seen.insert(&fix.name) {
                return Some(format!("it has {} twice", fix.name));
            }
        }
        let sizes = self.members.iter().map(|member| member.size_bytes);
        let whole = sizes.fold(0_u64, u64::saturating_add);
        (whole > UNPACKED_BYTES)
            .then(|| format!("its members have more than {UNPACKED_BYTES} bytes together"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_fixes_lead_nowhere() {
        let commit = "00d60fd3b93219ea854220f0fd264b86398cbc53";
        assert_eq!(commit_of(&fix_name(commit)), Some(commit));
        for name in [
            "fixes/../../etc/passwd.patch",
            "/fixes/00d60fd3b93219ea854220f0fd264b86398cbc53.patch",
            "fixes/00D60FD3b93219ea854220f0fd264b86398cbc53.patch",
            "fixes/00d60fd3b932.patch",
            "fixes/00d60fd3b93219ea854220f0fd264b86398cbc53.patch/",
            "feed.jsonl",
            "",
        ] {
            assert_eq!(commit_of(name), None, "{name}");
        }
    }
}

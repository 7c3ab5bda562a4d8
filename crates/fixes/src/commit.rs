use std::{fmt, str::FromStr};

/// The hash of a commit: 40 hexadecimal digits in lower case. A shorter one may be that of two commits, and
/// git may take it for the name of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitHash(String);

/// A text that is no commit's hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no commit; one has 40 hexadecimal digits")]
pub struct CommitHashError(String);

impl CommitHash {
    /// The 40 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CommitHash {
    type Err = CommitHashError;

    fn from_str(text: &str) -> Result<Self, CommitHashError> {
        match text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(CommitHashError(text.chars().take(50).collect())),
        }
    }
}

impl fmt::Display for CommitHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_hashes_are_taken() {
        let hash = "00D60fd3b93219ea854220f0fd264b86398cbc53";
        assert_eq!(hash.parse::<CommitHash>().expect("a hash").as_str(), hash.to_ascii_lowercase());
        for text in ["", "master", "00d60fd3b932", "../d60fd3b93219ea854220f0fd264b86398cbc53", "é"]
        {
            assert!(text.parse::<CommitHash>().is_err(), "{text}");
        }
    }
}

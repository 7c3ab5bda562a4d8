use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{KernelRelease, limits};

/// A pattern for kernel releases as a shell has them: `*` stands for any characters, `?` for one.
/// `6.12.*-gentoo*` is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReleasePattern(String);

/// A text that is no pattern for kernel releases.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a pattern for kernel releases: letters, digits, . _ + ~ - and the wildcards * and ? \
     are allowed"
)]
pub struct ReleasePatternError(String);

impl ReleasePattern {
    /// Whether the release is one of those that the pattern means.
    pub fn matches(&self, release: &KernelRelease) -> bool {
        matches(self.0.as_bytes(), release.as_str().as_bytes())
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Compares with one place to go back to: the last `*` may always take one character more.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                retry = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((star, taken)) = retry else { return false };
                retry = Some((star, taken + 1));
                at = star + 1;
                seen = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl FromStr for ReleasePattern {
    type Err = ReleasePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._+~-*?".contains(c);
        if text.is_empty() || text.len() > limits::RELEASE_BYTES || !text.chars().all(allowed) {
            return Err(ReleasePatternError(text.chars().take(limits::RELEASE_BYTES).collect()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ReleasePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ReleasePattern {
    type Error = ReleasePatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ReleasePattern> for String {
    fn from(pattern: ReleasePattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_meant(pattern: &str, release: &str) -> bool {
        let pattern: ReleasePattern = pattern.parse().expect("a pattern");
        pattern.matches(&release.parse().expect("a release"))
    }

    #[test]
    fn wildcards_stand_for_what_a_shell_lets_them_stand_for() {
        assert!(is_meant("6.12.*-gentoo*", "6.12.31-gentoo-r1"));
        assert!(is_meant("*", "6.1.0"));
        assert!(is_meant("6.1.?", "6.1.7"));
        assert!(is_meant("*-a*-a", "6.1-a-a-a"));
        assert!(!is_meant("6.1.?", "6.1.76"));
        assert!(!is_meant("6.1.*", "6.12.1"));
        assert!(!is_meant("*-gentoo", "6.12.31-gentoo-r1"));
    }

    #[test]
    fn what_no_release_has_is_no_pattern() {
        for text in ["", "6.1/*", "6.[12]", "a\nb"] {
            assert!(text.parse::<ReleasePattern>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn release_matches_itself_and_what_it_begins_with(end in "[a-z0-9.+~_-]{0,40}", cut in 0..40usize) {
            let release = format!("6.1{end}");
            prop_assert!(release.parse::<KernelRelease>().is_err() || is_meant(&release, &release));
            let head = format!("{}*", &release[..cut.min(release.len())]);
            prop_assert!(release.parse::<KernelRelease>().is_err() || is_meant(&head, &release));
        }
    }
}

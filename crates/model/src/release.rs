use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::limits;

/// A kernel release as `uname -r` prints it, such as `6.1.0-50-cloud-amd64`.
///
/// It holds only characters that are safe in file and package names: it is used to look up both.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KernelRelease {
    text: String,
    version: (u32, u32, u32),
}

/// Why a text is not a kernel release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// The text is empty or longer than `utsname` can hold.
    #[error("a kernel release has 1 to {max} characters, this one has {0}", max = limits::RELEASE_BYTES)]
    Length(usize),
    /// The text has a character that no kernel release has.
    #[error(
        "kernel release \"{text}\" has the character {character:?}; letters, digits and . _ + ~ - are allowed"
    )]
    Character {
        /// The text as given, with control characters escaped.
        text: String,
        /// The first offending character.
        character: char,
    },
    /// The text does not begin with MAJOR.MINOR.
    #[error("kernel release \"{0}\" does not begin with a version such as 6.1 or 6.12.117")]
    Version(String),
}

impl KernelRelease {
    /// The release as `uname -r` prints it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Major, minor and patch number; a missing patch number counts as 0.
    pub fn version(&self) -> (u32, u32, u32) {
        self.version
    }

    /// `MAJOR.MINOR`, as in the names of source packages.
    pub fn series(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }

    /// The version as kernel.org names it in its files and tags: `6.1.176` of `6.1.176-custom`,
    /// `6.12` of `6.12.0`, `6.13-rc3` of `6.13.0-rc3`.
    pub fn upstream_version(&self) -> String {
        let (major, minor, patch) = self.version;
        if patch > 0 {
            return format!("{major}.{minor}.{patch}");
        }
        let candidate = self.suffix().strip_prefix("-rc").unwrap_or_default();
        let number: String = candidate.chars().take_while(char::is_ascii_digit).collect();
        let candidate = if number.is_empty() { number } else { format!("-rc{number}") };
        format!("{major}.{minor}{candidate}")
    }

    /// What follows the version numbers, such as `-50-cloud-amd64`; may be empty.
    pub fn suffix(&self) -> &str {
        let end = self
            .text
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .unwrap_or(self.text.len());
        &self.text[end..]
    }
}

impl FromStr for KernelRelease {
    type Err = ReleaseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() || text.len() > limits::RELEASE_BYTES {
            return Err(ReleaseError::Length(text.len()));
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || "._+~-".contains(*c);
        if let Some(character) = text.chars().find(|c| !allowed(c)) {
            let text = text.escape_debug().to_string();
            return Err(ReleaseError::Character { text, character });
        }
        let version =
            leading_version(text).ok_or_else(|| ReleaseError::Version(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), version })
    }
}

/// Reads `MAJOR.MINOR[.PATCH]` from the beginning of `text`.
fn leading_version(text: &str) -> Option<(u32, u32, u32)> {
    let end = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let mut numbers = text[..end].split('.').map(str::parse::<u32>);
    let major = numbers.next()?.ok()?;
    let minor = numbers.next()?.ok()?;
    let patch = match numbers.next() {
        Some(number) => number.ok()?,
        None => 0,
    };
    Some((major, minor, patch))
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for KernelRelease {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for KernelRelease {}

impl TryFrom<String> for KernelRelease {
    type Error = ReleaseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KernelRelease> for String {
    fn from(release: KernelRelease) -> Self {
        release.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stock_debian_release_has_series_and_suffix() {
        let release: KernelRelease = "6.1.0-50-cloud-amd64".parse().expect("a real release");
        assert_eq!(release.version(), (6, 1, 0));
        assert_eq!(release.series(), "6.1");
        assert_eq!(release.suffix(), "-50-cloud-amd64");
    }

    #[test]
    fn path_in_release_is_refused() {
        assert!(matches!(
            "6.1/../../etc".parse::<KernelRelease>(),
            Err(ReleaseError::Character { character: '/', .. })
        ));
    }

    #[test]
    fn release_without_minor_is_refused() {
        for text in ["6", "linux-6.1", "6.", ".1", "99999999999.1"] {
            assert_eq!(text.parse::<KernelRelease>(), Err(ReleaseError::Version(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_never_changed(text in ".{0,80}") {
            if let Ok(release) = text.parse::<KernelRelease>() {
                prop_assert_eq!(release.to_string(), text);
            }
        }
    }
}

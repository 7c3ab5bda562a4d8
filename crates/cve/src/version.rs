//! Versions of Linux and the branches that they belong to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A version of Linux: `6.1.176`, `4.20`, `6.13-rc5`, `2.6.32`, `2.6.32.70`. They compare as they count: a
/// release candidate comes before its version. Branches that run side by side compare by where they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LinuxVersion {
    branch: Branch,
    patch: u32,
    stage: Stage,
}

/// Whether a version is out; the order is that in which the stages follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stage {
    /// It is a release candidate, by its number.
    Candidate(u32),
    /// It is out.
    Released,
}

/// A mainline version with its candidates, and the stable versions that follow it: `6.1` and `6.1.y`, `2.6.32`
/// and `2.6.32.y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Branch {
    major: u32,
    minor: u32,
    /// The third number of 2.6's mainline versions; 0 since Linux 3.0.
    micro: u32,
}

/// A text that is no version of Linux.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no version of Linux; one is 6.1.176")]
pub struct VersionError(String);

impl LinuxVersion {
    /// The branch that it belongs to.
    pub fn branch(&self) -> Branch {
        self.branch
    }

    /// Whether it is one of Linus' own, from which a branch begins, or a candidate of it.
    pub fn is_mainline(&self) -> bool {
        self.patch == 0
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, micro } = self;
        match *major {
            ..=2 => write!(formatter, "{major}.{minor}.{micro}"),
            _ => write!(formatter, "{major}.{minor}"),
        }
    }
}

impl fmt::Display for LinuxVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patch {
            0 => self.branch.fmt(formatter),
            patch => write!(formatter, "{}.{patch}", self.branch),
        }?;
        match self.stage {
            Stage::Candidate(number) => write!(formatter, "-rc{number}"),
            Stage::Released => Ok(()),
        }
    }
}

impl FromStr for LinuxVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.chars().take(40).collect());
        let number = |part: &str| {
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            if digits { part.parse::<u32>().map_err(|_| error()) } else { Err(error()) }
        };
        let (numbers, stage) = match text.split_once("-rc") {
            Some((numbers, candidate)) => (numbers, Stage::Candidate(number(candidate)?)),
            None => (text, Stage::Released),
        };
        let parts: Vec<u32> = numbers.split('.').map(number).collect::<Result<_, _>>()?;
        // Before Linux 3.0 a mainline version has three numbers.
        let (branch, patch) = match parts[..] {
            [major, minor] => (Branch { major, minor, micro: 0 }, 0),
            [major, minor, patch] if major >= 3 => (Branch { major, minor, micro: 0 }, patch),
            [major, minor, micro] => (Branch { major, minor, micro }, 0),
            [major, minor, micro, patch] if major < 3 => (Branch { major, minor, micro }, patch),
            _ => return Err(error()),
        };
        Ok(Self { branch, patch, stage })
    }
}

impl TryFrom<String> for LinuxVersion {
    type Error = VersionError;

    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<LinuxVersion> for String {
    fn from(version: LinuxVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> LinuxVersion {
        text.parse().expect("a version")
    }

    #[test]
    fn versions_belong_to_branches_and_three_parts_of_2_6_are_mainline() {
        for (text, branch, is_mainline) in [
            ("6.1.176", "6.1", false),
            ("6.1", "6.1", true),
            ("4.20", "4.20", true),
            ("2.6.32", "2.6.32", true),
            ("2.6.32.70", "2.6.32", false),
            ("2.6.12", "2.6.12", true),
            ("6.13-rc5", "6.13", true),
            ("2.6.12-rc2", "2.6.12", true),
        ] {
            assert_eq!(version(text).branch().to_string(), branch, "{text}");
            assert_eq!(version(text).is_mainline(), is_mainline, "{text}");
            assert_eq!(version(text).to_string(), text);
        }
        assert_eq!(version("6.1.0"), version("6.1"));
        assert_eq!(version("6.13.0-rc3"), version("6.13-rc3"));
    }

    #[test]
    fn versions_compare_by_number_and_not_by_text() {
        let sorted = [
            "2.6.9",
            "2.6.12-rc2",
            "2.6.12",
            "2.6.32",
            "2.6.32.70",
            "3.0",
            "4.9",
            "4.10",
            "5.10.219",
            "6.1",
            "6.12.50",
            "6.13-rc5",
            "6.13-rc10",
            "6.13",
            "6.13.1",
        ];
        for pair in sorted.windows(2) {
            assert!(version(pair[0]) < version(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            "6",
            "6.1.",
            "6.x",
            "6.1.1.1",
            "v6.1",
            "6.1-rc",
            "6.1-rc3x",
            "6.1-rc3-rc4",
            "6.1-3",
            "6.1.99999999999",
            "6.+1",
        ] {
            assert!(text.parse::<LinuxVersion>().is_err(), "{text}");
        }
    }
}

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The name of a CVE, such as `CVE-2026-63824`. They sort by year and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CveId {
    year: u16,
    number: u32,
    /// Leading zeros make another name.
    digits: u8,
}

/// A text that is no CVE's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no CVE's name; one is CVE-2026-63824")]
pub struct CveIdError(String);

impl CveId {
    /// The year in the name.
    pub fn year(&self) -> u16 {
        self.year
    }

    /// The number in the name.
    pub fn number(&self) -> u32 {
        self.number
    }
}

impl FromStr for CveId {
    type Err = CveIdError;

    fn from_str(text: &str) -> Result<Self, CveIdError> {
        let parse = || {
            let (year, number) = text.strip_prefix("CVE-")?.split_once('-')?;
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let is_form = year.len() == 4 && (4..=9).contains(&number.len());
            if !is_form || !digits(year) || !digits(number) {
                return None;
            }
            let digits = u8::try_from(number.len()).ok()?;
            Some(Self { year: year.parse().ok()?, number: number.parse().ok()?, digits })
        };
        parse().ok_or_else(|| CveIdError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for CveId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, number, digits } = self;
        write!(formatter, "CVE-{year}-{number:0width$}", width = usize::from(*digits))
    }
}

impl TryFrom<String> for CveId {
    type Error = CveIdError;

    fn try_from(text: String) -> Result<Self, CveIdError> {
        text.parse()
    }
}

impl From<CveId> for String {
    fn from(id: CveId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_alike_and_sort_by_number() {
        for name in ["CVE-2026-63824", "CVE-2019-0012", "CVE-2024-1234567"] {
            assert_eq!(name.parse::<CveId>().expect("a name").to_string(), name);
        }
        let id = |name: &str| name.parse::<CveId>().expect("a name");
        assert!(id("CVE-2024-9999") < id("CVE-2024-10000"));
        assert!(id("CVE-2023-99999") < id("CVE-2024-1000"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in [
            "",
            "CVE-2026",
            "cve-2026-1234",
            "CVE-2026-12a4",
            "CVE-26-1234",
            "CVE-2026-123",
            "CVE-2026-1234567890",
            "CVE-2026-63824.json",
            "CVE-2026-+123",
            "../CVE-2026-1234",
        ] {
            assert!(text.parse::<CveId>().is_err(), "{text}");
        }
    }
}

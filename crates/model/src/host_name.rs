use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name of a host and the longest tag, in bytes: 253 is the limit of a name in DNS, whose
/// labels have 63.
const LONGEST: usize = 253;

/// The name under which a host is registered on its server, such as `web-17.example.org`: letters, digits,
/// dots, hyphens and underscores, beginning with a letter or digit. It names the host in addresses and on
/// command lines.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// A word by which hosts are taken together, such as `web` or `site:vienna`: the same characters, and
/// colons.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

/// A text that is no name of a host, or no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no {what}: letters, digits, {marks}, beginning with a letter or digit, 253 at most"
)]
pub struct NameError {
    text: String,
    what: &'static str,
    marks: &'static str,
}

fn check(
    text: &str,
    what: &'static str,
    marks: &'static str,
    more: &[u8],
) -> Result<(), NameError> {
    let fits = (1..=LONGEST).contains(&text.len())
        && text.as_bytes()[0].is_ascii_alphanumeric()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte));
    match fits {
        true => Ok(()),
        false => Err(NameError { text: text.chars().take(80).collect(), what, marks }),
    }
}

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text, "name of a host", "dots, hyphens and underscores", b".-_")?;
        Ok(Self(text.to_owned()))
    }
}

impl FromStr for Tag {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text, "tag", "dots, hyphens, underscores and colons", b".-_:")?;
        Ok(Self(text.to_owned()))
    }
}

macro_rules! text_of {
    ($type:ty) => {
        impl $type {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
    };
}

text_of!(HostName);
text_of!(Tag);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_addresses_and_on_command_lines() {
        for good in ["web-17.example.org", "a", "7", "Under_score"] {
            good.parse::<HostName>().expect(good);
        }
        for bad in ["", "-rf", ".", "..", "a/b", "a b", "ä", "site:vienna", &"a".repeat(254)] {
            bad.parse::<HostName>().expect_err(bad);
        }
        "site:vienna".parse::<Tag>().expect("a tag");
        ":site".parse::<Tag>().expect_err("no tag");
        let error = "a/b".parse::<HostName>().expect_err("no name").to_string();
        assert!(error.starts_with("\"a/b\" is no name of a host: letters"), "{error}");
    }
}

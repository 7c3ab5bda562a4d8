use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{HostName, Tag};

/// Which hosts something is for. What is said to one host goes before what is said to a tag of it, and that
/// before what is said to all: the order of this type.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Whom {
    /// One.
    Host(HostName),
    /// All that have a tag, whenever they get it.
    Tag(Tag),
    /// All.
    All,
}

impl fmt::Display for Whom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => write!(formatter, "the host {name}"),
            Self::Tag(tag) => write!(formatter, "all hosts with the tag {tag}"),
            Self::All => formatter.write_str("all hosts"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_order_is_that_of_precedence_and_its_form_says_what_is_meant() {
        let host = Whom::Host("zeta".parse().expect("a name"));
        let tag = Whom::Tag("alpha".parse().expect("a tag"));
        assert!(host < tag && tag < Whom::All);
        let json = |whom: &Whom| serde_json::to_string(whom).expect("plain data");
        assert_eq!(json(&host), r#"{"host":"zeta"}"#);
        assert_eq!(json(&tag), r#"{"tag":"alpha"}"#);
        assert_eq!(json(&Whom::All), r#""all""#);
        serde_json::from_str::<Whom>(r#"{"host":"a/b"}"#).expect_err("no name");
    }
}

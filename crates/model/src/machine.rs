use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ElfBuildId;

/// What a client says of the machine beside what identifies its kernel: for people, for the
/// manifest, and for what is to load the livepatch.
///
/// Fields that this version does not know are ignored, other than those of
/// [`crate::TargetFacts`]: a newer client may know more, and nothing here decides about a result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MachineFacts {
    /// The distribution, from `/etc/os-release`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
    /// The names of the loaded modules, sorted; absent when they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loaded_modules: Option<Vec<String>>,
    /// The livepatches that are loaded, sorted by name; absent when they could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub livepatches: Option<Vec<LoadedLivepatch>>,
    /// How far the kernel protects itself from root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockdown: Option<Lockdown>,
    /// Whether the kernel loads only modules with a signature that it trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_signatures_enforced: Option<bool>,
    /// Whether the running kernel takes livepatches at all: it has `/sys/kernel/livepatch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub livepatch_possible: Option<bool>,
}

/// A livepatch that is loaded, from `/sys/kernel/livepatch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoadedLivepatch {
    /// The name of its module.
    pub name: String,
    /// The build-id of its module, from `/sys/module/NAME/notes`: this identifies it, for a name can be
    /// had again. Absent when the module has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<ElfBuildId>,
    /// Whether all tasks run its functions: it is enabled, and its transition is over.
    pub active: bool,
}

/// A distribution, as os-release(5) names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Distribution {
    /// `ID`: lower case, such as `debian` or `gentoo`.
    pub id: String,
    /// `VERSION_ID`, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// `PRETTY_NAME`, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The states of kernel_lockdown(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Lockdown {
    /// Off.
    None,
    /// Root cannot change the running kernel; modules need signatures.
    Integrity,
    /// Nor read its secrets.
    Confidentiality,
}

/// A word that is no state of lockdown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no state of lockdown")]
pub struct LockdownError(String);

impl Lockdown {
    /// The kernel's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Integrity => "integrity",
            Self::Confidentiality => "confidentiality",
        }
    }
}

impl FromStr for Lockdown {
    type Err = LockdownError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::None, Self::Integrity, Self::Confidentiality]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| LockdownError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Lockdown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_a_newer_client_are_ignored_and_a_faulty_one_is_not() {
        let newer = r#"{"loaded_modules":["ext4"],"microcode":"0x2b","lockdown":"integrity"}"#;
        let facts: MachineFacts = serde_json::from_str(newer).expect("readable");
        assert_eq!(facts.lockdown, Some(Lockdown::Integrity));
        assert_eq!(facts.loaded_modules, Some(vec!["ext4".to_owned()]));
        serde_json::from_str::<MachineFacts>(r#"{"lockdown":"total"}"#).expect_err("no state");
        assert_eq!(serde_json::to_string(&MachineFacts::default()).expect("plain data"), "{}");
    }
}

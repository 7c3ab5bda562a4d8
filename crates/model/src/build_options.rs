use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{AdaptationKind, Engine, Sha256Digest};

/// How a livepatch is to be made, where the server should not decide for itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BuildOptions {
    /// The adaptations that are switched off: what would need one is refused, or built as it is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<AdaptationKind>,
    /// The engine to use; absent: the server decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Engine>,
    /// Take the livepatch also when it is not proven that the base fits the target. The server's
    /// policy must allow it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_unproven: bool,
    /// End before the trial and publish nothing: it is only to be seen whether the fixes can be a
    /// livepatch. The server orders that for itself; requests must not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// The module of the livepatch that is active on the target's machines, made by an earlier build
    /// for the same release: the trial also tries that the new livepatch replaces it. For CVE runs
    /// the server names it for itself; their requests must not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Sha256Digest>,
    /// Load beside the livepatches that are active on the target's machines, and replace none of them.
    /// What hosts are assigned replaces all others, so such a livepatch is not for them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stack: bool,
}

impl BuildOptions {
    /// Whether everything is left to the server.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_to_the_server_is_not_on_the_wire() {
        let options = BuildOptions::default();
        assert!(options.is_default());
        assert_eq!(serde_json::to_string(&options).expect("plain data"), "{}");
        assert_eq!(serde_json::from_str::<BuildOptions>("{}").expect("options"), options);
        let options = BuildOptions {
            without: [AdaptationKind::RemovedFile, AdaptationKind::LineNumbers].into(),
            engine: Some(Engine::KlpBuild),
            accept_unproven: true,
            ..BuildOptions::default()
        };
        assert_eq!(
            serde_json::to_string(&options).expect("plain data"),
            r#"{"without":["line-numbers","removed-file"],"engine":"klp-build","accept_unproven":true}"#
        );
    }

    #[test]
    fn misspelt_option_is_refused() {
        serde_json::from_str::<BuildOptions>(r#"{"with-out":[]}"#).expect_err("no such option");
        serde_json::from_str::<BuildOptions>(r#"{"without":["all"]}"#).expect_err("no such kind");
    }
}

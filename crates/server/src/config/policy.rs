use serde::Deserialize;

/// What requests may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySection {
    /// Whether a request may ask for a livepatch without proof that the base fits the target.
    pub allow_unproven: bool,
}

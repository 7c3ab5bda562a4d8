use serde::Deserialize;

/// What is served for programs of the first elivepatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompatSection {
    /// Whether the REST API v1.0 is answered; absent: where requests need no token.
    pub v1: Option<bool>,
}

/// The section of the config about the first elivepatch.
pub(super) const COMPAT: &str = r##"[compat]
# Whether the REST API v1.0 of the first elivepatch is answered, for its Python client. That client has no
# token, so where it is on, everybody who reaches the server may order builds by it, and fetch the livepatch of
# a session whose UUID he knows; nothing else. Without the key it is on where requests need no token (see
# [access]), and off on an address that other machines reach.
#v1 = true

"##;

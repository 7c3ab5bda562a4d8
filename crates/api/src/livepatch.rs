use elivepatch_model::{BuildNumber, Manifest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A livepatch that a build of this server made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LivepatchResource {
    /// The build.
    pub build: BuildNumber,
    /// What is in the livepatch.
    pub manifest: Manifest,
}

use serde::{Deserialize, Serialize};

use crate::{Adaptation, Engine, FitRecord, PatchedFunction};

/// What a probe found: a build that ends before its trial, and of which nothing is published. It says
/// that the fixes can be a livepatch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProbeRecord {
    /// What would make the livepatch.
    pub engine: Engine,
    /// The functions that it would replace.
    pub functions: Vec<PatchedFunction>,
    /// How the patches were adapted.
    #[serde(default)]
    pub adaptations: Vec<Adaptation>,
    /// What was proven of the base.
    pub fit: FitRecord,
}

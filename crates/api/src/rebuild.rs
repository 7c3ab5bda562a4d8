use elivepatch_model::{BuildKey, Fix, Manifest, RebuildOf, RequestRecord};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The JSON part `request` of a rebuild: what a manifest says of the request that its livepatch was
/// built for, and of what it was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RebuildRequest {
    /// The key of the build: it must be that of the request below, and names the module.
    pub build_key: BuildKey,
    /// The fixes in their order.
    pub fixes: Vec<Fix>,
    /// The request as it was sent.
    pub request: RequestRecord,
    /// The livepatch that is to come out.
    pub rebuild: RebuildOf,
}

impl RebuildRequest {
    /// The request that makes the livepatch of a manifest again; `None` when the manifest is of
    /// version 1, which does not hold the request.
    pub fn of(manifest: &Manifest, anyway: bool) -> Option<Self> {
        Some(Self {
            build_key: manifest.build_key,
            fixes: manifest.fixes.clone(),
            request: manifest.request.clone()?,
            rebuild: RebuildOf::of(manifest, anyway),
        })
    }
}

/// The multipart form of a rebuild, as OpenAPI documents it. The parts come in this order.
#[derive(Debug, ToSchema)]
pub struct RebuildParts {
    /// [`RebuildRequest`] as JSON.
    pub request: RebuildRequest,
    /// The target's kernel config, when the server may not have it any more.
    #[schema(value_type = Option<String>, format = Binary)]
    pub config: Option<Vec<u8>>,
    /// The running kernel's symbols, compressed with gzip, when the server may not have them any
    /// more.
    #[schema(value_type = Option<String>, format = Binary)]
    pub kallsyms: Option<Vec<u8>>,
    /// Patches that are compiled into the running kernel, as `patch`.
    #[schema(value_type = Vec<String>, format = Binary)]
    pub baseline: Vec<Vec<u8>>,
    /// Patches that the server may not have any more, in any order; their digests tell which they
    /// are.
    #[schema(value_type = Vec<String>, format = Binary)]
    pub patch: Vec<Vec<u8>>,
}

//! The REST API v1.0 of the first elivepatch (Gentoo, 2017), as its Python client speaks it. New programs use v2.

use serde::{Deserialize, Serialize};

use crate::ApiError;

/// All paths of it are below this one.
pub const ROOT: &str = "/elivepatch/api/";
/// `GET`: what answers here.
pub const AGENT: &str = "/elivepatch/api/v1.0/agent";
/// `POST` sends config and patches, and is answered when the build has ended.
pub const GET_FILES: &str = "/elivepatch/api/v1.0/get_files";
/// `GET` with a [`LivepatchQuery`] as its body: the module of a session.
pub const SEND_LIVEPATCH: &str = "/elivepatch/api/v1.0/send_livepatch";

/// The header with the kernel's version, such as `5.1.6` or `6.1.176-gentoo-r1`.
pub const KERNEL_VERSION: &str = "kernelversion";
/// The header with what the client calls its session: a random UUID.
pub const UUID: &str = "uuid";

/// What answers here: always the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentList {
    /// One entry.
    pub agent: Vec<Agent>,
}

/// What answers here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// `elivepatch`.
    pub module: String,
    /// `0.01`, the version that the first elivepatch gave.
    pub version: String,
}

impl AgentList {
    /// The answer of the first elivepatch.
    pub fn of_the_first_elivepatch() -> Self {
        Self { agent: vec![Agent { module: "elivepatch".to_owned(), version: "0.01".to_owned() }] }
    }
}

/// The build of a session has a livepatch, or the session was seen before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetFilesAnswer {
    /// The session.
    pub get_config: SessionEcho,
    /// A note, on a session that was seen before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// What the first elivepatch repeated of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEcho {
    /// Always `null`, as it was.
    #[serde(rename = "KernelVersion")]
    pub kernel_version: Option<String>,
    /// The session.
    #[serde(rename = "UUID")]
    pub uuid: String,
}

/// Whose module is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivepatchQuery {
    /// The kernel's version; it decides nothing.
    #[serde(rename = "KernelVersion", default)]
    pub kernel_version: Option<String>,
    /// The session.
    #[serde(rename = "UUID", default)]
    pub uuid: Option<String>,
}

/// Every answer that is not a success: what old clients look at, and beside it the error in the form of v2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct V1ErrorBody {
    /// What went wrong.
    pub message: String,
    /// The same, with a code and a hint.
    pub error: ApiError,
}

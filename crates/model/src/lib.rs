//! The words of elivepatch as types: targets, configs, fixes, builds, failures and manifests.
//!
//! Nothing in this crate does I/O. Every other crate speaks in these types, so that a term means
//! one thing in the builder, in the store, on the wire and on the terminal.

mod access_token;
mod adaptation;
mod architecture;
mod build;
mod build_key;
mod build_number;
mod build_options;
mod builder_identity;
mod built_files;
mod clamp;
mod config;
mod digest;
mod engine;
mod engine_support;
mod failure;
mod failure_class;
mod fit;
mod fix;
mod host_name;
mod kallsyms;
mod kpatch_support;
pub mod limits;
mod machine;
mod manifest;
mod module_signature;
mod probe;
mod rebuild;
mod release;
mod release_pattern;
mod role;
mod run_number;
mod run_state;
mod session_id;
mod source_record;
mod source_template;
mod target;
mod target_form;
mod told;
mod whom;

pub use access_token::{AccessToken, AccessTokenError, TokenId, TokenIdError};
pub use adaptation::{Adaptation, AdaptationKind, AdaptationKindError};
pub use architecture::{Architecture, UnknownArchitecture};
pub use build::{BuildEvent, BuildState, Step, StepName, StepState};
pub use build_key::{BuildKey, BuildKeyInput};
pub use build_number::BuildNumber;
pub use build_options::BuildOptions;
pub use builder_identity::{
    BuilderIdentity, BuilderStamp, NamedIdentity, SourceIdentity, SymbolUse,
};
pub use built_files::{BuiltFiles, LeftOut};
pub use clamp::clamp_line;
pub use config::{ConfigDifference, ConfigError, ConfigValue, KernelConfig};
pub use digest::{DigestError, Sha256Digest};
pub use engine::{Engine, EngineError};
pub use engine_support::{config_refusals, engine_refusals};
pub use failure::Failure;
pub use failure_class::{FailureClass, Fault};
pub use fit::{BuildIdFit, CodeFitRecord, FitRecord, ObjectFitRecord, SymbolFitRecord};
pub use fix::{BehaviourCheck, Fix, PatchRecord};
pub use host_name::{HostName, NameError, Tag};
pub use kallsyms::{Kallsyms, KallsymsError, KallsymsLine};
pub use kpatch_support::ConfigRefusal;
pub use machine::{Distribution, LoadedLivepatch, Lockdown, LockdownError, MachineFacts};
pub use manifest::{
    BaseKind, BranchAudit, CheckEvidence, Manifest, ModuleRecord, PatchedFunction,
    ReplacedLivepatch, RequestRecord, SignatureTrial, ToolchainRecord, TrialEvidence,
};
pub use module_signature::{ModuleHash, ModuleSignature};
pub use probe::ProbeRecord;
pub use rebuild::{Difference, RebuildOf, manifest_differences};
pub use release::{KernelRelease, ReleaseError};
pub use release_pattern::{ReleasePattern, ReleasePatternError};
pub use role::{Role, RoleError};
pub use run_number::RunNumber;
pub use run_state::RunState;
pub use session_id::{SessionId, SessionIdError};
pub use source_record::{GitRecord, PackageRecord, SourceRecord};
pub use source_template::{SourceTemplate, SourceTemplateError};
pub use target::{BuildIdError, ElfBuildId, TargetFacts, debian_package_version};
pub use target_form::TargetFormError;
pub use told::{printable, printable_lines, with_causes};
pub use whom::Whom;

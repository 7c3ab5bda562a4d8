use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Adaptation, Architecture, BehaviourCheck, BuildKey, BuildOptions, ElfBuildId, Engine,
    FitRecord, Fix, KernelRelease, ModuleSignature, PatchRecord, Sha256Digest, SourceRecord, Step,
    TargetFacts,
};

/// What is inside a livepatch, what it was built from and by what, and how it was tried.
///
/// Its JSON form is the file that the client stores beside the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Manifest {
    /// The version of this format: 2.
    pub manifest_version: u32,
    /// The build's key.
    pub build_key: BuildKey,
    /// When the livepatch was built.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub built_at: Timestamp,
    /// The target's release.
    pub release: KernelRelease,
    /// The target's architecture.
    pub architecture: Architecture,
    /// The build-id of the vmlinux that the livepatch was made for. Of a built base it is that of the
    /// server's own vmlinux; [`Manifest::fit`] says what proves that the target's is equal.
    pub build_id: ElfBuildId,
    /// The digest of the target's config ([`crate::KernelConfig::digest`]).
    pub config: Sha256Digest,
    /// The fixes in the livepatch, in the order they were applied.
    pub fixes: Vec<Fix>,
    /// How the patches were adapted so that a livepatch could be made of them.
    #[serde(default)]
    pub adaptations: Vec<Adaptation>,
    /// What was compiled.
    pub source: SourceRecord,
    /// What compiled it.
    pub toolchain: ToolchainRecord,
    /// How the base came to be.
    #[serde(default)]
    pub base: BaseKind,
    /// What made the livepatch of it.
    pub engine: Engine,
    /// The functions that the livepatch replaces.
    pub functions: Vec<PatchedFunction>,
    /// The module file.
    pub module: ModuleRecord,
    /// The steps with their times; the publishing itself is not among them.
    pub steps: Vec<Step>,
    /// What the trial saw.
    pub trial: TrialEvidence,
    /// What was proven of the base; absent in older manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fit: Option<FitRecord>,
    /// What was looked at of indirect branches; absent for kernels without `CONFIG_X86_KERNEL_IBT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_audit: Option<BranchAudit>,
    /// The version of elivepatch that built it.
    pub builder_version: String,
    /// Everything of the builder that decides what it makes of a request: its version, engines and
    /// recipes. Empty in manifests of version 1.
    #[serde(default)]
    pub builder: String,
    /// The request as it was sent, for a rebuild; absent in manifests of version 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestRecord>,
}

/// What was asked for, beside the fixes. With the texts of config and patches it is all that a
/// rebuild needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RequestRecord {
    /// The kernel to be patched, as the client told.
    pub target: TargetFacts,
    /// The digest of the config file as it was sent; [`Manifest::config`] is that of its meaning.
    pub config_text: Sha256Digest,
    /// The digest of the running kernel's symbols ([`crate::Kallsyms`]), when they were used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kallsyms: Option<Sha256Digest>,
    /// The patches that are compiled into the running kernel, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baseline: Vec<PatchRecord>,
    /// What the trial had to see.
    pub checks: Vec<BehaviourCheck>,
    /// How the livepatch was to be made.
    #[serde(default)]
    pub options: BuildOptions,
}

/// What was looked at of indirect branches in a livepatch for a kernel with indirect branch tracking
/// (IBT). It is not tried: emulation does not enforce it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BranchAudit {
    /// Functions of the module whose address something takes; all of them begin with ENDBR64.
    pub functions_checked: u64,
    /// What was looked at and what was not, for people.
    pub note: String,
}

/// How the base came to be that the livepatch was compiled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BaseKind {
    /// From the packages of a stock kernel: its own vmlinux was at hand.
    #[default]
    Prepared,
    /// The whole kernel was built from a config and a source tree.
    Built,
}

/// The toolchain root that was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolchainRecord {
    /// Its name, such as `debian-12-gcc-12`.
    pub name: String,
    /// The digest of its package list.
    pub digest: Sha256Digest,
    /// The version line of its compiler.
    pub compiler: String,
}

/// One function that a livepatch replaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PatchedFunction {
    /// `vmlinux` or a module's name.
    pub object: String,
    /// The function's name.
    pub name: String,
    /// Which of several functions of that name in the object, from 1; 0 when kpatch needed no
    /// number to tell it.
    #[serde(default)]
    pub position: u64,
}

/// The finished module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModuleRecord {
    /// The module's name, as `lsmod` shows it.
    pub name: String,
    /// The file name to store it under.
    pub file_name: String,
    /// The digest of the file.
    pub digest: Sha256Digest,
    /// The size of the file, in bytes.
    pub size_bytes: u64,
    /// Its vermagic.
    pub vermagic: String,
    /// The module's own build-id, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<ElfBuildId>,
    /// Who has signed it; absent: nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ModuleSignature>,
}

impl ModuleRecord {
    /// The digest of the module without a signature.
    pub fn unsigned(&self) -> Sha256Digest {
        self.signature.as_ref().map_or(self.digest, |signature| signature.unsigned)
    }
}

/// What a trial showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TrialEvidence {
    /// The release that the guest's own kernel reported.
    pub guest_release: KernelRelease,
    /// The digest of the kernel image that was booted.
    pub kernel_image: Sha256Digest,
    /// `kvm` or `tcg` (software emulation).
    pub accelerator: String,
    /// From start to power-off, in seconds.
    pub duration_seconds: f64,
    /// The modules that were loaded before the livepatch because it patches them, sorted.
    #[serde(default)]
    pub modules_loaded: Vec<String>,
    /// The modules that were loaded after the livepatch as well, which patched them as they came,
    /// sorted.
    #[serde(default)]
    pub modules_late: Vec<String>,
    /// The patched modules that the guest could not load, each with the reason: the livepatch was
    /// tried without them.
    #[serde(default)]
    pub modules_absent: Vec<String>,
    /// How long the transition took in the guest, in seconds.
    pub transition_seconds: f64,
    /// The earlier livepatch that it replaced in the trial, when one was active on the target's
    /// machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<ReplacedLivepatch>,
    /// What the guest's kernel made of the module's signature; absent when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureTrial>,
    /// The checks of the request with what they saw.
    pub checks: Vec<CheckEvidence>,
    /// Lines of the console that were looked at and found harmless or expected (module taint).
    pub console_notes: Vec<String>,
}

/// What a trial showed of the module's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum SignatureTrial {
    /// The kernel trusts the key. While it took only modules with a signature that it trusts, it took this one, and
    /// neither the same without its signature nor the same with a byte changed.
    Enforced,
    /// The kernel does not have the key, as a stock one has none but its distribution's: the module was tried as one
    /// without a signature.
    NotTrusted,
    /// The kernel does not look at signatures, or it could not be seen what it makes of this one.
    NotChecked,
}

/// An earlier livepatch that was active, and was replaced and unloaded, in a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReplacedLivepatch {
    /// Its module's name, as `lsmod` shows it.
    pub name: String,
    /// The digest of its module file.
    pub digest: Sha256Digest,
    /// How long the transition from it to the new one took in the guest, in seconds.
    pub transition_seconds: f64,
    /// How often it was looked meanwhile whether one of the two is enabled: one was, each time.
    pub looks: u64,
}

/// One behaviour check with its three outputs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckEvidence {
    /// The check.
    pub check: BehaviourCheck,
    /// What the command printed before loading.
    pub output_before: String,
    /// What it printed while the livepatch was active.
    pub output_after: String,
    /// What it printed after unloading.
    pub output_reverted: String,
}

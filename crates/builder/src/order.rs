use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use elivepatch_model::{
    AdaptationKind, BehaviourCheck, BuildKey, BuildOptions, Engine, Fix, Manifest, RebuildOf,
    RequestRecord, Sha256Digest, TargetFacts,
};

/// One build to be done.
#[derive(Debug, Clone)]
pub struct BuildOrder {
    /// The build's key, for the manifest and the module's name.
    pub key: BuildKey,
    /// The kernel to be patched.
    pub target: TargetFacts,
    /// The text of the target's config.
    pub config: Vec<u8>,
    /// The fixes with their texts, in the order in which they are applied.
    pub fixes: Vec<FixText>,
    /// What the trial must see.
    pub checks: Vec<BehaviourCheck>,
    /// The adaptations that are switched off.
    pub without: BTreeSet<AdaptationKind>,
    /// The engine to use; absent: the builder chooses.
    pub engine: Option<Engine>,
    /// The livepatch that is to be made again.
    pub rebuild: Option<RebuildOf>,
    /// The text of the target's `/proc/kallsyms`: proves that a kernel that was built here is the
    /// target's. Untrusted, like all that a client sends.
    pub kallsyms: Option<Vec<u8>>,
    /// Whether the livepatch is to be made without a proof that the base is the target's kernel; it
    /// counts only where [`crate::BuilderOptions::allow_unproven`] does.
    pub accept_unproven: bool,
}

/// Whether builds are accepted unproven for which nobody was asked: what
/// [`BuildOrder::accept_unproven`] and [`crate::BuilderOptions::allow_unproven`] are while requests
/// cannot say it. To be `false`, and gone, once they can.
pub const ACCEPT_UNPROVEN_UNASKED: bool = true;

impl BuildOrder {
    /// The order as the manifest holds it, so that the livepatch can be built again.
    pub(crate) fn record(&self) -> RequestRecord {
        RequestRecord {
            target: self.target.clone(),
            config_text: Sha256Digest::of(&self.config),
            checks: self.checks.clone(),
            options: BuildOptions { without: self.without.clone(), engine: self.engine },
        }
    }
}

/// A fix with the text of its patch.
#[derive(Debug, Clone)]
pub struct FixText {
    /// The fix.
    pub fix: Fix,
    /// The patch as it was sent.
    pub text: Vec<u8>,
}

/// What a successful build leaves.
#[derive(Debug)]
pub struct FinishedBuild {
    /// The manifest, complete.
    pub manifest: Manifest,
    /// The module file; it lies in the work directory that the caller gave.
    pub module: Utf8PathBuf,
}

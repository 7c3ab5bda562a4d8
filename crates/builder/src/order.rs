use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use elivepatch_model::{AdaptationKind, BehaviourCheck, BuildKey, Fix, Manifest, TargetFacts};

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

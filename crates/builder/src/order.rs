use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use elivepatch_model::{
    AdaptationKind, BehaviourCheck, BuildKey, BuildOptions, Engine, Fix, Manifest, RebuildOf,
    RequestRecord, Sha256Digest, TargetFacts,
};

use crate::BaselinePatch;

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
    /// Whether the livepatch is wanted without proof that the base fits the target, too. The policy
    /// ([`crate::BuilderOptions::allow_unproven`]) must allow it.
    pub accept_unproven: bool,
    /// The livepatch that is active on the target's machines.
    pub replaces: Option<EarlierModule>,
    /// Whether the livepatch leaves those that are active beside it.
    pub stack: bool,
    /// The symbols of the running kernel in their normal form ([`elivepatch_model::Kallsyms`]).
    pub kallsyms: Option<Vec<u8>>,
    /// The patches that are compiled into the running kernel, in the order in which they were
    /// applied.
    pub baseline: Vec<BaselinePatch>,
}

impl BuildOrder {
    /// The order as the manifest holds it, so that the livepatch can be built again.
    pub(crate) fn record(&self) -> RequestRecord {
        RequestRecord {
            target: self.target.clone(),
            config_text: Sha256Digest::of(&self.config),
            kallsyms: self.kallsyms.as_deref().map(Sha256Digest::of),
            baseline: self.baseline.iter().map(BaselinePatch::record).collect(),
            checks: self.checks.clone(),
            options: BuildOptions {
                without: self.without.clone(),
                engine: self.engine,
                accept_unproven: self.accept_unproven,
                probe: false,
                replaces: self.replaces.as_ref().map(|earlier| earlier.digest),
                stack: self.stack,
            },
        }
    }
}

/// The module of an earlier livepatch, which the new one is to replace in its trial.
#[derive(Debug, Clone)]
pub struct EarlierModule {
    /// Its digest.
    pub digest: Sha256Digest,
    /// Its bytes; absent when they are not to be had any more.
    pub module: Option<Vec<u8>>,
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

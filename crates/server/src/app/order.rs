use elivepatch_api::BuildSubmission;
use elivepatch_model::{
    BehaviourCheck, BuildKey, BuildKeyInput, BuildOptions, Fix, PatchRecord, RebuildOf,
    Sha256Digest, TargetFacts,
};
use elivepatch_store::{KeptBlob, NewBuild};

use super::{App, AppError, builds, now, texts::CheckedTexts};

/// All of a build but its texts.
pub(super) struct Order {
    pub(super) target: TargetFacts,
    pub(super) baseline: Vec<PatchRecord>,
    pub(super) fixes: Vec<Fix>,
    pub(super) checks: Vec<BehaviourCheck>,
    pub(super) options: BuildOptions,
    pub(super) rebuild: Option<RebuildOf>,
}

impl Order {
    /// The key of the build for a config with this meaning and these symbols, by a builder of this
    /// identity.
    pub(super) fn key(
        &self,
        config: Sha256Digest,
        kallsyms: Option<Sha256Digest>,
        builder: &str,
    ) -> BuildKey {
        BuildKeyInput {
            release: &self.target.release,
            build_id: self.target.build_id.as_ref(),
            kernel_version: self.target.kernel_version.as_deref(),
            config,
            kallsyms,
            baseline: &self.baseline,
            fixes: &self.fixes,
            checks: &self.checks,
            options: &self.options,
            builder,
        }
        .key()
    }
}

impl App {
    /// Keeps the texts of a build and queues it, unless an equal one has come meanwhile.
    pub(super) async fn queue(
        &self,
        key: BuildKey,
        order: Order,
        texts: CheckedTexts,
    ) -> Result<BuildSubmission, AppError> {
        let store = self.store();
        let mut patches: Vec<KeptBlob> = Vec::with_capacity(texts.patches.len());
        for upload in texts.patches {
            patches.push(store.keep_blob(upload).await?);
        }
        let config = store.keep_blob(texts.config.upload).await?;
        let kallsyms = match texts.kallsyms {
            Some(upload) => Some(store.keep_blob(upload).await?),
            None => None,
        };
        let Order { target, baseline, fixes, checks, options, rebuild } = order;
        let new = NewBuild {
            key,
            target,
            config,
            kallsyms,
            baseline,
            fixes,
            patches,
            checks,
            options,
            rebuild,
            priority: 0,
            probe_of: None,
        };
        let limit = u64::from(self.inner.options.queue_limit);
        let submission = store.submit(&new, limit, now()).await?;
        if !submission.joined {
            tracing::info!(
                build = %submission.build.number,
                release = %submission.build.target.release,
                rebuild = new.rebuild.is_some(),
                "build queued"
            );
            self.wakeups().queue_grew(submission.build.number);
        }
        Ok(BuildSubmission { build: builds::resource(submission.build), joined: submission.joined })
    }
}

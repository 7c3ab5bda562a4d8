use elivepatch_api::{BuildRequest, BuildSubmission};
use elivepatch_model::{
    BehaviourCheck, BuildKey, BuildKeyInput, BuildOptions, Fix, PatchRecord, RebuildOf,
    Sha256Digest, TargetFacts,
};
use elivepatch_store::{AuditAction, KeptBlob, NewBuild, StoreError, UploadedBlob};
use serde_json::json;

use super::{
    App, AppError, Caller, builds, now,
    texts::{CheckedTexts, GivenTexts},
};

/// All of a build but its texts.
pub(super) struct Order {
    pub(super) target: TargetFacts,
    pub(super) baseline: Vec<PatchRecord>,
    pub(super) fixes: Vec<Fix>,
    pub(super) checks: Vec<BehaviourCheck>,
    pub(super) options: BuildOptions,
    pub(super) rebuild: Option<RebuildOf>,
    /// How soon it is built, compared with others; see [`NewBuild::priority`].
    pub(super) priority: i32,
}

/// Whose client sends an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OrderedBy {
    /// One of v2, with a token where there are any.
    V2,
    /// One of the REST API v1.0, whom nobody knows.
    V1,
}

impl OrderedBy {
    /// Orders of v2 go first, then its CVE runs, and then strangers. Where they go first one after the other, their
    /// builds could fill whole days.
    pub(super) fn priority(self) -> i32 {
        match self {
            Self::V2 => 0,
            Self::V1 => -20,
        }
    }
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
    /// Queues the build of a request whose texts were checked, or joins an equal one, and writes down who ordered it.
    pub(super) async fn order_build(
        &self,
        caller: &Caller,
        by: OrderedBy,
        request: BuildRequest,
        given: GivenTexts,
    ) -> Result<BuildSubmission, AppError> {
        let submission = self.queue_or_join(by, request, given).await?;
        self.note_build(caller, AuditAction::BuildOrdered, &submission).await;
        Ok(submission)
    }

    /// Writes down who ordered a build.
    pub(super) async fn note_build(
        &self,
        caller: &Caller,
        action: AuditAction,
        submission: &BuildSubmission,
    ) {
        let build = &submission.build;
        let fixes: Vec<&str> = build.fixes.iter().map(|fix| fix.name.as_str()).collect();
        let detail = json!({ "release": build.target.release, "fixes": fixes });
        let subject = format!("build {}", build.number);
        self.note_order(caller, action, &subject, submission.joined, detail).await;
    }

    async fn queue_or_join(
        &self,
        by: OrderedBy,
        request: BuildRequest,
        given: GivenTexts,
    ) -> Result<BuildSubmission, AppError> {
        let GivenTexts { config, kallsyms, baseline, patches } = given;
        let (Some(config), false) = (config, patches.is_empty()) else {
            return Err(AppError::bad_request(
                "a part is missing",
                "send the parts request, config and one patch or more, in this order",
            ));
        };
        let BuildRequest { target, checks, options } = request;
        if let Some(module) = options.replaces
            && !self.store().has_module(module, &target.release).await?
        {
            return Err(AppError::NothingToReplace(module));
        }
        let (baseline, mut uploads): (Vec<_>, Vec<UploadedBlob>) = baseline.into_iter().unzip();
        let (fixes, mut of_fixes): (Vec<_>, Vec<UploadedBlob>) = patches.into_iter().unzip();
        uploads.append(&mut of_fixes);
        let identity = &self.inner.options.builder_identity;
        let use_of_symbols = identity.use_of_symbols(&target, !baseline.is_empty());
        let kallsyms = use_of_symbols.kept(kallsyms);
        let builder = identity.of_builds_for(&target.release);
        let priority = by.priority();
        let order = Order { target, baseline, fixes, checks, options, rebuild: None, priority };
        let symbols: Option<Sha256Digest> = kallsyms.as_ref().map(UploadedBlob::digest);
        let key = order.key(config.meaning, use_of_symbols.in_key(symbols), &builder);
        let store = self.store();
        // Both are looked at again in the transaction; looking here keeps blobs of requests that
        // need none off the disk.
        if let Some(build) = store.equal_build(key).await? {
            store.raise_priority(build.number, priority).await?;
            return Ok(BuildSubmission { build: builds::resource(build), joined: true });
        }
        if by == OrderedBy::V1 {
            self.has_room_for_v1_order(&order, config.upload.digest()).await?;
        }
        let limit = u64::from(self.inner.options.queue_limit);
        if store.queue_length().await?.queued >= limit {
            return Err(StoreError::QueueFull(limit).into());
        }
        self.queue(key, order, CheckedTexts { config, kallsyms, patches: uploads }).await
    }

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
        let Order { target, baseline, fixes, checks, options, rebuild, priority } = order;
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
            priority,
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

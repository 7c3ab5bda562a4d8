//! Rebuilds: a livepatch is made again from what its manifest says, to compare the two.

use elivepatch_api::{BuildSubmission, RebuildRequest};
use elivepatch_model::{Failure, FailureClass, RequestRecord, Sha256Digest, limits};
use elivepatch_store::{StoreError, UploadedBlob};
use tokio::io::AsyncReadExt;

use super::{
    App, AppError,
    order::{Order, OrderedBy},
    part::fix_name,
    texts::{CheckedTexts, GivenTexts},
};

fn mismatch(message: String, hint: &str) -> AppError {
    AppError::Refused(Box::new(Failure::new(FailureClass::ManifestMismatch, message, hint)))
}

/// Whether a config that was given is the one that the manifest names.
pub(super) fn is_config_of(rebuild: &RebuildRequest, found: Sha256Digest) -> Result<(), AppError> {
    let named = rebuild.request.config_text;
    if found == named {
        return Ok(());
    }
    Err(mismatch(
        format!("the config is not the manifest's: its digest is {found}, not {named}"),
        "give the config that the livepatch was built for, or none if this server still has it",
    ))
}

/// Whether a patch that was given is one that the manifest names.
pub(super) fn is_patch_of(
    rebuild: &RebuildRequest,
    name: &str,
    found: Sha256Digest,
) -> Result<(), AppError> {
    if rebuild.fixes.iter().any(|fix| fix.digest == found) {
        return Ok(());
    }
    Err(mismatch(
        format!("{name} is none of the manifest's patches: its digest is {found}"),
        "give the patches that the livepatch was built from, or none if this server still has them",
    ))
}

/// Whether the rebuild needs the running kernel's symbols that were given. They must be those that
/// the manifest names, if it names any.
pub(super) fn is_kallsyms_of(
    rebuild: &RebuildRequest,
    found: Sha256Digest,
) -> Result<bool, AppError> {
    match rebuild.request.kallsyms {
        None => Ok(false),
        Some(named) if named == found => Ok(true),
        Some(named) => Err(mismatch(
            format!(
                "the kernel's symbols are not the manifest's: their digest is {found}, not {named}"
            ),
            "give the facts of the machine that the livepatch was built for, or none if this server \
             still has its symbols",
        )),
    }
}

/// Whether a patch that is compiled into the running kernel is one that the manifest names.
pub(super) fn is_baseline_of(
    rebuild: &RebuildRequest,
    name: &str,
    found: Sha256Digest,
) -> Result<(), AppError> {
    if rebuild.request.baseline.iter().any(|patch| patch.digest == found) {
        return Ok(());
    }
    Err(mismatch(
        format!("{name} is none of the manifest's baseline patches: its digest is {found}"),
        "give the baseline patches that the livepatch was built with, or none if this server still \
         has these",
    ))
}

impl App {
    /// Queues a rebuild. What was not given is taken from the store by its digest.
    pub(super) async fn submit_rebuild(
        &self,
        asked: RebuildRequest,
        given: GivenTexts,
    ) -> Result<BuildSubmission, AppError> {
        let limit = u64::from(self.inner.options.queue_limit);
        if self.store().queue_length().await?.queued >= limit {
            return Err(StoreError::QueueFull(limit).into());
        }
        let GivenTexts { config, kallsyms, mut baseline, patches: mut given } = given;
        let config = match config {
            Some(config) => config,
            None => {
                let digest = asked.request.config_text;
                let upload = self.stored_text("config", digest, limits::CONFIG_BYTES).await?;
                self.check_config(upload, &asked.request.target, &asked.request.options).await?
            }
        };
        let kallsyms = match (kallsyms, asked.request.kallsyms) {
            (None, Some(digest)) => {
                let what = "list of the running kernel's symbols";
                let list = self.stored_text(what, digest, limits::KALLSYMS_BYTES).await?;
                Some(self.check_stored_kallsyms(list).await?)
            }
            (kallsyms, _) => kallsyms,
        };
        let mut uploads = Vec::with_capacity(asked.request.baseline.len() + asked.fixes.len());
        for patch in &asked.request.baseline {
            let place = baseline.iter().position(|(found, _)| found.digest == patch.digest);
            uploads.push(match place {
                Some(place) => baseline.swap_remove(place).1,
                None => {
                    let what = format!("baseline patch {}", fix_name(&patch.name, 1));
                    let limit = limits::BASELINE_PATCH_BYTES;
                    let upload = self.stored_text(&what, patch.digest, limit).await?;
                    self.check_baseline(upload, &patch.name).await?
                }
            });
        }
        for fix in &asked.fixes {
            let place = given.iter().position(|(found, _)| found.digest == fix.digest);
            uploads.push(match place {
                Some(place) => given.swap_remove(place).1,
                None => {
                    let what = format!("patch {}", fix_name(&fix.name, 1));
                    let upload = self.stored_text(&what, fix.digest, limits::PATCH_BYTES).await?;
                    self.check_patch(upload, &fix.name).await?
                }
            });
        }
        let RebuildRequest { build_key, fixes, request, rebuild } = asked;
        let RequestRecord { target, kallsyms: symbols, baseline, checks, options, .. } = request;
        let builder = rebuild.builder.clone();
        let (rebuild, priority) = (Some(rebuild), OrderedBy::V2.priority());
        let order = Order { target, baseline, fixes, checks, options, rebuild, priority };
        // A manifest that was changed has another key; and the key names the module.
        let mut key = order.key(config.meaning, symbols, &builder);
        if key != build_key {
            // Symbols that were kept in case they were needed are in no key.
            key = order.key(config.meaning, None, &builder);
        }
        if key != build_key {
            return Err(mismatch(
                format!("the manifest was changed: its request has the key {key}, not {build_key}"),
                "give the manifest as it was stored beside the module",
            ));
        }
        self.queue(key, order, CheckedTexts { config, kallsyms, patches: uploads }).await
    }

    /// A text of an earlier build, as if it were sent again.
    async fn stored_text(
        &self,
        what: &str,
        digest: Sha256Digest,
        limit_bytes: u64,
    ) -> Result<UploadedBlob, AppError> {
        let reader = self.store().open_blob(digest).await.map_err(|error| match error {
            StoreError::NoSuchBlob(_) => AppError::NoSuchText { what: what.to_owned(), digest },
            other => other.into(),
        })?;
        let mut text = Vec::new();
        let mut file = reader.file.take(limit_bytes + 1);
        file.read_to_end(&mut text).await.map_err(|error| StoreError::Corrupt {
            what: format!("the blob {digest} cannot be read"),
            source: Some(Box::new(error)),
        })?;
        let mut writer = self.store().begin_blob(limit_bytes)?;
        writer.write(&text).await?;
        let upload = writer.finish().await?;
        if upload.digest() != digest {
            let what = format!("the blob {digest} holds other bytes");
            return Err(StoreError::Corrupt { what, source: None }.into());
        }
        Ok(upload)
    }
}

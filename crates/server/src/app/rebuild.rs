//! Rebuilds: a livepatch is made again from what its manifest says, to compare the two.

use elivepatch_api::{BuildSubmission, RebuildRequest};
use elivepatch_model::{BuildKeyInput, Failure, FailureClass, Fix, Sha256Digest, limits};
use elivepatch_store::{StoreError, UploadedBlob};
use tokio::io::AsyncReadExt;

use super::{
    App, AppError,
    intake::{CheckedConfig, Order, fix_name},
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

impl App {
    /// Queues a rebuild. What was not given is taken from the store by its digest.
    pub(super) async fn submit_rebuild(
        &self,
        asked: RebuildRequest,
        config: Option<CheckedConfig>,
        given: Vec<(Fix, UploadedBlob)>,
    ) -> Result<BuildSubmission, AppError> {
        let limit = u64::from(self.inner.options.queue_limit);
        if self.store().queue_length().await?.queued >= limit {
            return Err(StoreError::QueueFull(limit).into());
        }
        let config = match config {
            Some(config) => config,
            None => {
                let digest = asked.request.config_text;
                let upload = self.stored_text("config", digest, limits::CONFIG_BYTES).await?;
                self.check_config(upload, &asked.request.target, &asked.request.options).await?
            }
        };
        let mut given = given;
        let mut uploads = Vec::with_capacity(asked.fixes.len());
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
        // A manifest that was changed has another key; and the key names the module.
        let key = BuildKeyInput {
            release: &request.target.release,
            build_id: request.target.build_id.as_ref(),
            kernel_version: request.target.kernel_version.as_deref(),
            config: config.meaning,
            fixes: &fixes,
            checks: &request.checks,
            options: &request.options,
            builder: &rebuild.builder,
        }
        .key();
        if key != build_key {
            return Err(mismatch(
                format!("the manifest was changed: its request has the key {key}, not {build_key}"),
                "give the manifest as it was stored beside the module",
            ));
        }
        let order = Order {
            key,
            target: request.target,
            fixes,
            checks: request.checks,
            options: request.options,
            rebuild: Some(rebuild),
        };
        self.queue(order, config, uploads).await
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

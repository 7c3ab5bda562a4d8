use std::sync::Arc;

use elivepatch_api::LivepatchResource;
use elivepatch_model::{BuildNumber, ElfBuildId, Manifest, Sha256Digest};
use elivepatch_signature::SecretKey;
use elivepatch_store::BlobReader;

use super::{App, AppError};

/// The module of a finished build, open for reading.
#[derive(Debug)]
pub struct ModuleFile {
    /// What the manifest says of it.
    pub record: elivepatch_model::ModuleRecord,
    /// Its bytes.
    pub reader: BlobReader,
}

impl App {
    /// The manifest of a finished build.
    ///
    /// # Errors
    /// [`AppError::NoLivepatch`] when there is none, or not yet.
    pub async fn manifest(&self, number: BuildNumber) -> Result<Manifest, AppError> {
        let build = self.store().build(number).await?;
        build.manifest.ok_or(AppError::NoLivepatch { number, state: build.state })
    }

    /// The text of the manifest of a finished build: these bytes are sent, stored by clients, and signed.
    ///
    /// # Errors
    /// As [`App::manifest`].
    pub async fn manifest_text(&self, number: BuildNumber) -> Result<String, AppError> {
        let manifest = self.manifest(number).await?;
        // For people to read as well.
        let mut text = serde_json::to_string_pretty(&manifest)
            .map_err(|error| AppError::Panicked(format!("a manifest has no JSON form: {error}")))?;
        text.push('\n');
        Ok(text)
    }

    /// The signature of the text of a manifest, as minisign writes it. Another one each time, of the same text.
    ///
    /// # Errors
    /// [`AppError::SignsNothing`] when this server has no key, and as [`App::manifest`].
    pub async fn manifest_signature(&self, number: BuildNumber) -> Result<String, AppError> {
        let key = self.manifest_key().ok_or(AppError::SignsNothing)?;
        let module = self.manifest(number).await?.module.digest;
        let text = self.manifest_text(number).await?;
        let comment = format!("elivepatch manifest of build {number}, module sha256 {module}");
        key.sign(text.as_bytes(), &comment).map_err(AppError::Sign)
    }

    /// The key that manifests are verified with, as minisign writes public keys (`RW…`); `None` when this server
    /// signs none.
    pub fn manifest_public_key(&self) -> Option<String> {
        // A key that was read has another half: it was tried.
        self.manifest_key().and_then(|key| key.public().ok())
    }

    fn manifest_key(&self) -> Option<&Arc<SecretKey>> {
        self.inner.options.manifest_key.as_ref()
    }

    /// The module of a finished build.
    ///
    /// # Errors
    /// [`AppError::NoLivepatch`] when there is none, or not yet.
    pub async fn module(&self, number: BuildNumber) -> Result<ModuleFile, AppError> {
        let record = self.manifest(number).await?.module;
        let reader = self.store().open_blob(record.digest).await?;
        Ok(ModuleFile { record, reader })
    }

    /// One of the fixes of a build as it was sent.
    ///
    /// # Errors
    /// [`AppError::NotOfBuild`] when the build has no such fix.
    pub async fn patch(
        &self,
        number: BuildNumber,
        digest: Sha256Digest,
    ) -> Result<BlobReader, AppError> {
        let build = self.store().build(number).await?;
        match build.fixes.iter().any(|fix| fix.digest == digest) {
            true => Ok(self.store().open_blob(digest).await?),
            false => Err(AppError::NotOfBuild { number }),
        }
    }

    /// The livepatch whose module has a build-id.
    ///
    /// # Errors
    /// [`AppError::UnknownLivepatch`] when none was made here, or its module is gone.
    pub async fn livepatch(&self, module: &ElfBuildId) -> Result<LivepatchResource, AppError> {
        let build = self.store().build_of_module(module).await?;
        let build = build.ok_or_else(|| AppError::UnknownLivepatch(module.clone()))?;
        Ok(LivepatchResource { build, manifest: self.manifest(build).await? })
    }
}

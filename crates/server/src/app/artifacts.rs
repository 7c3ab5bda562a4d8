use elivepatch_api::LivepatchResource;
use elivepatch_model::{BuildNumber, ElfBuildId, Manifest, Sha256Digest};
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

use elivepatch_model::{BuildNumber, Manifest};
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
}

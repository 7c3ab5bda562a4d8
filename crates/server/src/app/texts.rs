//! The texts of a request: what of them was given, and the checks that each must pass.

use elivepatch_model::{BuildOptions, Fix, PatchRecord, Sha256Digest, TargetFacts, limits};
use elivepatch_store::UploadedBlob;

use super::{App, AppError, checks};

/// A config that was checked.
pub(super) struct CheckedConfig {
    pub(super) upload: UploadedBlob,
    /// What the config says, whatever its comments and order: for the build key.
    pub(super) meaning: Sha256Digest,
}

/// What was given so far, each text checked.
#[derive(Default)]
pub(super) struct GivenTexts {
    pub(super) config: Option<CheckedConfig>,
    /// The symbols of the running kernel in their normal form.
    pub(super) kallsyms: Option<UploadedBlob>,
    pub(super) baseline: Vec<(PatchRecord, UploadedBlob)>,
    pub(super) patches: Vec<(Fix, UploadedBlob)>,
}

impl GivenTexts {
    /// Adds a patch that is compiled into the running kernel.
    ///
    /// # Errors
    /// When all of them together are too large.
    pub(super) fn add_baseline(
        &mut self,
        name: String,
        upload: UploadedBlob,
    ) -> Result<(), AppError> {
        self.baseline.push((PatchRecord { name, digest: upload.digest() }, upload));
        let bytes: u64 = self.baseline.iter().map(|(_, upload)| upload.blob().size_bytes).sum();
        if bytes > limits::BASELINE_BYTES {
            let what = "all of the parts \"baseline\" together".to_owned();
            return Err(AppError::TooLarge { what, limit_bytes: limits::BASELINE_BYTES });
        }
        Ok(())
    }
}

/// All texts of a build, each checked.
pub(super) struct CheckedTexts {
    pub(super) config: CheckedConfig,
    pub(super) kallsyms: Option<UploadedBlob>,
    /// The patches that are compiled in, and those to be built.
    pub(super) patches: Vec<UploadedBlob>,
}

impl App {
    /// Reads the compressed symbols of the running kernel, and gives their normal form.
    pub(super) async fn check_kallsyms(
        &self,
        packed: UploadedBlob,
    ) -> Result<UploadedBlob, AppError> {
        let (_, list) = self.check_upload(packed, checks::packed_kallsyms).await?;
        let mut writer = self.store().begin_blob(limits::KALLSYMS_BYTES)?;
        writer.write(list.text().as_bytes()).await?;
        Ok(writer.finish().await?)
    }

    /// Checks symbols that come from the store: whoever asks names any text there by its digest.
    pub(super) async fn check_stored_kallsyms(
        &self,
        upload: UploadedBlob,
    ) -> Result<UploadedBlob, AppError> {
        Ok(self.check_upload(upload, checks::kallsyms).await?.0)
    }

    /// Checks a patch that is compiled into the running kernel.
    pub(super) async fn check_baseline(
        &self,
        upload: UploadedBlob,
        name: &str,
    ) -> Result<UploadedBlob, AppError> {
        let label = name.to_owned();
        let check = move |bytes: &[u8]| checks::baseline(bytes, &label);
        Ok(self.check_upload(upload, check).await?.0)
    }

    /// Checks the text of a config against its target.
    pub(super) async fn check_config(
        &self,
        upload: UploadedBlob,
        target: &TargetFacts,
        options: &BuildOptions,
    ) -> Result<CheckedConfig, AppError> {
        let (target, engine) = (target.clone(), options.engine);
        let check = move |bytes: &[u8]| checks::config(bytes, &target, engine);
        let (upload, meaning) = self.check_upload(upload, check).await?;
        Ok(CheckedConfig { upload, meaning })
    }

    /// Checks the text of a patch.
    pub(super) async fn check_patch(
        &self,
        upload: UploadedBlob,
        name: &str,
    ) -> Result<UploadedBlob, AppError> {
        let label = name.to_owned();
        let check = move |bytes: &[u8]| checks::patch(bytes, &label);
        Ok(self.check_upload(upload, check).await?.0)
    }

    /// Runs a check on an upload.
    pub(super) async fn check_upload<T: Send + 'static>(
        &self,
        upload: UploadedBlob,
        check: impl FnOnce(&[u8]) -> Result<T, AppError> + Send + 'static,
    ) -> Result<(UploadedBlob, T), AppError> {
        let check = move || {
            let bytes = upload.read()?;
            check(&bytes).map(|result| (upload, result))
        };
        self.inner.checker.run(check).await
    }
}

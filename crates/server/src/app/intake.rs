use std::sync::Arc;

use elivepatch_api::{BuildRequest, BuildSubmission};
use elivepatch_model::{BuildKeyInput, Fix, Sha256Digest, limits};
use elivepatch_store::{BlobWriter, KeptBlob, NewBuild, StoreError, UploadedBlob};

use tokio::sync::OwnedSemaphorePermit;

use super::{App, AppError, builds, checks, now};

/// A build submission as it comes in, part by part: the request, the config, then the patches.
///
/// Each part is checked as soon as it is complete, so that a request that can never succeed is
/// refused early. Nothing stays on the disk unless [`Intake::finish`] succeeds.
pub struct Intake {
    app: App,
    request: Option<BuildRequest>,
    config: Option<CheckedConfig>,
    patches: Vec<(Fix, UploadedBlob)>,
    _turn: OwnedSemaphorePermit,
}

struct CheckedConfig {
    upload: UploadedBlob,
    /// What the config says, whatever its comments and order: for the build key.
    meaning: Sha256Digest,
}

/// One part while it is received.
pub struct Part {
    kind: PartKind,
}

enum PartKind {
    Request(Vec<u8>),
    Config(BlobWriter),
    Patch { name: String, writer: BlobWriter },
}

impl App {
    /// Begins to receive a build submission, when it is its turn.
    pub async fn begin_submission(&self) -> Intake {
        let turn = Arc::clone(&self.inner.submissions).acquire_owned().await;
        let _turn = turn.expect("the semaphore is never closed");
        Intake { app: self.clone(), request: None, config: None, patches: Vec::new(), _turn }
    }
}

impl Intake {
    /// Begins the part with this name and, for a patch, the file name that the author gave.
    ///
    /// # Errors
    /// When another part should come here, or too many patches come.
    pub fn begin_part(&self, name: &str, file_name: Option<&str>) -> Result<Part, AppError> {
        let expected = match (&self.request, &self.config) {
            (None, _) => "request",
            (Some(_), None) => "config",
            (Some(_), Some(_)) => "patch",
        };
        if name != expected {
            let name: String = name.chars().take(40).collect();
            return Err(AppError::bad_request(
                format!("the part \"{}\" came where \"{expected}\" should", name.escape_debug()),
                "send the parts in this order: request, config, then one patch or more",
            ));
        }
        let store = self.app.store();
        let kind = match expected {
            "request" => PartKind::Request(Vec::new()),
            "config" => PartKind::Config(store.begin_blob(limits::CONFIG_BYTES)?),
            _ if self.patches.len() == limits::PATCHES => {
                return Err(AppError::bad_request(
                    format!("the request has more than {} patches", limits::PATCHES),
                    "join patches that belong together, or send several requests",
                ));
            }
            _ => PartKind::Patch {
                name: fix_name(file_name.unwrap_or_default(), self.patches.len() + 1),
                writer: store.begin_blob(limits::PATCH_BYTES)?,
            },
        };
        Ok(Part { kind })
    }

    /// Ends a part and checks it.
    ///
    /// # Errors
    /// [`AppError::Refused`] when it can never give a livepatch; [`AppError::BadRequest`].
    pub async fn end_part(&mut self, part: Part) -> Result<(), AppError> {
        match part.kind {
            PartKind::Request(bytes) => self.request = Some(checks::request(&bytes)?),
            PartKind::Config(writer) => {
                let request = self.request.as_ref().expect("the request comes before the config");
                let (target, engine) = (request.target.clone(), request.options.engine);
                let check = move |bytes: &[u8]| checks::config(bytes, &target, engine);
                let (upload, meaning) =
                    self.app.check_upload(writer.finish().await?, check).await?;
                self.config = Some(CheckedConfig { upload, meaning });
            }
            PartKind::Patch { name, writer } => {
                let upload = writer.finish().await?;
                let label = name.clone();
                let check = move |bytes: &[u8]| checks::patch(bytes, &label);
                let (upload, ()) = self.app.check_upload(upload, check).await?;
                self.patches.push((Fix { name, digest: upload.digest() }, upload));
            }
        }
        Ok(())
    }

    /// Queues the build, or joins an equal one.
    ///
    /// # Errors
    /// When a part is missing, the queue or the disk is full, or the store fails.
    pub async fn finish(self) -> Result<BuildSubmission, AppError> {
        let (Some(request), Some(config), false) =
            (self.request, self.config, self.patches.is_empty())
        else {
            return Err(AppError::bad_request(
                "a part is missing",
                "send the parts request, config and one patch or more, in this order",
            ));
        };
        let (fixes, uploads): (Vec<Fix>, Vec<UploadedBlob>) = self.patches.into_iter().unzip();
        let key = BuildKeyInput {
            release: &request.target.release,
            build_id: request.target.build_id.as_ref(),
            kernel_version: request.target.kernel_version.as_deref(),
            config: config.meaning,
            fixes: &fixes,
            checks: &request.checks,
            options: &request.options,
            builder: &self.app.inner.options.builder_identity,
        }
        .key();
        let store = self.app.store();
        // Both are looked at again in the transaction; looking here keeps blobs of requests that
        // need none off the disk.
        if let Some(build) = store.equal_build(key).await? {
            return Ok(BuildSubmission { build: builds::resource(build), joined: true });
        }
        let limit = u64::from(self.app.inner.options.queue_limit);
        if store.queue_length().await?.queued >= limit {
            return Err(StoreError::QueueFull(limit).into());
        }
        let mut patches: Vec<KeptBlob> = Vec::with_capacity(uploads.len());
        for upload in uploads {
            patches.push(store.keep_blob(upload).await?);
        }
        let config = store.keep_blob(config.upload).await?;
        let BuildRequest { target, checks, options } = request;
        let new = NewBuild { key, target, config, fixes, patches, checks, options };
        let submission = store.submit(&new, limit, now()).await?;
        if !submission.joined {
            tracing::info!(
                build = %submission.build.number,
                release = %submission.build.target.release,
                "build queued"
            );
            self.app.wakeups().queue_grew(submission.build.number);
        }
        Ok(BuildSubmission { build: builds::resource(submission.build), joined: submission.joined })
    }
}

impl Part {
    /// Adds bytes at the end of the part.
    ///
    /// # Errors
    /// When the part is larger than its limit, or the disk is full.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        match &mut self.kind {
            PartKind::Request(all) => {
                if (all.len() + bytes.len()) as u64 > limits::REQUEST_BYTES {
                    let what = "the part \"request\"".to_owned();
                    return Err(AppError::TooLarge { what, limit_bytes: limits::REQUEST_BYTES });
                }
                all.extend_from_slice(bytes);
                Ok(())
            }
            PartKind::Config(writer) => writer.write(bytes).await.map_err(|error| match error {
                StoreError::TooLarge { .. } => checks::config_too_large(),
                other => other.into(),
            }),
            PartKind::Patch { name, writer } => {
                writer.write(bytes).await.map_err(|error| match error {
                    StoreError::TooLarge { .. } => checks::patch_too_large(name),
                    other => other.into(),
                })
            }
        }
    }
}

impl App {
    /// Runs a check on an upload.
    async fn check_upload<T: Send + 'static>(
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

/// The longest name of a fix that is kept, in characters.
const FIX_NAME_CHARACTERS: usize = 100;

/// A name for people from the file name that came with a patch: its last component, printable.
fn fix_name(file_name: &str, position: usize) -> String {
    let name = file_name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = name
        .chars()
        .map(|character| if character.is_control() { '_' } else { character })
        .take(FIX_NAME_CHARACTERS)
        .collect();
    match name.trim() {
        "" | "." | ".." => format!("patch-{position}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::fix_name;

    #[test]
    fn fix_is_named_by_the_last_component_and_never_by_a_path() {
        assert_eq!(fix_name("../../etc/CVE-1.patch", 1), "CVE-1.patch");
        assert_eq!(fix_name("C:\\fixes\\a.patch", 1), "a.patch");
        assert_eq!(fix_name("a\u{1b}[31m.patch", 1), "a_[31m.patch");
        assert_eq!(fix_name("..", 3), "patch-3");
        assert_eq!(fix_name(&"x".repeat(5000), 1).len(), 100);
    }
}

use std::sync::Arc;

use elivepatch_api::{BuildRequest, BuildSubmission, RebuildRequest};
use elivepatch_model::{
    BehaviourCheck, BuildKey, BuildKeyInput, BuildOptions, Fix, RebuildOf, Sha256Digest,
    TargetFacts, limits,
};
use elivepatch_store::{BlobWriter, KeptBlob, NewBuild, StoreError, UploadedBlob};

use tokio::sync::OwnedSemaphorePermit;

use super::{App, AppError, builds, checks, now, rebuild};

/// A build submission as it comes in, part by part: the request, the config, then the patches.
///
/// Each part is checked as soon as it is complete, so that a request that can never succeed is
/// refused early. Nothing stays on the disk unless [`Intake::finish`] succeeds.
pub struct Intake {
    app: App,
    kind: IntakeKind,
    asked: Option<Asked>,
    config: Option<CheckedConfig>,
    patches: Vec<(Fix, UploadedBlob)>,
    _turn: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IntakeKind {
    Build,
    Rebuild,
}

/// The JSON part.
enum Asked {
    Build(BuildRequest),
    Rebuild(Box<RebuildRequest>),
}

impl Asked {
    fn target(&self) -> (&TargetFacts, &BuildOptions) {
        match self {
            Self::Build(request) => (&request.target, &request.options),
            Self::Rebuild(rebuild) => (&rebuild.request.target, &rebuild.request.options),
        }
    }
}

pub(super) struct CheckedConfig {
    pub(super) upload: UploadedBlob,
    /// What the config says, whatever its comments and order: for the build key.
    pub(super) meaning: Sha256Digest,
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
        self.begin_intake(IntakeKind::Build).await
    }

    /// Begins to receive a rebuild, when it is its turn. Config and patches may be left out as far
    /// as the store has them.
    pub async fn begin_rebuild(&self) -> Intake {
        self.begin_intake(IntakeKind::Rebuild).await
    }

    async fn begin_intake(&self, kind: IntakeKind) -> Intake {
        let turn = Arc::clone(&self.inner.submissions).acquire_owned().await;
        let _turn = turn.expect("the semaphore is never closed");
        let (app, patches) = (self.clone(), Vec::new());
        Intake { app, kind, asked: None, config: None, patches, _turn }
    }
}

impl Intake {
    /// Begins the part with this name and, for a patch, the file name that the author gave.
    ///
    /// # Errors
    /// When another part should come here, or too many patches come.
    pub fn begin_part(&self, name: &str, file_name: Option<&str>) -> Result<Part, AppError> {
        let config_may_come = self.config.is_none() && self.patches.is_empty();
        let expected = match &self.asked {
            None => "request",
            Some(Asked::Build(_)) if self.config.is_none() => "config",
            Some(Asked::Rebuild(_)) if config_may_come && name == "config" => "config",
            Some(_) => "patch",
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
            PartKind::Request(bytes) => {
                self.asked = Some(match self.kind {
                    IntakeKind::Build => Asked::Build(checks::request(&bytes)?),
                    IntakeKind::Rebuild => Asked::Rebuild(Box::new(checks::rebuild(&bytes)?)),
                });
            }
            PartKind::Config(writer) => {
                let asked = self.asked.as_ref().expect("the request comes before the config");
                let upload = writer.finish().await?;
                if let Asked::Rebuild(rebuild) = asked {
                    rebuild::is_config_of(rebuild, upload.digest())?;
                }
                let (target, options) = asked.target();
                self.config = Some(self.app.check_config(upload, target, options).await?);
            }
            PartKind::Patch { name, writer } => {
                let upload = writer.finish().await?;
                if let Some(Asked::Rebuild(rebuild)) = &self.asked {
                    rebuild::is_patch_of(rebuild, &name, upload.digest())?;
                }
                let upload = self.app.check_patch(upload, &name).await?;
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
        let (asked, config) = match (self.asked, self.config) {
            (Some(Asked::Rebuild(rebuild)), config) => {
                return self.app.submit_rebuild(*rebuild, config, self.patches).await;
            }
            (Some(Asked::Build(request)), config) => (Some(request), config),
            (None, config) => (None, config),
        };
        let (Some(request), Some(config), false) = (asked, config, self.patches.is_empty()) else {
            return Err(AppError::bad_request(
                "a part is missing",
                "send the parts request, config and one patch or more, in this order",
            ));
        };
        let (fixes, uploads): (Vec<Fix>, Vec<UploadedBlob>) = self.patches.into_iter().unzip();
        let identity = &self.app.inner.options.builder_identity;
        let key = BuildKeyInput {
            release: &request.target.release,
            build_id: request.target.build_id.as_ref(),
            kernel_version: request.target.kernel_version.as_deref(),
            config: config.meaning,
            fixes: &fixes,
            checks: &request.checks,
            options: &request.options,
            builder: &identity.of_builds_for(&request.target.release),
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
        let BuildRequest { target, checks, options } = request;
        let order = Order { key, target, fixes, checks, options, rebuild: None };
        self.app.queue(order, config, uploads).await
    }
}

/// All of a build but its texts.
pub(super) struct Order {
    pub(super) key: BuildKey,
    pub(super) target: TargetFacts,
    pub(super) fixes: Vec<Fix>,
    pub(super) checks: Vec<BehaviourCheck>,
    pub(super) options: BuildOptions,
    pub(super) rebuild: Option<RebuildOf>,
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
    /// Keeps the texts of a build and queues it, unless an equal one has come meanwhile.
    pub(super) async fn queue(
        &self,
        order: Order,
        config: CheckedConfig,
        uploads: Vec<UploadedBlob>,
    ) -> Result<BuildSubmission, AppError> {
        let store = self.store();
        let mut patches: Vec<KeptBlob> = Vec::with_capacity(uploads.len());
        for upload in uploads {
            patches.push(store.keep_blob(upload).await?);
        }
        let config = store.keep_blob(config.upload).await?;
        let Order { key, target, fixes, checks, options, rebuild } = order;
        let new = NewBuild { key, target, config, fixes, patches, checks, options, rebuild };
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
pub(super) fn fix_name(file_name: &str, position: usize) -> String {
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

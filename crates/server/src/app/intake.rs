use std::sync::Arc;

use elivepatch_api::{BuildRequest, BuildSubmission, RebuildRequest, RunRequest, RunSubmission};
use elivepatch_model::{BuildOptions, Fix, Sha256Digest, TargetFacts, limits};
use elivepatch_store::{AuditAction, StoreError, UploadedBlob};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    App, AppError, Caller, Part, builds, checks,
    order::Order,
    part::{PartKind, PartName},
    rebuild,
    texts::{CheckedTexts, GivenTexts},
};

/// What a form holds, for errors.
const ORDER_HINT: &str = "send the parts in this order: request, config, kallsyms and baseline where \
    there are any, then one patch or more";

/// A build submission as it comes in, part by part: the request, the config, what else is known of
/// the running kernel, then the patches.
///
/// Each part is checked as soon as it is complete, so that a request that can never succeed is
/// refused early. Nothing stays on the disk unless [`Intake::finish`] succeeds.
pub struct Intake {
    app: App,
    kind: IntakeKind,
    asked: Option<Asked>,
    /// The part that came last.
    last: Option<PartName>,
    given: GivenTexts,
    _turn: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum IntakeKind {
    Build,
    Rebuild,
    Run,
}

/// The JSON part.
enum Asked {
    Build(Box<BuildRequest>),
    Rebuild(Box<RebuildRequest>),
    Run(Box<RunRequest>),
}

impl Asked {
    fn target(&self) -> (&TargetFacts, &BuildOptions) {
        match self {
            Self::Build(request) => (&request.target, &request.options),
            Self::Rebuild(rebuild) => (&rebuild.request.target, &rebuild.request.options),
            Self::Run(request) => (&request.target, &request.options),
        }
    }
}

impl App {
    /// Begins to receive a build submission, when it is its turn.
    pub async fn begin_submission(&self) -> Intake {
        self.begin_intake(IntakeKind::Build).await
    }

    /// Begins to receive a rebuild, when it is its turn. Its texts may be left out as far as the
    /// store has them.
    pub async fn begin_rebuild(&self) -> Intake {
        self.begin_intake(IntakeKind::Rebuild).await
    }

    /// Begins to receive the request for a CVE run, when it is its turn. Its patches are those that its livepatch
    /// holds in any case; of a stock kernel it needs no config.
    pub async fn begin_run(&self) -> Intake {
        self.begin_intake(IntakeKind::Run).await
    }

    async fn begin_intake(&self, kind: IntakeKind) -> Intake {
        let turn = Arc::clone(&self.inner.submissions).acquire_owned().await;
        let _turn = turn.expect("the semaphore is never closed");
        let (app, given) = (self.clone(), GivenTexts::default());
        Intake { app, kind, asked: None, last: None, given, _turn }
    }
}

impl Intake {
    /// Begins the part with this name and, for a patch, the file name that the author gave.
    ///
    /// # Errors
    /// When another part should come here, or too many patches come.
    pub fn begin_part(&mut self, name: &str, file_name: Option<&str>) -> Result<Part, AppError> {
        let Some(part) = PartName::find(name).filter(|part| self.may_come(*part)) else {
            let name: String = name.chars().take(40).collect();
            let expected = self.expected().as_str();
            return Err(AppError::bad_request(
                format!("the part \"{}\" came where \"{expected}\" should", name.escape_debug()),
                ORDER_HINT,
            ));
        };
        let there = match part {
            PartName::Patch => self.given.patches.len(),
            PartName::Baseline => self.given.baseline.len(),
            _ => 0,
        };
        if part == PartName::Patch && there == limits::PATCHES {
            return Err(AppError::bad_request(
                format!("the request has more than {} patches", limits::PATCHES),
                "join patches that belong together, or send several requests",
            ));
        }
        if part == PartName::Baseline && there == limits::BASELINE_PATCHES {
            return Err(AppError::bad_request(
                format!("the request has more than {} baseline patches", limits::BASELINE_PATCHES),
                "join patches that belong together",
            ));
        }
        self.last = Some(part);
        Part::begin(self.app.store(), part, file_name, there + 1)
    }

    /// Whether a part may come now: after those before it, and a config before all of a build's.
    fn may_come(&self, part: PartName) -> bool {
        let in_order = match self.last {
            None => part == PartName::Request,
            Some(last) => part > last || (part == last && part.is_repeated()),
        };
        let after_config = self.kind != IntakeKind::Build || self.given.config.is_some();
        in_order && (after_config || part <= PartName::Config)
    }

    /// The next part that must come.
    fn expected(&self) -> PartName {
        match self.last {
            None => PartName::Request,
            Some(PartName::Request) if self.kind != IntakeKind::Rebuild => PartName::Config,
            Some(_) => PartName::Patch,
        }
    }

    /// Ends a part and checks it.
    ///
    /// # Errors
    /// [`AppError::Refused`] when it can never give a livepatch; [`AppError::BadRequest`].
    pub async fn end_part(&mut self, part: Part) -> Result<(), AppError> {
        if let PartKind::Request(bytes) = &part.kind {
            let asked = match self.kind {
                IntakeKind::Build => Asked::Build(Box::new(checks::request(bytes)?)),
                IntakeKind::Rebuild => Asked::Rebuild(Box::new(checks::rebuild(bytes)?)),
                IntakeKind::Run => Asked::Run(Box::new(checks::run(bytes)?)),
            };
            checks::policy(asked.target().1, self.app.inner.options.allow_unproven)?;
            self.asked = Some(asked);
            return Ok(());
        }
        let Self { app, asked, given, .. } = self;
        let asked = asked.as_ref().expect("the request comes before all other parts");
        let again = match asked {
            Asked::Build(_) | Asked::Run(_) => None,
            Asked::Rebuild(rebuild) => Some(&**rebuild),
        };
        let (target, options) = asked.target();
        match part.kind {
            PartKind::Request(_) => {}
            PartKind::Config(writer) => {
                let upload = writer.finish().await?;
                if let Some(again) = again {
                    rebuild::is_config_of(again, upload.digest())?;
                }
                given.config = Some(app.check_config(upload, target, options).await?);
            }
            PartKind::Kallsyms(writer) => {
                let list = app.check_kallsyms(writer.finish().await?).await?;
                let is_kept = match again {
                    Some(again) => rebuild::is_kallsyms_of(again, list.digest())?,
                    None => true,
                };
                given.kallsyms = is_kept.then_some(list);
            }
            PartKind::Baseline { name, writer } => {
                let upload = writer.finish().await?;
                if let Some(again) = again {
                    rebuild::is_baseline_of(again, &name, upload.digest())?;
                }
                let upload = app.check_baseline(upload, &name).await?;
                given.add_baseline(name, upload)?;
            }
            PartKind::Patch { name, writer } => {
                let upload = writer.finish().await?;
                if let Some(again) = again {
                    rebuild::is_patch_of(again, &name, upload.digest())?;
                }
                let upload = app.check_patch(upload, &name).await?;
                given.patches.push((Fix { name, digest: upload.digest() }, upload));
            }
        }
        Ok(())
    }

    /// Begins the CVE run, or joins an equal one.
    ///
    /// # Errors
    /// When the request is missing, the kernel's version cannot be told, or the store fails.
    pub async fn finish_run(self, caller: &Caller) -> Result<RunSubmission, AppError> {
        let Self { app, asked: Some(Asked::Run(request)), given, .. } = self else {
            return Err(AppError::bad_request("the part \"request\" is missing", ORDER_HINT));
        };
        let request = app.with_release(*request, given.config.is_some()).await?;
        let release = request.target.release.clone();
        let kept: Vec<String> = given.patches.iter().map(|(fix, _)| fix.name.clone()).collect();
        let submission = app.start_run(request, given).await?;
        let subject = format!("run {}", submission.run.number);
        let detail = match kept.is_empty() {
            true => json!({ "release": release }),
            false => json!({ "release": release, "fixes": kept }),
        };
        app.note_order(caller, AuditAction::RunOrdered, &subject, submission.joined, detail).await;
        Ok(submission)
    }

    /// Queues the build, or joins an equal one.
    ///
    /// # Errors
    /// When a part is missing, the queue or the disk is full, or the store fails.
    pub async fn finish(self, caller: &Caller) -> Result<BuildSubmission, AppError> {
        let app = self.app.clone();
        let action = match self.kind {
            IntakeKind::Rebuild => AuditAction::RebuildOrdered,
            IntakeKind::Build | IntakeKind::Run => AuditAction::BuildOrdered,
        };
        let submission = self.queue().await?;
        let build = &submission.build;
        let fixes: Vec<&str> = build.fixes.iter().map(|fix| fix.name.as_str()).collect();
        let detail = json!({ "release": build.target.release, "fixes": fixes });
        let subject = format!("build {}", build.number);
        app.note_order(caller, action, &subject, submission.joined, detail).await;
        Ok(submission)
    }

    async fn queue(self) -> Result<BuildSubmission, AppError> {
        let Self { app, asked, given, .. } = self;
        let request = match asked {
            Some(Asked::Rebuild(rebuild)) => return app.submit_rebuild(*rebuild, given).await,
            Some(Asked::Build(request)) => Some(request),
            Some(Asked::Run(_)) | None => None,
        };
        let GivenTexts { config, kallsyms, baseline, patches } = given;
        let (Some(request), Some(config), false) = (request, config, patches.is_empty()) else {
            return Err(AppError::bad_request(
                "a part is missing",
                "send the parts request, config and one patch or more, in this order",
            ));
        };
        let BuildRequest { target, checks, options } = *request;
        if let Some(module) = options.replaces
            && !app.store().has_module(module, &target.release).await?
        {
            return Err(AppError::NothingToReplace(module));
        }
        let (baseline, mut uploads): (Vec<_>, Vec<UploadedBlob>) = baseline.into_iter().unzip();
        let (fixes, mut of_fixes): (Vec<_>, Vec<UploadedBlob>) = patches.into_iter().unzip();
        uploads.append(&mut of_fixes);
        let identity = &app.inner.options.builder_identity;
        let use_of_symbols = identity.use_of_symbols(&target, !baseline.is_empty());
        let kallsyms = use_of_symbols.kept(kallsyms);
        let builder = identity.of_builds_for(&target.release);
        let order = Order { target, baseline, fixes, checks, options, rebuild: None };
        let symbols: Option<Sha256Digest> = kallsyms.as_ref().map(UploadedBlob::digest);
        let key = order.key(config.meaning, use_of_symbols.in_key(symbols), &builder);
        let store = app.store();
        // Both are looked at again in the transaction; looking here keeps blobs of requests that
        // need none off the disk.
        if let Some(build) = store.equal_build(key).await? {
            return Ok(BuildSubmission { build: builds::resource(build), joined: true });
        }
        let limit = u64::from(app.inner.options.queue_limit);
        if store.queue_length().await?.queued >= limit {
            return Err(StoreError::QueueFull(limit).into());
        }
        app.queue(key, order, CheckedTexts { config, kallsyms, patches: uploads }).await
    }
}

use std::sync::Arc;

use elivepatch_api::{BuildRequest, BuildSubmission, RebuildRequest, RunRequest, RunSubmission};
use elivepatch_model::{BuildOptions, Fix, TargetFacts, limits};
use elivepatch_store::AuditAction;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    App, AppError, Caller, Part, TakesParts, checks,
    order::OrderedBy,
    part::{PartKind, PartName},
    rebuild,
    texts::GivenTexts,
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

impl TakesParts for Intake {
    const FORM_HINT: &'static str =
        "send multipart/form-data with the parts request, config, kallsyms, baseline and patch";

    fn begin_part(&mut self, name: &str, file_name: Option<&str>) -> Result<Part, AppError> {
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

    async fn end_part(&mut self, part: Part) -> Result<(), AppError> {
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
}

impl Intake {
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
        let Self { app, asked, given, .. } = self;
        match asked {
            Some(Asked::Rebuild(rebuild)) => {
                let submission = app.submit_rebuild(*rebuild, given).await?;
                app.note_build(caller, AuditAction::RebuildOrdered, &submission).await;
                Ok(submission)
            }
            Some(Asked::Build(request)) => {
                app.order_build(caller, OrderedBy::V2, *request, given).await
            }
            Some(Asked::Run(_)) | None => Err(AppError::bad_request(
                "a part is missing",
                "send the parts request, config and one patch or more, in this order",
            )),
        }
    }
}

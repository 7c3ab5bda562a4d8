use elivepatch_api::BuildRequest;
use elivepatch_model::{
    Architecture, BuildNumber, BuildOptions, Fix, KernelConfig, KernelRelease, TargetFacts, limits,
};
use elivepatch_store::UploadedBlob;
use tokio::sync::OwnedSemaphorePermit;

use super::{V1Session, release::release_meant};
use crate::app::{
    App, AppError, Caller, Part, TakesParts, checks, now,
    order::OrderedBy,
    part::{PartKind, PartName},
    texts::GivenTexts,
};

/// What a form holds, for errors.
const FORM_HINT: &str = "send multipart/form-data with the parts config and main_patch, and a part patch for each \
    patch that the kernel has already";

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum V1Outcome {
    /// The build has ended, and there is a module.
    Built,
    /// The session had ordered before; nothing was ordered.
    Seen,
}

/// The order of an old client as it comes in, part by part, in any order of the parts.
///
/// The release hangs on the config, which comes last. So the parts are checked when all are there, but for their
/// sizes. Nothing stays on the disk unless [`V1Intake::finish`] succeeds.
pub struct V1Intake {
    app: App,
    session: V1Session,
    config: Option<UploadedBlob>,
    main_patch: Option<(String, UploadedBlob)>,
    /// The patches that the kernel has already.
    patches: Vec<(String, UploadedBlob)>,
    _turn: OwnedSemaphorePermit,
}

impl App {
    /// Begins to receive the order of a session, when it is its turn.
    pub async fn begin_v1_order(&self, session: V1Session) -> V1Intake {
        let turn = self.inner.v1.upload_turn().await;
        V1Intake {
            app: self.clone(),
            session,
            config: None,
            main_patch: None,
            patches: Vec::new(),
            _turn: turn,
        }
    }
}

impl TakesParts for V1Intake {
    const FORM_HINT: &'static str = FORM_HINT;

    fn begin_part(&mut self, name: &str, file_name: Option<&str>) -> Result<Part, AppError> {
        let (part, is_there) = match name {
            "patch" => (PartName::Baseline, false),
            "main_patch" => (PartName::Patch, self.main_patch.is_some()),
            "config" => (PartName::Config, self.config.is_some()),
            other => {
                let other: String = other.chars().take(40).collect();
                let message = format!("there is no part \"{}\" in API v1.0", other.escape_debug());
                return Err(AppError::bad_request(message, FORM_HINT));
            }
        };
        if is_there {
            let message = format!("the part \"{name}\" came twice");
            return Err(AppError::bad_request(message, FORM_HINT));
        }
        let position = self.patches.len() + 1;
        if part == PartName::Baseline && position > limits::BASELINE_PATCHES {
            return Err(AppError::bad_request(
                format!("the request has more than {} parts \"patch\"", limits::BASELINE_PATCHES),
                "join patches that belong together",
            ));
        }
        Part::begin(self.app.store(), part, file_name, position)
    }

    async fn end_part(&mut self, part: Part) -> Result<(), AppError> {
        match part.kind {
            PartKind::Config(writer) => self.config = Some(writer.finish().await?),
            PartKind::Patch { name, writer } => {
                self.main_patch = Some((name, writer.finish().await?));
            }
            PartKind::Baseline { name, writer } => {
                self.patches.push((name, writer.finish().await?));
                let bytes: u64 = self.patches.iter().map(|(_, upload)| size(upload)).sum();
                if bytes > limits::BASELINE_BYTES {
                    let what = "all of the parts \"patch\" together".to_owned();
                    return Err(AppError::TooLarge { what, limit_bytes: limits::BASELINE_BYTES });
                }
            }
            PartKind::Request(_) | PartKind::Kallsyms(_) => {}
        }
        Ok(())
    }
}

fn size(upload: &UploadedBlob) -> u64 {
    upload.blob().size_bytes
}

impl V1Intake {
    /// Checks all, orders the build or joins an equal one, and waits for its end. A client that goes away meanwhile
    /// changes nothing: the build goes on, and the session has its module later.
    ///
    /// # Errors
    /// When a part is missing or can never give a livepatch, the queue or the disk is full, the build fails, or the
    /// server stops.
    pub async fn finish(self, caller: &Caller) -> Result<V1Outcome, AppError> {
        let (app, caller) = (self.app.clone(), caller.clone());
        // A task of its own: whoever hangs up in this instant must not have a build without its session.
        let ordered = tokio::spawn(async move { self.order(&caller).await }).await;
        let ordered = ordered.map_err(|error| AppError::Panicked(error.to_string()))??;
        match ordered {
            Some(build) => app.end_of(build).await.map(|()| V1Outcome::Built),
            None => Ok(V1Outcome::Seen),
        }
    }

    /// Orders the build; `None` when the session has ordered meanwhile.
    async fn order(self, caller: &Caller) -> Result<Option<BuildNumber>, AppError> {
        let Self { app, session, config, main_patch, patches, _turn } = self;
        let config = config.ok_or_else(|| missing("config"))?;
        let (name, main_patch) = main_patch.ok_or_else(|| missing("main_patch"))?;

        let version = session.version;
        let read = move |bytes: &[u8]| checks::read_config(bytes).map(|config| (version, config));
        let (config, (version, read)) = app.check_upload(config, read).await?;
        let request = app.v1_request(&version, &read)?;
        let config = app.check_config(config, &request.target, &request.options).await?;
        let mut given = GivenTexts { config: Some(config), ..GivenTexts::default() };
        for (name, patch) in patches {
            let patch = app.check_baseline(patch, &name).await?;
            given.add_baseline(name, patch)?;
        }
        let patch = app.check_patch(main_patch, &name).await?;
        given.patches.push((Fix { name, digest: patch.digest() }, patch));

        // The same session at the same time: one of them orders, and the other one finds that.
        let _one_at_a_time = app.inner.v1.orders.lock().await;
        if app.knows_session(&session.id).await? {
            return Ok(None);
        }
        let build = app.order_build(caller, OrderedBy::V1, request, given).await?;
        let build = build.build.number;
        app.store().begin_session(&session.id, build, now()).await?;
        Ok(Some(build))
    }
}

fn missing(name: &str) -> AppError {
    AppError::bad_request(format!("the part \"{name}\" is missing"), FORM_HINT)
}

impl App {
    /// What an old client's order is in today's words.
    fn v1_request(
        &self,
        version: &KernelRelease,
        config: &KernelConfig,
    ) -> Result<BuildRequest, AppError> {
        let release = release_meant(version, config);
        let is_built_here = self.inner.options.builder_identity.builds_kernels_of(&release);
        if release.suffix().is_empty() && !is_built_here {
            return Err(AppError::no_gentoo_sources(format!(
                "no [[source]] in this server's config has the kernel {release}; of a stock kernel name the \
                 release, as uname -r prints it: --kernel_version RELEASE"
            )));
        }
        let options = BuildOptions {
            stack: true,
            // An old client sends nothing of the running kernel that could prove that a kernel built here is the
            // same. Without proof it is taken where that was asked for; a stock kernel's package proves enough.
            accept_unproven: is_built_here
                && self.inner.options.allow_unproven
                && self.v1_options()?.accept_unproven,
            ..BuildOptions::default()
        };
        let target = TargetFacts::new(release, Architecture::X86_64);
        Ok(BuildRequest { target, checks: Vec::new(), options })
    }
}

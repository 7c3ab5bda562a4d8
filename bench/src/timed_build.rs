use std::{pin::pin, time::Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use elivepatch_api::{
    BuildRequest, BuildResource,
    client::{FollowOptions, Followed, NamedPatch},
};
use elivepatch_model::{BuildEvent, BuildOptions, BuildState, Manifest, Step, StepName, StepState};
use futures::StreamExt;
use jiff::Timestamp;

use crate::{server::Server, setting::Setting};

/// How far a build is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The module is inspected; then the build is cancelled, so that no trial is waited for.
    Module,
    /// The livepatch is published.
    End,
}

/// One build as its client saw it.
#[derive(Debug)]
pub struct TimedBuild {
    /// When it was ordered, by the machine's clock.
    pub ordered_at: Timestamp,
    /// From the order to the inspected module, in seconds.
    pub to_module: f64,
    /// From the order to the published livepatch, in seconds; when it was followed so far.
    pub to_end: Option<f64>,
    /// From the order to the worker that takes it, in seconds, by the server's clock.
    pub to_claim: f64,
    /// The steps that were done.
    pub steps: Vec<Step>,
    /// What the livepatch was made with, when it was waited for.
    pub manifest: Option<Manifest>,
}

impl TimedBuild {
    /// Orders a variant of the patch and follows the build.
    ///
    /// # Errors
    /// When the build fails, or an equal one was there.
    pub async fn run(
        setting: &Setting,
        server: &Server,
        variant: u32,
        until: Until,
    ) -> anyhow::Result<Self> {
        let client = server.client();
        let request = BuildRequest {
            target: setting.target.clone(),
            checks: Vec::new(),
            options: BuildOptions::default(),
        };
        let content = Bytes::from(setting.patch(variant));
        let patch = NamedPatch { name: format!("variant-{variant}.patch"), content };
        let (ordered_at, ordered) = (Timestamp::now(), Instant::now());
        let submission = client.submit(&request, &setting.config, &[patch]).await?;
        let number = submission.build.number;
        if submission.joined {
            bail!("build {number} was there already: nothing was measured");
        }
        let (mut to_module, mut steps) = (None, Vec::new());
        let mut events = pin!(client.follow(number, FollowOptions::default()));
        while let Some(followed) = events.next().await {
            let Followed::Event(record) = followed? else { continue };
            let BuildEvent::Step { step } = record.event else { continue };
            if step.state != StepState::Done {
                continue;
            }
            if step.name == StepName::Inspect {
                to_module = Some(ordered.elapsed().as_secs_f64());
            }
            steps.push(step);
            if to_module.is_some() && until == Until::Module {
                client.cancel(number).await?;
                break;
            }
        }
        let to_end = ordered.elapsed().as_secs_f64();
        let build = client.build(number).await?;
        if until == Until::End && build.state != BuildState::Succeeded {
            bail!("build {number} is {}: {}", build.state, reason(&build));
        }
        Ok(Self {
            ordered_at,
            to_module: to_module
                .with_context(|| format!("build {number} has no module: {}", reason(&build)))?,
            to_end: (until == Until::End).then_some(to_end),
            to_claim: seconds_to_claim(&build)?,
            steps,
            manifest: build.manifest,
        })
    }

    /// How long a step took, in seconds.
    pub fn step(&self, name: StepName) -> Option<f64> {
        self.steps.iter().find(|step| step.name == name)?.duration_seconds
    }

    /// The time in which tools may have run for the module, by the machine's clock.
    pub fn span(&self) -> anyhow::Result<(Timestamp, Timestamp)> {
        let length = jiff::SignedDuration::try_from_secs_f64(self.to_module)
            .context("a build does not take centuries")?;
        Ok((self.ordered_at, self.ordered_at + length))
    }
}

fn seconds_to_claim(build: &BuildResource) -> anyhow::Result<f64> {
    let started = build.started_at.context("no worker has begun the build")?;
    Ok(started.duration_since(build.submitted_at).as_secs_f64())
}

fn reason(build: &BuildResource) -> String {
    build.failure.as_ref().map_or_else(|| "no reason is given".to_owned(), ToString::to_string)
}

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// Where a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BuildState {
    /// Waits for a worker.
    Queued,
    /// A worker has leased it.
    Running,
    /// The livepatch is there.
    Succeeded,
    /// There is no livepatch; the failure says why.
    Failed,
    /// Someone cancelled it.
    Cancelled,
}

impl BuildState {
    /// Whether nothing more will happen to the build.
    pub fn is_finished(self) -> bool {
        matches!(self, BuildState::Succeeded | BuildState::Failed | BuildState::Cancelled)
    }

    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            BuildState::Queued => "queued",
            BuildState::Running => "running",
            BuildState::Succeeded => "succeeded",
            BuildState::Failed => "failed",
            BuildState::Cancelled => "cancelled",
        }
    }
}

impl std::str::FromStr for BuildState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("\"{text}\" is not a build state"))
    }
}

impl std::fmt::Display for BuildState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The steps of a build, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// Fetch the target's packages and check their digests.
    Source,
    /// Find or make the toolchain root.
    Toolchain,
    /// Find or prepare the base.
    Base,
    /// Apply the patches and refuse what cannot be live-patched.
    Check,
    /// Compile the touched files, as they were and as patched.
    Compile,
    /// Find the changed functions.
    Diff,
    /// Prove that what the base compiles is what the target runs.
    Fit,
    /// Link the module.
    Link,
    /// Inspect the finished module.
    Inspect,
    /// Try the livepatch in a virtual machine with the target's own kernel.
    Trial,
    /// Hand module and manifest to the server.
    Publish,
    /// In the answer of a newer server: a step that this version does not know.
    Unknown,
}

impl StepName {
    /// All steps that there are, in their order.
    pub const ALL: [StepName; 11] = [
        StepName::Source,
        StepName::Toolchain,
        StepName::Base,
        StepName::Check,
        StepName::Compile,
        StepName::Diff,
        StepName::Fit,
        StepName::Link,
        StepName::Inspect,
        StepName::Trial,
        StepName::Publish,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            StepName::Source => "source",
            StepName::Toolchain => "toolchain",
            StepName::Base => "base",
            StepName::Check => "check",
            StepName::Compile => "compile",
            StepName::Diff => "diff",
            StepName::Fit => "fit",
            StepName::Link => "link",
            StepName::Inspect => "inspect",
            StepName::Trial => "trial",
            StepName::Publish => "publish",
            StepName::Unknown => "unknown",
        }
    }

    /// What the step does, for people who watch.
    pub fn describe(self) -> &'static str {
        match self {
            StepName::Source => "fetch the kernel's packages",
            StepName::Toolchain => "get the compiler ready",
            StepName::Base => "prepare the base",
            StepName::Check => "apply and check the patch",
            StepName::Compile => "compile original and patched code",
            StepName::Diff => "find the changed functions",
            StepName::Fit => "compare the code with the kernel's own",
            StepName::Link => "link the module",
            StepName::Inspect => "inspect the module",
            StepName::Trial => "try it in a virtual machine",
            StepName::Publish => "publish the livepatch",
            StepName::Unknown => "a step that a newer server knows",
        }
    }
}

/// A client must be able to read what a newer server says.
impl<'de> Deserialize<'de> for StepName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = StepName::ALL.into_iter().find(|step| step.as_str() == name);
        Ok(known.unwrap_or(StepName::Unknown))
    }
}

impl std::fmt::Display for StepName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How a step ended, or that it has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// At work.
    Running,
    /// Done.
    Done,
    /// The build failed in this step.
    Failed,
}

/// One step of a build with its duration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Step {
    /// Which step.
    pub name: StepName,
    /// Where it stands.
    pub state: StepState,
    /// How long it took, in seconds; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    /// What it found, one line for people; absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// Something that happened to a build. The events of a build are numbered from 1 and never change,
/// so that a reader who lost the connection goes on where it stopped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum BuildEvent {
    /// The build has a new state.
    State {
        /// The state.
        state: BuildState,
        /// When, by the server's clock.
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
        at: Timestamp,
        /// Why it failed, when it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<Failure>,
    },
    /// A step began or ended.
    Step {
        /// The step as it is now.
        step: Step,
    },
    /// How far the running step is.
    Progress {
        /// The step.
        step: StepName,
        /// What is being done, such as `linux-source-6.1`.
        what: String,
        /// Units done.
        done: u64,
        /// Units in all; 0 when unknown.
        total: u64,
        /// The unit: `bytes` or `items`.
        unit: String,
    },
    /// A line of a tool's output.
    Log {
        /// The step that the tool runs in.
        step: StepName,
        /// The line, without its end, valid UTF-8, cut at a sane length.
        line: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_of_a_newer_server_is_read_as_unknown() {
        for step in StepName::ALL {
            let wire = serde_json::to_string(&step).expect("a plain name");
            assert_eq!(wire, format!("\"{step}\""));
            assert_eq!(serde_json::from_str::<StepName>(&wire).expect("a step"), step);
        }
        let step: StepName = serde_json::from_str("\"of-tomorrow\"").expect("any name");
        assert_eq!(step, StepName::Unknown);
        serde_json::from_str::<StepName>("1").expect_err("not a name");
    }
}

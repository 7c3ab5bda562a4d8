use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{FailureClass, StepName};

/// Why a build did not give a livepatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// The stable class, for programs.
    pub class: FailureClass,
    /// The step that failed; absent when the request was refused before any step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepName>,
    /// What went wrong, naming the object; one line.
    pub message: String,
    /// What the user can do, best a command to run; one line.
    pub hint: String,
    /// Further lines of evidence: compiler errors, rejected hunks, differing options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The name of the fix that it is about, where a request has several and one of them is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<Box<str>>,
    /// The functions that it is about, by their symbols, where a tool names them. For the builder
    /// itself, which may know a way round: nobody is told.
    #[serde(skip)]
    pub functions: Vec<String>,
}

impl Failure {
    /// A failure with neither step nor details.
    pub fn new(class: FailureClass, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            class,
            step: None,
            message: message.into(),
            hint: hint.into(),
            details: Vec::new(),
            fix: None,
            functions: Vec::new(),
        }
    }

    /// Adds lines of evidence.
    #[must_use]
    pub fn with_details(mut self, details: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(details);
        self
    }

    /// Names the fix that is to blame.
    #[must_use]
    pub fn of_fix(mut self, name: &str) -> Self {
        self.fix = Some(name.into());
        self
    }

    /// Names the step that failed, when there is one.
    #[must_use]
    pub fn of_step(mut self, step: Option<StepName>) -> Self {
        self.step = step;
        self
    }

    /// Names the step that failed.
    #[must_use]
    pub fn in_step(mut self, step: StepName) -> Self {
        self.step = Some(step);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.message, self.class)
    }
}

impl std::error::Error for Failure {}

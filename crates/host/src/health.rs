use serde::{Deserialize, Serialize};

use crate::{HostProblem, Livepatch, Machine, Vitals};

/// How a kernel is with a livepatch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// The bad signs; none: it is well.
    pub signs: Vec<Sign>,
}

/// Something that was not so before the livepatch was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// The kernel has oopsed.
    Oops,
    /// The kernel has warned.
    Warning,
    /// The livepatch is not active any more, though nobody took it back.
    NotActive,
}

impl Sign {
    fn words(self) -> &'static str {
        match self {
            Self::Oops => "the kernel has oopsed since it was loaded",
            Self::Warning => "the kernel has printed a warning since it was loaded",
            Self::NotActive => "it is not active any more",
        }
    }
}

impl Health {
    /// Looks at the kernel. `before` is its taint when the livepatch was not loaded yet.
    pub(crate) fn look(
        machine: &Machine,
        livepatch: Option<&Livepatch>,
        before: Vitals,
    ) -> Result<Self, HostProblem> {
        let now = Vitals::now(machine)?;
        let mut signs = Vec::new();
        if now.has_new_oops(before) {
            signs.push(Sign::Oops);
        }
        if now.has_new_warning(before) {
            signs.push(Sign::Warning);
        }
        if !livepatch.is_some_and(Livepatch::is_active) {
            signs.push(Sign::NotActive);
        }
        Ok(Self { signs })
    }

    /// Whether the kernel has taken harm. That the livepatch is not active any more is none: somebody may have
    /// disabled it.
    pub fn is_harmed(&self) -> bool {
        self.signs.iter().any(|sign| *sign != Sign::NotActive)
    }

    /// Whether it is well.
    pub fn is_well(&self) -> bool {
        self.signs.is_empty()
    }

    /// What was seen, in one line.
    pub fn words(&self) -> String {
        match self.signs.is_empty() {
            true => "well".to_owned(),
            false => self.signs.iter().map(|sign| sign.words()).collect::<Vec<_>>().join("; "),
        }
    }
}

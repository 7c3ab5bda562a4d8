//! Which of the target's modules a trial loads: those that the livepatch patches, and what they need.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;
use elivepatch_model::{Failure, PatchedFunction, TrialEvidence};

use crate::{base::Base, trial::TrialModule};

/// The modules of a trial, in the order in which they are loaded.
pub(crate) struct TrialModules {
    modules: Vec<(String, Option<Utf8PathBuf>, bool)>,
}

impl TrialModules {
    /// Finds the modules that hold the replaced functions, and all that these need.
    ///
    /// # Errors
    /// When the base is damaged.
    pub(crate) fn of(functions: &[PatchedFunction], base: &Base) -> Result<Self, Failure> {
        let patched: BTreeSet<&str> = functions
            .iter()
            .map(|function| function.object.as_str())
            .filter(|object| *object != "vmlinux")
            .collect();
        if patched.is_empty() {
            return Ok(Self { modules: Vec::new() });
        }
        let table = base.modules()?;
        let order = table.load_order(patched.iter().copied());
        let modules = order
            .into_iter()
            .map(|name| {
                let file = base.loadable_module(&table, name)?;
                Ok((name.to_owned(), file, patched.contains(name)))
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Self { modules })
    }

    /// As the trial takes them.
    pub(crate) fn for_trial(&self) -> Vec<TrialModule<'_>> {
        self.modules
            .iter()
            .map(|(name, file, is_patched)| TrialModule {
                name,
                file: file.as_deref(),
                is_patched: *is_patched,
            })
            .collect()
    }
}

/// What the trial's summary says of the patched modules, from `, ` on; empty when there are none.
pub(crate) fn modules_summary(evidence: &TrialEvidence) -> String {
    let mut summary = String::new();
    if !evidence.modules_loaded.is_empty() {
        let late = match evidence.modules_late.is_empty() {
            true => "",
            false => " (before the livepatch and after it)",
        };
        summary.push_str(&format!(", with {}{late}", evidence.modules_loaded.join(", ")));
    }
    if !evidence.modules_absent.is_empty() {
        let absent = evidence.modules_absent.join("; ");
        summary.push_str(&format!(", without what the guest could not load ({absent})"));
    }
    summary
}

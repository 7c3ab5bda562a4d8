//! What a run writes down, so that it goes on where it was after anything that happens to the server.

use std::collections::BTreeMap;

use elivepatch_api::{RunGrounds, RunRequest};
use elivepatch_cve::LinuxVersion;
use elivepatch_model::{BuildNumber, Fix, PatchRecord, PatchedFunction, Sha256Digest};
use elivepatch_store::{RunCveRecord, RunRecord, StoreError};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    combination::{Combination, Place},
    earlier::Earlier,
};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    /// The request.
    pub request: RunRequest,
    /// The patches that are compiled into the running kernel, in their order.
    pub baseline: Vec<PatchRecord>,
    /// The fixes that the livepatch holds whatever becomes of the CVEs, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Fix>,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Progress {
    /// What its answers rest on.
    pub grounds: RunGrounds,
    /// How many CVEs there are with each verdict of those that do not matter.
    pub rest: BTreeMap<String, u64>,
    /// What the config says, when it is known.
    pub config_meaning: Option<Sha256Digest>,
    /// The CVEs whose fixes are still to be fetched, by their positions.
    pub unfetched: Vec<usize>,
    /// Where the trying of the fixes stands that the livepatch holds in any case.
    #[serde(default)]
    pub kept: KeptState,
    /// The fixes that are tried, in the order in which they are applied; known when all are fetched.
    pub units: Vec<Unit>,
    /// The search for those that work together, when each was tried.
    pub combination: Option<Combination>,
    /// The livepatch of an earlier run, which the new one replaces; looked for when each was tried.
    #[serde(default)]
    pub earlier: Option<Earlier>,
    /// The fixes that would take the livepatch over its limits, each with the rule.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub over_limits: BTreeMap<Place, String>,
    /// The build of a set of fixes that is under way.
    pub under_way: Option<SetUnderWay>,
    /// What it does now, in one line for people.
    pub activity: String,
}

/// A fix that is tried as a whole: all patches of a CVE, or of several that have the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Unit {
    /// The CVEs, by their positions.
    pub cves: Vec<usize>,
    /// The patches, in their order, each with the version that has it first.
    pub patches: Vec<(Fix, Option<LinuxVersion>)>,
    /// Where it stands.
    pub trial: UnitState,
}

/// Where the trying of the fixes stands that are kept in any case.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum KeptState {
    /// They wait for their turn, or there are none.
    #[default]
    Waiting,
    /// They are being tried.
    UnderWay {
        /// The probe.
        probe: BuildNumber,
    },
    /// They can be a livepatch by themselves.
    Works {
        /// What it replaces.
        functions: Vec<PatchedFunction>,
    },
}

/// Where the trying of a fix alone stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum UnitState {
    /// It waits for its turn.
    Waiting,
    /// It is being tried.
    UnderWay {
        /// The probe.
        probe: BuildNumber,
        /// The fixes that are built with it, because it did not compile alone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with: Vec<Place>,
    },
    /// It can be a livepatch by itself, or with others that change the same files.
    Works {
        /// What it replaces; without what those others do.
        functions: Vec<PatchedFunction>,
    },
    /// It does not apply by itself: perhaps after others.
    DoesNotApply,
    /// It does not compile by itself: perhaps with others.
    DoesNotCompile,
    /// It cannot be a livepatch.
    Failed,
}

/// A set of fixes that is being built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SetUnderWay {
    /// The build.
    pub build: BuildNumber,
    /// The fixes, by their places among the units.
    pub set: Vec<Place>,
    /// Whether it is not tried in a virtual machine.
    pub is_probe: bool,
}

impl Unit {
    /// Leaves out the patch of a name, which the kernel's source has. Gives `false`, and changes nothing, when there
    /// is none of that name, or it is the last one.
    pub(super) fn leave_out(&mut self, name: &str) -> bool {
        match self.patches.iter().position(|(fix, _)| fix.name == name) {
            Some(place) if self.patches.len() > 1 => {
                self.patches.remove(place);
                true
            }
            _ => false,
        }
    }

    fn is_tried_alone(&self) -> bool {
        match &self.trial {
            UnitState::Waiting => false,
            UnitState::UnderWay { with, .. } => !with.is_empty(),
            _ => true,
        }
    }
}

impl Progress {
    /// What a fix replaces of these functions of its probe: not what those do that are kept in any case.
    pub(super) fn without_kept(&self, mut functions: Vec<PatchedFunction>) -> Vec<PatchedFunction> {
        if let KeptState::Works { functions: kept } = &self.kept {
            functions.retain(|function| !kept.contains(function));
        }
        functions
    }

    /// How many fixes are to be tried, and how many were.
    pub(super) fn tried(&self) -> (u32, u32) {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (
            count(self.units.len()),
            count(self.units.iter().filter(|unit| unit.is_tried_alone()).count()),
        )
    }

    /// Whether each was tried in all ways.
    pub(super) fn is_tried(&self) -> bool {
        let is_open = |unit: &Unit| {
            matches!(
                unit.trial,
                UnitState::Waiting | UnitState::UnderWay { .. } | UnitState::DoesNotCompile
            )
        };
        !self.units.iter().any(is_open)
    }

    /// How many CVEs there are with each verdict.
    pub(super) fn counts(&self, cves: &[RunCveRecord]) -> BTreeMap<String, u64> {
        let mut counts = self.rest.clone();
        for cve in cves {
            *counts.entry(cve.result.verdict().to_owned()).or_default() += 1;
        }
        counts
    }

    /// The patches of several units on top of those that are kept, as they are applied: by the versions that have them
    /// first, each once.
    pub(super) fn patches(&self, kept: &[Fix], set: &[Place]) -> Vec<Fix> {
        let units = set.iter().filter_map(|place| self.units.get(*place));
        let mut patches: Vec<Fix> = kept.to_vec();
        for (fix, _) in units.flat_map(|unit| &unit.patches) {
            if !patches.iter().any(|there| there.digest == fix.digest) {
                patches.push(fix.clone());
            }
        }
        patches
    }

    /// The units among `set` that hold a patch of this name.
    pub(super) fn named(&self, set: &[Place], name: &str) -> Vec<Place> {
        let has = |place: &Place| {
            let unit = self.units.get(*place);
            unit.is_some_and(|unit| unit.patches.iter().any(|(fix, _)| fix.name == name))
        };
        set.iter().copied().filter(has).collect()
    }
}

/// Reads a document of a run.
pub(super) fn read<T: DeserializeOwned>(text: &str, run: &RunRecord) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        what: format!("the record of CVE run {}", run.number),
        source: Some(Box::new(error)),
    })
}

/// The text of a document.
pub(super) fn write<T: Serialize>(document: &T) -> String {
    serde_json::to_string(document).expect("plain data has a JSON form")
}

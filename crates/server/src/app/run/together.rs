//! Fixes that do not compile alone: each is tried once more, with the fixes that work and change the same
//! files, for what it uses may have come with one of those.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_cve::{LinuxVersion, Outcome};
use elivepatch_patch::SourcePatch;

use super::{
    advance::Run,
    combination::Place,
    ordering::SetOrder,
    progress::{Unit, UnitState},
    trying::PROBES_AT_A_TIME,
};
use crate::app::{App, AppError};

impl App {
    /// Orders what is to be tried with others, and gives up on what has none; `under_way` probes are there
    /// already. Gives whether anything was done.
    pub(super) async fn try_together(
        &self,
        run: &mut Run,
        mut under_way: usize,
    ) -> Result<bool, AppError> {
        let is_open = |unit: &Unit| unit.trial == UnitState::DoesNotCompile;
        let open: Vec<Place> = places(run, is_open);
        if open.is_empty() || under_way >= PROBES_AT_A_TIME {
            return Ok(false);
        }
        let working = places(run, |unit| matches!(unit.trial, UnitState::Works { .. }));
        let mut files = BTreeMap::new();
        for place in open.iter().chain(&working) {
            files.insert(*place, self.files_of(&run.progress.units[*place]).await?);
        }
        let mut is_changed = false;
        for place in open {
            if under_way >= PROBES_AT_A_TIME {
                break;
            }
            let newest = newest(&run.progress.units[place]);
            let is_before = |other: &&Place| self::newest(&run.progress.units[**other]) <= newest;
            let shares = |other: &&Place| !files[*other].is_disjoint(&files[&place]);
            let with: Vec<Place> =
                working.iter().filter(is_before).filter(shares).copied().collect();
            if with.is_empty() {
                run.progress.units[place].trial = UnitState::Failed;
                is_changed = true;
                continue;
            }
            let mut set = with.clone();
            set.push(place);
            set.sort_unstable();
            let Some(build) = self.order_set(run, &SetOrder::probe(&set)).await? else { break };
            // One that has ended already is taken in at the next look.
            run.progress.units[place].trial = UnitState::UnderWay { probe: build.number, with };
            under_way += 1;
            is_changed = true;
        }
        Ok(is_changed)
    }

    /// The files that the patches of a fix change.
    async fn files_of(&self, unit: &Unit) -> Result<BTreeSet<String>, AppError> {
        let mut files = BTreeSet::new();
        for (fix, _) in &unit.patches {
            let blob = self.store().kept_blob(fix.digest).await?;
            let Some(text) = self.store().intact_blob(blob).await? else { continue };
            // It was read before it was tried.
            let Ok(patch) = SourcePatch::parse(&text) else { continue };
            files.extend(patch.files.iter().map(|file| file.path.as_str().to_owned()));
        }
        Ok(files)
    }
}

/// A fix that did not compile alone did with others.
pub(super) fn works_with(
    run: &mut Run,
    place: Place,
    with: &[Place],
    functions: Vec<elivepatch_model::PatchedFunction>,
) {
    let of_others: BTreeSet<_> = with
        .iter()
        .filter_map(|other| match &run.progress.units.get(*other)?.trial {
            UnitState::Works { functions } => Some(functions),
            _ => None,
        })
        .flatten()
        .collect();
    let own = functions.into_iter().filter(|function| !of_others.contains(function)).collect();
    run.progress.units[place].trial = UnitState::Works { functions: own };
    run.set_outcomes(place, &Outcome::Waiting);
}

fn places(run: &Run, is_wanted: impl Fn(&Unit) -> bool) -> Vec<Place> {
    let units = run.progress.units.iter().enumerate();
    units.filter(|(_, unit)| is_wanted(unit)).map(|(place, _)| place).collect()
}

/// The version that has all patches of a fix. What is of no version comes after all, as it is applied.
fn newest(unit: &Unit) -> (bool, Option<LinuxVersion>) {
    let versions = unit.patches.iter().map(|(_, version)| (version.is_none(), *version));
    versions.max().unwrap_or((true, None))
}

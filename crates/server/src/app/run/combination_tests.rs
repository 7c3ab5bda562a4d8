use proptest::prelude::*;

use super::*;

/// What stands against sets of fixes in a world that a test thinks up.
#[derive(Debug, Clone, Default)]
struct World {
    /// Pairs that cannot be built together.
    pairs: Vec<(Place, Place)>,
    /// Pairs of which the second does not apply after the first; the builder names it.
    overlaps: Vec<(Place, Place)>,
    /// Fixes that apply only after another one.
    needs: Vec<(Place, Place)>,
    /// Pairs that do not pass a trial together.
    in_trial: Vec<(Place, Place)>,
    /// Fixes that do not pass a trial.
    crashing: Vec<Place>,
}

impl World {
    /// What a builder says of a set.
    fn build(&self, set: &[Place], is_probe: bool) -> Result<(), (FailureClass, Vec<Place>)> {
        let at = |fix: Place| set.iter().position(|place| *place == fix);
        let fail = |class, named: Vec<Place>| Err((class, named));
        for (first, second) in &self.overlaps {
            if let (Some(a), Some(b)) = (at(*first), at(*second)) {
                let later = if a < b { *second } else { *first };
                return fail(FailureClass::PatchDoesNotApply, vec![later]);
            }
        }
        for (fix, needed) in &self.needs {
            if at(*fix).is_some_and(|place| at(*needed).is_none_or(|needed| needed > place)) {
                return fail(FailureClass::PatchDoesNotApply, vec![*fix]);
            }
        }
        let has = |pair: &(Place, Place)| at(pair.0).is_some() && at(pair.1).is_some();
        if self.pairs.iter().any(has) {
            return fail(FailureClass::SymbolChanged, Vec::new());
        }
        let crashes = self.crashing.iter().any(|fix| at(*fix).is_some());
        if !is_probe && (crashes || self.in_trial.iter().any(has)) {
            return fail(FailureClass::TrialKernelFault, Vec::new());
        }
        Ok(())
    }

    /// Searches to the end; gives the set, and how many builds that took.
    fn search(&self, fixes: usize, late: Vec<Place>) -> (BTreeSet<Place>, usize, Combination) {
        let early = (0..fixes).filter(|fix| !late.contains(fix));
        let mut combination = Combination::new(early, late.clone());
        for builds in 0..2000 {
            // It is written down and read again after each step.
            let kept = serde_json::to_string(&combination).expect("plain data");
            combination = serde_json::from_str(&kept).expect("the same");
            match combination.next() {
                Next::Done { livepatch, set } => {
                    assert_eq!(livepatch.is_some(), !set.is_empty());
                    return (set, builds, combination);
                }
                Next::Build { set, is_probe } => match self.build(&set, is_probe) {
                    Ok(()) => combination.succeeded(BuildNumber(builds as i64 + 1)),
                    Err((class, named)) => {
                        combination.failed(&Failure::new(class, "no", "none"), &named);
                    }
                },
            }
        }
        panic!("the search does not end: {combination:?}");
    }
}

fn set(places: impl IntoIterator<Item = Place>) -> BTreeSet<Place> {
    places.into_iter().collect()
}

#[test]
fn all_fixes_that_work_together_are_one_build() {
    assert_eq!(World::default().search(100, Vec::new()).1, 1);
    let (nothing, builds, _) = World::default().search(0, Vec::new());
    assert_eq!((nothing.len(), builds), (0, 0));
}

#[test]
fn the_later_one_of_a_pair_is_left_out_after_a_few_builds() {
    let world = World { pairs: vec![(10, 70)], ..World::default() };
    let (found, builds, combination) = world.search(100, Vec::new());
    assert_eq!(found, set((0..100).filter(|fix| *fix != 70)));
    assert!(builds <= 18, "{builds}");
    assert_eq!(combination.left_out()[&70].class, FailureClass::SymbolChanged);
}

#[test]
fn fix_that_the_builder_names_is_tried_after_all_others_and_then_left_out() {
    let world = World { overlaps: vec![(3, 5)], ..World::default() };
    let (found, builds, combination) = world.search(8, Vec::new());
    assert_eq!(found, set([0, 1, 2, 3, 4, 6, 7]));
    assert!(builds <= 4, "{builds}");
    assert_eq!(combination.left_out()[&5].class, FailureClass::PatchDoesNotApply);
}

#[test]
fn fix_that_needs_another_one_is_applied_after_it() {
    // The second comes first in the order, and does not apply alone.
    let world = World { needs: vec![(1, 6)], ..World::default() };
    let (found, builds, _) = world.search(8, vec![1]);
    assert_eq!(found, set(0..8));
    assert_eq!(builds, 3);
}

#[test]
fn fixes_that_fail_only_in_a_trial_are_found() {
    let world = World { crashing: vec![4], in_trial: vec![(1, 9)], ..World::default() };
    let (found, _, combination) = world.search(12, Vec::new());
    assert_eq!(found, set((0..12).filter(|fix| ![4, 9].contains(fix))));
    assert_eq!(combination.left_out()[&4].class, FailureClass::TrialKernelFault);
    let alone = World { crashing: vec![0], ..World::default() };
    assert_eq!(alone.search(1, Vec::new()).0, set([]));
}

proptest! {
    #[test]
    fn what_is_found_works_and_cannot_be_added_to(
        pairs in prop::collection::vec((0_usize..20, 0_usize..20), 0..6),
        overlaps in prop::collection::vec((0_usize..20, 0_usize..20), 0..4),
        in_trial in prop::collection::vec((0_usize..20, 0_usize..20), 0..3),
        crashing in prop::collection::vec(0_usize..20, 0..3),
    ) {
        let differ = |pairs: Vec<(usize, usize)>| -> Vec<(usize, usize)> {
            pairs.into_iter().filter(|(a, b)| a != b).collect()
        };
        let trials = in_trial.len() + crashing.len();
        let world = World {
            pairs: differ(pairs),
            overlaps: differ(overlaps),
            needs: Vec::new(),
            in_trial: differ(in_trial),
            crashing,
        };
        let (found, _, combination) = world.search(20, Vec::new());
        let as_list: Vec<usize> = found.iter().copied().collect();
        prop_assert!(world.build(&as_list, false).is_ok());
        for fix in 0..20 {
            prop_assert!(found.contains(&fix) != combination.left_out().contains_key(&fix));
            // With more of them, the one may hide the other.
            if !found.contains(&fix) && trials < 2 {
                let with = as_list.iter().copied().chain([fix]);
                prop_assert!(world.build(&with.collect::<Vec<_>>(), false).is_err(), "{}", fix);
            }
        }
    }
}

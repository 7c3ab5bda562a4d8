//! Which of several fixes can be one livepatch: the search, without any building.
//!
//! Fixes that work alone need not work together: they may change the same lines, or each other's inputs.
//! All of them are tried at once first, since that nearly always works. When it does not, the culprit is
//! what the builder names, or else is found by halving: what is accepted stays, and each half of the rest
//! is tried with it. The result cannot be added to: each fix that is left out was tried together with
//! accepted ones alone, and failed.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::{BuildNumber, Failure, FailureClass};
use serde::{Deserialize, Serialize};

/// A fix among those that are combined: its place in the order in which they are applied.
pub(super) type Place = usize;

/// The search as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Combination {
    /// What works together.
    accepted: BTreeSet<Place>,
    /// What is to be added, the next part last.
    parts: Vec<Vec<Place>>,
    /// What does not apply at its place, and may apply after all others.
    late: Vec<Place>,
    /// What is applied after all others, in this order.
    after_others: Vec<Place>,
    /// Whether the late ones have had their turn.
    late_had_turn: bool,
    /// Whether each set is tried in a virtual machine at once: a trial has failed, or it is the first set.
    with_trials: bool,
    /// The livepatch of a set that passed its trial, with the set.
    livepatch: Option<(BuildNumber, BTreeSet<Place>)>,
    /// Why fixes are left out.
    left_out: BTreeMap<Place, Failure>,
    /// Whether a trial has put out what others were left out for: they get another chance.
    others_may_fit_now: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Build these fixes, in this order.
    Build {
        /// The fixes.
        set: Vec<Place>,
        /// Whether it need not be tried in a virtual machine.
        is_probe: bool,
    },
    /// Nothing: these fixes are in the livepatch, if there are any.
    Done {
        /// The build that made it.
        livepatch: Option<BuildNumber>,
        /// The fixes in it.
        set: BTreeSet<Place>,
    },
}

impl Combination {
    /// Begins with fixes that work alone, and with those that do not apply alone.
    pub(super) fn new(fixes: impl IntoIterator<Item = Place>, late: Vec<Place>) -> Self {
        let first: Vec<Place> = fixes.into_iter().collect();
        Self {
            accepted: BTreeSet::new(),
            parts: if first.is_empty() { Vec::new() } else { vec![first] },
            late,
            after_others: Vec::new(),
            late_had_turn: false,
            with_trials: true,
            livepatch: None,
            left_out: BTreeMap::new(),
            others_may_fit_now: false,
        }
    }

    /// Why fixes are left out.
    pub(super) fn left_out(&self) -> &BTreeMap<Place, Failure> {
        &self.left_out
    }

    /// How many fixes work together so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// What is to be done next.
    pub(super) fn next(&mut self) -> Next {
        if self.parts.is_empty() && !self.late_had_turn {
            self.late_had_turn = true;
            if !self.late.is_empty() {
                let late = std::mem::take(&mut self.late);
                self.after_others.extend(&late);
                // Whatever happens to them, what is accepted is not to be lost in trials that fail.
                self.with_trials = false;
                self.parts.push(late);
            }
        }
        if self.parts.is_empty() && self.others_may_fit_now {
            self.others_may_fit_now = false;
            let again: Vec<Place> = self.left_out.keys().copied().collect();
            let again: Vec<Place> = again
                .into_iter()
                .filter(|fix| !is_of_the_trial(self.left_out[fix].class))
                .collect();
            self.left_out.retain(|fix, _| !again.contains(fix));
            if !again.is_empty() {
                self.with_trials = false;
                self.parts.push(again);
            }
        }
        if let Some(part) = self.parts.last() {
            let set = self.in_order(self.accepted.iter().chain(part));
            return Next::Build { set, is_probe: !self.with_trials };
        }
        match &self.livepatch {
            Some((build, set)) if *set == self.accepted => {
                Next::Done { livepatch: Some(*build), set: set.clone() }
            }
            _ if self.accepted.is_empty() => Next::Done { livepatch: None, set: BTreeSet::new() },
            _ => Next::Build { set: self.in_order(&self.accepted), is_probe: false },
        }
    }

    /// The set of [`Combination::next`] was built.
    pub(super) fn succeeded(&mut self, build: BuildNumber) {
        let had_trial = self.parts.is_empty() || self.with_trials;
        if let Some(part) = self.parts.pop() {
            self.accepted.extend(part);
        }
        if had_trial {
            self.livepatch = Some((build, self.accepted.clone()));
        }
    }

    /// The set of [`Combination::next`] was not built. `culprits` are the fixes that the failure names.
    pub(super) fn failed(&mut self, failure: &Failure, culprits: &[Place]) {
        let in_trial = is_of_the_trial(failure.class);
        let Some(mut part) = self.parts.pop() else {
            // All that is accepted was put together and did not pass its trial, or something else came
            // between: it is put together anew, and tried each time.
            let all: Vec<Place> = std::mem::take(&mut self.accepted).into_iter().collect();
            self.with_trials = true;
            self.split(all, failure);
            return;
        };
        self.with_trials = in_trial;
        let named: Vec<Place> = part.iter().copied().filter(|fix| culprits.contains(fix)).collect();
        if named.is_empty() || part.len() == 1 {
            self.split(part, failure);
            return;
        }
        part.retain(|fix| !named.contains(fix));
        for fix in named {
            if failure.class == FailureClass::PatchDoesNotApply && !self.late_had_turn {
                self.late.push(fix);
            } else {
                self.leave_out(fix, failure);
            }
        }
        if !part.is_empty() {
            self.parts.push(part);
        }
    }

    /// Goes on with the halves of a part that failed, or leaves it out.
    fn split(&mut self, mut part: Vec<Place>, failure: &Failure) {
        if part.len() < 2 {
            for fix in part {
                let is_early = !self.late_had_turn;
                if failure.class == FailureClass::PatchDoesNotApply && is_early {
                    self.late.push(fix);
                } else {
                    self.leave_out(fix, failure);
                }
            }
            return;
        }
        let second = part.split_off(part.len() / 2);
        self.parts.push(second);
        self.parts.push(part);
    }

    fn leave_out(&mut self, fix: Place, failure: &Failure) {
        // Fixes that fail in a trial are put out for good, so that this comes to an end.
        self.others_may_fit_now |= is_of_the_trial(failure.class);
        self.left_out.insert(fix, failure.clone());
    }

    /// The fixes as they are applied.
    fn in_order<'a>(&self, fixes: impl IntoIterator<Item = &'a Place>) -> Vec<Place> {
        let fixes: BTreeSet<Place> = fixes.into_iter().copied().collect();
        let early = fixes.iter().copied().filter(|fix| !self.after_others.contains(fix));
        let late = self.after_others.iter().copied().filter(|fix| fixes.contains(fix));
        early.chain(late).collect()
    }
}

/// Whether the fixes could be built, and the virtual machine showed what is wrong.
fn is_of_the_trial(class: FailureClass) -> bool {
    matches!(
        class,
        FailureClass::TrialLoadFailed
            | FailureClass::TrialTransitionStalled
            | FailureClass::TrialCheckFailed
            | FailureClass::TrialKernelFault
    )
}

#[cfg(test)]
#[path = "combination_tests.rs"]
mod tests;

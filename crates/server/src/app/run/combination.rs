//! Which of several fixes can be one livepatch: the search, without any building.
//!
//! Fixes that work alone need not work together: they may change the same lines, or each other's inputs.
//! All of them are tried at once first, since that nearly always works. When it does not, the culprit is
//! what the builder names, or else is found by halving: what is accepted stays, and each half of the rest
//! is tried with it. Each fix that is left out was tried together with accepted ones alone, and failed: the
//! result cannot be added to, unless several trials failed, each for another reason.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::{BuildNumber, Failure, FailureClass};
use serde::{Deserialize, Serialize};

/// How often a fix that was left out is tried again because what it did not go with may have gone: a trial
/// takes half a minute, and the search must come to an end.
const MOST_CHANCES: u32 = 3;

/// A fix among those that are combined: its place in the order in which they are applied.
pub(super) type Place = usize;

/// The search as far as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Combination {
    /// What works together.
    accepted: BTreeSet<Place>,
    /// What is to be added, the next part last.
    parts: Vec<Part>,
    /// What does not apply at its place, and may apply after all others.
    late: Vec<Place>,
    /// What is applied after all others, in this order.
    after_others: Vec<Place>,
    /// Whether the late ones have had their turn.
    late_had_turn: bool,
    /// The livepatch of a set that passed its trial, with the set.
    livepatch: Option<(BuildNumber, BTreeSet<Place>)>,
    /// Why fixes are left out.
    left_out: BTreeMap<Place, Failure>,
    /// Whether what was accepted is put together anew: what others were left out for may go.
    others_may_fit_now: bool,
    /// How often a fix that was left out was tried again for that.
    chances: BTreeMap<Place, u32>,
}

/// Fixes that are to be added to those that work together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    fixes: Vec<Place>,
    /// Whether the set with them is tried in a virtual machine at once: a trial has failed, or it is the
    /// first set.
    with_trial: bool,
}

impl Part {
    /// With a trial.
    fn tried(fixes: Vec<Place>) -> Self {
        Self { fixes, with_trial: true }
    }

    /// Without.
    fn built(fixes: Vec<Place>) -> Self {
        Self { fixes, with_trial: false }
    }
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
            parts: if first.is_empty() { Vec::new() } else { vec![Part::tried(first)] },
            late,
            after_others: Vec::new(),
            late_had_turn: false,
            livepatch: None,
            left_out: BTreeMap::new(),
            others_may_fit_now: false,
            chances: BTreeMap::new(),
        }
    }

    /// Why fixes are left out.
    pub(super) fn left_out(&self) -> &BTreeMap<Place, Failure> {
        &self.left_out
    }

    /// The fixes that are being added.
    pub(super) fn part(&self) -> &[Place] {
        self.parts.last().map_or(&[], |part| &part.fixes)
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
                self.parts.push(Part::built(late));
            }
        }
        if self.parts.is_empty() && self.others_may_fit_now {
            self.others_may_fit_now = false;
            let has_chance =
                |fix: &Place| self.chances.get(fix).is_none_or(|chances| *chances < MOST_CHANCES);
            let again: Vec<Place> = self.left_out.keys().copied().filter(has_chance).collect();
            let mut built = Vec::new();
            for fix in again {
                *self.chances.entry(fix).or_default() += 1;
                match self.left_out.remove(&fix) {
                    Some(why) if is_of_the_trial(why.class) => {
                        self.parts.push(Part::tried(vec![fix]));
                    }
                    _ => built.push(fix),
                }
            }
            if !built.is_empty() {
                self.parts.push(Part::built(built));
            }
        }
        if let Some(part) = self.parts.last() {
            let set = self.in_order(self.accepted.iter().chain(&part.fixes));
            return Next::Build { set, is_probe: !part.with_trial };
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
        let had_trial = self.parts.last().is_none_or(|part| part.with_trial);
        if let Some(part) = self.parts.pop() {
            self.accepted.extend(part.fixes);
        }
        if had_trial {
            self.livepatch = Some((build, self.accepted.clone()));
        }
    }

    /// The set of [`Combination::next`] was not built. `culprits` are the fixes that the failure names.
    pub(super) fn failed(&mut self, failure: &Failure, culprits: &[Place]) {
        let in_trial = is_of_the_trial(failure.class);
        let Some(Part { fixes: mut part, .. }) = self.parts.pop() else {
            // All that is accepted was put together and did not pass its trial, or something else came
            // between: it is put together anew, and tried each time.
            let all: Vec<Place> = std::mem::take(&mut self.accepted).into_iter().collect();
            self.others_may_fit_now = true;
            self.split(all, true, failure);
            return;
        };
        let named: Vec<Place> = part.iter().copied().filter(|fix| culprits.contains(fix)).collect();
        if named.is_empty() || part.len() == 1 {
            self.split(part, in_trial, failure);
            return;
        }
        part.retain(|fix| !named.contains(fix));
        for fix in named {
            if failure.class == FailureClass::PatchDoesNotApply && !self.late_had_turn {
                self.late.push(fix);
            } else {
                // What it did not go with may be left out itself: behind the others it is tried alone.
                self.parts.push(Part::built(vec![fix]));
            }
        }
        if !part.is_empty() {
            self.parts.push(Part { fixes: part, with_trial: in_trial });
        }
    }

    /// Goes on with the halves of a part that failed, or leaves it out.
    fn split(&mut self, mut part: Vec<Place>, with_trial: bool, failure: &Failure) {
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
        self.parts.push(Part { fixes: second, with_trial });
        self.parts.push(Part { fixes: part, with_trial });
    }

    fn leave_out(&mut self, fix: Place, failure: &Failure) {
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

//! What an order comes to: free of time, disk and network.

use std::{collections::BTreeSet, time::Duration};

use elivepatch_api::{Assigned, HostFault, Order};
use elivepatch_host::FailedOrder;
use elivepatch_model::Sha256Digest;
use jiff::Timestamp;

/// How long it is waited before what has failed is tried again: so long for each time, up to the most.
const RETRY: Duration = Duration::from_secs(30 * 60);
const LONGEST_RETRY: Duration = Duration::from_secs(6 * 3600);

/// All that an order meets on the machine.
#[derive(Debug)]
pub struct Situation<'a> {
    /// The livepatch that is meant to be active.
    pub current: Option<Sha256Digest>,
    /// Whether it is.
    pub is_active: bool,
    /// What is not loaded any more because of what happened under it.
    pub locked_out: &'a BTreeSet<Sha256Digest>,
    /// What somebody on this machine has taken back or replaced.
    pub taken_back: &'a BTreeSet<Sha256Digest>,
    /// What was tried last for the server, and failed.
    pub failed: Option<&'a FailedOrder>,
    /// Whether the maintenance window is open.
    pub is_window_open: bool,
    /// How long this machine is yet to wait within the window.
    pub jitter: Duration,
    /// Whether elivepatch is switched off for this boot.
    pub is_switched_off: bool,
    /// The time.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// All is as the server wants it, or nothing is wanted.
    Nothing,
    /// Not yet.
    NotYet(Wait),
    /// Fetch and load it.
    Load(Assigned),
    /// Take back what is loaded.
    Unload {
        /// Why; may be empty.
        reason: String,
    },
    /// The order is not carried out; somebody has to look at it.
    Refuse(HostFault),
}

/// What it is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The maintenance window.
    Window,
    /// This machine's turn within the window.
    Turn(Duration),
    /// The next try of what has failed.
    Retry(Duration),
}

impl Wait {
    /// What it is waited for, in words.
    pub fn words(self) -> String {
        match self {
            Self::Window => "the maintenance window".to_owned(),
            Self::Turn(left) => format!("its turn, in {} s", left.as_secs()),
            Self::Retry(left) => format!("the next try, in {} min", left.as_secs().div_ceil(60)),
        }
    }
}

/// Decides what an order comes to.
pub fn decide(order: &Order, situation: &Situation<'_>) -> Decision {
    match order {
        Order::Stay | Order::Hold { .. } => Decision::Nothing,
        Order::Unload { reason } => match situation.current {
            None => Decision::Nothing,
            Some(_) => match retry(None, situation) {
                Some(wait) => Decision::NotYet(wait),
                None => Decision::Unload { reason: reason.clone() },
            },
        },
        Order::Load(assigned) => match load(assigned, situation) {
            // What runs was withdrawn: it goes, whatever keeps the other one from taking its place.
            Decision::Refuse(_) | Decision::NotYet(_)
                if assigned.at_once
                    && situation.current.is_some_and(|now| now != assigned.digest) =>
            {
                match retry(None, situation) {
                    Some(wait) => Decision::NotYet(wait),
                    None => Decision::Unload { reason: String::new() },
                }
            }
            decision => decision,
        },
    }
}

fn load(assigned: &Assigned, situation: &Situation<'_>) -> Decision {
    let digest = assigned.digest;
    let build = assigned.build;
    let refuse = |what: String, hint: String| Decision::Refuse(HostFault { what, hint });
    if situation.current == Some(digest) && situation.is_active {
        return Decision::Nothing;
    }
    if situation.is_switched_off {
        return refuse(
            format!(
                "the livepatch of build {build} is assigned, and elivepatch=off is on the kernel's command line"
            ),
            "boot without elivepatch=off, or hold this host".to_owned(),
        );
    }
    if situation.locked_out.contains(&digest) {
        return refuse(
            format!("the livepatch of build {build} is assigned, and locked out on this machine"),
            "elivepatch status says why; elivepatch unlock lets it be loaded again".to_owned(),
        );
    }
    if situation.taken_back.contains(&digest) {
        return refuse(
            format!(
                "the livepatch of build {build} is assigned, and somebody on this machine has taken it back or \
                 replaced it"
            ),
            format!("elivepatch apply {build} loads it; or hold this host"),
        );
    }
    if let Some(wait) = retry(Some(digest), situation) {
        return Decision::NotYet(wait);
    }
    if assigned.at_once {
        return Decision::Load(assigned.clone());
    }
    match (situation.is_window_open, situation.jitter) {
        (false, _) => Decision::NotYet(Wait::Window),
        (true, Duration::ZERO) => Decision::Load(assigned.clone()),
        (true, left) => Decision::NotYet(Wait::Turn(left)),
    }
}

/// How long it is to be waited yet before the same is tried again.
fn retry(digest: Option<Sha256Digest>, situation: &Situation<'_>) -> Option<Wait> {
    let failed = situation.failed.filter(|failed| failed.digest == digest)?;
    let pause = RETRY.saturating_mul(failed.tries).min(LONGEST_RETRY);
    let since = situation.now.duration_since(failed.at);
    // A clock that was set back does not make it wait for years.
    let since = Duration::try_from(since).ok()?;
    pause.checked_sub(since).filter(|left| !left.is_zero()).map(Wait::Retry)
}

#[cfg(test)]
mod tests {
    use elivepatch_model::BuildNumber;

    use super::*;

    fn digest(of: &str) -> Sha256Digest {
        Sha256Digest::of(of.as_bytes())
    }

    fn assigned(of: &str, at_once: bool) -> Order {
        Order::Load(Assigned { build: BuildNumber(7), digest: digest(of), at_once })
    }

    /// Nothing is loaded, and nothing stands against anything.
    fn free(none: &BTreeSet<Sha256Digest>) -> Situation<'_> {
        Situation {
            current: None,
            is_active: false,
            locked_out: none,
            taken_back: none,
            failed: None,
            is_window_open: true,
            jitter: Duration::ZERO,
            is_switched_off: false,
            now: Timestamp::from_second(1_000_000).expect("a time"),
        }
    }

    fn failed(digest: Option<Sha256Digest>, tries: u32, seconds_ago: i64) -> FailedOrder {
        let at = Timestamp::from_second(1_000_000 - seconds_ago).expect("a time");
        let (what, hint) = ("it stalled".to_owned(), String::new());
        FailedOrder { digest, tries, at, what, hint }
    }

    #[test]
    fn assigned_livepatch_is_loaded_in_its_window_and_turn() {
        let none = BTreeSet::new();
        let order = assigned("a", false);
        let Order::Load(wanted) = order.clone() else { unreachable!("it is one") };
        assert_eq!(decide(&order, &free(&none)), Decision::Load(wanted.clone()));
        let closed = Situation { is_window_open: false, ..free(&none) };
        assert_eq!(decide(&order, &closed), Decision::NotYet(Wait::Window));
        let turn = Duration::from_secs(7);
        let early = Situation { jitter: turn, ..free(&none) };
        assert_eq!(decide(&order, &early), Decision::NotYet(Wait::Turn(turn)));
        let at_once = assigned("a", true);
        let late = Situation { is_window_open: false, jitter: turn, ..free(&none) };
        assert!(matches!(decide(&at_once, &late), Decision::Load(_)));
        let there = Situation { current: Some(wanted.digest), is_active: true, ..free(&none) };
        assert_eq!(decide(&order, &there), Decision::Nothing);
        let disabled = Situation { is_active: false, ..there };
        assert!(matches!(decide(&order, &disabled), Decision::Load(_)));
        let other = Situation { current: Some(digest("b")), is_active: true, ..free(&none) };
        assert!(matches!(decide(&order, &other), Decision::Load(_)));
    }

    #[test]
    fn what_happened_here_wins_over_the_server() {
        let (none, one) = (BTreeSet::new(), BTreeSet::from([digest("a")]));
        for at_once in [false, true] {
            let order = assigned("a", at_once);
            for (situation, what) in [
                (Situation { locked_out: &one, ..free(&none) }, "locked out"),
                (Situation { taken_back: &one, ..free(&none) }, "taken it back"),
                (Situation { is_switched_off: true, ..free(&none) }, "elivepatch=off"),
            ] {
                let Decision::Refuse(fault) = decide(&order, &situation) else {
                    panic!("it is not refused: {what}")
                };
                assert!(fault.what.contains(what), "{fault:?}");
                assert!(!fault.hint.is_empty());
            }
        }
        let order = assigned("b", false);
        let situation = Situation { locked_out: &one, taken_back: &one, ..free(&none) };
        assert!(matches!(decide(&order, &situation), Decision::Load(_)));
    }

    #[test]
    fn withdrawn_livepatch_goes_also_when_nothing_can_take_its_place() {
        let (none, one) = (BTreeSet::new(), BTreeSet::from([digest("a")]));
        let stalled = failed(Some(digest("a")), 1, 0);
        let loaded = || Situation { current: Some(digest("b")), is_active: true, ..free(&none) };
        for situation in [
            Situation { taken_back: &one, ..loaded() },
            Situation { locked_out: &one, ..loaded() },
            Situation { is_switched_off: true, ..loaded() },
            Situation { failed: Some(&stalled), ..loaded() },
        ] {
            let decision = decide(&assigned("a", true), &situation);
            assert_eq!(decision, Decision::Unload { reason: String::new() }, "{situation:?}");
            let later = decide(&assigned("a", false), &situation);
            assert!(!matches!(later, Decision::Unload { .. }), "nothing was withdrawn: {later:?}");
        }
        let stuck = failed(None, 1, 0);
        let situation = Situation { taken_back: &one, failed: Some(&stuck), ..loaded() };
        assert!(matches!(decide(&assigned("a", true), &situation), Decision::NotYet(_)));
    }

    #[test]
    fn what_failed_is_tried_again_later_and_later_and_something_else_at_once() {
        let none = BTreeSet::new();
        let order = assigned("a", true);
        let with = |failed: &FailedOrder| {
            decide(&order, &Situation { failed: Some(failed), ..free(&none) })
        };
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let of_a = |tries, ago| failed(Some(digest("a")), tries, ago);
        assert_eq!(with(&of_a(1, 60)), Decision::NotYet(Wait::Retry(minutes(29))));
        assert!(matches!(with(&of_a(1, 1800)), Decision::Load(_)));
        assert_eq!(with(&of_a(2, 1800)), Decision::NotYet(Wait::Retry(minutes(30))));
        assert_eq!(with(&of_a(900, 0)), Decision::NotYet(Wait::Retry(minutes(360))));
        assert!(matches!(with(&of_a(900, -5000)), Decision::Load(_)), "the clock was set back");
        assert!(matches!(with(&failed(Some(digest("b")), 1, 0)), Decision::Load(_)));
    }

    #[test]
    fn withdrawn_livepatch_goes_and_a_hold_changes_nothing() {
        let none = BTreeSet::new();
        let loaded = || Situation { current: Some(digest("a")), is_active: true, ..free(&none) };
        let order = Order::Unload { reason: "it leaks".to_owned() };
        assert_eq!(
            decide(&order, &Situation { is_window_open: false, ..loaded() }),
            Decision::Unload { reason: "it leaks".to_owned() }
        );
        assert_eq!(decide(&order, &free(&none)), Decision::Nothing);
        let stuck = failed(None, 1, 0);
        let waits = decide(&order, &Situation { failed: Some(&stuck), ..loaded() });
        assert!(matches!(waits, Decision::NotYet(Wait::Retry(_))));
        for order in [Order::Stay, Order::Hold { reason: String::new() }] {
            assert_eq!(decide(&order, &loaded()), Decision::Nothing);
            assert_eq!(decide(&order, &free(&none)), Decision::Nothing);
        }
    }
}

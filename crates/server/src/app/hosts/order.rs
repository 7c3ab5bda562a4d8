//! What a host is to do: decided by what it told, and by what people have said.

use elivepatch_api::{Assigned, HostReport, Order};
use elivepatch_store::{AssignmentRecord, OrderGrounds};

/// Decides what a host is to do.
///
/// 1. A livepatch that was withdrawn goes, also from a host that is held: a hold keeps new things away, and this
///    is to be rid of a bad one. On a held host nothing takes its place.
/// 2. A host that is held stays as it is, whatever is assigned to it.
/// 3. Of what is assigned to it, its tags and all, the first counts that was made for its kernel, was not
///    withdrawn, and is not locked out there: to the host before to its tags before to all, and of equals the
///    newest.
/// 4. With nothing assigned it stays as it is: that an assignment was taken away takes nothing back.
pub(super) fn order(report: &HostReport, grounds: &OrderGrounds) -> Order {
    let is_held = grounds.holds.first();
    if let (None, Some(hold)) = (&grounds.withdrawal, is_held) {
        return Order::Hold { reason: hold.reason.clone() };
    }
    let fits = |assignment: &&AssignmentRecord| fits(assignment, report);
    let found = grounds.assignments.iter().find(fits).filter(|_| is_held.is_none());
    match (found, &grounds.withdrawal) {
        (Some(found), withdrawal) => Order::Load(Assigned {
            build: found.build,
            digest: found.module,
            at_once: withdrawal.is_some(),
        }),
        (None, Some(withdrawal)) => Order::Unload { reason: withdrawal.reason.clone() },
        (None, None) => Order::Stay,
    }
}

fn fits(assignment: &AssignmentRecord, report: &HostReport) -> bool {
    let target = &report.target;
    let build_ids = assignment.build_id.as_ref().zip(target.build_id.as_ref());
    assignment.architecture == target.architecture
        && assignment.release == target.release
        && build_ids.is_none_or(|(made_for, runs)| made_for == runs)
        && !assignment.is_withdrawn
        && !report.locked_out.contains(&assignment.module)
}

#[cfg(test)]
mod tests {
    use elivepatch_api::{HostHealth, HostLivepatch, HostState};
    use elivepatch_model::{Architecture, BuildNumber, Sha256Digest, TargetFacts, Whom};
    use elivepatch_store::{HoldRecord, WithdrawalRecord};
    use jiff::Timestamp;

    use super::*;

    const ONE: &str = "1111111111111111";
    const TWO: &str = "2222222222222222";

    fn digest(build: i64) -> Sha256Digest {
        Sha256Digest::of(&build.to_ne_bytes())
    }

    fn report(build_id: Option<&str>) -> HostReport {
        let release = "6.1.0-50-cloud-amd64".parse().expect("a release");
        let build_id = build_id.map(|id| id.parse().expect("a build-id"));
        HostReport {
            agent_version: "1.0".to_owned(),
            target: TargetFacts { build_id, ..TargetFacts::new(release, Architecture::X86_64) },
            boot_id: "one".to_owned(),
            uptime_seconds: 7,
            state: HostState::NotPatched,
            livepatch: None,
            faults: vec![],
            locked_out: vec![],
        }
    }

    /// A host that has the livepatch of a build, active or not.
    fn running(build: i64, active: bool) -> HostReport {
        let livepatch = HostLivepatch {
            name: "elivepatch_x".to_owned(),
            digest: digest(build),
            active,
            since: None,
            health: HostHealth::Proven,
        };
        HostReport { livepatch: Some(livepatch), ..report(Some(ONE)) }
    }

    fn assigned(build: i64, build_id: Option<&str>) -> AssignmentRecord {
        AssignmentRecord {
            id: build,
            whom: Whom::All,
            build: BuildNumber(build),
            architecture: Architecture::X86_64,
            release: "6.1.0-50-cloud-amd64".parse().expect("a release"),
            build_id: build_id.map(|id| id.parse().expect("a build-id")),
            module: digest(build),
            note: String::new(),
            made_at: Timestamp::UNIX_EPOCH,
            is_withdrawn: false,
        }
    }

    fn grounds(assignments: Vec<AssignmentRecord>) -> OrderGrounds {
        OrderGrounds { assignments, ..OrderGrounds::default() }
    }

    fn held(reason: &str, grounds: OrderGrounds) -> OrderGrounds {
        let whom = Whom::All;
        let hold = HoldRecord { whom, reason: reason.to_owned(), made_at: Timestamp::UNIX_EPOCH };
        OrderGrounds { holds: vec![hold], ..grounds }
    }

    /// What the host has was withdrawn.
    fn withdrawn(build: i64, grounds: OrderGrounds) -> OrderGrounds {
        let withdrawal = WithdrawalRecord {
            build: BuildNumber(build),
            module: digest(build),
            reason: "it oopses".to_owned(),
            made_at: Timestamp::UNIX_EPOCH,
        };
        OrderGrounds { withdrawal: Some(withdrawal), ..grounds }
    }

    fn load(build: i64, at_once: bool) -> Order {
        Order::Load(Assigned { build: BuildNumber(build), digest: digest(build), at_once })
    }

    fn unload() -> Order {
        Order::Unload { reason: "it oopses".to_owned() }
    }

    #[test]
    fn each_rule_has_its_order() {
        let locked =
            |build: i64| HostReport { locked_out: vec![digest(build)], ..report(Some(ONE)) };
        let gone = |build: i64| AssignmentRecord { is_withdrawn: true, ..assigned(build, None) };
        let of_release = |release: &str| AssignmentRecord {
            release: release.parse().expect("a release"),
            ..assigned(7, None)
        };
        let hold = || Order::Hold { reason: "on friday".to_owned() };
        let friday = |grounds| held("on friday", grounds);
        let any = report(Some(ONE));
        let cases = [
            ("nothing is assigned", any.clone(), grounds(vec![]), Order::Stay),
            (
                "the first counts",
                any.clone(),
                grounds(vec![assigned(7, None), assigned(5, None)]),
                load(7, false),
            ),
            (
                "what runs already is ordered on",
                running(7, true),
                grounds(vec![assigned(7, None)]),
                load(7, false),
            ),
            (
                "an older one is gone back to",
                running(9, true),
                grounds(vec![assigned(7, None)]),
                load(7, false),
            ),
            ("unassigned stays", running(9, true), grounds(vec![]), Order::Stay),
            // Kernels.
            (
                "another release",
                any.clone(),
                grounds(vec![of_release("6.1.0-51-cloud-amd64")]),
                Order::Stay,
            ),
            ("its build-id", any.clone(), grounds(vec![assigned(7, Some(ONE))]), load(7, false)),
            ("another build-id", any.clone(), grounds(vec![assigned(7, Some(TWO))]), Order::Stay),
            (
                "the next that fits",
                any.clone(),
                grounds(vec![assigned(7, Some(TWO)), assigned(5, Some(ONE))]),
                load(5, false),
            ),
            (
                "a host that does not know",
                report(None),
                grounds(vec![assigned(7, Some(TWO))]),
                load(7, false),
            ),
            (
                "a build that does not know",
                any.clone(),
                grounds(vec![assigned(7, None)]),
                load(7, false),
            ),
            // Locked out, and withdrawn before it was loaded.
            ("locked out", locked(7), grounds(vec![assigned(7, None)]), Order::Stay),
            (
                "locked out, another",
                locked(7),
                grounds(vec![assigned(7, None), assigned(5, None)]),
                load(5, false),
            ),
            ("withdrawn, not loaded", any.clone(), grounds(vec![gone(7)]), Order::Stay),
            (
                "withdrawn, another",
                any.clone(),
                grounds(vec![gone(7), assigned(5, None)]),
                load(5, false),
            ),
            // Held.
            ("held", any.clone(), friday(grounds(vec![assigned(7, None)])), hold()),
            ("held with nothing assigned", any, friday(grounds(vec![])), hold()),
            (
                "held while it runs one",
                running(9, true),
                friday(grounds(vec![assigned(7, None)])),
                hold(),
            ),
            // What runs was withdrawn.
            ("it goes", running(9, true), withdrawn(9, grounds(vec![])), unload()),
            (
                "also one that is not active yet",
                running(9, false),
                withdrawn(9, grounds(vec![gone(9)])),
                unload(),
            ),
            (
                "another takes its place at once",
                running(9, true),
                withdrawn(9, grounds(vec![gone(9), assigned(7, None)])),
                load(7, true),
            ),
            (
                "it goes from a held host",
                running(9, true),
                friday(withdrawn(9, grounds(vec![]))),
                unload(),
            ),
            (
                "nothing takes its place there",
                running(9, true),
                friday(withdrawn(9, grounds(vec![assigned(7, None)]))),
                unload(),
            ),
            (
                "nothing takes the place of one locked out",
                HostReport { locked_out: vec![digest(7)], ..running(9, true) },
                withdrawn(9, grounds(vec![assigned(7, None)])),
                unload(),
            ),
        ];
        for (name, report, grounds, expected) in cases {
            assert_eq!(order(&report, &grounds), expected, "{name}");
        }
    }
}

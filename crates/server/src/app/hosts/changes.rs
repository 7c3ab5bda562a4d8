//! What has happened on a host between two of its reports.

use std::collections::BTreeSet;

use elivepatch_api::{HostChange, HostLivepatch, HostReport, HostState};
use elivepatch_model::{Sha256Digest, TargetFacts};

/// What has happened since the report before; since it was registered when there was none.
pub(super) fn changes(before: Option<&HostReport>, now: &HostReport) -> Vec<HostChange> {
    let mut found = Vec::new();
    if let Some(before) = before {
        let (from, to) = (identity(&before.target), identity(&now.target));
        if from != to {
            found.push(HostChange::KernelChanged { from: Box::new(from), to: Box::new(to) });
        } else if before.boot_id != now.boot_id {
            found.push(HostChange::Started);
        }
    }
    let was_active = before.and_then(active);
    let is_active = active(now);
    if was_active.map(|livepatch| livepatch.digest) != is_active.map(|livepatch| livepatch.digest) {
        found.extend(was_active.map(|livepatch| HostChange::TakenBack {
            name: livepatch.name.clone(),
            digest: livepatch.digest,
        }));
        found.extend(is_active.map(|livepatch| HostChange::Loaded {
            name: livepatch.name.clone(),
            digest: livepatch.digest,
        }));
    }
    let locked: BTreeSet<Sha256Digest> = now.locked_out.iter().copied().collect();
    let were: BTreeSet<Sha256Digest> =
        before.into_iter().flat_map(|before| before.locked_out.iter().copied()).collect();
    found.extend(locked.difference(&were).map(|digest| HostChange::LockedOut { digest: *digest }));
    found.extend(were.difference(&locked).map(|digest| HostChange::Unlocked { digest: *digest }));
    let was_in_trouble = before.is_some_and(|before| before.state == HostState::Trouble);
    let known: BTreeSet<&str> = before.into_iter().flat_map(faults).collect();
    if now.state == HostState::Trouble {
        let new: Vec<&str> = faults(now).filter(|fault| !known.contains(fault)).collect();
        found.extend(new.iter().map(|fault| HostChange::Trouble { fault: (*fault).to_owned() }));
        if !was_in_trouble && new.is_empty() {
            found.push(HostChange::Trouble { fault: "it does not say what".to_owned() });
        }
    } else if was_in_trouble {
        found.push(HostChange::Well);
    }
    found
}

fn active(report: &HostReport) -> Option<&HostLivepatch> {
    report.livepatch.as_ref().filter(|livepatch| livepatch.active)
}

fn faults(report: &HostReport) -> impl Iterator<Item = &str> {
    report.faults.iter().map(|fault| fault.what.as_str())
}

/// What tells one kernel from another.
fn identity(target: &TargetFacts) -> TargetFacts {
    TargetFacts { machine: None, compiler: None, linker: None, ..target.clone() }
}

#[cfg(test)]
mod tests {
    use elivepatch_api::{HostFault, HostHealth};
    use elivepatch_model::Architecture;

    use super::*;

    fn report() -> HostReport {
        HostReport {
            agent_version: "1.0".to_owned(),
            target: TargetFacts::new(
                "6.1.176-mine".parse().expect("a release"),
                Architecture::X86_64,
            ),
            boot_id: "one".to_owned(),
            uptime_seconds: 7,
            state: HostState::NotPatched,
            livepatch: None,
            faults: vec![],
            locked_out: vec![],
        }
    }

    fn livepatch(text: &str, active: bool) -> Option<HostLivepatch> {
        let digest = Sha256Digest::of(text.as_bytes());
        let (name, health) = (format!("elivepatch_{text}"), HostHealth::Watched);
        Some(HostLivepatch { name, digest, active, since: None, health })
    }

    /// The words of what has changed.
    fn words(before: Option<&HostReport>, now: &HostReport) -> Vec<String> {
        let word = |change: HostChange| {
            let json = serde_json::to_value(change).expect("plain data");
            let detail = json.get("name").or(json.get("fault")).and_then(|value| value.as_str());
            let what = json["what"].as_str().expect("a word").to_owned();
            detail.map_or(what.clone(), |detail| format!("{what} {detail}"))
        };
        changes(before, now).into_iter().map(word).collect()
    }

    #[test]
    fn what_is_as_before_is_no_event() {
        let same = HostReport { livepatch: livepatch("a", true), ..report() };
        assert_eq!(words(Some(&same), &same), [""; 0]);
        assert_eq!(words(None, &report()), [""; 0]);
        let later = HostReport { uptime_seconds: 9, ..same.clone() };
        assert_eq!(words(Some(&same), &later), [""; 0]);
        // That it is meant to be loaded is no event: that it is active is one.
        let meant = HostReport { livepatch: livepatch("a", false), ..report() };
        assert_eq!(words(Some(&report()), &meant), [""; 0]);
    }

    #[test]
    fn livepatches_that_come_and_go_are_noticed() {
        let one = HostReport { livepatch: livepatch("a", true), ..report() };
        let two = HostReport { livepatch: livepatch("b", true), ..report() };
        assert_eq!(words(None, &one), ["loaded elivepatch_a"]);
        assert_eq!(words(Some(&report()), &one), ["loaded elivepatch_a"]);
        assert_eq!(words(Some(&one), &two), ["taken-back elivepatch_a", "loaded elivepatch_b"]);
        assert_eq!(words(Some(&two), &report()), ["taken-back elivepatch_b"]);
        let locked = HostReport { locked_out: vec![Sha256Digest::of(b"b")], ..report() };
        assert_eq!(words(Some(&two), &locked), ["taken-back elivepatch_b", "locked-out"]);
        assert_eq!(words(Some(&locked), &report()), ["unlocked"]);
    }

    #[test]
    fn kernels_boots_and_troubles_are_noticed() {
        let before = report();
        let started = HostReport { boot_id: "two".to_owned(), ..report() };
        assert_eq!(words(Some(&before), &started), ["started"]);
        let mut other = started.clone();
        other.target.release = "6.1.177-mine".parse().expect("a release");
        assert_eq!(words(Some(&before), &other), ["kernel-changed"]);
        let mut rebuilt = report();
        rebuilt.target.build_id = Some("0123456789abcdef".parse().expect("a build-id"));
        assert_eq!(words(Some(&before), &rebuilt), ["kernel-changed"]);
        let fault = |what: &str| HostFault { what: what.to_owned(), hint: String::new() };
        let trouble =
            HostReport { state: HostState::Trouble, faults: vec![fault("an oops")], ..report() };
        assert_eq!(words(Some(&before), &trouble), ["trouble an oops"]);
        let more =
            HostReport { faults: vec![fault("an oops"), fault("a stall")], ..trouble.clone() };
        assert_eq!(words(Some(&trouble), &more), ["trouble a stall"]);
        assert_eq!(words(Some(&more), &trouble), [""; 0]);
        assert_eq!(words(Some(&more), &before), ["well"]);
        let silent = HostReport { faults: vec![], ..trouble };
        assert_eq!(words(Some(&before), &silent), ["trouble it does not say what"]);
    }
}

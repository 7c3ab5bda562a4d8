//! Whether a version of Linux has a flaw.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Commit, Dyad, LinuxVersion};

/// What the dyads of a CVE say of a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "standing", rename_all = "kebab-case")]
pub enum Standing {
    /// The flaw did not come in yet, or came into other branches only.
    NotIntroduced,
    /// The version holds the fix.
    Fixed {
        /// The fix, in the version's own branch or in the mainline version before it.
        by: Commit,
    },
    /// The flaw is there.
    Affected {
        /// The fixes in later versions of the same branch, in the order of their versions.
        own_fixes: Vec<Commit>,
        /// The fixes in mainline, likewise. They were made for another source.
        mainline_fixes: Vec<Commit>,
    },
}

impl Standing {
    /// Whether the flaw is there.
    pub fn is_affected(&self) -> bool {
        matches!(self, Self::Affected { .. })
    }
}

/// Works out what a CVE means for a version of an upstream kernel. Distributions that carry fixes of
/// their own have fewer flaws than this says, never more.
///
/// Rule: what came into, or was fixed in, the version's own branch counts from there on; what did so in a
/// mainline version counts for all versions after it; what happened in another stable branch does not count.
/// A flaw has one or several introducers, each with its fixes; it is there when one of them is in the version
/// and none of its fixes is. But a fix in the version's own branch is for all that came into that branch
/// before it, by whatever backport, unless that has a fix of its own in the branch: records name backports
/// without one beside it. Mainline's fixes are those of all introducers: a backport has none there.
pub fn standing(dyads: &[Dyad], target: LinuxVersion) -> Standing {
    let counts = |commit: &Commit| {
        let version = commit.version;
        (version.branch() == target.branch() || version.is_mainline()) && version <= target
    };
    let is_own = |fix: &&Commit| fix.version.branch() == target.branch();
    let fixes = || dyads.iter().filter_map(|dyad| dyad.fixed.as_ref());
    let branch_fix = fixes().filter(is_own).filter(|fix| counts(fix)).max_by_key(|fix| fix.version);
    let mut by_introducer: BTreeMap<Option<&str>, Vec<&Dyad>> = BTreeMap::new();
    for dyad in dyads {
        let introducer = dyad.introduced.as_ref();
        if introducer.is_none_or(counts) {
            let hash = introducer.map(|commit| commit.hash.as_str());
            by_introducer.entry(hash).or_default().push(dyad);
        }
    }
    let (mut own, mut by) = (Vec::new(), branch_fix.cloned());
    let mut is_affected = false;
    for dyads in by_introducer.values() {
        let fixes = || dyads.iter().filter_map(|dyad| dyad.fixed.as_ref());
        let is_before = |fix: &&Commit| {
            let introduced = dyads.iter().filter_map(|dyad| dyad.introduced.as_ref());
            introduced.max_by_key(|commit| commit.version).is_none_or(|c| c.version <= fix.version)
        };
        let has_own_line = fixes().any(|fix| is_own(&fix));
        let others = branch_fix.filter(is_before).filter(|_| !has_own_line);
        match fixes().find(|fix| counts(fix)).or(others) {
            Some(fix) => by = by.or_else(|| Some(fix.clone())),
            None => {
                is_affected = true;
                own.extend(fixes().filter(is_own).cloned());
            }
        }
    }
    if !is_affected {
        return by.map_or(Standing::NotIntroduced, |by| Standing::Fixed { by });
    }
    // A backport of the flaw has no line of its own in mainline, whose fix is for it, too.
    let later = |fix: &&Commit| fix.version.is_mainline() && !counts(fix);
    let mut mainline: Vec<Commit> = fixes().filter(later).cloned().collect();
    for fixes in [&mut own, &mut mainline] {
        fixes.sort_by(|a, b| (a.version, &a.hash).cmp(&(b.version, &b.hash)));
        fixes.dedup();
    }
    Standing::Affected { own_fixes: own, mainline_fixes: mainline }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_dyads;

    fn hash(letter: char) -> String {
        letter.to_string().repeat(40)
    }

    /// Dyads of lines such as `4.20:a:6.1.177:b`; `0:0` as in the files.
    fn dyads(lines: &[&str]) -> Vec<Dyad> {
        let line = |line: &&str| {
            let parts: Vec<String> = line
                .split(':')
                .map(|part| match part.chars().next() {
                    Some(letter) if letter.is_ascii_alphabetic() => hash(letter),
                    _ => part.to_owned(),
                })
                .collect();
            parts.join(":")
        };
        parse_dyads(&lines.iter().map(line).collect::<Vec<_>>().join("\n")).expect("dyads")
    }

    fn at(lines: &[&str], target: &str) -> Standing {
        standing(&dyads(lines), target.parse().expect("a version"))
    }

    fn hashes(commits: &[Commit]) -> String {
        commits.iter().map(|commit| &commit.hash[..1]).collect()
    }

    fn affected(lines: &[&str], target: &str) -> (String, String) {
        match at(lines, target) {
            Standing::Affected { own_fixes, mainline_fixes } => {
                (hashes(&own_fixes), hashes(&mainline_fixes))
            }
            other => panic!("{target}: {other:?}"),
        }
    }

    const USUAL: [&str; 4] =
        ["4.20:a:5.10.260:b", "4.20:a:6.1.177:c", "4.20:a:6.12.95:d", "4.20:a:7.2:e"];

    #[test]
    fn fix_of_the_own_branch_counts_from_its_version_on() {
        assert_eq!(affected(&USUAL, "6.1.176"), ("c".to_owned(), "e".to_owned()));
        let Standing::Fixed { by } = at(&USUAL, "6.1.177") else { panic!("it is fixed") };
        assert_eq!(by.hash, hash('c'));
        assert!(!at(&USUAL, "6.1.200").is_affected());
        assert_eq!(at(&USUAL, "4.19.325"), Standing::NotIntroduced);
    }

    #[test]
    fn fixes_of_other_branches_do_not_count_and_later_mainline_does() {
        // 6.6 has no line of its own: nobody fixed it there.
        assert_eq!(affected(&USUAL, "6.6.200"), (String::new(), "e".to_owned()));
        assert!(!at(&USUAL, "7.2").is_affected());
        assert!(!at(&USUAL, "7.2.5").is_affected());
        assert!(at(&USUAL, "7.1.9").is_affected());
    }

    #[test]
    fn flaw_that_came_with_a_backport_is_in_that_branch_only() {
        let lines = ["6.1.50:a:6.1.60:b", "6.6.10:c:6.6.20:d", "6.8:e:6.9:f"];
        assert_eq!(at(&lines, "6.1.49"), Standing::NotIntroduced);
        assert!(at(&lines, "6.1.55").is_affected());
        assert!(!at(&lines, "6.1.60").is_affected());
        assert_eq!(at(&lines, "6.4.9"), Standing::NotIntroduced);
        assert!(at(&lines, "6.8.3").is_affected());
    }

    #[test]
    fn fix_of_the_own_branch_is_for_backports_without_one_of_their_own() {
        // CVE-2023-53012 has this form.
        let lines = ["6.1.9:a:6.1.9:b", "6.2:c:6.2:d", "6.1.2:e:0:0"];
        assert!(at(&lines, "6.1.8").is_affected());
        assert!(!at(&lines, "6.1.9").is_affected());
        assert!(!at(&lines, "6.1.176").is_affected());
    }

    #[test]
    fn fix_of_the_own_branch_is_not_for_what_came_after_it_or_has_another_there() {
        // CVE-2025-40237: the flaw was taken out with its backport, and came again.
        let again = ["6.6.72:a:6.6.73:b", "6.6.74:c:6.6.115:d", "6.13:e:6.18:f"];
        assert_eq!(affected(&again, "6.6.80"), ("d".to_owned(), "f".to_owned()));
        assert!(!at(&again, "6.6.73").is_affected() && !at(&again, "6.6.115").is_affected());
        // CVE-2026-31687: its fix brought another flaw, which has its own.
        let other = ["2.6.22:a:6.12.72:b", "6.12.72:c:6.12.73:d", "2.6.22:a:6.19:e"];
        assert_eq!(affected(&other, "6.12.72").0, "d");
        assert!(!at(&other, "6.12.73").is_affected());
    }

    #[test]
    fn mainlines_fix_is_told_of_a_flaw_that_came_with_a_backport() {
        let lines = ["6.1.50:a:0:0", "6.3:b:6.9-rc4:c", "4.12:d:4.18:e"];
        assert_eq!(affected(&lines, "6.1.60"), (String::new(), "c".to_owned()));
    }

    #[test]
    fn release_candidates_count_as_mainline_before_their_version() {
        let lines = ["6.13-rc1:a:6.13-rc5:b"];
        for (target, is_affected) in
            [("6.12.50", false), ("6.13-rc3", true), ("6.13-rc5", false), ("6.13", false)]
        {
            assert_eq!(at(&lines, target).is_affected(), is_affected, "{target}");
        }
    }

    #[test]
    fn unknown_introducer_was_always_there_and_missing_fix_is_none() {
        assert!(at(&["0:0:6.2:a"], "2.6.32.70").is_affected());
        assert!(!at(&["0:0:6.2:a"], "6.2.1").is_affected());
        assert_eq!(affected(&["4.14.189:a:0:0"], "4.14.200"), (String::new(), String::new()));
        assert_eq!(at(&["4.14.189:a:0:0"], "4.19.1"), Standing::NotIntroduced);
        assert_eq!(at(&[], "6.1"), Standing::NotIntroduced);
    }

    #[test]
    fn flaw_that_was_taken_out_and_brought_back_is_there_again() {
        // CVE-2024-38547 has this form.
        let lines = ["4.12:a:4.18:b", "5.8:c:6.1.93:d", "5.8:c:6.10:e"];
        assert_eq!(
            at(&lines, "5.4.1"),
            Standing::Fixed {
                by: Commit { version: "4.18".parse().expect("a version"), hash: hash('b') }
            }
        );
        assert_eq!(affected(&lines, "6.1.92"), ("d".to_owned(), "e".to_owned()));
        assert!(!at(&lines, "6.1.93").is_affected());
    }

    #[test]
    fn versions_of_2_6_are_mainline_with_three_parts() {
        let lines = ["2.6.12:a:2.6.32.70:b", "2.6.12:a:3.4:c"];
        assert!(at(&lines, "2.6.32.69").is_affected());
        assert!(!at(&lines, "2.6.32.70").is_affected());
        assert!(at(&lines, "2.6.35").is_affected());
        assert!(!at(&lines, "3.10").is_affected());
    }
}

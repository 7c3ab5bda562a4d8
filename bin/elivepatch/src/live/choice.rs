//! Which fixes the next livepatch holds: those that are live, but for what is dropped, and the new ones.

use elivepatch_api::client::NamedPatch;
use elivepatch_model::{BehaviourCheck, Fix, Sha256Digest, limits::BEHAVIOUR_CHECKS};

use crate::{fix_name::cves_in, problem::Problem, text::printable};

/// Fewer digits of a digest than this would name a fix by accident.
const LEAST_DIGITS: usize = 6;

/// What becomes of the fixes that are live, and of those that are given.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Live fixes that stay, in their order.
    pub kept: Vec<Fix>,
    /// Live fixes that are dropped.
    pub dropped: Vec<Fix>,
    /// Which of the given ones are new, by their places.
    pub new: Vec<usize>,
    /// The names of given ones that are live already.
    pub already: Vec<String>,
}

/// Chooses the fixes.
///
/// # Errors
/// When a fix that is to be dropped is not live or not the only one of that name, or a given one has the name of a
/// live one with another text.
pub fn choose(live: &[Fix], given: &[NamedPatch], drop: &[String]) -> Result<Choice, Problem> {
    let mut dropped: Vec<Fix> = Vec::new();
    for name in drop {
        for fix in named(live, name)? {
            if !dropped.contains(fix) {
                dropped.push(fix.clone());
            }
        }
    }
    let kept: Vec<Fix> = live.iter().filter(|fix| !dropped.contains(fix)).cloned().collect();
    let (mut new, mut already) = (Vec::new(), Vec::new());
    for (place, patch) in given.iter().enumerate() {
        let digest = Sha256Digest::of(&patch.content);
        if kept.iter().any(|fix| fix.digest == digest) {
            already.push(patch.name.clone());
        } else if let Some(other) = kept.iter().find(|fix| fix.name == patch.name) {
            let name = printable(&patch.name);
            return Err(Problem::input(format!("a fix {name} with another text is live"))
                .aside(format!("live is the one with the sha256 {}", other.digest))
                .hint(
                    "when the new one is to take its place, add --drop NAME; when it is another fix, rename its file",
                ));
        } else {
            new.push(place);
        }
    }
    Ok(Choice { kept, dropped, new, already })
}

/// The live fixes that are meant by a name, with or without its ending, the beginning of a digest, or a CVE, which may
/// have several.
fn named<'a>(live: &'a [Fix], given: &str) -> Result<Vec<&'a Fix>, Problem> {
    let stem = |name: &str| -> String {
        let ending = [".patch", ".diff"].into_iter().find_map(|ending| name.strip_suffix(ending));
        ending.unwrap_or(name).to_owned()
    };
    let cve = given.to_ascii_uppercase();
    let of_cve: Vec<&Fix> = live.iter().filter(|fix| cves_in(&fix.name).contains(&cve)).collect();
    if !of_cve.is_empty() {
        return Ok(of_cve);
    }
    let is_begun =
        |fix: &Fix| given.len() >= LEAST_DIGITS && fix.digest.to_string().starts_with(given);
    let is_it = |fix: &&Fix| fix.name == given || stem(&fix.name) == given || is_begun(fix);
    let found: Vec<&Fix> = live.iter().filter(is_it).collect();
    let problem = match found.len() {
        1 => return Ok(found),
        0 => Problem::input(format!("no fix {given:.120?} is live")),
        several => Problem::input(format!("{given:.120?} may be each of {several} fixes"))
            .hint("give the beginning of its digest"),
    };
    let problem = match live.is_empty() {
        true => problem.aside("no livepatch of elivepatch's is live"),
        false => problem.aside("live are:"),
    };
    let shown = if found.is_empty() { live.iter().collect() } else { found };
    let line = |fix: &&Fix| format!("  {:.12}  {}", fix.digest.to_string(), printable(&fix.name));
    Err(shown.iter().map(line).fold(problem, Problem::aside))
}

impl Choice {
    /// The checks that a trial is to make beside those that are given: what was seen of the fixes that stay. A given
    /// check of the same command takes the place of an earlier one. When something is dropped, none: which check was
    /// for which fix is not known.
    pub fn checks(
        &self,
        earlier: &[BehaviourCheck],
        given: &[BehaviourCheck],
    ) -> Vec<BehaviourCheck> {
        let room = match self.dropped.is_empty() {
            true => BEHAVIOUR_CHECKS.saturating_sub(given.len()),
            false => 0,
        };
        let is_new =
            |check: &&BehaviourCheck| !given.iter().any(|new| new.command == check.command);
        earlier.iter().filter(is_new).take(room).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(name: &str, text: &str) -> Fix {
        Fix { name: name.to_owned(), digest: Sha256Digest::of(text.as_bytes()) }
    }

    fn patch(name: &str, text: &'static str) -> NamedPatch {
        NamedPatch { name: name.to_owned(), content: text.into() }
    }

    fn names(fixes: &[Fix]) -> Vec<&str> {
        fixes.iter().map(|fix| fix.name.as_str()).collect()
    }

    #[test]
    fn live_fixes_stay_and_come_first_and_none_is_there_twice() {
        let live = [fix("a.patch", "a"), fix("b.patch", "b")];
        let given = [patch("c.patch", "c"), patch("renamed.patch", "a")];
        let choice = choose(&live, &given, &[]).expect("it can be chosen");
        assert_eq!((names(&choice.kept), &choice.new), (vec!["a.patch", "b.patch"], &vec![0]));
        assert_eq!(choice.already, ["renamed.patch"]);
    }

    #[test]
    fn another_text_under_the_name_of_a_live_fix_needs_a_word() {
        let live = [fix("a.patch", "a"), fix("b.patch", "b")];
        let given = [patch("a.patch", "newer a")];
        let problem = format!("{:?}", choose(&live, &given, &[]).expect_err("it is unclear"));
        assert!(problem.contains("--drop NAME"), "{problem}");
        let choice = choose(&live, &given, &["a".to_owned()]).expect("it takes its place");
        assert_eq!((names(&choice.kept), &choice.new), (vec!["b.patch"], &vec![0]));
        assert_eq!(names(&choice.dropped), ["a.patch"]);
    }

    #[test]
    fn fixes_are_dropped_by_name_digest_or_cve_and_unknown_ones_are_told_what_is_live() {
        let live = [
            fix("CVE-2026-1001-aaaaaaaaaaaa.patch", "1"),
            fix("CVE-2026-1001-bbbbbbbbbbbb.patch", "2"),
            fix("CVE-2026-10012-cccccccccccc.patch", "3"),
            fix("label.patch", "4"),
            fix("label.patch", "5"),
        ];
        let digest = live[3].digest.to_string();
        for (given, expected) in [
            ("cve-2026-1001", &[0, 1][..]),
            ("CVE-2026-10012", &[2]),
            ("CVE-2026-10012-cccccccccccc", &[2]),
            (&digest[..8], &[3]),
        ] {
            let found = named(&live, given).expect(given);
            let expected: Vec<&Fix> = expected.iter().map(|place| &live[*place]).collect();
            assert_eq!(found, expected, "{given}");
        }
        for (given, parts) in [
            ("label", &["may be each of 2 fixes", &digest[..12]][..]),
            (&digest[..3], &["no fix", "live are:", "label.patch", "CVE-2026-10012"]),
            ("CVE-2026-100", &["no fix"]),
        ] {
            let problem = format!("{:?}", named(&live, given).expect_err(given));
            for part in parts {
                assert!(problem.contains(part), "{given}: {part}: {problem}");
            }
        }
        let problem = format!("{:?}", choose(&[], &[], &["x".to_owned()]).expect_err("none"));
        assert!(problem.contains("no livepatch of elivepatch's is live"), "{problem}");
    }

    #[test]
    fn checks_of_the_live_fixes_are_made_again_unless_one_is_dropped() {
        let check = |command: &str, after: &str| BehaviourCheck {
            command: command.to_owned(),
            before: "b".to_owned(),
            after: after.to_owned(),
        };
        let earlier = [check("one", "old"), check("two", "old")];
        let given = [check("two", "new")];
        let choice = choose(&[fix("a", "a")], &[], &[]).expect("it can be chosen");
        assert_eq!(choice.checks(&earlier, &given), [check("one", "old")]);
        let many = vec![check("three", "new"); BEHAVIOUR_CHECKS];
        assert_eq!(choice.checks(&earlier, &many), []);
        let choice = choose(&[fix("a", "a")], &[], &["a".to_owned()]).expect("it can be chosen");
        assert_eq!(choice.checks(&earlier, &given), []);
    }
}

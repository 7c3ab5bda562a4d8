//! What the names of fixes tell: servers name those for CVEs by them.

use std::collections::BTreeSet;

/// The CVE ids in the name of a fix, such as `CVE-2026-1001-0123456789ab.patch`.
pub fn cves_in(name: &str) -> BTreeSet<String> {
    let upper = name.to_ascii_uppercase();
    let found = upper.match_indices("CVE-").filter_map(|(at, _)| {
        let is_word = at == 0 || !upper.as_bytes()[at - 1].is_ascii_alphanumeric();
        let (year, rest) = upper[at + 4..].split_once('-')?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let is_year = year.len() == 4 && year.bytes().all(|byte| byte.is_ascii_digit());
        (is_word && is_year && digits >= 4).then(|| format!("CVE-{year}-{}", &rest[..digits]))
    });
    found.collect()
}

/// Whether a name is one that CVE runs give: the CVE, and the beginning of the commit, or what the patch is instead. A
/// person's own names for patches of CVEs are others.
pub fn is_of_run(name: &str) -> bool {
    /// As many digits of a commit as a run takes.
    const DIGITS: usize = 12;
    let cve = cves_in(name).into_iter().next().filter(|cve| name.starts_with(cve.as_str()));
    let rest = cve.and_then(|cve| name[cve.len()..].strip_prefix('-')?.strip_suffix(".patch"));
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    rest.is_some_and(|rest| {
        elivepatch_api::CHOSEN_FIXES.contains(&rest)
            || rest.len() == DIGITS && rest.bytes().all(is_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::{cves_in, is_of_run};

    #[test]
    fn names_that_runs_give_are_known() {
        for name in ["CVE-2026-1001-0123456789ab.patch", "CVE-2026-12345-approved.patch"] {
            assert!(is_of_run(name), "{name}");
        }
        for name in [
            "fix.patch",
            "CVE-2026-1001.patch",
            "0001-CVE-2026-1001-0123456789ab.patch",
            "CVE-2026-1001-0123456789ab.diff",
            "CVE-2026-1001-backport.patch",
            "CVE-2026-1001-v2.patch",
            "CVE-2026-1001-0123456789AB.patch",
            "cve-2026-1001-0123456789ab.patch",
            "CVE-2026-1001-.patch",
        ] {
            assert!(!is_of_run(name), "{name}");
        }
    }

    #[test]
    fn cves_are_found_wherever_they_stand_in_a_name() {
        for (name, expected) in [
            ("CVE-2026-1001-0123456789ab.patch", &["CVE-2026-1001"][..]),
            ("0001-net-cve-2026-12345.patch", &["CVE-2026-12345"]),
            ("CVE-2026-1001+CVE-2026-1002.diff", &["CVE-2026-1001", "CVE-2026-1002"]),
            ("fix.patch", &[]),
            ("CVE-26-1001 CVE-2026-1 xCVE-2026-1001 CVE-é026-1001 CVE-", &[]),
        ] {
            assert_eq!(cves_in(name).iter().map(String::as_str).collect::<Vec<_>>(), expected);
        }
    }
}

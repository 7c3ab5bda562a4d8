//! Which fixes of CVEs may be built.

use std::collections::BTreeSet;

use elivepatch_cve::CveId;

use crate::config::{AutomaticFixes, PolicySection};

/// What the administrator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CvePolicy {
    automatic: AutomaticFixes,
    denied_cves: BTreeSet<CveId>,
    /// Paths in the kernel's tree, and directories that end in `/`.
    denied_files: Vec<String>,
    /// The most functions that one livepatch replaces.
    pub livepatch_functions: usize,
    /// The most objects, vmlinux and modules, that it patches.
    pub livepatch_objects: usize,
}

impl CvePolicy {
    /// The policy of a config.
    pub fn new(section: &PolicySection) -> Self {
        let most = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self {
            automatic: section.automatic_cve_fixes,
            denied_cves: section.deny_cves.iter().copied().collect(),
            denied_files: section.deny_files.clone(),
            livepatch_functions: most(section.livepatch_functions),
            livepatch_objects: most(section.livepatch_objects),
        }
    }

    /// The rule by which a fix that changes these files is not built, for people; `None`: it may be. What is
    /// denied stays so when it was approved.
    pub fn denies(&self, id: CveId, files: &[String], is_approved: bool) -> Option<String> {
        if self.denied_cves.contains(&id) {
            return Some(format!("deny_cves in [policy] of the server's config has {id}"));
        }
        let denied = self.denied_files.iter().find_map(|denied| {
            let is_denied = |file: &&String| match denied.ends_with('/') {
                true => file.starts_with(denied.as_str()),
                false => *file == denied,
            };
            Some((denied, files.iter().find(is_denied)?))
        });
        if let Some((denied, file)) = denied {
            let of =
                if denied == file { String::new() } else { format!(", and it changes {file}") };
            return Some(format!("deny_files in [policy] of the server's config has {denied}{of}"));
        }
        (self.automatic == AutomaticFixes::ApprovedOnly && !is_approved).then(|| {
            "automatic_cve_fixes in [policy] of the server's config is approved-only, and nobody has approved \
             its fix"
                .to_owned()
        })
    }
}

impl Default for CvePolicy {
    fn default() -> Self {
        Self::new(&PolicySection::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CveId {
        text.parse().expect("a CVE")
    }

    fn denies(policy: &CvePolicy, files: &[&str], is_approved: bool) -> Option<String> {
        let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        policy.denies(id("CVE-2026-1001"), &files, is_approved)
    }

    #[test]
    fn default_builds_the_fixes_of_the_branch_and_has_limits() {
        let policy = CvePolicy::default();
        assert_eq!(denies(&policy, &["net/sctp/socket.c"], false), None);
        assert!(policy.livepatch_functions >= 100 && policy.livepatch_objects >= 16);
    }

    #[test]
    fn denied_cves_files_and_directories_are_named_and_an_approval_does_not_help() {
        let deny_files = vec!["net/sctp/".to_owned(), "mm/mmap.c".to_owned()];
        let section = PolicySection { deny_files, ..PolicySection::default() };
        let policy = CvePolicy::new(&section);
        for (files, expected) in [
            (
                &["fs/file.c", "net/sctp/socket.c"][..],
                Some("net/sctp/, and it changes net/sctp/socket.c"),
            ),
            (&["mm/mmap.c"], Some("has mm/mmap.c")),
            (&["mm/mmap.c.c", "net/sctp.c", "x/net/sctp/a.c", "net/sctp"], None),
            (&[], None),
        ] {
            for is_approved in [false, true] {
                let rule = denies(&policy, files, is_approved);
                assert_eq!(rule.is_some(), expected.is_some(), "{files:?}: {rule:?}");
                assert!(rule.is_none_or(|rule| rule.ends_with(expected.expect("some"))));
            }
        }
        let deny_cves = vec![id("CVE-2026-1001")];
        let policy = CvePolicy::new(&PolicySection { deny_cves, ..PolicySection::default() });
        let rule = denies(&policy, &[], true).expect("it is denied");
        assert!(
            rule.starts_with("deny_cves in [policy]") && rule.contains("CVE-2026-1001"),
            "{rule}"
        );
        assert_eq!(policy.denies(id("CVE-2026-1002"), &[], false), None);
    }

    #[test]
    fn only_what_was_approved_is_built_where_the_policy_says_so() {
        let automatic_cve_fixes = AutomaticFixes::ApprovedOnly;
        let policy =
            CvePolicy::new(&PolicySection { automatic_cve_fixes, ..PolicySection::default() });
        let rule = denies(&policy, &["mm/mmap.c"], false).expect("it is denied");
        assert!(rule.contains("automatic_cve_fixes") && rule.contains("approved"), "{rule}");
        assert_eq!(denies(&policy, &["mm/mmap.c"], true), None);
    }
}

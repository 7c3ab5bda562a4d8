//! The list of a livepatch-overlay, of version 0.1.
//!
//! It looks like YAML and, as it was published, is none: an item such as `- 4.18.1` has further items
//! indented below it, without a colon. So it is read line by line, and indentation counts for nothing: an
//! item that is a version begins a kernel, an item with a key begins a patch, and other keys belong to the
//! patch before them.

use std::collections::HashMap;

use camino::{Utf8Component, Utf8PathBuf};
use elivepatch_cve::{CveId, LinuxVersion};

use super::OverlayFault;
use crate::CommitHash;

/// The version of the form that is read.
const VERSION: &str = "0.1";

/// The most faults that are told: a file that is something else has one in each line.
const MOST_FAULTS: usize = 20;

/// Where the patch of a CVE is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In a file within the overlay.
    File(Utf8PathBuf),
    /// In a commit.
    Commit(CommitHash),
}

/// What is in the list.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: HashMap<(CveId, LinuxVersion), Place>,
    pub(super) faults: Vec<OverlayFault>,
}

/// A patch as far as it was read.
#[derive(Default)]
struct Patch {
    line: usize,
    cves: Vec<CveId>,
    commit: Option<CommitHash>,
    path: Option<Utf8PathBuf>,
    /// Something in it cannot be used, and was told.
    is_faulty: bool,
}

impl Index {
    pub(super) fn place(&self, id: CveId, version: LinuxVersion) -> Option<&Place> {
        self.places.get(&(id, version))
    }

    pub(super) fn read(text: &str) -> Self {
        let mut index = Self::default();
        let mut is_begun = false;
        let mut version: Option<LinuxVersion> = None;
        let mut patch: Option<Patch> = None;
        for (number, line) in text.lines().enumerate() {
            let number = number + 1;
            let line = line.trim().trim_start_matches('\u{feff}');
            if line.is_empty() || line.starts_with('#') || line == "---" || line == "..." {
                continue;
            }
            if !is_begun {
                if let Err(what) = head(line) {
                    index.fault(number, what);
                    return index;
                }
                is_begun = true;
                continue;
            }
            let item = line.strip_prefix('-').map(str::trim_start);
            let content = item.unwrap_or(line);
            match (item.is_some(), content.split_once(':')) {
                (true, parts) if is_version(content, parts) => {
                    index.end(patch.take(), version);
                    let name = unquoted(content.trim_end_matches(':'));
                    version = name.parse().ok();
                    if version.is_none() {
                        index.fault(number, format!("{name:?} is no version of Linux"));
                        // What follows is for that one and no other.
                        patch = Some(Patch { line: number, is_faulty: true, ..Patch::default() });
                    }
                }
                (is_item, Some((key, value))) => {
                    if is_item {
                        index.end(patch.take(), version);
                        let is_faulty = version.is_none();
                        patch = Some(Patch { line: number, is_faulty, ..Patch::default() });
                        if is_faulty {
                            let what = "a patch stands below no version that can be used";
                            index.fault(number, what.to_owned());
                        }
                    }
                    match &mut patch {
                        Some(patch) => {
                            if let Err(what) = patch.set(key.trim(), unquoted(value)) {
                                patch.is_faulty = true;
                                index.fault(number, what);
                            }
                        }
                        None => index.fault(number, format!("{key:?} stands before any patch")),
                    }
                }
                _ => index.fault(number, "it is neither an item nor KEY: VALUE".to_owned()),
            }
        }
        index.end(patch, version);
        if !is_begun {
            index.fault(1, "it is empty".to_owned());
        }
        index
    }

    fn fault(&mut self, line: usize, what: String) {
        if self.faults.len() < MOST_FAULTS {
            self.faults.push(OverlayFault { line, what });
        }
    }

    /// Takes a patch that was read to its end.
    fn end(&mut self, patch: Option<Patch>, version: Option<LinuxVersion>) {
        let (Some(patch), Some(version)) = (patch, version) else { return };
        if patch.is_faulty || patch.cves.is_empty() {
            return;
        }
        // A file was made for the version, a commit for where it was committed.
        let place = match (patch.path, patch.commit) {
            (Some(path), _) => Place::File(path),
            (None, Some(commit)) => Place::Commit(commit),
            (None, None) => {
                return self
                    .fault(patch.line, "the patch has neither path nor commit_id".to_owned());
            }
        };
        for id in patch.cves {
            if self.places.contains_key(&(id, version)) {
                let what = format!("{id} has a patch for {version} already: join them into one");
                self.fault(patch.line, what);
                continue;
            }
            self.places.insert((id, version), place.clone());
        }
    }
}

impl Patch {
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "cve_id" => {
                for name in value.split([',', ' ']).filter(|name| !name.is_empty()) {
                    let id = name.parse().map_err(|error| format!("cve_id: {error}"))?;
                    self.cves.push(id);
                }
            }
            "commit_id" => {
                let commit = value.parse().map_err(|error| format!("commit_id: {error}"))?;
                self.commit = Some(commit);
            }
            "path" => {
                let path = Utf8PathBuf::from(value);
                let is_inside = |part| matches!(part, Utf8Component::Normal(_));
                if value.is_empty() || !path.components().all(is_inside) {
                    return Err(format!("path: {value:?} is not a path within the overlay"));
                }
                self.path = Some(path);
            }
            // For people, or of a later version.
            _ => {}
        }
        Ok(())
    }
}

/// Checks the line that must come first.
fn head(line: &str) -> Result<(), String> {
    let parts = line.split_once(':').map(|(key, value)| (key.trim(), unquoted(value)));
    match parts {
        Some(("livepatch_version" | "elivepatch_version", VERSION)) => Ok(()),
        Some(("livepatch_version" | "elivepatch_version", other)) => {
            Err(format!("the version {other:?} is not known; {VERSION} is"))
        }
        _ => Err(format!("the first line must be \"livepatch_version: {VERSION}\"")),
    }
}

/// Whether an item names a version: `4.18.1`, also with a colon behind it.
fn is_version(content: &str, parts: Option<(&str, &str)>) -> bool {
    let name = match parts {
        None => content,
        Some((name, "")) => name,
        Some(_) => return false,
    };
    unquoted(name).starts_with(|first: char| first.is_ascii_digit())
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    let within = |quote| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The form as it was published, in other words.
    const PUBLISHED: &str = "elivepatch_version: 0.1\n\n- 4.18.1\n      - patch_id: 1\n        cve_id: \
        CVE-2018-15572 \n        commit_id: f8a0aeefc2f6e1bfd6653fcc30453ce7e582fac8\n        repository: \
        https://example.org/linux\n        comment: a: b - c\n      - patch_id: 4\n        path: \
        patches/4.18.1/caps.patch\n        license: GPLv2\n- 4.18.2\n      - patch_id: 5 \n        cve_id: \
        CVE-2018-9363\n        path: patches/hidp.patch\n";

    fn place(index: &Index, id: &str, version: &str) -> Option<Place> {
        let (id, version) = (id.parse().expect("a CVE"), version.parse().expect("a version"));
        index.place(id, version).cloned()
    }

    fn faults(text: &str) -> Vec<String> {
        Index::read(text).faults.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn published_form_is_read() {
        let index = Index::read(PUBLISHED);
        assert_eq!(index.faults, []);
        let commit = "f8a0aeefc2f6e1bfd6653fcc30453ce7e582fac8".parse().expect("a commit");
        assert_eq!(place(&index, "CVE-2018-15572", "4.18.1"), Some(Place::Commit(commit)));
        assert_eq!(place(&index, "CVE-2018-15572", "4.18.2"), None, "it is for another kernel");
        let file = Place::File("patches/hidp.patch".into());
        assert_eq!(place(&index, "CVE-2018-9363", "4.18.2"), Some(file));
        assert_eq!(index.places.len(), 2, "a patch without a CVE is for nobody who asks by CVE");
    }

    #[test]
    fn other_spellings_are_taken() {
        let text = "\u{feff}---\r\n# mine\r\nlivepatch_version: \"0.1\"\r\n- '6.1.176':\r\n\
                    - cve_id: CVE-2026-1001, CVE-2026-1002\r\n\tpath: 'a b.patch'\r\n\tnew_key: 1\r\n";
        let index = Index::read(text);
        assert_eq!(index.faults, []);
        for id in ["CVE-2026-1001", "CVE-2026-1002"] {
            assert_eq!(place(&index, id, "6.1.176"), Some(Place::File("a b.patch".into())), "{id}");
        }
    }

    #[test]
    fn fault_is_told_with_its_line_and_takes_only_its_patch_with_it() {
        let text = "livepatch_version: 0.1\n- 6.1.176\n- patch_id: 1\n  cve_id: CVE-26-1\n  path: a\n\
                    - patch_id: 2\n  cve_id: CVE-2026-1001\n  path: fine.patch\n- patch_id: 3\n  cve_id: \
                    CVE-2026-1002\n  path: ../../etc/passwd\nnonsense\n- patch_id: 4\n  cve_id: \
                    CVE-2026-1003\n- 6.1.x\n- patch_id: 5\n  cve_id: CVE-2026-1004\n  path: a\n";
        let index = Index::read(text);
        let fine = Some(Place::File("fine.patch".into()));
        assert_eq!(place(&index, "CVE-2026-1001", "6.1.176"), fine);
        assert_eq!(index.places.len(), 1);
        let told: Vec<String> = index.faults.iter().map(ToString::to_string).collect();
        for (told, expected) in told.iter().zip([
            "elivepatch.yml, line 4: cve_id: \"CVE-26-1\" is no CVE's name",
            "elivepatch.yml, line 11: path: \"../../etc/passwd\" is not a path within the overlay",
            "elivepatch.yml, line 12: it is neither an item nor KEY: VALUE",
            "elivepatch.yml, line 13: the patch has neither path nor commit_id",
            "elivepatch.yml, line 15: \"6.1.x\" is no version of Linux",
            "elivepatch.yml, line 16: a patch stands below no version that can be used",
        ]) {
            assert!(told.starts_with(expected), "{told}");
        }
        assert_eq!(told.len(), 6);
    }

    #[test]
    fn file_of_another_form_gives_nothing() {
        for (text, expected) in [
            ("", "line 1: it is empty"),
            ("livepatch_version: 0.2\n- 6.1\n", "line 1: the version \"0.2\" is not known"),
            ("\n- 6.1\n", "line 2: the first line must be \"livepatch_version: 0.1\""),
            ("livepatch_version: 0.1\ncve_id: x\n", "line 2: \"cve_id\" stands before any patch"),
        ] {
            let told = faults(text);
            assert!(told.first().is_some_and(|told| told.contains(expected)), "{told:?}");
        }
        let twice = "livepatch_version: 0.1\n- 6.1\n- cve_id: CVE-2026-1001\n  path: a\n\
                     - cve_id: CVE-2026-1001\n  path: b\n";
        assert!(faults(twice)[0].contains("has a patch for 6.1 already"), "{:?}", faults(twice));
        let garbage = format!("livepatch_version: 0.1\n{}", "x\n".repeat(100_000));
        assert_eq!(faults(&garbage).len(), MOST_FAULTS);
    }
}

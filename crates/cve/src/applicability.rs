//! Whether a CVE matters on a kernel, with the reason.

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::{BuiltFiles, LeftOut};
use serde::{Deserialize, Serialize};

use crate::{Commit, CveId, Dyad, LinuxVersion, Standing, doubts::Doubts, standing};

/// What is known of a file of the kernel's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    /// The source has no such file: the code may lie elsewhere in it.
    Absent,
    /// The source has it.
    Present,
}

/// A kernel, as far as it matters to CVEs.
pub struct Kernel<'a> {
    /// Its version of Linux.
    pub version: LinuxVersion,
    /// What it is linked from; `None`: that is not known.
    pub built: Option<&'a BuiltFiles>,
    /// What the source has of a file; asked only when `built` is known.
    pub file_state: &'a dyn Fn(&str) -> FileState,
    /// What leaves a file out that is not built, as far as that is known; asked of no other.
    pub left_out: &'a dyn Fn(&str) -> Option<LeftOut>,
    /// The modules that are loaded, with `_` in their names; `None`: not known.
    pub loaded_modules: Option<&'a BTreeSet<String>>,
    /// The CVEs whose fixes are in livepatches that are active on the machine, each with the livepatch's name.
    pub live: &'a BTreeMap<CveId, String>,
}

/// What a CVE is to a kernel, before anything is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Applicability {
    /// It is no CVE, or not any more.
    Rejected,
    /// The flaw did not come into this version.
    NotAffected,
    /// The kernel's version holds the fix.
    AlreadyFixed {
        /// The fix.
        by: Commit,
    },
    /// The flaw is in the version, and a livepatch that is active on the machine fixes it.
    AlreadyLive {
        /// The name of the livepatch.
        livepatch: String,
        /// How it is fixed.
        fixes: Fixes,
    },
    /// The flaw is in the version, and no file of it in the kernel.
    NotBuilt {
        /// The files.
        files: Vec<String>,
        /// What leaves each of them out, as far as that is known.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left_out: Vec<LeftOut>,
    },
    /// The flaw is in modules that are not loaded.
    NotLoaded {
        /// The modules.
        modules: Vec<String>,
        /// How it is fixed.
        fixes: Fixes,
    },
    /// The flaw may be in the kernel.
    Candidate {
        /// Where its code is linked to: `vmlinux` and modules. Empty when that is not known.
        parents: Vec<String>,
        /// Why it is not known whether the kernel has the code, or all of it, where it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        doubt: Option<String>,
        /// How it is fixed.
        fixes: Fixes,
    },
}

impl Applicability {
    /// The verdict in one word, with where its fix is to be had.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::NotAffected => "not-affected",
            Self::AlreadyFixed { .. } => "already-fixed",
            Self::AlreadyLive { .. } => "already-live",
            Self::NotBuilt { .. } => "not-built",
            Self::NotLoaded { .. } => "not-loaded",
            Self::Candidate { fixes: Fixes::OwnBranch(_), .. } => "candidate",
            Self::Candidate { fixes: Fixes::MainlineOnly(_), .. } => "mainline-only",
            Self::Candidate { fixes: Fixes::None, .. } => "no-fix",
        }
    }

    /// How it is fixed, where it may matter.
    pub fn fixes(&self) -> Option<&Fixes> {
        match self {
            Self::AlreadyLive { fixes, .. }
            | Self::NotLoaded { fixes, .. }
            | Self::Candidate { fixes, .. } => Some(fixes),
            Self::Rejected
            | Self::NotAffected
            | Self::AlreadyFixed { .. }
            | Self::NotBuilt { .. } => None,
        }
    }

    /// The version whose kernel has the whole fix: of the kernel's own branch, else mainline's.
    pub fn fixed_in(&self) -> Option<LinuxVersion> {
        match self.fixes()? {
            Fixes::OwnBranch(commits) | Fixes::MainlineOnly(commits) => {
                commits.iter().map(|commit| commit.version).max()
            }
            Fixes::None => None,
        }
    }
}

/// Where the fix of a CVE is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fixes {
    /// In later versions of the kernel's own branch, in their order.
    OwnBranch(Vec<Commit>),
    /// In mainline only: it was made for another source, and a person has to decide.
    MainlineOnly(Vec<Commit>),
    /// Nowhere yet.
    None,
}

/// Works out what a CVE is to a kernel. In this order: rejected, not affected, fixed in the version,
/// fixed by a livepatch, not built, not loaded, candidate.
pub fn applicability(facts: &CveInput, kernel: &Kernel) -> Applicability {
    if facts.rejected {
        return Applicability::Rejected;
    }
    let fixes = match standing(facts.dyads, kernel.version) {
        Standing::NotIntroduced => return Applicability::NotAffected,
        Standing::Fixed { by } => return Applicability::AlreadyFixed { by },
        Standing::Affected { own_fixes, .. } if !own_fixes.is_empty() => {
            Fixes::OwnBranch(own_fixes)
        }
        Standing::Affected { mainline_fixes, .. } if mainline_fixes.is_empty() => Fixes::None,
        Standing::Affected { mainline_fixes, .. } => Fixes::MainlineOnly(mainline_fixes),
    };
    if let Some(livepatch) = kernel.live.get(&facts.id) {
        return Applicability::AlreadyLive { livepatch: livepatch.clone(), fixes };
    }
    let Some(built) = kernel.built else {
        let doubt = Some("it is not known what this kernel is built from".to_owned());
        return Applicability::Candidate { parents: Vec::new(), doubt, fixes };
    };
    let files = facts.program_files;
    let parents: BTreeSet<&str> = files.iter().flat_map(|file| built.parents(file)).collect();
    let doubts = Doubts::of(files, kernel);
    if parents.is_empty() {
        return match doubts.any() {
            None => Applicability::NotBuilt {
                files: files.to_vec(),
                left_out: files.iter().filter_map(|file| (kernel.left_out)(file)).collect(),
            },
            doubt => Applicability::Candidate { parents: Vec::new(), doubt, fixes },
        };
    }
    let shown = |parent: &&str| if parent.is_empty() { "vmlinux" } else { parent }.to_owned();
    let names: Vec<String> = parents.iter().map(shown).collect();
    let is_loaded = |parent: &&str| {
        parent.is_empty() || kernel.loaded_modules.is_none_or(|loaded| loaded.contains(*parent))
    };
    if parents.iter().any(is_loaded) {
        // It is in the running kernel: what else there may be is told only when the source is another one.
        return Applicability::Candidate { parents: names, doubt: doubts.absent, fixes };
    }
    match doubts.any() {
        None => Applicability::NotLoaded { modules: names, fixes },
        doubt => Applicability::Candidate { parents: names, doubt, fixes },
    }
}

/// What is asked of a CVE.
#[derive(Debug, Clone, Copy)]
pub struct CveInput<'a> {
    /// Its name.
    pub id: CveId,
    /// Whether it was rejected.
    pub rejected: bool,
    /// The files that the fix changes: those of the branch's own fix where that is at hand, else those that
    /// the record names, which are mainline's.
    pub program_files: &'a [String],
    /// Where the flaw came in and where it is fixed.
    pub dyads: &'a [Dyad],
}

#[cfg(test)]
#[path = "applicability_tests.rs"]
mod tests;

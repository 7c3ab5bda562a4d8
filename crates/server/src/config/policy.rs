use elivepatch_cve::CveId;
use serde::Deserialize;

/// The most objects that are compiled for the headers of a CVE's fix when the config does not say. Two cores
/// take two and a half minutes for them, and a hundred fixes wait behind it.
pub const DEFAULT_CVE_HEADER_OBJECTS: usize = 150;

/// The most functions that a livepatch of fixes replaces when the config does not say. A change is complete
/// only when no task sleeps in any of them, which gets less likely with each.
pub const DEFAULT_LIVEPATCH_FUNCTIONS: u32 = 500;

/// The most objects, vmlinux and modules, that it patches when the config does not say. A module of them that
/// is loaded later is patched while it loads, and one that refuses keeps it from loading.
pub const DEFAULT_LIVEPATCH_OBJECTS: u32 = 64;

/// What requests may ask for, and which fixes are built.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySection {
    /// Whether a request may ask for a livepatch without proof that the base fits the target.
    pub allow_unproven: bool,
    /// Which fixes of CVEs are built without anybody having looked at them.
    pub automatic_cve_fixes: AutomaticFixes,
    /// CVEs whose fixes are never built.
    pub deny_cves: Vec<CveId>,
    /// Files that no fix of a CVE may change: paths in the kernel's tree, or directories that end in `/`.
    pub deny_files: Vec<String>,
    /// The most objects that are compiled for the headers which a fix of a CVE touches.
    pub cve_header_objects: usize,
    /// The most functions that a livepatch of fixes replaces.
    pub livepatch_functions: u32,
    /// The most objects, vmlinux and modules, that it patches.
    pub livepatch_objects: u32,
}

/// Which fixes of CVEs are built without anybody having looked at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutomaticFixes {
    /// Those that the target's own branch has.
    #[default]
    SameBranch,
    /// None: only what a person approved.
    ApprovedOnly,
}

impl Default for PolicySection {
    fn default() -> Self {
        Self {
            allow_unproven: false,
            automatic_cve_fixes: AutomaticFixes::default(),
            deny_cves: Vec::new(),
            deny_files: Vec::new(),
            cve_header_objects: DEFAULT_CVE_HEADER_OBJECTS,
            livepatch_functions: DEFAULT_LIVEPATCH_FUNCTIONS,
            livepatch_objects: DEFAULT_LIVEPATCH_OBJECTS,
        }
    }
}

/// What is wrong with a path of `deny_files`; `None`: nothing.
pub(super) fn denied_file_problem(path: &str) -> Option<String> {
    let name = path.strip_suffix('/').unwrap_or(path);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    if name.split('/').all(is_part) && !path.contains(['*', '?']) {
        return None;
    }
    Some(format!(
        "{path:?} is neither a file in the kernel's tree, such as \"net/sctp/socket.c\", nor a directory, such \
         as \"net/sctp/\""
    ))
}

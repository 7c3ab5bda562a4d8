//! Finds the user's patches that Portage compiles into Gentoo's kernels.
//!
//! The rules are those of `eapply_user` (PMS, EAPI 6; `phase-helpers.sh` of Portage): the
//! directories `CATEGORY/P-PR`, `CATEGORY/P` and `CATEGORY/PN` of `/etc/portage/patches`, each first
//! with `:SLOT` behind it; a file in a more specific one stands for that of the same name in the
//! others, and an empty one for none. What is there now is taken for what was there when the kernel
//! was built.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use elivepatch_model::KernelRelease;

use super::{
    baseline::{Baseline, add_directory, read},
    machine::read_text,
};
use crate::problem::Problem;

/// The packages of kernels by what stands in their releases, in this order. Packages of one line
/// make the same releases.
const PACKAGES: [(&[&str], &[&str]); 6] = [
    (&["gentoo", "dist"], &["gentoo-kernel", "gentoo-kernel-bin"]),
    (&["gentoo"], &["gentoo-sources"]),
    (&["zen"], &["zen-sources"]),
    (&["pf"], &["pf-sources"]),
    (&["dist"], &["vanilla-kernel"]),
    (&[], &["vanilla-sources", "git-sources"]),
];

/// The package that comes compiled: nobody's patches are in it.
const COMPILED: &str = "gentoo-kernel-bin";

/// The package of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Package {
    /// PN.
    name: String,
    /// PV.
    version: String,
    /// PR without its `r`.
    revision: u32,
    slot: String,
}

/// The patches in the kernel of this release on the machine below `root`.
pub fn find(root: &Path, release: &KernelRelease) -> Result<Baseline, Problem> {
    let package = package_of(root, release.as_str());
    let origin = format!("of sys-kernel/{}", package.full_name());
    if package.name == COMPILED {
        return Ok(Baseline { patches: Vec::new(), origin });
    }
    let base = configuration_root(root, std::env::var_os("PORTAGE_CONFIGROOT"))
        .join("etc/portage/patches/sys-kernel");
    let mut found = BTreeMap::new();
    for directory in package.directories(&base).iter().filter(|directory| directory.is_dir()) {
        add_directory(directory, &mut found)?;
    }
    let files: Vec<PathBuf> = found.into_values().flatten().collect();
    let patches = read(&files).map_err(|problem| {
        problem.aside("it was found as Portage finds it; --no-baseline leaves all of these out")
    })?;
    Ok(Baseline { patches, origin })
}

/// Below which Portage's configuration is: `variable` is what `PORTAGE_CONFIGROOT` says of this machine.
fn configuration_root(root: &Path, variable: Option<OsString>) -> PathBuf {
    let variable = variable.filter(|place| !place.is_empty() && root == Path::new("/"));
    variable.map_or_else(|| root.to_owned(), PathBuf::from)
}

impl Package {
    /// PF.
    fn full_name(&self) -> String {
        match self.revision {
            0 => format!("{}-{}", self.name, self.version),
            revision => format!("{}-{}-r{revision}", self.name, self.version),
        }
    }

    /// The directories of its patches, the most specific one first.
    fn directories(&self, base: &Path) -> Vec<PathBuf> {
        let Self { name, version, revision, slot } = self;
        let names =
            [format!("{name}-{version}-r{revision}"), format!("{name}-{version}"), name.clone()];
        let slot = slot.split('/').next().unwrap_or_default();
        let both = |name: String| [base.join(format!("{name}:{slot}")), base.join(name)];
        names.into_iter().flat_map(both).collect()
    }
}

/// The package that a release comes from: one that Portage's records have, or the one that its name
/// speaks for.
fn package_of(root: &Path, release: &str) -> Package {
    let (version, suffix) = release.split_once('-').unwrap_or((release, ""));
    let mut words: Vec<&str> = suffix.split('-').filter(|word| !word.is_empty()).collect();
    // rc3 of a release candidate, p1 of a distribution kernel that was made anew.
    let mut more = String::new();
    words.retain(|word| {
        let is_version = ["rc", "p"].iter().any(|prefix| number_after(word, prefix).is_some());
        if is_version {
            more.push_str(&format!("_{word}"));
        }
        !is_version
    });
    let versions = portage_versions(version, &more);
    let has = |wanted: &&str| {
        words.iter().any(|word| word == wanted || number_after(word, wanted).is_some())
    };
    let (_, names) = PACKAGES
        .into_iter()
        .find(|(wanted, _)| wanted.iter().all(has))
        .expect("the last line is for every release");
    let revision = words.iter().find_map(|word| number_after(word, "r"));
    let mut installed = installed(root, names, &versions);
    // A release without a revision may be that of any: older distribution kernels do not say it.
    installed.retain(|package| revision.is_none_or(|revision| package.revision == revision));
    let guess = || {
        let (name, version) = (names[0].to_owned(), versions[0].clone());
        let revision = revision.unwrap_or_default();
        let slot = match revision {
            0 => version.clone(),
            revision => format!("{version}-r{revision}"),
        };
        Package { name, version, revision, slot }
    };
    installed
        .into_iter()
        .max_by_key(|package| (package.name != COMPILED, package.revision))
        .unwrap_or_else(guess)
}

/// How Portage may write a kernel's version: 6.12.0 is that of linux-6.12, 6.13.0-rc3 of 6.13_rc3.
/// `more` is what follows, such as `_rc3`.
fn portage_versions(version: &str, more: &str) -> Vec<String> {
    let short = version.strip_suffix(".0").filter(|short| short.contains('.'));
    [Some(version), short].into_iter().flatten().map(|version| format!("{version}{more}")).collect()
}

/// The packages that Portage's records have.
fn installed(root: &Path, names: &[&str], versions: &[String]) -> Vec<Package> {
    let records = root.join("var/db/pkg/sys-kernel");
    let mut found = Vec::new();
    for entry in fs::read_dir(&records).into_iter().flatten().flatten() {
        let file_name = entry.file_name();
        let Some(full) = file_name.to_str() else { continue };
        for (name, version) in names.iter().flat_map(|name| versions.iter().map(move |v| (name, v)))
        {
            let Some(rest) = full.strip_prefix(&format!("{name}-{version}")) else { continue };
            let revision = match rest.strip_prefix('-') {
                None if rest.is_empty() => Some(0),
                Some(rest) => number_after(rest, "r"),
                None => None,
            };
            let Some(revision) = revision else { continue };
            let slot = read_text(&entry.path().join("SLOT")).unwrap_or_default();
            let slot = slot.trim().to_owned();
            // It becomes a part of a path.
            if slot.contains("..") || slot.chars().any(char::is_control) {
                continue;
            }
            let (name, version) = ((*name).to_owned(), version.clone());
            found.push(Package { name, version, revision, slot });
        }
    }
    found
}

/// The number in a word such as `r1`, `rc3` or `zen1`.
fn number_after(word: &str, prefix: &str) -> Option<u32> {
    let digits = word.strip_prefix(prefix)?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
#[path = "gentoo_tests.rs"]
mod tests;

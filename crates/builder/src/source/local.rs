//! Files and directories on the server that the config names by a template.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    Failure, FailureClass, KernelRelease, ReleasePattern, Sha256Digest, SourceTemplate,
};

use super::{TreeFacts, tree::facts_of};
use crate::Cache;

/// The most entries of a directory that are looked at: the administrator's own has dozens.
const ENTRIES: usize = 10_000;

/// What was there when the server was started. Builds are known by their keys, and those by what
/// the files were then.
#[derive(Debug, Default)]
pub(crate) struct LocalFiles {
    opened: BTreeMap<Utf8PathBuf, (KernelRelease, Result<TreeFacts, Failure>)>,
}

impl LocalFiles {
    /// Looks for all that the templates may mean, and reads it.
    pub(crate) fn open(
        templates: &[SourceTemplate],
        releases: &[ReleasePattern],
        cache: &Cache,
    ) -> Self {
        let mut opened = BTreeMap::new();
        for template in templates {
            // A version is part of many releases, whatever the patterns say of what follows it.
            let is_exact = template.as_str().contains("{release}");
            for (release, path) in list(template) {
                let is_meant = releases.is_empty()
                    || !is_exact
                    || releases.iter().any(|pattern| pattern.matches(&release));
                if is_meant {
                    let facts = facts_of(&path, cache);
                    opened.insert(path, (release, facts));
                }
            }
        }
        Self { opened }
    }

    /// What is at the path; `None` when nothing is there.
    ///
    /// # Errors
    /// `source-unusable` when it cannot be used, or is not what it was when the server was started:
    /// what comes of it would be taken for what came of that.
    pub(crate) fn facts(&self, path: &str, cache: &Cache) -> Result<Option<TreeFacts>, Failure> {
        let path = Utf8Path::new(path);
        if !path.exists() {
            return Ok(None);
        }
        let facts = facts_of(path, cache)?;
        match self.opened.get(path) {
            Some((_, Ok(opened))) if *opened == facts => Ok(Some(facts)),
            _ => Err(changed(path)),
        }
    }

    /// The digests of all that can be used.
    pub(crate) fn digests(&self) -> BTreeMap<String, Sha256Digest> {
        let usable = self
            .opened
            .iter()
            .filter_map(|(path, (_, facts))| Some((path.to_string(), facts.as_ref().ok()?.digest)));
        usable.collect()
    }

    /// What can be used, for people.
    pub(crate) fn usable(&self) -> Vec<&Utf8Path> {
        let usable = self.opened.iter().filter(|(_, (_, facts))| facts.is_ok());
        usable.map(|(path, _)| path.as_path()).collect()
    }

    /// What cannot be used, and why.
    pub(crate) fn unusable(&self) -> Vec<(&KernelRelease, &Failure)> {
        let problems = self.opened.values();
        problems.filter_map(|(release, facts)| Some((release, facts.as_ref().err()?))).collect()
    }
}

/// The failure of a source that is not what it was when the server was started.
pub(crate) fn changed(path: &Utf8Path) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!("the source {path} has changed since the server was started"),
        "restart elivepatch-server: it then takes the new source for what it is",
    )
}

/// All paths that a template may mean, each with the kernel that it is for.
fn list(template: &SourceTemplate) -> Vec<(KernelRelease, Utf8PathBuf)> {
    let mut paths = vec![Utf8PathBuf::from("/")];
    for part in template.as_str().split('/').filter(|part| !part.is_empty()) {
        if part.contains('{') {
            let entries = paths.iter().flat_map(|path| path.read_dir_utf8().into_iter().flatten());
            paths = entries.flatten().map(|entry| entry.path().to_owned()).take(ENTRIES).collect();
        } else {
            paths.iter_mut().for_each(|path| path.push(part));
        }
    }
    let kernels = paths.into_iter().filter(|path| path.exists());
    let mut kernels: Vec<_> =
        kernels.filter_map(|path| Some((template.kernel_of(path.as_str())?, path))).collect();
    kernels.sort();
    kernels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_template_means_is_found_and_what_changes_is_refused() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let cache = Cache::open(&directory.join("cache")).expect("own directory");
        for name in ["linux-6.12.31-a", "linux-6.12.31-b", "linux-headers-6.12"] {
            fs_err::create_dir_all(directory.join("src").join(name)).expect("own directory");
            fs_err::write(directory.join("src").join(name).join("Makefile"), "all:\n")
                .expect("own file");
        }
        let place = |release: &str| directory.join("src").join(format!("linux-{release}"));
        let template = format!("{directory}/src/linux-{{release}}");
        let template: SourceTemplate = template.parse().expect("a template");
        let only: ReleasePattern = "*-a".parse().expect("a pattern");
        let templates = [template];
        assert_eq!(LocalFiles::open(&templates, &[only], &cache).usable(), [place("6.12.31-a")]);
        let files = LocalFiles::open(&templates, &[], &cache);
        assert_eq!(files.usable(), [place("6.12.31-a"), place("6.12.31-b")]);

        let path = place("6.12.31-a");
        assert!(files.facts(path.as_str(), &cache).expect("unchanged").is_some());
        assert_eq!(files.facts(place("6.12.32-a").as_str(), &cache), Ok(None));
        fs_err::write(path.join("Makefile"), "all: more\n").expect("own file");
        let failure = files.facts(path.as_str(), &cache).expect_err("changed");
        assert!(failure.message.contains("has changed since the server was started"), "{failure}");
        // What came later has no part in the keys of builds.
        fs_err::create_dir(place("6.12.33-a")).expect("own directory");
        assert!(files.facts(place("6.12.33-a").as_str(), &cache).is_err());
    }
}

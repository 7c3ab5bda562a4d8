//! The sources of the server's config in their order, and the search for the one that has a kernel.

use std::{
    collections::BTreeSet,
    sync::{Mutex, OnceLock, PoisonError},
};

use elivepatch_model::{
    BuildEvent, Failure, FailureClass, KernelRelease, Sha256Digest, SourceIdentity, SourceRecord,
    StepName,
};

use super::{
    KernelSource, Search, SourceKind, SourceOptions, Tools, TreeFacts, Wanted,
    git::GitSource,
    local::{LocalFiles, changed},
    not_served::{is_passed, nobody_serves, not_here, takes_no_patches},
    portage::Portage,
    repository::{OpenedRepository, has_tag},
    tarball::Tarballs,
};
use crate::{
    Cache,
    base::Base,
    cache::CacheLock,
    debian::{Apt, find_kernel},
};

/// The name of the source that is there without being named: Debian's archive as the machine or the
/// `[debian]` section has it.
const IMPLIED: &str = "debian";

/// The sources as they were found when the builder was opened.
#[derive(Debug)]
pub(crate) struct Sources {
    entries: Vec<Entry>,
    /// The routes by which nothing comes any more: what bases say of such a source is of no use.
    lost: Mutex<BTreeSet<Sha256Digest>>,
}

#[derive(Debug)]
struct Entry {
    options: SourceOptions,
    /// Whether the config names it.
    is_named: bool,
    local: LocalFiles,
    repository: OpenedRepository,
    /// Of a source for one release.
    tree: Option<Result<TreeFacts, Failure>>,
    apt: OnceLock<Apt>,
}

/// A kernel's source, with what it is called. What of it lies in the cache is kept from removal until it is
/// let go.
#[derive(Debug)]
pub(crate) struct FoundSource {
    /// The name in the config.
    pub name: String,
    /// The source itself.
    pub source: KernelSource,
    entry: usize,
    held: Vec<CacheLock>,
    /// Whether a base that is there says what it was: it is not in the cache any more.
    is_evicted: bool,
}

impl FoundSource {
    /// Ends the use of what lies in the cache: the base is ready.
    pub(crate) fn let_go(&mut self) {
        self.held.clear();
    }

    /// The record for the manifest.
    pub(crate) fn record(&self) -> SourceRecord {
        let record = self.source.record();
        let name = if record.kind == "tree" { String::new() } else { self.name.clone() };
        SourceRecord { name, ..record }
    }
}

impl Sources {
    /// Looks for what is on the server. Debian's archive is the last one unless the config has one
    /// of that kind.
    pub(crate) fn open(options: &[SourceOptions], cache: &Cache) -> Self {
        let has_debian = options.iter().any(|o| matches!(o.kind, SourceKind::Debian(_)));
        let implied = (!has_debian).then(|| SourceOptions {
            name: IMPLIED.to_owned(),
            releases: Vec::new(),
            kind: SourceKind::Debian(None),
        });
        let named = options.iter().cloned().map(|options| (options, true));
        let all = named.chain(implied.map(|options| (options, false)));
        let entries = all.map(|(options, is_named)| Entry {
            local: LocalFiles::open(&options.local_places(), &options.releases, cache),
            repository: OpenedRepository::open(&options.kind),
            tree: match &options.kind {
                SourceKind::Release(tree) => Some(tree.facts(cache)),
                _ => None,
            },
            options,
            is_named,
            apt: OnceLock::new(),
        });
        Self { entries: entries.collect(), lost: Mutex::default() }
    }

    /// What of the sources that the config names decides the builder's results, in their order.
    pub(crate) fn identities(&self) -> Vec<SourceIdentity> {
        let named = self.entries.iter().filter(|entry| entry.is_named);
        let identity = |Entry { options, tree, local, repository, .. }: &Entry| {
            options.identity(tree.as_ref(), local, repository)
        };
        named.filter_map(identity).collect()
    }

    /// What each would serve, a line each, for people.
    pub(crate) fn describe(&self) -> Vec<String> {
        let named = self.entries.iter().filter(|entry| entry.is_named);
        let usable = named.filter(|entry| !matches!(entry.tree, Some(Err(_))));
        usable.map(Entry::describe).collect()
    }

    /// What cannot be used: which source, to be put behind `[[source]]`, and why.
    pub(crate) fn unusable(&self) -> Vec<(String, Failure)> {
        let mut found = Vec::new();
        for Entry { options, tree, local, .. } in &self.entries {
            if let Some(Err(failure)) = tree {
                found.push((format!("of {}", options.name), failure.clone()));
            }
            let missing = options.needed_paths().into_iter().filter(|(_, path)| !path.exists());
            for (key, path) in missing {
                let hint = "put it there, or correct the [[source]] in the server's config";
                let message = format!("its {key} {path} is not there");
                let failure = Failure::new(FailureClass::SourceUnusable, message, hint);
                found.push((options.name.clone(), failure));
            }
            for (release, failure) in local.unusable() {
                found.push((format!("{} for {release}", options.name), failure.clone()));
            }
        }
        found
    }

    /// The first source that has the kernel.
    ///
    /// # Errors
    /// `release-unknown` when none has it, with the reason of each; `baseline-does-not-apply` when
    /// there is but a stock kernel, which takes no patches; why a source that has it, or may have it, cannot
    /// be used: the search does not go on then, or the source would depend on the network of the day.
    pub(crate) fn find<'a>(
        &'a self,
        wanted: &Wanted,
        search: &Search<'a>,
    ) -> Result<FoundSource, Failure> {
        let mut passed: Vec<(&str, Failure)> = Vec::new();
        for (number, entry) in self.entries.iter().enumerate() {
            if entry.tree.is_some() && !entry.options.may_serve(wanted.release) {
                continue;
            }
            let name = &entry.options.name;
            let log = |line: String| {
                search.tools.observer.event(BuildEvent::Log { step: StepName::Source, line });
            };
            let serves = || {
                if !passed.is_empty() {
                    log(format!("the source {name} serves {}", wanted.release));
                }
            };
            if let Some(tree) = self.evicted(entry, wanted, search) {
                serves();
                log(format!("{} was evicted from the cache; there is a base of it", tree.name()));
                let (name, source, held) = (name.clone(), KernelSource::Tree(tree), Vec::new());
                return Ok(FoundSource { name, source, entry: number, held, is_evicted: true });
            }
            match entry.find(wanted, search) {
                Ok(source) => {
                    serves();
                    let name = name.clone();
                    let (source, held) = entry.hold(source, wanted, search)?;
                    return Ok(FoundSource {
                        name,
                        source,
                        entry: number,
                        held,
                        is_evicted: false,
                    });
                }
                Err(failure) if is_passed(&failure) || self.is_no_debian(entry, search) => {
                    if self.entries.len() > 1 {
                        log(format!("the source {name} does not serve: {}", failure.message));
                    }
                    passed.push((name, failure));
                }
                Err(failure) => return Err(failure),
            }
        }
        // A base that is there serves also when no archive has the kernel any more.
        for (number, entry) in self.entries.iter().enumerate() {
            if let Some(source) = entry.prepared(wanted, search) {
                let name = entry.options.name.clone();
                let held = Vec::new();
                return Ok(FoundSource { name, source, entry: number, held, is_evicted: false });
            }
        }
        Err(nobody_serves(wanted, passed))
    }

    /// Whether the archive that no config names is not there either: a machine that is no Debian may have
    /// no apt, and has sources of its own.
    fn is_no_debian<'a>(&'a self, entry: &'a Entry, search: &Search<'a>) -> bool {
        !entry.is_named && self.entries.len() > 1 && entry.apt(search).is_err()
    }

    /// Keeps from removal what a base is made of, while the locks live; what was evicted is fetched or
    /// prepared again.
    ///
    /// # Errors
    /// `source-unusable` when what comes is not what it was; `fetch-failed` when it does not come any more,
    /// after which other sources are asked again; those of fetching.
    pub(crate) fn bring<'a>(
        &'a self,
        found: &FoundSource,
        wanted: &Wanted,
        search: &Search<'a>,
    ) -> Result<Vec<CacheLock>, Failure> {
        let KernelSource::Tree(tree) = &found.source else { return Ok(Vec::new()) };
        let Tools { cache, observer, .. } = search.tools;
        if !found.is_evicted {
            return tree.hold(cache, observer);
        }
        let entry = &self.entries[found.entry];
        let brought = entry.find(wanted, search).and_then(|new| entry.hold(new, wanted, search));
        let (source, held) = brought.map_err(|failure| match is_passed(&failure) {
            true => {
                let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
                lost.extend(tree.route());
                gone_since(&found.name, failure)
            }
            false => failure,
        })?;
        if source.identity() == found.source.identity() {
            Ok(held)
        } else {
            Err(changed_since(&found.source))
        }
    }

    /// The source by which a base that is there was made, when it is not in the cache any more: as long as
    /// nothing but the base is needed, it need not come again. With another keyring or another ebuild it
    /// comes, and is checked; so it does when bases say otherwise of it, for it was exchanged then.
    fn evicted(&self, entry: &Entry, wanted: &Wanted, search: &Search) -> Option<TreeFacts> {
        let is_for_it = entry.options.may_serve(wanted.release) && wanted.check_version().is_ok();
        let route = if is_for_it { entry.route(wanted, search) } else { None }?;
        if self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&route) {
            return None;
        }
        let trees = Base::trees_of(search.tools.cache, wanted.release).into_iter();
        let mut trees = trees.filter(|tree| {
            tree.route() == Some(route) && *tree == tree.clone().with_baseline(wanted.baseline)
        });
        let tree = trees.next()?;
        if trees.any(|other| other.identity() != tree.identity()) {
            return None;
        }
        let is_evicted =
            tree.is_evicted(search.tools.cache) || entry.lacks_tag(&tree, wanted.release);
        // What does not go on is told where it is looked for.
        let is_unchanged = entry.repository.check(&entry.options.kind, wanted.release).is_ok();
        (is_evicted && is_unchanged).then_some(tree)
    }

    /// The archive that the packages of a source come from.
    pub(crate) fn apt<'a>(
        &'a self,
        found: &FoundSource,
        search: &Search<'a>,
    ) -> Result<&'a Apt, Failure> {
        self.entries[found.entry].apt(search)
    }
}

impl Entry {
    /// Keeps what was found from removal, and notes that it was used: also a source whose base is there is
    /// in use. What was removed between finding and holding is looked for once more.
    fn hold<'a>(
        &'a self,
        source: KernelSource,
        wanted: &Wanted,
        search: &Search<'a>,
    ) -> Result<(KernelSource, Vec<CacheLock>), Failure> {
        let Tools { cache, observer, .. } = search.tools;
        let hold = |source: KernelSource| {
            let held = match &source {
                KernelSource::Tree(tree) => tree.hold(cache, observer)?,
                KernelSource::Debian(_) => Vec::new(),
            };
            Ok::<_, Failure>((source, held))
        };
        match hold(source) {
            Err(failure) if failure.class == FailureClass::SourceUnusable => {
                hold(self.find(wanted, search)?)
            }
            result => result,
        }
    }

    fn find<'a>(&'a self, wanted: &Wanted, search: &Search<'a>) -> Result<KernelSource, Failure> {
        let release = wanted.release;
        if !self.options.may_serve(release) {
            let patterns: Vec<&str> = self.options.releases.iter().map(|p| p.as_str()).collect();
            return Err(not_here(format!("it is for {} only", patterns.join(", "))));
        }
        let tree = match &self.options.kind {
            SourceKind::Debian(_) if !wanted.baseline.is_empty() => return Err(takes_no_patches()),
            SourceKind::Debian(_) => return self.find_packages(wanted, search),
            SourceKind::Release(tree) => {
                let facts = tree.facts(search.tools.cache)?;
                match &self.tree {
                    Some(Ok(opened)) if *opened == facts => facts,
                    _ => return Err(changed(&tree.path)),
                }
            }
            SourceKind::Directory(directory) => {
                let path = directory.path.fill(release);
                let facts = self.local.facts(&path, search.tools.cache)?;
                let facts = facts.ok_or_else(|| not_here(format!("{path} is not there")))?;
                facts.with_origin(self.options.kind.as_str(), release.upstream_version(), None)
            }
            SourceKind::Tarball(options) => {
                wanted.check_version()?;
                Tarballs::new(options, &self.local, release, search.tools).find()?
            }
            SourceKind::Git(options) => {
                wanted.check_version()?;
                GitSource { options, release, tools: search.tools }.find()?
            }
            SourceKind::Portage(options) => {
                wanted.check_version()?;
                Portage { options, release, tools: search.tools, stand_in: None }.find()?
            }
        };
        self.repository.check(&self.options.kind, release)?;
        Ok(KernelSource::Tree(tree.with_baseline(wanted.baseline)))
    }

    /// Whether a mirror of a git repository was made anew since, without the kernel's tag.
    fn lacks_tag(&self, tree: &TreeFacts, release: &KernelRelease) -> bool {
        match &self.options.kind {
            SourceKind::Git(options) => !has_tag(&tree.path, &options.tag.fill(release)),
            _ => false,
        }
    }

    /// How a source gets into the cache; `None` of others, and where that is not known.
    fn route(&self, wanted: &Wanted, search: &Search) -> Option<Sha256Digest> {
        let (release, tools) = (wanted.release, search.tools);
        match &self.options.kind {
            SourceKind::Tarball(options) => {
                Tarballs::new(options, &self.local, release, tools).route().ok().flatten()
            }
            SourceKind::Git(options) => {
                GitSource { options, release, tools }.route().ok().flatten()
            }
            SourceKind::Portage(options) => {
                Portage { options, release, tools, stand_in: None }.route().ok()
            }
            SourceKind::Debian(_) | SourceKind::Release(_) | SourceKind::Directory(_) => None,
        }
    }

    fn find_packages<'a>(
        &'a self,
        wanted: &Wanted,
        search: &Search<'a>,
    ) -> Result<KernelSource, Failure> {
        let (release, version) = (wanted.release, wanted.kernel_version);
        let apt = self.apt(search)?;
        match find_kernel(apt, release, version, search.tools.observer) {
            Ok(packages) => Ok(KernelSource::Debian(Box::new(packages))),
            // Another source may have what this one has not.
            Err(failure) if failure.class == FailureClass::ReleaseUnknown => Err(failure),
            // A base that is there serves also when the archive does not answer.
            Err(failure) => self.prepared(wanted, search).ok_or(failure),
        }
    }

    /// The packages of a base that is there, for a source of stock kernels that may serve the kernel.
    fn prepared(&self, wanted: &Wanted, search: &Search) -> Option<KernelSource> {
        let is_of_packages = matches!(self.options.kind, SourceKind::Debian(_));
        let may_serve = self.options.may_serve(wanted.release) && wanted.baseline.is_empty();
        if !is_of_packages || !may_serve {
            return None;
        }
        let mut prepared = Base::packages_of(search.tools.cache, wanted.release).into_iter();
        let packages = prepared.find(|packages| packages.serve(wanted.kernel_version))?;
        Some(KernelSource::Debian(Box::new(packages)))
    }

    fn apt<'a>(&'a self, search: &Search<'a>) -> Result<&'a Apt, Failure> {
        let SourceKind::Debian(Some(options)) = &self.options.kind else { return (search.apt)() };
        if let Some(apt) = self.apt.get() {
            return Ok(apt);
        }
        let apt = Apt::open(search.tools.cache, options)?;
        Ok(self.apt.get_or_init(|| apt))
    }

    fn describe(&self) -> String {
        let SourceOptions { name, releases, kind } = &self.options;
        if let SourceKind::Release(tree) = kind {
            return format!("source of {}: {}", tree.release, tree.path);
        }
        let patterns: Vec<&str> = releases.iter().map(|pattern| pattern.as_str()).collect();
        let what = match patterns.len() {
            0 => String::new(),
            _ => format!(", for {}", patterns.join(", ")),
        };
        let mut line = format!("source {name} ({}{what}): {}", kind.as_str(), kind.describe());
        if !self.options.local_places().is_empty() {
            let usable = self.local.usable();
            let there: Vec<&str> = usable.iter().filter_map(|path| path.file_name()).collect();
            line.push_str(&match there.len() {
                0 => "; nothing is there yet".to_owned(),
                _ => format!("; there are {}", there.join(", ")),
            });
        }
        line
    }
}

/// The failure of what was fetched once, and is not where it was.
fn gone_since(name: &str, failure: Failure) -> Failure {
    Failure::new(
        FailureClass::FetchFailed,
        format!("a base was made from what the source {name} had, and now {}", failure.message),
        "submit the build again: the sources behind it are asked then; if nobody meant to take it away, \
         look at the mirror",
    )
}

/// The failure of what was fetched again and is not what it was.
fn changed_since(source: &KernelSource) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!(
            "{} was fetched again, and is not what the base of it was made from",
            source.name()
        ),
        "submit the build again: it is made from what there is now; if nobody meant to change it, look at \
         the mirror",
    )
}

#[cfg(test)]
#[path = "catalog_tests.rs"]
mod tests;

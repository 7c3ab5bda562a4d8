//! Where apt's indexes lie in the cache: a directory for each set of mirrors and suites.

use camino::Utf8PathBuf;
use elivepatch_model::{Failure, Sha256Digest};

use super::{
    DebianOptions,
    apt::source_lines,
    mirror::{Mirrors, find_mirrors},
};
use crate::Cache;

/// Which index of an archive is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    /// That of the packages for amd64.
    Packages,
    /// That of the source packages, which few kernels need.
    Sources,
}

/// An index of an archive, and where it lies.
pub(super) struct IndexPlace {
    /// The text of its sources.list.
    pub sources: String,
    /// Its directory in the cache.
    pub directory: Utf8PathBuf,
}

/// The mirrors of an archive.
///
/// # Errors
/// When no mirror is known.
pub(super) fn mirrors_of(options: &DebianOptions) -> Result<Mirrors, Failure> {
    let mut mirrors = find_mirrors(options.mirror.as_deref(), options.security_mirror.as_deref())?;
    if options.without_security {
        mirrors.security.clone_from(&options.security_mirror);
    }
    Ok(mirrors)
}

impl IndexPlace {
    /// Servers with other mirrors or suites may share the cache: each has an index of its own, or one would
    /// look for its kernels in what the other fetched.
    pub(super) fn of(
        cache: &Cache,
        options: &DebianOptions,
        mirrors: &Mirrors,
        index: Index,
    ) -> Self {
        let mut sources = source_lines(options, mirrors, index, &options.suites).join("\n") + "\n";
        if !options.valid_until {
            sources.push_str("# whatever the time until which it is valid\n");
        }
        let directory = cache.apt().join(Sha256Digest::of(sources.as_bytes()).short());
        Self { sources, directory }
    }
}

/// The names of the directories that archives with these options have, whether they are there or not; none
/// of one whose mirror is not known.
pub(crate) fn names_of_indexes(cache: &Cache, archives: &[DebianOptions]) -> Vec<String> {
    let mut names = Vec::new();
    for options in archives {
        let Ok(mirrors) = mirrors_of(options) else { continue };
        for index in [Index::Packages, Index::Sources] {
            let place = IndexPlace::of(cache, options, &mirrors, index);
            names.extend(place.directory.file_name().map(str::to_owned));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;

    use super::*;
    use crate::debian::Apt;

    #[test]
    fn names_are_those_of_the_directories_that_are_made() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8").join("cache");
        let cache = Cache::open(&directory).expect("own directory");
        let of_suite = |suite: &str| {
            let mirror = Some("http://127.0.0.1:9/debian".to_owned());
            let (security_mirror, suites) = (mirror.clone(), vec![suite.to_owned()]);
            DebianOptions { mirror, security_mirror, suites, ..DebianOptions::default() }
        };
        let archives = [of_suite("bookworm"), of_suite("trixie")];
        let mut made = Vec::new();
        for options in &archives {
            let apt = Apt::open(&cache, options).expect("own directory");
            for apt in [apt.of_sources().expect("own directory"), apt] {
                let configuration = apt.configuration();
                let place = configuration.parent().and_then(Utf8Path::file_name);
                made.push(place.expect("it has one").to_owned());
            }
        }
        let mut named = names_of_indexes(&cache, &archives);
        made.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, made);
    }
}

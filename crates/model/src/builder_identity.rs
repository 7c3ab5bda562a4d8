use std::{collections::BTreeMap, fmt::Write as _};

use serde::{Deserialize, Serialize};

use crate::{KernelRelease, ReleasePattern, Sha256Digest, SourceTemplate, TargetFacts};

/// What decides a builder's results beside the order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BuilderIdentity {
    /// Version and revision of its code, and its recipes: `VERSION+REVISION NAME DIGEST NAME DIGEST …`.
    pub common: String,
    /// The sources of the server's config, in the order in which they are asked.
    pub sources: Vec<SourceIdentity>,
    /// What the config lets it take on, in words: it decides whether there is a livepatch, not what it is, and is in no
    /// build's key.
    pub rules: String,
}

/// What of a source decides a builder's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceIdentity {
    /// A source tree on the server, for the kernels of one release. No other is asked behind it.
    Tree {
        /// The release.
        release: KernelRelease,
        /// The digest of the tree.
        digest: Sha256Digest,
    },
    /// A source with a name.
    Named(NamedIdentity),
}

/// What of a named source decides a builder's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedIdentity {
    /// The releases that it may serve; empty: all.
    pub releases: Vec<ReleasePattern>,
    /// The digest of all that the config says of it.
    pub digest: Sha256Digest,
    /// Whether kernels are built from it; otherwise it has stock kernels with their own vmlinux.
    pub builds_kernels: bool,
    /// What it has on the server for each kernel: the paths of files, or the names of tags.
    pub places: Vec<SourceTemplate>,
    /// The digests of what was there, by these names.
    pub files: BTreeMap<String, Sha256Digest>,
    /// The digest of what it has on the server for all kernels together.
    pub content: Option<Sha256Digest>,
}

/// A builder's identity as a worker says it: two builders with the same stamp make the same of a request, as
/// far as their machines' limits of time, memory and disk allow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BuilderStamp {
    /// [`BuilderIdentity::common`].
    pub common: String,
    /// The digest of [`BuilderIdentity::sources`].
    pub sources: Sha256Digest,
    /// [`BuilderIdentity::rules`].
    pub rules: String,
}

impl BuilderStamp {
    /// Version and revision of its code.
    pub fn version(&self) -> &str {
        self.common.split(' ').next().unwrap_or_default()
    }
}

impl SourceIdentity {
    /// Whether it gives sources that kernels are built from here, and no stock kernels.
    fn builds_kernels(&self) -> bool {
        match self {
            Self::Tree { .. } => true,
            Self::Named(named) => named.builds_kernels,
        }
    }

    /// Writes all of it, so that no two identities have the same text: a line for each part, and none of them
    /// has a line break.
    fn write_whole(&self, text: &mut String) {
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{name} {value}").expect("a String takes everything");
        };
        match self {
            Self::Tree { release, digest } => {
                line("tree", release);
                line("digest", digest);
            }
            Self::Named(NamedIdentity {
                releases,
                digest,
                builds_kernels,
                places,
                files,
                content,
            }) => {
                line("named", digest);
                releases.iter().for_each(|pattern| line("release", pattern));
                line("builds-kernels", builds_kernels);
                places.iter().for_each(|place| line("place", place));
                for (name, digest) in files {
                    line("file", &format_args!("{digest} {name:?}"));
                }
                if let Some(content) = content {
                    line("content", content);
                }
            }
        }
    }

    fn may_serve(&self, asked: &KernelRelease) -> bool {
        match self {
            Self::Tree { release, .. } => release == asked,
            Self::Named(named) => {
                named.releases.is_empty()
                    || named.releases.iter().any(|pattern| pattern.matches(asked))
            }
        }
    }
}

/// What is done with the symbols that a request has of the running kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolUse {
    /// Nothing: no source may need them.
    None,
    /// They are kept for the case that a source behind the first one serves the kernel. Requests that differ
    /// in nothing else share a build.
    AtHand,
    /// They decide about the result, and are part of the build's key.
    Decide,
}

impl SymbolUse {
    /// The part of them that a build's key has.
    pub fn in_key<T>(self, symbols: Option<T>) -> Option<T> {
        symbols.filter(|_| self == Self::Decide)
    }

    /// What of them is kept.
    pub fn kept<T>(self, symbols: Option<T>) -> Option<T> {
        symbols.filter(|_| self != Self::None)
    }
}

impl BuilderIdentity {
    /// The whole of it, short enough to be sent with each question for work.
    pub fn stamp(&self) -> BuilderStamp {
        let mut text = String::new();
        for source in &self.sources {
            source.write_whole(&mut text);
        }
        let sources = Sha256Digest::of(text.as_bytes());
        BuilderStamp { common: self.common.clone(), sources, rules: self.rules.clone() }
    }

    /// What of it decides about builds for a release: another release's source does not.
    pub fn of_builds_for(&self, release: &KernelRelease) -> String {
        let mut text = self.common.clone();
        for source in self.asked_for(release) {
            match source {
                SourceIdentity::Tree { digest, .. } => {
                    text.push_str(&format!(" {release} {digest}"));
                }
                SourceIdentity::Named(named) => {
                    text.push_str(&format!(" source {}", named.digest));
                    let places = named.places.iter().map(|place| place.fill(release));
                    for digest in places.filter_map(|place| named.files.get(&place)) {
                        text.push_str(&format!(" file {digest}"));
                    }
                    if let Some(digest) = named.content {
                        text.push_str(&format!(" content {digest}"));
                    }
                }
            }
        }
        text
    }

    /// What is done with the running kernel's symbols. They are what proves that a base fits it where no
    /// build-id is known, or where the server builds the kernel. A stock kernel's own vmlinux proves
    /// more, and machines with other modules loaded are to share its builds. Whether a source of stock
    /// kernels has the kernel is known to its archive only; here it is taken for one that Debian
    /// built when its `uname -v` says so and there are no patches in it. When it has not, a source behind
    /// it may build the kernel, and then the symbols are needed.
    pub fn use_of_symbols(&self, target: &TargetFacts, has_baseline: bool) -> SymbolUse {
        if target.build_id.is_none() {
            return SymbolUse::Decide;
        }
        let version = target.kernel_version.as_deref().unwrap_or_default();
        let is_debians = version.split_whitespace().any(|word| word == "Debian");
        let mut asked = self.asked_for(&target.release);
        let deciding = asked.find(|source| match source {
            SourceIdentity::Named(named) => named.builds_kernels || (is_debians && !has_baseline),
            SourceIdentity::Tree { .. } => true,
        });
        match deciding.is_some_and(SourceIdentity::builds_kernels) {
            true => SymbolUse::Decide,
            false if self.builds_kernels_of(&target.release) => SymbolUse::AtHand,
            false => SymbolUse::None,
        }
    }

    /// Whether a source may be asked for a release that kernels are built from here.
    pub fn builds_kernels_of(&self, release: &KernelRelease) -> bool {
        self.asked_for(release).any(SourceIdentity::builds_kernels)
    }

    /// The sources that are asked for a release, in their order.
    fn asked_for(&self, release: &KernelRelease) -> impl Iterator<Item = &SourceIdentity> {
        let mut is_over = false;
        let may_serve = self.sources.iter().filter(|source| source.may_serve(release));
        may_serve.take_while(move |source| {
            !std::mem::replace(&mut is_over, matches!(source, SourceIdentity::Tree { .. }))
        })
    }
}

#[cfg(test)]
#[path = "builder_identity_tests.rs"]
mod tests;

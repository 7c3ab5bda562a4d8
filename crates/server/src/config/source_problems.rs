//! What is wrong with the `[[source]]`s of a config.

use camino::Utf8Path;
use elivepatch_model::SourceTemplate;

use super::{ServerConfig, SourceKindName, SourceSection, validate::is_suite};

/// The longest name: it stands at the head of lines.
const NAME_BYTES: usize = 40;

/// The protocols of git that are allowed. `ext` and `fd` run programs.
const GIT_SCHEMES: [&str; 4] = ["https", "http", "git", "ssh"];

/// Each with the index of its `[[source]]`.
pub(super) fn source_problems(config: &ServerConfig) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, source) in config.sources.iter().enumerate() {
        let before = &config.sources[..index];
        let mut checker = Checker { source, config, problems: Vec::new() };
        match (&source.name, source.kind, &source.release) {
            (Some(name), Some(kind), None) => checker.named(name, kind, before),
            (None, None, Some(_)) => checker.of_release(before),
            (None, None, None) => checker.add("it has neither name and kind nor a release"),
            (_, _, Some(_)) => {
                checker.add("release goes without name and kind; with them, the key is releases")
            }
            _ => checker.add("a source has both, a name and a kind"),
        }
        found.extend(checker.problems.into_iter().map(|problem| (index, problem)));
    }
    found
}

struct Checker<'a> {
    source: &'a SourceSection,
    config: &'a ServerConfig,
    problems: Vec<String>,
}

impl Checker<'_> {
    fn add(&mut self, problem: impl std::fmt::Display) {
        self.problems.push(format!("{}: {problem}", self.source.label()));
    }

    fn of_release(&mut self, before: &[SourceSection]) {
        let source = self.source;
        for key in source.keys().into_iter().filter(|key| *key != "path") {
            self.add(format!("{key} is for sources with a name and a kind"));
        }
        if !source.releases.is_empty() {
            self.add("releases is for sources with a name and a kind");
        }
        match &source.path {
            None => self.add("path is missing: a directory, or a tarball"),
            Some(path) => self.path(path),
        }
        if before.iter().any(|other| other.release == source.release) {
            self.add("the release has two sources, and only the first would serve");
        }
    }

    fn named(&mut self, name: &str, kind: SourceKindName, before: &[SourceSection]) {
        let source = self.source;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(is_name) {
            self.problems.push(format!(
                "{name:?} is not a name: up to {NAME_BYTES} letters, digits and - _ ."
            ));
            return;
        }
        if before.iter().any(|other| other.name.as_deref() == Some(name)) {
            self.add("two sources have this name");
        }
        for key in source.keys().into_iter().filter(|key| !kind.keys().contains(key)) {
            let keys = kind.keys().join(", ");
            self.add(format!("{key} is not a key of the kind {}, which has {keys}", kind.as_str()));
        }
        match kind {
            SourceKindName::Debian => self.debian(),
            SourceKindName::Tarball => self.tarball(),
            SourceKindName::Git => self.git(),
            SourceKindName::Directory => match &source.path {
                None => self.add("path is missing, such as \"/usr/src/linux-{release}\""),
                Some(path) => {
                    self.path(path);
                    self.names_the_kernel("path", path);
                }
            },
            SourceKindName::Portage => self.portage(),
        }
        for (key, path) in [("keyring", &source.keyring), ("verify_tag", &source.verify_tag)] {
            if path.as_ref().is_some_and(|path| !path.is_absolute()) {
                self.add(format!("{key} is not an absolute path"));
            }
        }
    }

    fn debian(&mut self) {
        let source = self.source;
        for url in [&source.mirror, &source.security_mirror].into_iter().flatten() {
            if !is_web(url) {
                self.add(format!("\"{url}\" is not an http:// or https:// URL"));
            }
        }
        for suite in source.suites.iter().flatten().filter(|suite| !is_suite(suite)) {
            self.add(format!("{suite:?} is not the name of a suite"));
        }
        if source.suites.as_ref().is_some_and(Vec::is_empty) {
            self.add("suites is empty, so no kernel would ever be found");
        }
        if source.valid_until == Some(false) && source.mirror.is_none() {
            self.add("valid_until = false is for an archive that does not change: name its mirror");
        }
        if let Some(directory) = &source.packages {
            self.path(directory.as_str());
        } else if !source.sha256.is_empty() {
            self.add("sha256 has the digests of files in the directory packages, which is missing");
        }
        for name in source.sha256.keys().filter(|name| !is_package_file(name)) {
            self.add(format!("sha256: {name:?} is not the name of a package file"));
        }
    }

    fn tarball(&mut self) {
        let source = self.source;
        let place = match (&source.url, &source.path) {
            (Some(url), None) => ("url", url),
            (None, Some(path)) => ("path", path),
            _ => return self.add("it needs one of url and path"),
        };
        self.template_of_file(place.0, place.1);
        for (key, text) in [
            ("patches", &source.patches),
            ("sha256sums", &source.sha256sums),
            ("signature", &source.signature),
        ] {
            if let Some(text) = text {
                self.template_of_file(key, text);
            }
        }
        if let Some(patches) = &source.patches {
            self.names_the_kernel("patches", patches);
        } else {
            self.names_the_kernel(place.0, place.1);
        }
        if source.url.is_some() && source.sha256sums.is_none() && source.keyring.is_none() {
            self.add("what comes from an address must be checked: name sha256sums or a keyring");
        }
        if source.signature.is_some() && (source.keyring.is_none() || source.sha256sums.is_some()) {
            self.add("signature goes with a keyring and without sha256sums");
        }
        let plain = source.sha256sums.as_ref().is_some_and(|list| list.starts_with("http://"));
        if plain && source.keyring.is_none() {
            self.add("sha256sums by plain http must be signed: name a keyring, or take https");
        }
    }

    fn git(&mut self) {
        let source = self.source;
        match (&source.url, &source.path) {
            (Some(url), None) => {
                let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
                if !GIT_SCHEMES.contains(&scheme) || rest.is_empty() || rest.starts_with('-') {
                    let schemes = GIT_SCHEMES.map(|scheme| format!("{scheme}://")).join(", ");
                    self.add(format!("\"{url}\" does not begin with one of {schemes}"));
                }
            }
            (None, Some(path)) => self.path(path),
            _ => self.add("it needs one of url and path"),
        }
        if let Some(tag) = &source.tag {
            self.template("tag", tag);
            self.names_the_kernel("tag", tag);
            let is_tag = |c: char| c.is_ascii_alphanumeric() || "-_.+/{}".contains(c);
            if tag.starts_with(['-', '/']) || tag.contains("..") || !tag.chars().all(is_tag) {
                self.add(format!("{tag:?} is not the name of a tag"));
            }
        }
    }

    fn portage(&mut self) {
        let source = self.source;
        let paths = [&source.root, &source.repository, &source.distfiles];
        for path in paths.into_iter().flatten().filter(|path| !path.is_absolute()) {
            self.add(format!("\"{path}\" is not an absolute path"));
        }
        if source.distfiles.is_none() {
            self.add("distfiles is missing: the directory of the files that ebuilds name");
        }
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with(['-', '.'])
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_+.".contains(c))
        };
        if let Some(package) = &source.package {
            let parts = package.split_once('/');
            if !parts.is_some_and(|(category, name)| is_part(category) && is_part(name)) {
                self.add(format!("{package:?} is not a package such as sys-kernel/gentoo-sources"));
            }
        }
    }

    /// A template of an absolute path, or of an http or https URL.
    fn template_of_file(&mut self, key: &str, text: &str) {
        if key == "path" || text.starts_with('/') {
            self.path(text);
        } else if !is_web(text) {
            self.add(format!(
                "{key}: \"{text}\" is neither an absolute path nor an http:// or https:// URL"
            ));
        }
        if key == "url" && !is_web(text) {
            self.add(format!("url: \"{text}\" is not an http:// or https:// URL"));
        }
        self.template(key, text);
    }

    fn template(&mut self, key: &str, text: &str) {
        if let Err(error) = text.parse::<SourceTemplate>() {
            self.add(format!("{key}: {error}"));
        }
    }

    fn names_the_kernel(&mut self, key: &str, text: &str) {
        if let Ok(template) = text.parse::<SourceTemplate>()
            && !["{version}", "{release}"].iter().any(|name| template.as_str().contains(name))
        {
            self.add(format!("{key}: \"{text}\" would be the same for all kernels: it has no {{version}} or {{release}}"));
        }
    }

    fn path(&mut self, text: &str) {
        let path = Utf8Path::new(text);
        if !path.is_absolute() || path.components().any(|part| part.as_str() == "..") {
            self.add(format!("\"{path}\" is not an absolute path"));
        }
        let own = [&self.config.cache_directory, &self.config.data_directory];
        if own.into_iter().any(|directory| path.starts_with(directory)) {
            self.add(format!("{path} lies in the server's own directories; put it elsewhere"));
        }
        self.template("path", text);
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn is_package_file(name: &str) -> bool {
    name.ends_with(".deb")
        && !name.starts_with(['.', '-'])
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+~%".contains(c))
}

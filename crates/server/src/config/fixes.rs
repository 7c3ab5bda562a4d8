//! Where the texts of fixes come from, as the config has it: one `[[fixes]]` for each source.

use camino::Utf8PathBuf;
use elivepatch_fixes::{FixSourceOptions, WebTimes, template_problem};
use serde::Deserialize;

use super::ServerConfig;

/// How often a web server is asked in a second at most. Kernel.org is for everybody, and a run that asks for
/// a hundred fixes may take a minute the first time.
pub const DEFAULT_PER_SECOND: f64 = 2.0;

/// The most questions in a second that a config may allow. More than that is no limit.
const MOST_PER_SECOND: f64 = 1000.0;

/// The fewest: a question in a quarter of an hour.
const LEAST_PER_SECOND: f64 = 0.001;

/// A source of fixes. Which keys it must and may have is a matter of its kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixesSection {
    /// Its kind.
    pub kind: FixesKind,
    /// A clone or directory on the server.
    pub path: Option<Utf8PathBuf>,
    /// The address of a commit's patch, with `SHA` where the commit stands.
    pub url: Option<String>,
    /// How often a web server is asked in a second at most.
    pub per_second: Option<f64>,
}

/// The kinds of sources of fixes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixesKind {
    /// A clone of linux-stable on the server.
    Git,
    /// A directory with files `COMMIT.patch`.
    Directory,
    /// A web server.
    Http,
    /// A livepatch-overlay.
    LivepatchOverlay,
}

impl FixesKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Git => "git",
            Self::Directory => "directory",
            Self::Http => "http",
            Self::LivepatchOverlay => "livepatch-overlay",
        }
    }
}

impl FixesSection {
    /// What it is to the reader of fixes; `None` when a key is missing.
    pub fn options(&self) -> Option<FixSourceOptions> {
        let path = self.path.clone();
        Some(match self.kind {
            FixesKind::Git => FixSourceOptions::Git { path: path? },
            FixesKind::Directory => FixSourceOptions::Directory { path: path? },
            FixesKind::LivepatchOverlay => FixSourceOptions::Overlay { path: path? },
            FixesKind::Http => FixSourceOptions::Web {
                url: self.url.clone()?,
                per_second: self.per_second.unwrap_or(DEFAULT_PER_SECOND),
                times: WebTimes::default(),
            },
        })
    }
}

/// What is wrong with the sources of fixes, each with the index of its `[[fixes]]`.
pub(super) fn fixes_problems(config: &ServerConfig) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, section) in config.fixes.iter().enumerate() {
        found.extend(problems(section).into_iter().map(|problem| (index, problem)));
        if config.fixes[..index].contains(section) {
            found.push((index, "it is there twice".to_owned()));
        }
    }
    found
}

fn problems(section: &FixesSection) -> Vec<String> {
    let kind = section.kind.as_str();
    let mut found = Vec::new();
    if section.kind == FixesKind::Http {
        match &section.url {
            None => found.push(format!(
                "a source of the kind {kind} has a url, with SHA where the commit stands"
            )),
            Some(url) => found.extend(template_problem(url)),
        }
        if section.path.is_some() {
            found.push(format!("path is not a key of the kind {kind}, which has url, per_second"));
        }
        let allowed = LEAST_PER_SECOND..=MOST_PER_SECOND;
        if let Some(per_second) = section.per_second
            && !allowed.contains(&per_second)
        {
            found.push(format!(
                "per_second: {per_second} is not from {LEAST_PER_SECOND} to {MOST_PER_SECOND}"
            ));
        }
        return found;
    }
    match &section.path {
        None => found.push(format!("a source of the kind {kind} has a path")),
        Some(path) if !path.is_absolute() => {
            found.push(format!("\"{path}\" is not an absolute path"));
        }
        Some(_) => {}
    }
    for (key, is_set) in
        [("url", section.url.is_some()), ("per_second", section.per_second.is_some())]
    {
        if is_set {
            found.push(format!("{key} is not a key of the kind {kind}, which has path"));
        }
    }
    found
}

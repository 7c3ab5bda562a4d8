use std::net::SocketAddr;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::{
    AccessSection, BuilderSection, CacheSection, CompatSection, ConfigError, DebianSection,
    FeedSection, FixesSection, HostsSection, PolicySection, ServerConfig, SigningSection,
    SourceSection, TlsSection, WorkerSection,
};

/// The file as it is written: every key may be absent, no other key may be there.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConfigFile {
    listen: Option<SocketAddr>,
    data_directory: Option<Utf8PathBuf>,
    cache_directory: Option<Utf8PathBuf>,
    toolchain_recipes: Option<Utf8PathBuf>,
    queue_limit: Option<u32>,
    access: AccessSection,
    tls: TlsSection,
    cache: CacheSection,
    compat: CompatSection,
    builder: BuilderSection,
    worker: WorkerSection,
    policy: PolicySection,
    feed: FeedSection,
    fixes: Vec<FixesSection>,
    hosts: HostsSection,
    signing: SigningSection,
    debian: DebianSection,
    source: Vec<SourceSection>,
}

impl ConfigFile {
    pub(super) fn parse(text: &str, path: &Utf8Path) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = line_at(text, start);
            let shown = text.lines().nth(line - 1).unwrap_or_default().trim();
            ConfigError::Syntax {
                path: path.to_owned(),
                line,
                message: error.message().replace('\n', ", "),
                text: shown.chars().take(120).collect(),
            }
        })
    }

    pub(super) fn over(self, defaults: ServerConfig) -> ServerConfig {
        ServerConfig {
            listen: self.listen.unwrap_or(defaults.listen),
            data_directory: self.data_directory.unwrap_or(defaults.data_directory),
            cache_directory: self.cache_directory.unwrap_or(defaults.cache_directory),
            toolchain_recipes: self.toolchain_recipes.or(defaults.toolchain_recipes),
            cache: self.cache,
            queue_limit: self.queue_limit.unwrap_or(defaults.queue_limit),
            access: self.access,
            tls: self.tls,
            compat: self.compat,
            builder: self.builder,
            worker: self.worker,
            policy: self.policy,
            feed: self.feed,
            fixes: self.fixes,
            hosts: self.hosts,
            signing: self.signing,
            debian: self.debian,
            sources: self.source,
        }
    }
}

/// The line, from 1, that holds the byte at `offset`.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

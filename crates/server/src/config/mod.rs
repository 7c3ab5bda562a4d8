//! The server's config file.

mod access;
mod access_template;
mod cache;
mod compat;
mod debian;
mod error;
mod feed;
mod file;
mod fixes;
mod fixes_template;
mod hosts;
mod limits;
mod places;
mod policy;
mod signing;
mod signing_template;
mod source;
mod source_problems;
mod source_template;
mod template;
mod validate;
mod worker;

use std::net::{IpAddr, SocketAddr};

use camino::{Utf8Path, Utf8PathBuf};

pub use access::{AccessSection, TlsSection, Tokens};
pub use cache::CacheSection;
pub use compat::{CompatSection, V1Limits};
pub use debian::DebianSection;
pub use error::{ConfigError, ConfigProblem};
pub use feed::{DEFAULT_STALE_DAYS, FeedSection};
pub use fixes::{DEFAULT_PER_SECOND, FixesKind, FixesSection};
pub use hosts::HostsSection;
pub use limits::{BuilderSection, MOST_WORKERS};
pub use places::Places;
pub use policy::{
    AutomaticFixes, DEFAULT_CVE_HEADER_OBJECTS, DEFAULT_LIVEPATCH_FUNCTIONS,
    DEFAULT_LIVEPATCH_OBJECTS, PolicySection,
};
pub use signing::SigningSection;
pub use source::{SourceKindName, SourceSection};
pub use template::template;
pub use worker::WorkerSection;

/// How many builds may wait when the config does not say. At ten seconds a build this is almost
/// three hours of work.
const DEFAULT_QUEUE_LIMIT: u32 = 1000;

/// The config, complete and checked. [`template()`] documents each key.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Where the API listens.
    pub listen: SocketAddr,
    /// Records, the queue and blobs.
    pub data_directory: Utf8PathBuf,
    /// Packages, toolchain roots and bases: safe to delete.
    pub cache_directory: Utf8PathBuf,
    /// Where the administrator's own toolchain recipes are; absent: he has none.
    pub toolchain_recipes: Option<Utf8PathBuf>,
    /// What the cache may take.
    pub cache: CacheSection,
    /// How many builds may wait.
    pub queue_limit: u32,
    /// Who must show a token.
    pub access: AccessSection,
    /// How connections are encrypted.
    pub tls: TlsSection,
    /// What is served for programs of the first elivepatch.
    pub compat: CompatSection,
    /// How builds are run.
    pub builder: BuilderSection,
    /// Whom this machine builds for, when it only builds.
    pub worker: WorkerSection,
    /// What requests may ask for, and which fixes are built.
    pub policy: PolicySection,
    /// Where the CVE feed comes from.
    pub feed: FeedSection,
    /// Where the texts of fixes come from: the first that has one serves it.
    pub fixes: Vec<FixesSection>,
    /// How hosts report.
    pub hosts: HostsSection,
    /// What manifests and modules are signed with.
    pub signing: SigningSection,
    /// Where Debian's packages come from.
    pub debian: DebianSection,
    /// The sources of kernels: the first that has one serves it.
    pub sources: Vec<SourceSection>,
}

/// Values from the command line that win over the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Where the API listens.
    pub listen: Option<SocketAddr>,
    /// The address of that alone, with the port of the file.
    pub host: Option<IpAddr>,
    /// The port of it alone.
    pub port: Option<u16>,
    /// See [`BuilderSection::jobs`].
    pub jobs: Option<u32>,
    /// Encrypt connections, and by which certificate.
    pub tls: Option<TlsOverride>,
    /// See [`ServerConfig::data_directory`].
    pub data_directory: Option<Utf8PathBuf>,
    /// See [`ServerConfig::cache_directory`].
    pub cache_directory: Option<Utf8PathBuf>,
}

/// A certificate that is named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsOverride {
    /// The one that the server makes itself.
    Own,
    /// One from files, in PEM.
    Files {
        /// The certificate with its chain.
        certificate: Utf8PathBuf,
        /// Its key.
        key: Utf8PathBuf,
    },
}

impl ServerConfig {
    /// The config of a server that has no file.
    pub fn defaults(places: &Places) -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8420)),
            data_directory: places.data_directory.clone(),
            cache_directory: places.cache_directory.clone(),
            toolchain_recipes: None,
            cache: CacheSection::default(),
            queue_limit: DEFAULT_QUEUE_LIMIT,
            access: AccessSection::default(),
            tls: TlsSection::default(),
            compat: CompatSection::default(),
            builder: BuilderSection::default(),
            worker: WorkerSection::default(),
            policy: PolicySection::default(),
            feed: FeedSection::default(),
            fixes: Vec::new(),
            hosts: HostsSection::default(),
            signing: SigningSection::default(),
            debian: DebianSection::default(),
            sources: Vec::new(),
        }
    }

    /// Whether a request must come with a token.
    pub fn wants_tokens(&self) -> bool {
        self.access.tokens == Tokens::Always || !self.listen.ip().is_loopback()
    }

    /// Whether connections are encrypted.
    pub fn encrypts(&self) -> bool {
        self.tls.enabled.unwrap_or(!self.listen.ip().is_loopback())
    }

    /// Whether the REST API v1.0 is answered.
    pub fn serves_v1(&self) -> bool {
        self.compat.v1.unwrap_or(!self.wants_tokens())
    }

    /// How much its clients get.
    pub fn v1_limits(&self) -> V1Limits {
        self.compat.v1_limits(self.wants_tokens())
    }

    /// What should be said of the REST API v1.0 as it is set up.
    pub fn v1_warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.compat.accept_unproven && !self.policy.allow_unproven {
            warnings.push(
                "accept_unproven under [compat] does nothing as long as allow_unproven under [policy] is not true",
            );
        }
        if self.serves_v1() && self.wants_tokens() {
            warnings.push(
                "everybody who reaches this server may order builds without a token, by the REST API v1.0 (v1 = true \
                 under [compat])",
            );
            if self.cache.disk_budget_gib.is_none() {
                warnings.push(
                    "so the cache grows by the orders of people whom nobody knows: set disk_budget_gib under [cache]",
                );
            }
        }
        warnings
    }

    /// Reads `path`, adds what it leaves out, lets `overrides` win, and checks the whole.
    ///
    /// # Errors
    /// When the file is missing, cannot be read, is not TOML, or holds keys or values that cannot
    /// be used; all such values are named with their lines.
    pub fn load(
        path: &Utf8Path,
        places: &Places,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let text = fs_err::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => ConfigError::Missing { path: path.to_owned() },
            _ => ConfigError::Unreadable { path: path.to_owned(), source },
        })?;
        Self::parse(&text, path, places, overrides)
    }

    /// Reads a config from its text; `path` names it in errors.
    ///
    /// # Errors
    /// As for [`ServerConfig::load`].
    pub fn parse(
        text: &str,
        path: &Utf8Path,
        places: &Places,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        if let Some(gone) = validate::key_that_is_gone(text) {
            return Err(ConfigError::Invalid { path: path.to_owned(), problems: vec![gone] });
        }
        let file = file::ConfigFile::parse(text, path)?;
        let mut config = file.over(Self::defaults(places));
        overrides.apply(&mut config);
        let problems = validate::problems(&config, text);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid { path: path.to_owned(), problems })
        }
    }
}

impl TlsOverride {
    fn section(&self) -> TlsSection {
        let enabled = Some(true);
        match self {
            Self::Own => TlsSection { enabled, certificate: None, key: None },
            Self::Files { certificate, key } => {
                let (certificate, key) = (Some(certificate.clone()), Some(key.clone()));
                TlsSection { enabled, certificate, key }
            }
        }
    }
}

impl Overrides {
    fn apply(&self, config: &mut ServerConfig) {
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(host) = self.host {
            config.listen.set_ip(host);
        }
        if let Some(port) = self.port {
            config.listen.set_port(port);
        }
        if let Some(jobs) = self.jobs {
            config.builder.jobs = jobs;
        }
        if let Some(tls) = &self.tls {
            config.tls = tls.section();
        }
        if let Some(directory) = &self.data_directory {
            config.data_directory.clone_from(directory);
        }
        if let Some(directory) = &self.cache_directory {
            config.cache_directory.clone_from(directory);
        }
    }
}

//! What the server does, free of HTTP: one file per subject.

mod access;
mod artifacts;
mod assessment;
mod bare_version;
mod builds;
mod bundle;
mod checker;
mod checks;
mod chores;
mod cve_policy;
mod data_directory;
mod error;
mod feed;
mod fixes;
mod follow;
mod health;
mod hosts;
mod intake;
mod lease;
mod order;
mod part;
mod rebuild;
mod run;
mod target_checks;
mod texts;
mod v1;
mod wakeups;

use std::{sync::Arc, time::Duration};

use camino::Utf8PathBuf;
use elivepatch_model::BuilderStamp;
use jiff::Timestamp;
use tokio::sync::Semaphore;

pub use access::Caller;
pub use artifacts::ModuleFile;
pub use assessment::{Inventories, Inventory};
pub use bundle::{
    ExportError, Exported, ImportError, Imported, MissingFix, ReadBundle, UnusableFix, WantedFixes,
    bundle_hint, export_feed, import_feed, read_bundle,
};
pub use chores::{ChoreRecord, ChoreRunner};
pub use cve_policy::CvePolicy;
pub use data_directory::{DataDirectoryError, DataDirectoryLock};
pub use elivepatch_bundle::{BundleError, KeyError, KeyId, PublicKey, SecretKey, generate_keys};
pub use elivepatch_cve::{
    CveId, LinuxVersion,
    feed::{GitError, shown_source},
};
pub use elivepatch_fixes::{FixSource, FixSourceError, FixSourceOptions, OverlayFault, WebTimes};
pub use elivepatch_store::{
    ApprovedFix, AuditAction, AuditFilter, AuditRecord, NewAudit, NewToken, Store, StoreError,
    TokenKind, TokenRecord, TokenState, WorkerEnd,
};
pub use error::AppError;
pub use feed::{
    FeedError, FeedOptions, FeedStatus, FeedUpdate, STALE_AFTER, feed_status, update_feed,
};
pub use fixes::{ApproveError, approve_fix};
pub use hosts::{Fleet, checked_tags};
pub use intake::Intake;
pub use part::{Part, TakesParts};
pub use v1::{V1Intake, V1Options, V1Outcome, V1Place, V1Session};

use checker::Checker;
use chores::ChoreBoard;
use wakeups::Wakeups;

/// How many submissions come in at the same time; others wait. Each takes up to some 300 kB of
/// memory, and a network is no faster with more of them.
const SUBMISSIONS_AT_A_TIME: usize = 8;

/// What the app must be told.
#[derive(Debug, Clone)]
pub struct AppOptions {
    /// Where records and blobs are.
    pub data_directory: Utf8PathBuf,
    /// How many builds may wait.
    pub queue_limit: u32,
    /// Everything of the builder that decides what it makes of a request: a part of the build key.
    pub builder_identity: elivepatch_model::BuilderIdentity,
    /// Whether a request may ask for a livepatch without proof that the base fits the target.
    pub allow_unproven: bool,
    /// Where the CVE feed comes from; absent: there is none.
    pub feed: Option<FeedOptions>,
    /// Where the texts of fixes for CVEs come from, and which of them may be built.
    pub cve: CveOptions,
    /// What signs manifests; absent: they are not signed.
    pub manifest_key: Option<Arc<SecretKey>>,
    /// What knows what kernels are built from; absent: nothing does.
    pub inventories: Option<Arc<dyn Inventories>>,
    /// After how many seconds hosts are to report again.
    pub host_report_seconds: u32,
    /// What clients of the REST API v1.0 may do; absent: they are not answered.
    pub v1: Option<V1Options>,
}

/// What the app must be told of fixes for CVEs.
#[derive(Debug, Clone, Default)]
pub struct CveOptions {
    /// Where their texts come from, in this order.
    pub fixes: Vec<FixSourceOptions>,
    /// Which of them may be built.
    pub policy: CvePolicy,
    /// How old the feed may be, whatever it comes from; absent: as its options say.
    pub stale_after: Option<Duration>,
}

/// The server's logic with its store. Cheap to clone.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    options: AppOptions,
    /// What workers' builders must be.
    builder_stamp: BuilderStamp,
    wakeups: Wakeups,
    chores: ChoreBoard,
    checker: Checker,
    /// The turns of submissions that come in.
    submissions: Arc<Semaphore>,
    /// What was read of the feed, for the next question.
    cve_facts: tokio::sync::Mutex<assessment::KeptFacts>,
    /// What matters on the kernels of hosts.
    exposures: tokio::sync::Mutex<hosts::KeptExposures>,
    fixes: fixes::Fixes,
    /// The room for clients of the REST API v1.0, which is not that of others.
    v1: v1::V1Room,
    /// Which refused requests were written down lately.
    refusals: access::Refusals,
    /// Absent beside a server that has it.
    _lock: Option<DataDirectoryLock>,
}

impl App {
    /// Opens the data directory, which must exist, and locks it against a second server.
    ///
    /// # Errors
    /// [`AppError::DataDirectory`] when it is missing or in use, or a failure of the store.
    pub async fn open(options: AppOptions) -> Result<Self, AppError> {
        let lock = DataDirectoryLock::take(&options.data_directory)?;
        let store = Store::open(&options.data_directory).await?;
        Self::over(store, options, Some(lock))
    }

    /// Opens the data directory, which must exist, for a command: a server may run on it. It answers questions;
    /// no router may be made of it, and no chores started.
    ///
    /// # Errors
    /// A failure of the store.
    pub async fn open_beside(options: AppOptions) -> Result<Self, AppError> {
        let store = Store::open(&options.data_directory).await?;
        Self::over(store, options, None)
    }

    fn over(
        store: Store,
        options: AppOptions,
        lock: Option<DataDirectoryLock>,
    ) -> Result<Self, AppError> {
        let checker = Checker::start().map_err(AppError::Thread)?;
        let fixes = fixes::Fixes::new(&options.cve.fixes);
        let inner = Inner {
            store,
            builder_stamp: options.builder_identity.stamp(),
            options,
            wakeups: Wakeups::new(),
            chores: ChoreBoard::default(),
            checker,
            submissions: Arc::new(Semaphore::new(SUBMISSIONS_AT_A_TIME)),
            cve_facts: tokio::sync::Mutex::default(),
            exposures: tokio::sync::Mutex::default(),
            fixes,
            v1: v1::V1Room::new(),
            refusals: access::Refusals::default(),
            _lock: lock,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Ends everything that waits: event streams and claims answer at once from now on.
    pub fn stop(&self) {
        self.inner.wakeups.stop();
    }

    /// Closes the store, after all requests are answered.
    pub async fn close(&self) {
        self.write_fixes().await;
        self.inner.store.close().await;
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    fn wakeups(&self) -> &Wakeups {
        &self.inner.wakeups
    }
}

/// The time, as exactly as the store keeps it, so that events and records say the same.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

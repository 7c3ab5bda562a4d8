use std::time::Duration;

use camino::Utf8Path;
use sqlx::{
    Sqlite, SqlitePool, Transaction,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use crate::{StoreError, blobs::Blobs};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Connections that read at the same time; writers are one at a time by SQLite's nature.
const READERS: u32 = 4;

/// How long a statement waits for another process, such as a backup, to let go of the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// A server's records and blobs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) readers: SqlitePool,
    writer: SqlitePool,
    pub(crate) blobs: Blobs,
}

impl Store {
    /// Opens the store in `directory`, which must exist, and makes or updates what is in it.
    ///
    /// # Errors
    /// When the database is newer than this version, cannot be opened, or the disk is full.
    pub async fn open(directory: &Utf8Path) -> Result<Self, StoreError> {
        let path = directory.join("elivepatch.sqlite3");
        let open_error = |source| StoreError::Open { path: path.clone(), source };
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // With WAL, anything less may lose the last transactions when the power fails.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT)
            .foreign_keys(true);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(|error| open_error(error.into()))?;
        MIGRATIONS.run(&writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(migration) | MigrateError::VersionTooNew(migration, _) => {
                StoreError::Newer { path: path.clone(), migration }
            }
            other => open_error(other.into()),
        })?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .connect_with(options)
            .await
            .map_err(|error| open_error(error.into()))?;
        let blobs = Blobs::open(directory.join("blobs")).await?;
        Ok(Self { readers, writer, blobs })
    }

    /// Closes the database. Calls that are under way finish first.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    /// Begins a transaction that will write. Taking the write lock at once keeps what it reads
    /// true until it commits, also against another process.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

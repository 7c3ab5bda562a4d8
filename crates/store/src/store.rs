use std::time::Duration;

use camino::Utf8Path;
use sqlx::{
    Connection, Sqlite, SqlitePool, Transaction,
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

/// What both pools have in common.
fn pool_options() -> SqlitePoolOptions {
    // When the disk is full, SQLite rolls a transaction back by itself. The ROLLBACK that follows
    // fails, and sqlx counts the transaction as open for ever: such a connection is replaced.
    SqlitePoolOptions::new().before_acquire(|connection, _| {
        let usable = !connection.is_in_transaction();
        Box::pin(async move { Ok(usable) })
    })
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
        let lock = lock_for_opening(directory).await.map_err(|error| open_error(error.into()))?;
        let writer = pool_options()
            .max_connections(1)
            .connect_with(options.clone())
            .await
            .map_err(|error| open_error(error.into()))?;
        let migrated = MIGRATIONS.run(&writer).await;
        drop(lock);
        migrated.map_err(|error| match error {
            MigrateError::VersionMissing(migration) | MigrateError::VersionTooNew(migration, _) => {
                StoreError::Newer { path: path.clone(), migration }
            }
            other => open_error(other.into()),
        })?;
        let readers = pool_options()
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

/// Keeps other processes from making the database or bringing it up to date at the same time, for a command may be
/// given while the server starts for the first time. SQLite has no lock that holds over several transactions, and a
/// connection that finds another one changing a new database to WAL is refused at once, without [`BUSY_TIMEOUT`].
async fn lock_for_opening(directory: &Utf8Path) -> std::io::Result<fs_err::File> {
    let path = directory.join("elivepatch.sqlite3.lock");
    let lock = move || {
        let mut options = fs_err::OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).open(path)?;
        file.file().lock()?;
        Ok(file)
    };
    tokio::task::spawn_blocking(lock).await.unwrap_or_else(|error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use elivepatch_model::Sha256Digest;
    use jiff::Timestamp;

    use super::*;
    use crate::{KeptBlob, blobs::record_blob};

    /// Limits the database to `pages`, as a full disk would. SQLite counts per connection.
    async fn limit_pages(store: &Store, pages: u32) {
        let statement = format!("PRAGMA max_page_count = {pages}");
        sqlx::query(sqlx::AssertSqlSafe(statement))
            .execute(&store.writer)
            .await
            .expect("the limit is set");
    }

    async fn write_blobs(store: &Store, count: u32) -> Result<(), StoreError> {
        let mut transaction = store.write().await?;
        for index in 0..count {
            let blob = KeptBlob { digest: Sha256Digest::of(&index.to_ne_bytes()), size_bytes: 1 };
            record_blob(&mut transaction, blob, Timestamp::UNIX_EPOCH).await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn new_database_may_be_opened_by_several_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = Utf8Path::from_path(directory.path()).expect("UTF-8").to_owned();
        let opening = (0..6).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { Store::open(&path).await.map(drop) })
        });
        for opened in opening.collect::<Vec<_>>() {
            opened.await.expect("no panic").expect("opened");
        }
    }

    #[tokio::test]
    async fn full_disk_fails_one_write_and_not_those_after_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = Utf8Path::from_path(directory.path()).expect("UTF-8");
        let store = Store::open(path).await.expect("a new store");
        limit_pages(&store, 1).await;
        for _ in 0..2 {
            let full = write_blobs(&store, 2000).await;
            assert!(matches!(full, Err(StoreError::DiskFull)), "{full:?}");
            limit_pages(&store, 1).await;
        }
        limit_pages(&store, u32::MAX - 1).await;
        write_blobs(&store, 2000).await.expect("there is room again");
    }
}

//! CVE runs: what was asked for, and how far each is.

use elivepatch_cve::{CveResult, Cvss};
use elivepatch_model::{
    BuildNumber, ElfBuildId, Failure, KernelRelease, RunNumber, RunState, Sha256Digest,
};
use jiff::Timestamp;

use crate::{
    KeptBlob, Store, StoreError,
    blobs::record_blob,
    cancel::cancel_probes,
    row::{from_json, parse_digest, to_json},
    time::from_column,
};

/// How many runs a list has.
const LISTED: u32 = 100;

/// A CVE run to be begun.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its key: an equal run is joined.
    pub key: Sha256Digest,
    /// The release of the kernel.
    pub release: KernelRelease,
    /// The config's text, when it was sent.
    pub config: Option<KeptBlob>,
    /// The symbols of the running kernel.
    pub kallsyms: Option<KeptBlob>,
    /// The patches that are compiled into it, and those that the livepatch holds in any case.
    pub patches: Vec<KeptBlob>,
    /// What was asked for: a document that the store does not read.
    pub request: String,
    /// How far it is, likewise.
    pub progress: String,
    /// The CVEs that may matter, the worst first.
    pub cves: Vec<RunCveRecord>,
}

/// A CVE of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCveRecord {
    /// What it is about, in one line.
    pub title: String,
    /// How bad it is, when somebody has judged that.
    pub cvss: Option<Cvss>,
    /// What became of it.
    pub result: CveResult,
}

/// A run as it is stored, without its CVEs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Its number.
    pub number: RunNumber,
    /// Where it stands.
    pub state: RunState,
    /// The release of the kernel.
    pub release: KernelRelease,
    /// The digest of the config's text, when it is known.
    pub config: Option<Sha256Digest>,
    /// The digest of the running kernel's symbols.
    pub kallsyms: Option<Sha256Digest>,
    /// What was asked for: a document of the server.
    pub request: String,
    /// How far it is, likewise.
    pub progress: String,
    /// On what its answers rest since an equal request joined it last, likewise; `None`: since it began.
    pub grounds: Option<String>,
    /// The build that made its livepatch.
    pub livepatch: Option<BuildNumber>,
    /// Why it ended early.
    pub failure: Option<Failure>,
    /// When it was asked for.
    pub submitted_at: Timestamp,
    /// When it was finished.
    pub finished_at: Option<Timestamp>,
}

/// A step forward of a run that is not finished.
#[derive(Debug, Clone)]
pub struct RunStep {
    /// Where it stands now.
    pub state: RunState,
    /// Whether an equal request joins it when it is finished.
    pub joinable: bool,
    /// How far it is: a document that the store does not read.
    pub progress: String,
    /// The config's text, when it has become known.
    pub config: Option<KeptBlob>,
    /// The build that made its livepatch.
    pub livepatch: Option<BuildNumber>,
    /// Why it ends early.
    pub failure: Option<Failure>,
    /// CVEs with other results than before, by their positions.
    pub results: Vec<(usize, CveResult)>,
}

/// The columns of a [`RunRecord`].
macro_rules! run_columns {
    () => {
        "number, state, release, config, kallsyms, request, progress, grounds, livepatch, failure, \
         submitted_at, finished_at"
    };
}

#[derive(Debug, sqlx::FromRow)]
struct RunRow {
    number: i64,
    state: String,
    release: String,
    config: Option<String>,
    kallsyms: Option<String>,
    request: String,
    progress: String,
    grounds: Option<String>,
    livepatch: Option<i64>,
    failure: Option<String>,
    submitted_at: i64,
    finished_at: Option<i64>,
}

impl TryFrom<RunRow> for RunRecord {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        let number = RunNumber(row.number);
        let part = |name: &str| format!("the {name} of CVE run {number}");
        let digest = |text: Option<String>, name: &str| {
            text.map(|text| parse_digest(&text, &part(name))).transpose()
        };
        let release = row.release.parse();
        Ok(Self {
            number,
            state: state(&row.state, number)?,
            release: release
                .map_err(|error| StoreError::corrupt(part("release"), Box::new(error) as Box<_>))?,
            config: digest(row.config, "config")?,
            kallsyms: digest(row.kallsyms, "kallsyms")?,
            request: row.request,
            progress: row.progress,
            grounds: row.grounds,
            livepatch: row.livepatch.map(BuildNumber),
            failure: row.failure.map(|text| from_json(&text, &part("failure"))).transpose()?,
            submitted_at: from_column(row.submitted_at)?,
            finished_at: row.finished_at.map(from_column).transpose()?,
        })
    }
}

fn state(text: &str, number: RunNumber) -> Result<RunState, StoreError> {
    let state = text.parse();
    state.map_err(|error: String| {
        StoreError::corrupt(format!("the state of CVE run {number}"), error)
    })
}

impl Store {
    /// Begins a run, or finds the equal one that is under way or finished. With `again` only one that is
    /// under way is joined. Gives its number, and whether it was there.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or a failure of the database.
    pub async fn begin_run(
        &self,
        new: &NewRun,
        again: bool,
        now: Timestamp,
    ) -> Result<(RunNumber, bool), StoreError> {
        let mut transaction = self.write().await?;
        let equal: Option<(i64, String, bool)> = sqlx::query_as(
            "SELECT number, state, joinable FROM runs WHERE run_key = ? ORDER BY number DESC LIMIT 1",
        )
        .bind(new.key.to_string())
        .fetch_optional(&mut *transaction)
        .await?;
        if let Some((number, text, joinable)) = equal {
            let number = RunNumber(number);
            let is_joined = match state(&text, number)? {
                RunState::Finished => joinable && !again,
                RunState::Failed | RunState::Cancelled => false,
                RunState::Gathering | RunState::Trying | RunState::Combining => true,
            };
            if is_joined {
                return Ok((number, true));
            }
        }
        for blob in new.config.iter().chain(&new.kallsyms).chain(&new.patches) {
            record_blob(&mut transaction, *blob, now).await?;
        }
        let number: i64 = sqlx::query_scalar(
            "INSERT INTO runs (run_key, state, release, config, kallsyms, request, progress, submitted_at)
             VALUES (?, 'gathering', ?, ?, ?, ?, ?, ?) RETURNING number",
        )
        .bind(new.key.to_string())
        .bind(new.release.as_str())
        .bind(new.config.map(|blob| blob.digest.to_string()))
        .bind(new.kallsyms.map(|blob| blob.digest.to_string()))
        .bind(&new.request)
        .bind(&new.progress)
        .bind(now.as_microsecond())
        .fetch_one(&mut *transaction)
        .await?;
        for (position, cve) in new.cves.iter().enumerate() {
            sqlx::query(
                "INSERT INTO run_cves (run, position, title, cvss, result) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(number)
            .bind(column(position))
            .bind(&cve.title)
            .bind(cve.cvss.as_ref().map(to_json))
            .bind(to_json(&cve.result))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok((RunNumber(number), false))
    }

    /// Writes down on what the answers of a run rest now: an equal request has joined it.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], or a failure of the database.
    pub async fn renew_grounds(&self, number: RunNumber, grounds: &str) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE runs SET grounds = ? WHERE number = ?")
            .bind(grounds)
            .bind(number.0)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The run with this number.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`], or a failure of the database.
    pub async fn run(&self, number: RunNumber) -> Result<RunRecord, StoreError> {
        let statement = concat!("SELECT ", run_columns!(), " FROM runs WHERE number = ?");
        let row: Option<RunRow> =
            sqlx::query_as(statement).bind(number.0).fetch_optional(&self.readers).await?;
        row.ok_or(StoreError::NoSuchRun(number))?.try_into()
    }

    /// The newest runs, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let statement =
            concat!("SELECT ", run_columns!(), " FROM runs ORDER BY number DESC LIMIT ?");
        let rows: Vec<RunRow> =
            sqlx::query_as(statement).bind(LISTED).fetch_all(&self.readers).await?;
        rows.into_iter().map(RunRecord::try_from).collect()
    }

    /// Of the finished runs with a livepatch for a release the one that finished last, when `skip` of those
    /// are left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn finished_livepatch_run(
        &self,
        release: &KernelRelease,
        skip: u32,
    ) -> Result<Option<RunRecord>, StoreError> {
        let statement = concat!(
            "SELECT ",
            run_columns!(),
            " FROM runs WHERE release = ? AND state = 'finished' AND livepatch IS NOT NULL
              ORDER BY finished_at DESC, number DESC LIMIT 1 OFFSET ?"
        );
        let row: Option<RunRow> = sqlx::query_as(statement)
            .bind(release.as_str())
            .bind(skip)
            .fetch_optional(&self.readers)
            .await?;
        row.map(RunRecord::try_from).transpose()
    }

    /// The runs that are not finished, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRecord>, StoreError> {
        let statement = concat!(
            "SELECT ",
            run_columns!(),
            " FROM runs WHERE state IN ('gathering', 'trying', 'combining') ORDER BY number"
        );
        let rows: Vec<RunRow> = sqlx::query_as(statement).fetch_all(&self.readers).await?;
        rows.into_iter().map(RunRecord::try_from).collect()
    }

    /// The CVEs whose fixes are in a livepatch that runs for a kernel made, known by the build-id of its
    /// module, as those runs left them: one may be there several times. Empty when none made such a one.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn cves_in_livepatch(
        &self,
        release: &KernelRelease,
        module: &ElfBuildId,
    ) -> Result<Vec<CveResult>, StoreError> {
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT run_cves.result FROM runs
               JOIN builds ON builds.number = runs.livepatch
               JOIN run_cves ON run_cves.run = runs.number
              WHERE runs.release = ? AND runs.state = 'finished'
                AND builds.manifest ->> '$.module.build_id' = ?
                AND run_cves.result ->> '$.outcome.verdict' = 'livepatch'",
        )
        .bind(release.as_str())
        .bind(module.as_str())
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(|(text,)| from_json(&text, "a CVE of a run")).collect()
    }

    /// The CVEs of a run by their positions, the worst first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn run_cves(&self, number: RunNumber) -> Result<Vec<RunCveRecord>, StoreError> {
        let rows: Vec<(String, Option<String>, String)> = sqlx::query_as(
            "SELECT title, cvss, result FROM run_cves WHERE run = ? ORDER BY position",
        )
        .bind(number.0)
        .fetch_all(&self.readers)
        .await?;
        let what = format!("a CVE of run {number}");
        let record = |(title, cvss, result): (String, Option<String>, String)| {
            let cvss = cvss.map(|text| from_json(&text, &what)).transpose()?;
            Ok(RunCveRecord { title, cvss, result: from_json(&result, &what)? })
        };
        rows.into_iter().map(record).collect()
    }

    /// Takes a run a step forward. Gives `false`, and changes nothing, when it is finished already: it was
    /// cancelled meanwhile.
    ///
    /// # Errors
    /// When the database fails; then nothing was changed.
    pub async fn step_run(
        &self,
        number: RunNumber,
        step: &RunStep,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        if let Some(config) = step.config {
            record_blob(&mut transaction, config, now).await?;
        }
        let finished_at = step.state.is_finished().then(|| now.as_microsecond());
        let changed = sqlx::query(
            "UPDATE runs SET state = ?, joinable = ?, progress = ?, livepatch = ?, failure = ?,
                    config = COALESCE(?, config), finished_at = ?
             WHERE number = ? AND state IN ('gathering', 'trying', 'combining')",
        )
        .bind(step.state.as_str())
        .bind(step.joinable)
        .bind(&step.progress)
        .bind(step.livepatch.map(|build| build.0))
        .bind(step.failure.as_ref().map(to_json))
        .bind(step.config.map(|blob| blob.digest.to_string()))
        .bind(finished_at)
        .bind(number.0)
        .execute(&mut *transaction)
        .await?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        for (position, result) in &step.results {
            sqlx::query("UPDATE run_cves SET result = ? WHERE run = ? AND position = ?")
                .bind(to_json(result))
                .bind(number.0)
                .bind(column(*position))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Cancels a run that is not finished, and its probes that wait or run, which it gives: nobody but another run
    /// can want them, and that orders them anew.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`], [`StoreError::RunFinished`] when it is too late.
    pub async fn cancel_run(
        &self,
        number: RunNumber,
        now: Timestamp,
    ) -> Result<Vec<BuildNumber>, StoreError> {
        let mut transaction = self.write().await?;
        let text: Option<String> = sqlx::query_scalar("SELECT state FROM runs WHERE number = ?")
            .bind(number.0)
            .fetch_optional(&mut *transaction)
            .await?;
        let state = state(&text.ok_or(StoreError::NoSuchRun(number))?, number)?;
        if state.is_finished() {
            return Err(StoreError::RunFinished { number, state });
        }
        sqlx::query("UPDATE runs SET state = 'cancelled', finished_at = ? WHERE number = ?")
            .bind(now.as_microsecond())
            .bind(number.0)
            .execute(&mut *transaction)
            .await?;
        let probes = cancel_probes(&mut transaction, number, now).await?;
        transaction.commit().await?;
        Ok(probes)
    }
}

/// A position as a column.
fn column(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

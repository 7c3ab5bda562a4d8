use elivepatch_model::{Architecture, BuildState, Sha256Digest};
use jiff::Timestamp;
use sqlx::{QueryBuilder, Sqlite};

use crate::{
    BuildRecord, LEASE_DURATION, Store, StoreError,
    events::append_state,
    row::{BuildRow, build_columns},
    time::{from_column, later},
    workers::record_worker,
};

/// What a worker that asks for work can do.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The worker's name.
    pub worker: String,
    /// The architectures that it builds for.
    pub architectures: Vec<Architecture>,
    /// The releases of which it has a base ready.
    pub warm_releases: Vec<String>,
}

/// A build that now belongs to a worker for a time.
#[derive(Clone)]
pub struct ClaimedBuild {
    /// The build.
    pub build: BuildRecord,
    /// The secret that goes with every write; only its digest is stored.
    pub token: String,
    /// When the lease ends unless it is renewed.
    pub deadline: Timestamp,
}

impl std::fmt::Debug for ClaimedBuild {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ClaimedBuild")
            .field("build", &self.build.number)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Leases the build that suits the worker best, if one waits: what it cannot build is left
    /// out; then priority decides, then a warm base, then age.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(
        &self,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Option<ClaimedBuild>, StoreError> {
        let mut transaction = self.write().await?;
        record_worker(&mut transaction, &claim.worker, now).await?;
        let token = uuid::Uuid::new_v4().simple().to_string();
        let deadline = later(now, LEASE_DURATION);
        let mut statement = claim_statement(claim, &token, deadline, now);
        let row: Option<BuildRow> =
            statement.build_query_as().fetch_optional(&mut *transaction).await?;
        let claimed = match row {
            None => None,
            Some(row) => {
                let build = BuildRecord::try_from(row)?;
                append_state(&mut transaction, build.number, BuildState::Running, None, now)
                    .await?;
                Some(ClaimedBuild { build, token, deadline: from_column(deadline)? })
            }
        };
        transaction.commit().await?;
        Ok(claimed)
    }
}

/// The claim in one statement. On PostgreSQL it would be the same text with
/// `FOR UPDATE SKIP LOCKED` after `LIMIT 1`.
fn claim_statement(
    claim: &Claim,
    token: &str,
    deadline: i64,
    now: Timestamp,
) -> QueryBuilder<Sqlite> {
    let architectures = claim.architectures.iter().map(|architecture| architecture.as_str());
    let mut query = QueryBuilder::new(
        "UPDATE builds SET state = 'running', attempts = attempts + 1, steps = '[]', \
         module = NULL, lease_token = ",
    );
    query.push_bind(Sha256Digest::of(token.as_bytes()).to_string());
    query.push(", lease_worker = ").push_bind(claim.worker.clone());
    query.push(", lease_deadline = ").push_bind(deadline);
    query.push(", started_at = COALESCE(started_at, ").push_bind(now.as_microsecond());
    query.push(
        ") WHERE number = (SELECT number FROM builds WHERE state = 'queued' AND not_before <= ",
    );
    query.push_bind(now.as_microsecond()).push(" AND ");
    push_is_one_of(&mut query, "architecture", architectures);
    query.push(" ORDER BY priority DESC, CASE WHEN ");
    push_is_one_of(&mut query, "release", claim.warm_releases.iter().map(String::as_str));
    query.push(" THEN 0 ELSE 1 END, number LIMIT 1) RETURNING ").push(build_columns!());
    query
}

/// Adds `COLUMN IN (…)`. An empty list is written out, since `IN ()` is not SQL everywhere.
fn push_is_one_of<'a>(
    query: &mut QueryBuilder<Sqlite>,
    column: &'static str,
    values: impl Iterator<Item = &'a str>,
) {
    let mut values = values.peekable();
    if values.peek().is_none() {
        query.push("FALSE");
        return;
    }
    query.push(column).push(" IN (");
    let mut list = query.separated(", ");
    for value in values {
        list.push_bind(value.to_owned());
    }
    query.push(")");
}

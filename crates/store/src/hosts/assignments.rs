use elivepatch_model::{
    Architecture, BaseKind, BuildNumber, BuildOptions, BuildState, ElfBuildId, HostName,
    KernelRelease, Manifest, Sha256Digest, TargetFacts, Whom,
};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use super::{
    parse,
    register::require_host,
    whom::{self, is_for_host},
    withdrawals::withdrawal_of,
};
use crate::{
    Store, StoreError,
    row::{from_json, parse_digest},
    time::from_column,
};

/// A livepatch that is to be assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAssignment {
    /// The build that made it.
    pub build: BuildNumber,
    /// To whom.
    pub whom: Whom,
    /// What the person said of it; may be empty.
    pub note: String,
}

/// A livepatch that hosts are to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentRecord {
    /// Its id; newer ones are larger.
    pub id: i64,
    /// To whom.
    pub whom: Whom,
    /// The build that made the livepatch.
    pub build: BuildNumber,
    /// The architecture of the kernel that it is for.
    pub architecture: Architecture,
    /// The release of that kernel.
    pub release: KernelRelease,
    /// The build-id of that kernel, when it is known to be the running kernel's own.
    pub build_id: Option<ElfBuildId>,
    /// The digest of its module.
    pub module: Sha256Digest,
    /// What the person said of it; may be empty.
    pub note: String,
    /// When it was assigned.
    pub made_at: Timestamp,
    /// Whether the livepatch was withdrawn: then nobody is told to load it.
    pub is_withdrawn: bool,
}

#[derive(Debug, sqlx::FromRow)]
struct Row {
    id: i64,
    to_kind: String,
    to_name: String,
    build: i64,
    architecture: String,
    release: String,
    build_id: Option<String>,
    module: String,
    note: String,
    made_at: i64,
    is_withdrawn: bool,
}

/// The columns of a [`Row`].
macro_rules! columns {
    () => {
        "id, to_kind, to_name, build, architecture, release, build_id, module, note, made_at, \
         EXISTS (SELECT 1 FROM withdrawals WHERE withdrawals.module = assignments.module) AS is_withdrawn"
    };
}

impl TryFrom<Row> for AssignmentRecord {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let what = format!("the assignment {}", row.id);
        Ok(Self {
            id: row.id,
            whom: whom::read(&row.to_kind, &row.to_name)?,
            build: BuildNumber(row.build),
            architecture: parse(&row.architecture, &what)?,
            release: parse(&row.release, &what)?,
            build_id: row.build_id.as_deref().map(|id| parse(id, &what)).transpose()?,
            module: parse_digest(&row.module, &what)?,
            note: row.note,
            made_at: from_column(row.made_at)?,
            is_withdrawn: row.is_withdrawn,
        })
    }
}

impl Store {
    /// Assigns the livepatch of a build. The same once more takes the place of the earlier one, as the newest.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBuild`], [`StoreError::NoLivepatch`], [`StoreError::OnlyProbe`],
    /// [`StoreError::Withdrawn`] and [`StoreError::NoSuchHost`], or a failure of the database.
    pub async fn assign(
        &self,
        new: &NewAssignment,
        now: Timestamp,
    ) -> Result<AssignmentRecord, StoreError> {
        let mut transaction = self.write().await?;
        let livepatch = livepatch_of(&mut transaction, new.build).await?;
        if let Some(withdrawal) = withdrawal_of(&mut *transaction, livepatch.module).await? {
            return Err(StoreError::Withdrawn {
                number: new.build,
                withdrawn: withdrawal.build,
                reason: withdrawal.reason,
            });
        }
        if let Whom::Host(name) = &new.whom {
            require_host(&mut transaction, name).await?;
        }
        let (kind, name) = (whom::kind(&new.whom), whom::name(&new.whom));
        sqlx::query("DELETE FROM assignments WHERE to_kind = ? AND to_name = ? AND build = ?")
            .bind(kind)
            .bind(name)
            .bind(new.build.0)
            .execute(&mut *transaction)
            .await?;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO assignments
                    (to_kind, to_name, build, architecture, release, build_id, module, note, made_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        )
        .bind(kind)
        .bind(name)
        .bind(new.build.0)
        .bind(livepatch.architecture.as_str())
        .bind(livepatch.release.as_str())
        .bind(livepatch.build_id.as_ref().map(ElfBuildId::as_str))
        .bind(livepatch.module.to_string())
        .bind(&new.note)
        .bind(now.as_microsecond())
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(AssignmentRecord {
            id,
            whom: new.whom.clone(),
            build: new.build,
            architecture: livepatch.architecture,
            release: livepatch.release,
            build_id: livepatch.build_id,
            module: livepatch.module,
            note: new.note.clone(),
            made_at: now,
            is_withdrawn: false,
        })
    }

    /// Takes an assignment away: what hosts have loaded by it stays loaded.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAssignment`], or a failure of the database.
    pub async fn unassign(&self, id: i64) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let removed = sqlx::query("DELETE FROM assignments WHERE id = ?")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        match removed.rows_affected() {
            0 => Err(StoreError::NoSuchAssignment(id)),
            _ => Ok(()),
        }
    }

    /// At most `limit` assignments with smaller ids than `before`, newest first.
    ///
    /// # Errors
    /// When the database fails or is damaged.
    pub async fn assignments(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AssignmentRecord>, StoreError> {
        let statement = concat!(
            "SELECT ",
            columns!(),
            " FROM assignments WHERE (?1 IS NULL OR id < ?1) ORDER BY id DESC LIMIT ?2"
        );
        let rows: Vec<Row> =
            sqlx::query_as(statement).bind(before).bind(limit).fetch_all(&self.readers).await?;
        rows.into_iter().map(AssignmentRecord::try_from).collect()
    }

    /// How many hosts an assignment is to, and how many of them run the kernel that it is for.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reach(&self, made: &AssignmentRecord) -> Result<(u64, u64), StoreError> {
        let (all, of_kernel): (i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE release = ?3 AND architecture = ?4
                                               AND (?5 IS NULL OR build_id IS NULL OR build_id = ?5))
               FROM hosts
              WHERE CASE ?1 WHEN 'host' THEN name = ?2
                            WHEN 'tag' THEN name IN (SELECT host FROM host_tags WHERE tag = ?2)
                            ELSE 1 END",
        )
        .bind(whom::kind(&made.whom))
        .bind(whom::name(&made.whom))
        .bind(made.release.as_str())
        .bind(made.architecture.as_str())
        .bind(made.build_id.as_ref().map(ElfBuildId::as_str))
        .fetch_one(&self.readers)
        .await?;
        Ok((all.cast_unsigned(), of_kernel.cast_unsigned()))
    }
}

/// What is assigned to a host with a kernel of this release: to itself first, then to its tags, then to all,
/// the newest of each first.
pub(super) async fn assignments_of(
    transaction: &mut Transaction<'_, Sqlite>,
    host: &HostName,
    release: &KernelRelease,
) -> Result<Vec<AssignmentRecord>, StoreError> {
    let statement = concat!(
        "SELECT ",
        columns!(),
        " FROM assignments WHERE release = ?2 AND ",
        is_for_host!(),
        " ORDER BY id DESC"
    );
    let rows: Vec<Row> = sqlx::query_as(statement)
        .bind(host.as_str())
        .bind(release.as_str())
        .fetch_all(&mut **transaction)
        .await?;
    let found: Result<Vec<_>, _> = rows.into_iter().map(AssignmentRecord::try_from).collect();
    let mut found = found?;
    let rank = |whom: &Whom| match whom {
        Whom::Host(_) => 0,
        Whom::Tag(_) => 1,
        Whom::All => 2,
    };
    // The sort is stable: what comes from one rank stays newest first, whichever of the host's tags it is for.
    found.sort_by_key(|assignment| rank(&assignment.whom));
    Ok(found)
}

/// What a build made, as far as it matters to who runs it.
pub(super) struct Livepatch {
    pub(super) module: Sha256Digest,
    architecture: Architecture,
    release: KernelRelease,
    build_id: Option<ElfBuildId>,
}

/// The livepatch of a build.
pub(super) async fn livepatch_of(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
) -> Result<Livepatch, StoreError> {
    let row: Option<(String, String, Option<String>, String)> =
        sqlx::query_as("SELECT state, target, manifest, options FROM builds WHERE number = ?")
            .bind(number.0)
            .fetch_optional(&mut **transaction)
            .await?;
    let (state, target, manifest, options) = row.ok_or(StoreError::NoSuchBuild(number))?;
    let part = |name: &str| format!("the {name} of build {number}");
    let state: BuildState =
        state.parse().map_err(|error: String| StoreError::corrupt(part("state"), error))?;
    let options: BuildOptions = from_json(&options, &part("options"))?;
    if options.probe {
        return Err(StoreError::OnlyProbe(number));
    }
    let Some(manifest) = manifest.filter(|_| state == BuildState::Succeeded) else {
        return Err(StoreError::NoLivepatch { number, state });
    };
    let manifest: Manifest = from_json(&manifest, &part("manifest"))?;
    let target: TargetFacts = from_json(&target, &part("target"))?;
    // That of a built base is the server's own vmlinux's, which no machine runs.
    let of_base = (manifest.base == BaseKind::Prepared).then_some(manifest.build_id);
    Ok(Livepatch {
        module: manifest.module.digest,
        architecture: target.architecture,
        release: target.release,
        build_id: target.build_id.or(of_base),
    })
}

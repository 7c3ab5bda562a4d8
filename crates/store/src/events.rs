use elivepatch_model::{BuildEvent, BuildNumber, BuildState, Failure, Step, StepState};
use jiff::Timestamp;
use sqlx::{Sqlite, Transaction};

use crate::{
    LeaseProof, Store, StoreError,
    lease::require_lease,
    row::{from_json, to_json},
};

/// One event of a build with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Counts from 1 without gaps within a build.
    pub sequence: i64,
    /// What happened.
    pub event: BuildEvent,
}

impl Store {
    /// At most `limit` events of a build that come after the one numbered `after`, in their order.
    ///
    /// # Errors
    /// When the database fails. An unknown build has no events.
    pub async fn events(
        &self,
        number: BuildNumber,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT sequence, body FROM events WHERE build = ? AND sequence > ?
             ORDER BY sequence LIMIT ?",
        )
        .bind(number.0)
        .bind(after)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let read = |(sequence, body): (i64, String)| {
            let event = from_json(&body, &format!("event {sequence} of build {number}"))?;
            Ok(StoredEvent { sequence, event })
        };
        rows.into_iter().map(read).collect()
    }

    /// Adds a worker's events to its build and brings the build's steps up to date.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`] when the proof does not hold; then nothing was added.
    pub async fn add_events(
        &self,
        proof: &LeaseProof,
        events: &[BuildEvent],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        require_lease(&mut transaction, proof, now).await?;
        append(&mut transaction, proof.number, events).await?;
        fold_steps(&mut transaction, proof.number, events).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Adds events at the end of a build's log. The numbers are taken in the transaction that writes
/// the events, so that there is neither a gap nor a number used twice.
pub(crate) async fn append(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    events: &[BuildEvent],
) -> Result<(), StoreError> {
    let count = i64::try_from(events.len()).expect("events in memory are countable");
    let last: i64 = sqlx::query_scalar(
        "UPDATE builds SET last_sequence = last_sequence + ? WHERE number = ?
         RETURNING last_sequence",
    )
    .bind(count)
    .bind(number.0)
    .fetch_one(&mut **transaction)
    .await?;
    for (sequence, event) in (last - count + 1..).zip(events) {
        sqlx::query("INSERT INTO events (build, sequence, body) VALUES (?, ?, ?)")
            .bind(number.0)
            .bind(sequence)
            .bind(to_json(event))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

/// Adds the event that says a build's new state.
pub(crate) async fn append_state(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    state: BuildState,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let event = BuildEvent::State { state, at: now, failure: failure.cloned() };
    append(transaction, number, &[event]).await
}

/// Ends the steps that still run when a worker's time with the build is over, whatever it said last.
pub(crate) async fn end_steps(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    state: StepState,
) -> Result<(), StoreError> {
    let mut steps = read_steps(transaction, number).await?;
    let mut any = false;
    for step in &mut steps {
        if step.state == StepState::Running {
            step.state = state;
            any = true;
        }
    }
    if any { write_steps(transaction, number, &steps).await } else { Ok(()) }
}

async fn fold_steps(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    events: &[BuildEvent],
) -> Result<(), StoreError> {
    let mut news = events.iter().filter_map(|event| match event {
        BuildEvent::Step { step } => Some(step),
        _ => None,
    });
    let Some(first) = news.next() else { return Ok(()) };
    let mut steps = read_steps(transaction, number).await?;
    for step in std::iter::once(first).chain(news) {
        match steps.iter_mut().find(|known| known.name == step.name) {
            Some(known) => *known = step.clone(),
            None => steps.push(step.clone()),
        }
    }
    write_steps(transaction, number, &steps).await
}

async fn read_steps(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
) -> Result<Vec<Step>, StoreError> {
    let text: String = sqlx::query_scalar("SELECT steps FROM builds WHERE number = ?")
        .bind(number.0)
        .fetch_one(&mut **transaction)
        .await?;
    from_json(&text, &format!("the steps of build {number}"))
}

async fn write_steps(
    transaction: &mut Transaction<'_, Sqlite>,
    number: BuildNumber,
    steps: &[Step],
) -> Result<(), StoreError> {
    sqlx::query("UPDATE builds SET steps = ? WHERE number = ?")
        .bind(to_json(&steps))
        .bind(number.0)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

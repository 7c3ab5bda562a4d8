use std::time::Duration;

use jiff::Timestamp;

use crate::StoreError;

/// Reads a time column.
pub(crate) fn from_column(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|source| StoreError::corrupt(format!("the time {microseconds}"), source))
}

/// `now` plus `duration`, as a time column.
pub(crate) fn later(now: Timestamp, duration: Duration) -> i64 {
    let microseconds = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
    now.as_microsecond().saturating_add(microseconds)
}

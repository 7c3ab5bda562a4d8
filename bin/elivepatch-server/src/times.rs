//! Times and durations on the command line.

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, civil::Date, tz::Offset};

/// Reads how long something lasts, such as `24h`, `90d` or `1h30m`.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || "write it in days, hours or minutes, such as 24h or 90d".to_owned();
    let span: Span = text.parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    match duration.is_positive() {
        true => Ok(duration),
        false => Err("it must be longer than nothing".to_owned()),
    }
}

/// Reads a time: how long ago it was, a day, or a time with its offset.
pub fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<Date>() {
        let midnight = day.to_datetime(jiff::civil::Time::midnight());
        return Offset::UTC.to_timestamp(midnight).map_err(|error| error.to_string());
    }
    let ago = duration(text).map_err(|_| {
        "write how long ago it was (24h, 7d), a day (2026-11-26) or a time (2026-11-26T13:00:00Z)"
            .to_owned()
    })?;
    Timestamp::now().checked_sub(ago).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_are_read_as_people_write_them() {
        let hours = SignedDuration::from_hours;
        for (text, expected) in [
            ("24h", hours(24)),
            ("90d", hours(90 * 24)),
            ("2 weeks", hours(14 * 24)),
            ("1h30m", SignedDuration::from_mins(90)),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for wrong in ["", "soon", "0h", "-1h", "24", "1 year", "2mo"] {
            duration(wrong).expect_err(wrong);
        }
        let day: Timestamp = "2026-11-26T00:00:00Z".parse().expect("a time");
        assert_eq!(moment("2026-11-26"), Ok(day));
        assert_eq!(moment("2026-11-26T01:00:00+01:00"), Ok(day));
        let ago = moment("1h").expect("a time").duration_until(Timestamp::now());
        assert!((hours(1)..hours(2)).contains(&ago), "{ago:?}");
        moment("yesterday").expect_err("no such word");
    }
}

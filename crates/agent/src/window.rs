use std::{fmt, str::FromStr, time::Duration};

use jiff::civil::{DateTime, Weekday};
use serde::Deserialize;

/// The days of the week as they are written, from Monday.
const DAYS: [(&str, Weekday); 7] = [
    ("Mon", Weekday::Monday),
    ("Tue", Weekday::Tuesday),
    ("Wed", Weekday::Wednesday),
    ("Thu", Weekday::Thursday),
    ("Fri", Weekday::Friday),
    ("Sat", Weekday::Saturday),
    ("Sun", Weekday::Sunday),
];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// When livepatches may be loaded, such as `Mon-Fri 22:00-05:00` or `Sat,Sun 00:00-24:00`: days, and times in
/// the machine's own time zone. What goes over midnight belongs to the day on which it begins. Without days it
/// is every day.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Window {
    /// Whether each day is meant, from Monday.
    days: [bool; 7],
    /// Minutes after midnight.
    from: u16,
    /// Likewise; not after `from`: on the next day.
    to: u16,
}

/// A text that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no maintenance window: {why}")]
pub struct WindowError {
    text: String,
    why: String,
}

/// Whether one of the windows is open; without any it always is.
pub fn is_open(windows: &[Window], now: &DateTime) -> bool {
    windows.is_empty() || windows.iter().any(|window| window.contains(now))
}

impl Window {
    /// For how long it is open each time.
    pub fn length(&self) -> Duration {
        let minutes = match self.from < self.to {
            true => self.to - self.from,
            false => DAY - self.from + self.to,
        };
        Duration::from_secs(u64::from(minutes) * 60)
    }

    /// Whether it is open at a time.
    pub fn contains(&self, now: &DateTime) -> bool {
        let minute =
            u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        let today = usize::from(now.weekday().to_monday_zero_offset().unsigned_abs());
        let yesterday = (today + 6) % 7;
        match self.from < self.to {
            true => self.days[today] && (self.from..self.to).contains(&minute),
            false => {
                self.days[today] && minute >= self.from || self.days[yesterday] && minute < self.to
            }
        }
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |why: String| WindowError { text: text.chars().take(80).collect(), why };
        let words: Vec<&str> = text.split_whitespace().collect();
        let (days, times) = match words[..] {
            [times] => ([true; 7], times),
            [named, times] => (days(named).map_err(wrong)?, times),
            _ => {
                let form = "write days and times, such as \"Mon-Fri 22:00-05:00\"";
                return Err(wrong(form.to_owned()));
            }
        };
        let (from, to) = times
            .split_once('-')
            .ok_or_else(|| wrong("its times are written as 22:00-05:00".to_owned()))?;
        let (from, to) = (minute(from).map_err(wrong)?, minute(to).map_err(wrong)?);
        if from == DAY {
            return Err(wrong("a day begins at 00:00".to_owned()));
        }
        if from == to {
            return Err(wrong("it is over when it begins; a whole day is 00:00-24:00".to_owned()));
        }
        Ok(Self { days, from, to })
    }
}

impl TryFrom<String> for Window {
    type Error = WindowError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// Days such as `Mon-Fri`, `Sat,Sun` or `Fri-Mon,Wed`.
fn days(text: &str) -> Result<[bool; 7], String> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut at = first;
        days[at] = true;
        while at != last {
            at = (at + 1) % 7;
            days[at] = true;
        }
    }
    Ok(days)
}

fn day(text: &str) -> Result<usize, String> {
    let found = DAYS.iter().position(|(name, _)| name.eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        let text: String = text.chars().take(20).collect();
        format!("{text:?} is no day: Mon, Tue, Wed, Thu, Fri, Sat or Sun")
    })
}

fn minute(text: &str) -> Result<u16, String> {
    let wrong = || {
        let text: String = text.chars().take(20).collect();
        format!("{text:?} is no time of a day: 00:00 to 24:00")
    };
    let (hour, minute) = text.split_once(':').ok_or_else(wrong)?;
    let number =
        |digits: &str| match digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse::<u16>().map_err(|_| wrong()),
            false => Err(wrong()),
        };
    let (hour, minute) = (number(hour)?, number(minute)?);
    match hour * 60 + minute {
        minutes if minute < 60 && minutes <= DAY => Ok(minutes),
        _ => Err(wrong()),
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != [true; 7] {
            let named = DAYS.iter().zip(self.days).filter(|(_, is_meant)| *is_meant);
            let named: Vec<&str> = named.map(|((name, _), _)| *name).collect();
            write!(formatter, "{} ", named.join(","))?;
        }
        let clock = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(formatter, "{}-{}", clock(self.from), clock(self.to))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// A time of the week that begins on Monday, 2026-11-23.
    fn at(day: i8, hour: i8, minute: i8) -> DateTime {
        let day = date(2026, 11, 23 + day);
        day.at(hour, minute, 0, 0)
    }

    #[test]
    fn window_is_open_on_its_days_and_over_midnight() {
        let window: Window = "Mon-Wed,fri 22:00-05:30".parse().expect("a window");
        for (time, is_open) in [
            (at(0, 22, 0), true),
            (at(0, 5, 0), false),
            (at(1, 5, 29), true),
            (at(1, 5, 30), false),
            (at(1, 21, 59), false),
            (at(3, 5, 0), true),
            (at(3, 23, 0), false),
            (at(4, 23, 0), true),
            (at(5, 1, 0), true),
            (at(6, 1, 0), false),
        ] {
            assert_eq!(window.contains(&time), is_open, "{time}");
        }
        let weekend: Window = "Sat-Sun 00:00-24:00".parse().expect("a window");
        assert!(weekend.contains(&at(5, 0, 0)) && weekend.contains(&at(6, 23, 59)));
        assert!(!weekend.contains(&at(4, 23, 59)));
        let daily: Window = "02:00-04:00".parse().expect("a window");
        assert!(daily.contains(&at(2, 3, 0)) && !daily.contains(&at(2, 4, 0)));
        assert!(is_open(&[], &at(0, 0, 0)) && !is_open(&[daily], &at(0, 0, 0)));
        let over_the_week: Window = "Sun-Mon 23:00-24:00".parse().expect("a window");
        assert!(over_the_week.contains(&at(6, 23, 30)) && !over_the_week.contains(&at(1, 23, 30)));
    }

    #[test]
    fn what_is_no_window_is_told_with_the_reason() {
        for (text, why) in [
            ("", "write days and times"),
            ("always", "its times are written"),
            ("Mon 25:00-26:00", "\"25:00\" is no time"),
            ("Mon 22:60-23:00", "\"22:60\" is no time"),
            ("Mon 2:00-3:00", "\"2:00\" is no time"),
            ("Noon 22:00-23:00", "\"Noon\" is no day"),
            ("Mon 22:00-22:00", "it is over when it begins"),
            ("Mon 24:00-02:00", "a day begins at 00:00"),
            ("Mon Tue 22:00-23:00", "write days and times"),
            ("Mon 22:00-+3:00", "is no time"),
        ] {
            let error = text.parse::<Window>().expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
        let window: Window = "mon,SUN 22:00-05:30".parse().expect("a window");
        assert_eq!(window.to_string(), "Mon,Sun 22:00-05:30");
        let whole: Window = "00:00-24:00".parse().expect("a window");
        assert_eq!(whole.to_string(), "00:00-24:00");
    }
}

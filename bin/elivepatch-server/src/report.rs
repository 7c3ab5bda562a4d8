//! What the user sees when something went wrong.

use std::{panic::PanicHookInfo, process::ExitCode};

use anstyle::{AnsiColor, Style};
use elivepatch_model::printable_lines;

use crate::error::{CommandError, Exit};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const CAUSE: Style = AnsiColor::Yellow.on_default();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Prints an error with its causes and the hint, and gives the exit code.
pub fn failed(error: &CommandError) -> ExitCode {
    let mut causes = error.error.chain();
    if let Some(first) = causes.next() {
        anstream::eprintln!("{ERROR}error:{ERROR:#} {}", printable_lines(&first.to_string()));
    }
    for cause in causes {
        anstream::eprintln!("{CAUSE}caused by:{CAUSE:#} {}", printable_lines(&cause.to_string()));
    }
    anstream::eprintln!("{HINT}hint:{HINT:#} {}", printable_lines(&error.hint));
    ExitCode::from(error.exit as u8)
}

/// Prints a warning at start.
pub fn warn(message: &str) {
    anstream::eprintln!("{CAUSE}warning:{CAUSE:#} {}", printable_lines(message));
}

/// Says something on standard error.
pub fn say(message: &str) {
    anstream::eprintln!("{}", printable_lines(message));
}

/// How many builds run at the same time, for people.
pub fn workers(count: u32) -> String {
    match count {
        0 => "none here: builds wait for workers of other machines".to_owned(),
        1 => "1, so one build at a time".to_owned(),
        count => format!("{count}, so up to {count} builds at the same time"),
    }
}

/// Prints a value as JSON.
pub fn json(value: &impl serde::Serialize) {
    let text = serde_json::to_string_pretty(value).expect("plain data has a JSON form");
    anstream::println!("{text}");
}

/// Prints a table.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(header);
    table.add_rows(rows);
    for line in table.to_string().lines() {
        anstream::println!("{}", line.trim());
    }
}

/// An amount of disk, for people.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A time, for people: in UTC, to the minute.
pub fn time(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M").to_string()
}

/// A time with how long ago it was, for people.
pub fn age(time: jiff::Timestamp) -> String {
    let seconds = jiff::Timestamp::now().duration_since(time).as_secs();
    let ago = match seconds {
        ..60 => "just now".to_owned(),
        60..7200 => format!("{} minutes ago", seconds / 60),
        7200..172_800 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    };
    format!("{} UTC, {ago}", self::time(time))
}

/// The panic hook: says in the log where a panic was, and on the main thread that it is a bug.
pub fn panicked(info: &PanicHookInfo<'_>) {
    tracing::error!("panic: {info}");
    if std::thread::current().name() == Some("main") {
        let error = CommandError::bug(anyhow::anyhow!("{info}"));
        failed(&error);
        std::process::exit(Exit::Bug as i32);
    }
}

//! What the user sees when something went wrong.

use std::{panic::PanicHookInfo, process::ExitCode};

use anstyle::{AnsiColor, Style};

use crate::error::{CommandError, Exit};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const CAUSE: Style = AnsiColor::Yellow.on_default();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Prints an error with its causes and the hint, and gives the exit code.
pub fn failed(error: &CommandError) -> ExitCode {
    let mut causes = error.error.chain();
    if let Some(first) = causes.next() {
        anstream::eprintln!("{ERROR}error:{ERROR:#} {first}");
    }
    for cause in causes {
        anstream::eprintln!("{CAUSE}caused by:{CAUSE:#} {cause}");
    }
    anstream::eprintln!("{HINT}hint:{HINT:#} {}", error.hint);
    ExitCode::from(error.exit as u8)
}

/// Prints a warning at start.
pub fn warn(message: &str) {
    anstream::eprintln!("{CAUSE}warning:{CAUSE:#} {message}");
}

/// How many builds run at the same time, for people.
pub fn workers(count: u32) -> String {
    match count {
        1 => "1, so one build at a time".to_owned(),
        count => format!("{count}, so up to {count} builds at the same time"),
    }
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

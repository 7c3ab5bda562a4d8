//! The two ways out: standard output is data, standard error is talk. Talk can go to a log instead.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::ZonedDateTime;

use crate::problem::Problem;

/// How much something that is said matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What goes on.
    Notice,
    /// What speaks against it.
    Warning,
    /// Why it ends.
    Error,
}

/// What becomes of talk.
struct Talk {
    /// What is not said yet; `None`: everything is said at once.
    held: Option<Vec<String>>,
    /// The least that is said.
    least: Level,
    /// Where it goes; `None`: to standard error.
    log: Option<File>,
}

static TALK: Mutex<Talk> = Mutex::new(Talk { held: None, least: Level::Notice, log: None });

fn talk() -> MutexGuard<'static, Talk> {
    TALK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps what is said from now on, until it is known whether somebody is to read it.
pub fn hold() {
    talk().held.get_or_insert_default();
}

/// Says what was kept, and all that follows at once.
pub fn release() {
    let held = talk().held.take();
    for text in held.unwrap_or_default() {
        say_to_user(&text);
    }
}

/// Says only what matters so much.
pub fn say_from(least: Level) {
    talk().least = least;
}

/// Appends what is said from now on to a file, and says only errors.
pub fn log_to(path: &Path) -> io::Result<()> {
    let log = OpenOptions::new().append(true).create(true).open(path)?;
    talk().log = Some(log);
    Ok(())
}

/// Whether talk does not go as it comes to standard error.
pub fn is_redirected() -> bool {
    let talk = talk();
    talk.log.is_some() || talk.least > Level::Notice
}

/// Says something to the user. When nobody listens any more, the work goes on all the same.
pub fn say(text: &str) {
    say_at(Level::Notice, text);
}

/// The same with how much it matters.
pub fn say_at(level: Level, text: &str) {
    let mut talk = talk();
    if level < talk.least {
        return;
    }
    // The log has all of it, at its time.
    let is_logged = talk.write_to_log(level, text);
    if is_logged && level < Level::Error {
        return;
    }
    match talk.held.as_mut() {
        Some(held) => held.push(text.to_owned()),
        None => say_to_user(text),
    }
}

impl Talk {
    /// Whether there is a log that takes it.
    fn write_to_log(&mut self, level: Level, text: &str) -> bool {
        let log = self.log.as_mut();
        log.is_some_and(|log| log.write_all(&log_lines(level, text)).is_ok())
    }
}

fn say_to_user(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Lines as the first elivepatch wrote them, without colours: `26 Nov 2026 20:59:01 UTC: NOTICE  : text`.
fn log_lines(level: Level, text: &str) -> Vec<u8> {
    let time = ZonedDateTime::now().strftime("%d %b %Y %H:%M:%S %Z").to_string();
    let level = match level {
        Level::Notice => "NOTICE",
        Level::Warning => "WARNING",
        Level::Error => "ERROR",
    };
    let lines = text.lines().filter(|line| !line.is_empty());
    let lines: String = lines.map(|line| format!("{time}: {level:8}: {line}\n")).collect();
    let mut plain = anstream::StripStream::new(Vec::new());
    plain.write_all(lines.as_bytes()).expect("memory takes all");
    plain.into_inner()
}

/// Says whole lines of what is written to it.
#[derive(Default)]
pub struct SaidLines {
    rest: Vec<u8>,
}

impl Write for SaidLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            say(String::from_utf8_lossy(&line[..end]).as_ref());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes data. A reader that has read enough and closed its pipe is no error.
pub fn data(text: &str) -> Result<(), Problem> {
    let mut stdout = anstream::stdout();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome
            .map_err(|error| Problem::input("cannot write to standard output").caused_by(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_log_have_time_and_level_and_no_colours() {
        let text = log_lines(Level::Warning, "\u{1b}[33mwarning\u{1b}[0m: one\n\n  two");
        let text = String::from_utf8(text).expect("text");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with(": WARNING : warning: one"), "{text}");
        assert!(lines[1].ends_with(": WARNING :   two"), "{text}");
    }
}

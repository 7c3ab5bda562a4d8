//! The two ways out: standard output is data, standard error is talk.

use std::{
    io::{ErrorKind, Write},
    sync::{Mutex, PoisonError},
};

use crate::problem::Problem;

/// What is not said yet; `None`: everything is said at once.
static HELD: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// Keeps what is said from now on, until it is known whether somebody is to read it.
pub fn hold() {
    HELD.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
}

/// Says what was kept, and all that follows at once.
pub fn release() {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner).take();
    for text in held.unwrap_or_default() {
        say(&text);
    }
}

/// Says something to the user. When nobody listens any more, the work goes on all the same.
pub fn say(text: &str) {
    match HELD.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        Some(held) => held.push(text.to_owned()),
        None => {
            let _ = writeln!(anstream::stderr(), "{text}");
        }
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

//! The two ways out: standard output is data, standard error is talk.

use std::io::{ErrorKind, Write};

use crate::problem::Problem;

/// Says something to the user. When nobody listens any more, the work goes on all the same.
pub fn say(text: &str) {
    let _ = writeln!(anstream::stderr(), "{text}");
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

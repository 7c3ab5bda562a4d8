use std::{fmt, io};

use crate::{Machine, machine::is_gone};

/// The most tasks that are told: a busy machine has thousands, and the first ones say what is the matter.
const MOST: usize = 20;

/// How deep a stack is told.
const STACK_LINES: usize = 16;

/// A task that keeps a transition from ending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocker {
    /// Its process.
    pub pid: u32,
    /// Its thread.
    pub tid: u32,
    /// Its name.
    pub name: String,
    /// Where it is in the kernel, the innermost function first. Empty when the kernel does not tell.
    pub stack: Vec<String>,
}

impl fmt::Display for Blocker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (pid {}", self.name, self.pid)?;
        if self.tid != self.pid {
            write!(formatter, ", thread {}", self.tid)?;
        }
        write!(formatter, ")")?;
        match self.stack.first() {
            Some(place) => write!(formatter, " in {place}"),
            None => Ok(()),
        }
    }
}

/// The tasks that are not in the state that a transition goes to: patched when a livepatch comes. Tasks that
/// end meanwhile block nothing.
pub(crate) fn blockers(machine: &Machine, to_patched: bool) -> Vec<Blocker> {
    let wanted = if to_patched { "1" } else { "0" };
    let mut found = Vec::new();
    let number = |name: &String| name.parse::<u32>().ok();
    for pid in machine.names("proc").unwrap_or_default().iter().filter_map(number) {
        let tasks = machine.names(&format!("proc/{pid}/task")).unwrap_or_default();
        for tid in tasks.iter().filter_map(number) {
            let place = format!("proc/{pid}/task/{tid}");
            // -1: no transition is under way.
            let state = match machine.text(&format!("{place}/patch_state")) {
                Ok(state) => state.trim().to_owned(),
                Err(_) => continue,
            };
            if state == wanted || state == "-1" {
                continue;
            }
            let name = told(machine.text(&format!("{place}/comm")));
            let stack = told_lines(machine.text(&format!("{place}/stack")));
            found.push(Blocker { pid, tid, name, stack });
            if found.len() == MOST {
                return found;
            }
        }
    }
    found
}

fn told(text: io::Result<String>) -> String {
    match text {
        Ok(text) => elivepatch_model::printable(text.trim_end()),
        Err(error) if is_gone(&error) => "a task that has ended".to_owned(),
        Err(_) => "?".to_owned(),
    }
}

/// The functions of `/proc/PID/stack`: `[<0>] do_wait+0x51/0x2e0`.
fn told_lines(text: io::Result<String>) -> Vec<String> {
    let text = text.unwrap_or_default();
    let place = |line: &str| {
        let line = line.rsplit_once("] ").map_or(line, |(_, place)| place);
        elivepatch_model::printable(line.trim())
    };
    text.lines().take(STACK_LINES).map(place).filter(|place| !place.is_empty()).collect()
}

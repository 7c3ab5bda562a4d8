//! What a kernel printed on its console, and what in it speaks against a livepatch.

use super::protocol::Phase;

/// The longest console line that is kept, in bytes; `printk` itself stops at about 1000.
const LINE_BYTES: usize = 1024;

/// How many lines after a fault belong to it: an oops with registers and stack has about 60.
const FAULT_LINES: usize = 70;

/// The most notes of one trial.
const NOTES: usize = 40;

/// Texts with which a kernel reports that something is wrong in it. Each is searched anywhere in
/// a line: better a false alarm in a trial than a true one on a host.
const FAULTS: [&str; 20] = [
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "Call Trace",
    "Kernel panic",
    "general protection",
    "unable to handle",
    "KASAN",
    "UBSAN",
    "KFENCE",
    "soft lockup",
    "hard LOCKUP",
    "blocked for more than",
    "unchecked MSR",
    "__warn_thunk",
    "Bad page state",
    "scheduling while atomic",
    "double fault",
    "invalid opcode",
];

/// Texts with which the kernel says why it refused a module or a livepatch.
const LOAD_PROBLEMS: [&str; 7] = [
    "Unknown symbol",
    "disagrees about version of symbol",
    "version magic",
    "module_layout",
    "Invalid relocation",
    "Invalid module format",
    "no symbol version for",
];

/// What the livepatch core says when all is well (kernel/livepatch/{core,transition}.c).
const LIVEPATCH_PROGRESS: [&str; 8] = [
    "applying patch",
    "reverting patch",
    "enabling patch",
    "starting patching transition",
    "starting unpatching transition",
    "patching complete",
    "unpatching complete",
    "signaling remaining tasks",
];

/// What loading any livepatch that is not signed by the kernel's own key says.
const EXPECTED: [&str; 3] = ["tainting kernel", "taints kernel", "module verification failed"];

/// The lines of a console, readable: no escape sequences, no control characters, no empty lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleLog {
    lines: Vec<String>,
}

/// What was found in a console log.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConsoleFindings {
    /// The first fault after the livepatch was loaded.
    pub fault: Option<ConsoleFault>,
    /// Lines with which the kernel refused the module, after loading began.
    pub load_problems: Vec<String>,
    /// Lines like those of both, from while an earlier livepatch was loaded.
    pub earlier_problems: Vec<String>,
    /// Lines that were looked at and found harmless, expected, or older than the livepatch.
    pub notes: Vec<String>,
}

/// A fault with the lines that belong to it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConsoleFault {
    /// The line that tells most, without its time stamp.
    pub headline: String,
    /// What the trial was doing, for people, such as "loading the module".
    pub during: &'static str,
    /// The fault's lines as they were printed.
    pub lines: Vec<String>,
}

impl ConsoleLog {
    /// Reads what came over the serial port: any bytes.
    pub fn read(bytes: &[u8]) -> Self {
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .map(readable)
            .filter(|line| !line.is_empty())
            .collect();
        Self { lines }
    }

    /// The last `count` lines.
    pub fn tail(&self, count: usize) -> Vec<String> {
        self.lines[self.lines.len().saturating_sub(count)..].to_vec()
    }

    /// Whether the guest left the mark with which it announces `phase`.
    pub(crate) fn reached(&self, mark: &str, phase: Phase) -> bool {
        self.lines.iter().any(|line| marked_phase(line, mark) == Some(phase))
    }

    /// The last `count` lines since loading began.
    pub fn since_loading(&self, mark: &str, count: usize) -> Vec<String> {
        let loading = |line: &String| marked_phase(line, mark).is_some_and(|p| p >= Phase::Load);
        let begin = self.lines.iter().position(loading).unwrap_or(self.lines.len());
        let begin = begin.max(self.lines.len().saturating_sub(count));
        self.lines[begin..].to_vec()
    }

    /// Looks for what speaks against the livepatch. `mark` is the secret of the trial's marks:
    /// what stands before the mark of the loading is the kernel's own and becomes a note.
    pub fn findings(&self, mark: &str) -> ConsoleFindings {
        let mut findings = ConsoleFindings::default();
        let mut phase = Phase::Boot;
        for (index, line) in self.lines.iter().enumerate() {
            if let Some(next) = marked_phase(line, mark) {
                phase = phase.max(next);
                continue;
            }
            let loaded = phase >= Phase::Load;
            let message = without_time(line);
            let is_fault = contains_any(message, &FAULTS) || is_rcu_stall(message);
            if phase == Phase::Earlier && (is_fault || is_load_problem(message)) {
                note(&mut findings.earlier_problems, message.to_owned());
            } else if is_load_problem(message) && loaded {
                findings.load_problems.push(message.to_owned());
            } else if is_fault {
                if !loaded {
                    note(&mut findings.notes, format!("before loading: {message}"));
                } else if findings.fault.is_none() {
                    findings.fault = Some(self.fault_at(index, phase));
                }
            } else if loaded && (contains_any(message, &EXPECTED) || is_progress(message)) {
                note(&mut findings.notes, message.to_owned());
            }
        }
        findings
    }

    /// The fault whose first suspicious line is `index`, with the lines around it.
    fn fault_at(&self, index: usize, phase: Phase) -> ConsoleFault {
        // "[ cut here ]" comes before the headline and, for WARN() with a text, so does that text.
        let begin = (index.saturating_sub(2)..index)
            .find(|line| self.lines[*line].contains("[ cut here ]"))
            .unwrap_or(index);
        let rest = &self.lines[begin..self.lines.len().min(begin + FAULT_LINES)];
        let end = rest
            .iter()
            .position(|line| line.contains("---[ end "))
            .map_or(rest.len(), |line| line + 1);
        let headline = without_time(&self.lines[index]).to_owned();
        ConsoleFault { headline, during: phase.describe(), lines: rest[..end].to_vec() }
    }
}

fn note(notes: &mut Vec<String>, line: String) {
    if notes.len() < NOTES {
        notes.push(line);
    }
}

fn contains_any(line: &str, texts: &[&str]) -> bool {
    texts.iter().any(|text| line.contains(text))
}

/// `rcu: INFO: rcu_preempt detected stalls on CPUs/tasks` and its sisters.
fn is_rcu_stall(message: &str) -> bool {
    message.contains("rcu") && message.contains("stall")
}

fn is_progress(message: &str) -> bool {
    message.starts_with("livepatch: ") && contains_any(message, &LIVEPATCH_PROGRESS)
}

/// The livepatch core prints progress and refusals under one prefix: what is not known as progress
/// is a refusal.
fn is_load_problem(message: &str) -> bool {
    contains_any(message, &LOAD_PROBLEMS)
        || (message.starts_with("livepatch: ")
            && !is_progress(message)
            && !contains_any(message, &EXPECTED))
}

/// The phase that a line announces, when it is a mark of this trial.
fn marked_phase(line: &str, mark: &str) -> Option<Phase> {
    let word = without_time(line).strip_prefix("elivepatch-trial: ")?.strip_prefix(mark)?;
    Phase::from_word(word.strip_prefix(' ')?)
}

/// A console line without its `[    1.234567] ` or, with PRINTK_CALLER, `[    1.234567][    T1] `.
fn without_time(line: &str) -> &str {
    let mut rest = line;
    for _ in 0..2 {
        let Some((inside, after)) = rest.strip_prefix('[').and_then(|text| text.split_once(']'))
        else {
            break;
        };
        let stamp = |c: char| c.is_ascii_digit() || c == '.' || c == ' ' || c == 'T' || c == 'C';
        if !inside.chars().all(stamp) {
            break;
        }
        rest = after;
    }
    rest.trim_start()
}

/// A raw line as text: cut at its limit, without escape sequences and control characters.
fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES)]);
    let mut readable = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            // A control sequence: ESC [ parameters, ended by a letter or @ to ~ (ECMA-48, 5.4).
            '\u{1b}' => {
                if characters.as_str().starts_with('[') {
                    characters.next();
                    characters.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\t' => readable.push(' '),
            c if c.is_control() => {}
            c => readable.push(c),
        }
    }
    readable.truncate(readable.trim_end().len());
    readable
}

#[cfg(test)]
#[path = "console_tests.rs"]
mod tests;

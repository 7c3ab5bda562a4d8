//! Child processes under supervision: time, silence, output and whatever else a watcher limits.

use std::{
    collections::VecDeque,
    io::{self, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// How often limits, watchers and cancellation are looked at.
const TICK: Duration = Duration::from_millis(50);

/// How long killed processes may take to be gone: the kernel takes milliseconds, unless it waits for
/// a disk.
const DYING_LIMIT: Duration = Duration::from_secs(5);

/// A line of output is cut here: longer ones come from broken or hostile tools.
const LINE_BYTES: usize = 4096;

/// How much of the output's beginning, and again of its end, is kept for whoever looks at it
/// afterwards. What lies between has gone to the log.
const KEPT_BYTES: usize = 512 * 1024;

/// What a process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// From start to end.
    pub time: Duration,
    /// Without printing anything.
    pub silence: Duration,
    /// What it may print, in bytes.
    pub output_bytes: u64,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It was killed: which limit it went over, for people.
    LimitExceeded(String),
    /// It was killed before it filled the disk: which one, for people.
    DiskFull(String),
    /// It was killed because the build was cancelled.
    Cancelled,
}

/// An ended process with its output: both streams in their order; of more than 1 MiB the first and
/// the last half.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub ended: Ended,
    /// What it printed.
    pub output: Vec<u8>,
}

impl Finished {
    /// Whether it exited with code 0.
    pub fn succeeded(&self) -> bool {
        matches!(&self.ended, Ended::Exited(status) if status.success())
    }

    /// Its exit code; `None` when it was killed.
    pub fn code(&self) -> Option<i32> {
        match &self.ended {
            Ended::Exited(status) => status.code(),
            _ => None,
        }
    }

    /// The program that is not installed, when that is why nothing was done: setpriv and unshare, which
    /// run the others, end with this code then, and say so.
    pub fn missing_program(&self) -> Option<String> {
        let last = self.last_lines(1).pop().filter(|_| self.code() == Some(127))?;
        let (_, name) = last.split_once(": failed to execute ")?;
        name.strip_suffix(": No such file or directory").map(str::to_owned)
    }

    /// The output as text, with what is not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }

    /// The last `count` lines of the output that are not blank.
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(count)..].iter().map(|line| (*line).to_owned()).collect()
    }
}

/// A command for a program that is ended when this process ends, however that comes about: what
/// runs on after a `kill -9` of the server would write into directories that the next server uses.
pub fn mortal_command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Runs `command` to its end, hands every line of its output to `on_line`, and kills it when it
/// goes over a limit. `watch` is called at every tick and gives a reason to kill the process, or
/// `None`. Standard input is empty.
///
/// # Errors
/// When the program cannot be started or waited for.
pub fn supervise(
    mut command: Command,
    limits: ProcessLimits,
    on_line: &mut dyn FnMut(&str),
    watch: &mut dyn FnMut(&Child) -> Option<Ended>,
) -> io::Result<Finished> {
    let (reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // The command still holds our copies of the pipe's writing end; without them the reader sees
    // the end when the last process of the child's tree is gone.
    drop(command);
    let chunks = read_in_thread(reader);

    let started = Instant::now();
    let mut last_output = started;
    let mut lines = LineSplitter::default();
    let mut kept = KeptOutput::default();
    let mut total: u64 = 0;
    let killed = loop {
        match chunks.recv_timeout(TICK) {
            Ok(chunk) => {
                last_output = Instant::now();
                total += chunk.len() as u64;
                kept.push(&chunk);
                lines.push(&chunk, on_line);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break None,
        }
        if let Some(reason) = over_limit(limits, started, last_output, total) {
            break Some(Ended::LimitExceeded(reason));
        }
        if let Some(ended) = watch(&child) {
            break Some(ended);
        }
    };
    let ended = match killed {
        Some(ended) => {
            child.kill()?;
            child.wait()?;
            wait_for_descendants(&chunks);
            ended
        }
        None => wait_for_exit(&mut child, limits, started, watch)?,
    };
    lines.finish(on_line);
    Ok(Finished { ended, output: kept.into_bytes() })
}

/// Waits until the processes are gone that a killed child leaves behind: the kernel ends those of a
/// sandbox a moment after its first one, and until then they write where the next one may work.
fn wait_for_descendants(chunks: &mpsc::Receiver<Vec<u8>>) {
    let deadline = Instant::now() + DYING_LIMIT;
    // They hold the writing end of the pipe, most of them.
    while Instant::now() < deadline
        && chunks.recv_timeout(TICK) != Err(RecvTimeoutError::Disconnected)
    {}
}

fn over_limit(
    limits: ProcessLimits,
    started: Instant,
    last_output: Instant,
    output_bytes: u64,
) -> Option<String> {
    if started.elapsed() > limits.time {
        Some(format!("ran for more than {} s", limits.time.as_secs()))
    } else if last_output.elapsed() > limits.silence {
        Some(format!("printed nothing for {} s", limits.silence.as_secs()))
    } else if output_bytes > limits.output_bytes {
        Some(format!("printed more than {} KiB", limits.output_bytes / 1024))
    } else {
        None
    }
}

/// Waits for a child that has closed its output; it may go on without.
fn wait_for_exit(
    child: &mut Child,
    limits: ProcessLimits,
    started: Instant,
    watch: &mut dyn FnMut(&Child) -> Option<Ended>,
) -> io::Result<Ended> {
    let closed = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Exited(status));
        }
        let over = over_limit(limits, started, closed, 0).map(Ended::LimitExceeded);
        if let Some(ended) = over.or_else(|| watch(child)) {
            child.kill()?;
            child.wait()?;
            return Ok(ended);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn read_in_thread(mut reader: io::PipeReader) -> mpsc::Receiver<Vec<u8>> {
    // Bounded, so that a tool that prints without end waits for us and not in our memory.
    let (sender, receiver) = mpsc::sync_channel(16);
    thread::spawn(move || {
        let mut buffer = [0; 16 * 1024];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(count) => {
                    if sender.send(buffer[..count].to_vec()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    receiver
}

/// The first and the last part of a stream of bytes.
#[derive(Default)]
struct KeptOutput {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    left_out: bool,
}

impl KeptOutput {
    fn push(&mut self, bytes: &[u8]) {
        let room = (KEPT_BYTES - self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend(&bytes[room..]);
        let excess = self.tail.len().saturating_sub(KEPT_BYTES);
        self.left_out |= excess > 0;
        self.tail.drain(..excess);
    }

    fn into_bytes(self) -> Vec<u8> {
        let mut bytes = self.head;
        if self.left_out {
            bytes.extend_from_slice(b"\n[output left out]\n");
        }
        bytes.extend(self.tail);
        bytes
    }
}

/// Cuts a stream of bytes into lines of text.
#[derive(Default)]
struct LineSplitter {
    pending: Vec<u8>,
}

impl LineSplitter {
    fn push(&mut self, bytes: &[u8], on_line: &mut dyn FnMut(&str)) {
        for byte in bytes {
            match byte {
                b'\n' => self.finish(on_line),
                _ if self.pending.len() < LINE_BYTES => self.pending.push(*byte),
                _ => {}
            }
        }
    }

    fn finish(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.pending.is_empty() {
            on_line(String::from_utf8_lossy(&self.pending).trim_end());
            self.pending.clear();
        }
    }
}

/// The number of cores that this process may use.
pub fn available_cores() -> u32 {
    thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ProcessLimits = ProcessLimits {
        time: Duration::from_secs(20),
        silence: Duration::from_secs(20),
        output_bytes: 100_000,
    };

    fn shell(script: &str, limits: ProcessLimits) -> (Finished, Vec<String>) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let mut lines = Vec::new();
        let mut on_line = |line: &str| lines.push(line.to_owned());
        let finished = supervise(command, limits, &mut on_line, &mut |_| None).expect("sh starts");
        (finished, lines)
    }

    #[test]
    fn output_of_both_streams_arrives_in_order() {
        let (finished, lines) = shell("echo one; echo two >&2; printf three; exit 7", LIMITS);
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(finished.code(), Some(7));
        assert_eq!(finished.last_lines(2), ["two", "three"]);
    }

    #[test]
    fn beginning_and_end_of_much_output_are_kept() {
        let limits = ProcessLimits { output_bytes: 10_000_000, ..LIMITS };
        let script = "echo first; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo last";
        let (finished, _) = shell(script, limits);
        assert!(finished.output.starts_with(b"first\n"));
        assert_eq!(finished.last_lines(1), ["last"]);
        assert!(finished.output.len() < 2 * KEPT_BYTES + 100);
    }

    #[test]
    fn silent_process_is_killed() {
        let limits = ProcessLimits { silence: Duration::from_millis(200), ..LIMITS };
        let (finished, _) = shell("sleep 60", limits);
        assert_eq!(finished.ended, Ended::LimitExceeded("printed nothing for 0 s".to_owned()));
    }

    #[test]
    fn endless_output_is_stopped_at_its_limit() {
        let (finished, _) = shell("while :; do echo xxxxxxxxxxxxxxxxxxxxxx; done", LIMITS);
        assert_eq!(finished.ended, Ended::LimitExceeded("printed more than 97 KiB".to_owned()));
    }

    #[test]
    fn program_that_is_not_installed_is_named_however_it_is_started() {
        let missing = |command: Command| {
            supervise(command, LIMITS, &mut |_| {}, &mut |_| None).expect("runs").missing_program()
        };
        let name = "elivepatch-no-such-program";
        assert_eq!(missing(mortal_command(name)).as_deref(), Some(name));
        let mut nested = mortal_command("unshare");
        nested.args(["--", name]);
        assert_eq!(missing(nested).as_deref(), Some(name));
        let mut shell = mortal_command("sh");
        shell.args(["-c", "echo 'a: failed to execute b: No such file or directory'; exit 1"]);
        assert_eq!(missing(shell), None);
    }

    #[test]
    fn watcher_can_end_a_process() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "sleep 60"]);
        let finished =
            supervise(command, LIMITS, &mut |_| {}, &mut |_| Some(Ended::Cancelled)).expect("runs");
        assert_eq!(finished.ended, Ended::Cancelled);
    }
}

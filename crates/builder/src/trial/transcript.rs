use std::collections::{BTreeMap, BTreeSet};

use elivepatch_model::SignatureTrial;

use super::protocol::{CheckRun, LINE_BYTES, Message, Phase};

/// The most bytes of an unfinished line that are kept: one more than a line may have, so that an
/// overlong line is seen to be one.
const PENDING_BYTES: usize = LINE_BYTES + 1;

/// The most tasks that are remembered as holding a transition up.
const BLOCKED_TASKS: usize = 16;

/// The most modules that a guest can report on.
const MODULES: usize = 1024;

/// What one run of a check gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CheckOutput {
    /// The exit status; absent when the command was stopped before it had one.
    pub(crate) status: Option<i32>,
    /// Its standard output, at most one byte more than the limit.
    pub(crate) output: Vec<u8>,
    /// The beginning of its standard error.
    pub(crate) errors: Vec<u8>,
}

/// A task that held a transition up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockedTask {
    /// Its id and name.
    pub(crate) task: String,
    /// Its kernel stack, when the guest may read it.
    pub(crate) stack: Vec<String>,
}

/// All that a guest said, put in order as it comes.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    nonce: String,
    pending: Vec<u8>,
    /// The guest's `uname -r`.
    pub(crate) release: Option<String>,
    /// The phases that began, with their seconds of guest time, in their order.
    pub(crate) phases: Vec<(Phase, f64)>,
    /// The checks that ran, by run and number.
    pub(crate) checks: BTreeMap<(CheckRun, usize), CheckOutput>,
    /// The taint flags at the beginning and at the end.
    pub(crate) taints: Vec<u64>,
    /// The enabled state and number of functions after the transition.
    pub(crate) livepatch: Option<(bool, usize)>,
    /// The same with the earlier livepatch replaced.
    pub(crate) livepatch_over: Option<(bool, usize)>,
    /// Neither the earlier livepatch nor the one that replaces it was enabled.
    pub(crate) gap: bool,
    /// The `enabled` attribute of an earlier livepatch that did not go.
    pub(crate) not_replaced: Option<String>,
    /// What `rmmod` said when the module of the earlier livepatch could not be unloaded.
    pub(crate) earlier_stays: Option<String>,
    /// The earlier livepatch is replaced and unloaded; how often it was looked at the two.
    pub(crate) replaced: Option<u64>,
    /// The patched modules that were loaded before the livepatch.
    pub(crate) modules_loaded: BTreeSet<String>,
    /// Those that could not be loaded, with what `insmod` said.
    pub(crate) modules_absent: BTreeMap<String, String>,
    /// Whether each object's functions were replaced: with the modules first, and with the
    /// livepatch first (`true`).
    pub(crate) objects: BTreeMap<(bool, String), Option<bool>>,
    /// Why the livepatch was not tried before its modules.
    pub(crate) late_skipped: Option<String>,
    /// A module that was refused under the livepatch, with what `insmod` said.
    pub(crate) late_refused: Option<(String, String)>,
    /// The livepatch was tried before its modules, to the end.
    pub(crate) late_done: bool,
    /// What `insmod` said when the kernel refused the module.
    pub(crate) load_failure: Option<String>,
    /// The module is loaded but is no livepatch.
    pub(crate) no_livepatch: bool,
    /// A transition did not end; which one, the phase says.
    pub(crate) stalled: bool,
    /// Who held it up.
    pub(crate) blocked: Vec<BlockedTask>,
    /// The kernel refused to disable the livepatch.
    pub(crate) disable_failed: bool,
    /// What `rmmod` said when the module could not be unloaded.
    pub(crate) unload_failure: Option<String>,
    /// What the kernel made of the module's signature.
    pub(crate) signature: Option<SignatureTrial>,
    /// A copy of the module that the kernel took although it takes only signed ones.
    pub(crate) signature_accepted: Option<String>,
    /// The guest came to its end.
    pub(crate) ended: bool,
}

impl Transcript {
    /// An empty transcript of the guest that knows `nonce`.
    pub(crate) fn new(nonce: &str) -> Self {
        Self { nonce: nonce.to_owned(), ..Self::default() }
    }

    /// The phase that the guest is in.
    pub(crate) fn phase(&self) -> Phase {
        self.phases.last().map_or(Phase::Boot, |(phase, _)| *phase)
    }

    /// When `phase` began, in seconds of guest time.
    pub(crate) fn began(&self, phase: Phase) -> Option<f64> {
        self.phases.iter().find(|(known, _)| *known == phase).map(|(_, seconds)| *seconds)
    }

    /// Takes what came over the port since the last time, cut anywhere.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = PENDING_BYTES - self.pending.len();
            self.pending.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.pending);
                let line = line.strip_suffix(b"\n").unwrap_or(&line);
                if let Some(message) = Message::parse(line, &self.nonce) {
                    self.add(message);
                }
            }
        }
    }

    /// The first word on each matter counts: nothing said later can change it.
    fn add(&mut self, message: Message) {
        match message {
            Message::Release(release) => {
                self.release.get_or_insert(release);
            }
            Message::Taint(flags) if self.taints.len() < 2 => self.taints.push(flags),
            Message::Phase(phase, seconds) if phase > self.phase() => {
                self.phases.push((phase, seconds));
            }
            Message::Check { run, index, status, output, errors }
                if index < elivepatch_model::limits::BEHAVIOUR_CHECKS =>
            {
                let given = CheckOutput { status, output, errors };
                self.checks.entry((run, index)).or_insert(given);
            }
            Message::ModuleLoaded(module) if self.modules_loaded.len() < MODULES => {
                self.modules_loaded.insert(module);
            }
            Message::ModuleAbsent(module, text) if self.modules_absent.len() < MODULES => {
                self.modules_absent.entry(module).or_insert(one_line(&text));
            }
            Message::Object { late, object, patched } if self.objects.len() < 2 * MODULES => {
                self.objects.entry((late, object)).or_insert(patched);
            }
            Message::LateSkipped(text) => {
                self.late_skipped.get_or_insert(one_line(&text));
            }
            Message::LateRefused(module, text) => {
                self.late_refused.get_or_insert((module, one_line(&text)));
            }
            Message::LateDone => self.late_done = true,
            Message::LoadFailed(text) => {
                self.load_failure.get_or_insert(one_line(&text));
            }
            Message::NoLivepatch => self.no_livepatch = true,
            Message::Livepatch { over, enabled, functions } => {
                let state = if over { &mut self.livepatch_over } else { &mut self.livepatch };
                state.get_or_insert((enabled, functions));
            }
            Message::Gap => self.gap = true,
            Message::NotReplaced(state) => {
                self.not_replaced.get_or_insert(state);
            }
            Message::EarlierStays(text) => {
                self.earlier_stays.get_or_insert(one_line(&text));
            }
            Message::Replaced(looks) => {
                self.replaced.get_or_insert(looks);
            }
            Message::Blocked { task, stack } if self.blocked.len() < BLOCKED_TASKS => {
                let stack = String::from_utf8_lossy(&stack);
                self.blocked.push(BlockedTask {
                    task: one_line(&task),
                    stack: stack.lines().map(|line| one_line(line.as_bytes())).collect(),
                });
            }
            Message::Stalled => self.stalled = true,
            Message::DisableFailed => self.disable_failed = true,
            Message::UnloadFailed(text) => {
                self.unload_failure.get_or_insert(one_line(&text));
            }
            Message::Signature(shown) => {
                self.signature.get_or_insert(shown);
            }
            Message::SignatureAccepted(copy) => {
                self.signature_accepted.get_or_insert(copy);
            }
            Message::End => self.ended = true,
            Message::Taint(_)
            | Message::ModuleLoaded(_)
            | Message::ModuleAbsent(..)
            | Message::Object { .. }
            | Message::Phase(..)
            | Message::Check { .. }
            | Message::Blocked { .. } => {}
        }
    }
}

/// A guest's text as one printable line.
pub(crate) fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let printable = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(400).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SPOKEN: &[u8] = b"boot noise\nn release x362e31\r\nn taint 0\nn phase before 1.20\n\
        n check before 0 0 x6869 x\nn phase load 1.50\nn phase after 2.00\nn livepatch first 1 2\n\
        n phase load 9.99\nn release x3939\nn taint 32768\nn end\n";

    #[test]
    fn transcript_is_put_together_and_first_words_count() {
        let mut transcript = Transcript::new("n");
        transcript.feed(SPOKEN);
        assert_eq!(transcript.release.as_deref(), Some("6.1"));
        assert_eq!(transcript.phase(), Phase::After);
        assert_eq!(transcript.began(Phase::Load), Some(1.5));
        assert_eq!(transcript.taints, [0, 32768]);
        assert_eq!(transcript.livepatch, Some((true, 2)));
        assert_eq!(transcript.checks[&(CheckRun::Before, 0)].output, b"hi");
        assert!(transcript.ended);
    }

    #[test]
    fn endless_line_is_dropped_and_the_next_is_read() {
        let mut transcript = Transcript::new("n");
        for _ in 0..100 {
            transcript.feed(&[b'x'; 4096]);
        }
        assert!(transcript.pending.len() <= PENDING_BYTES);
        transcript.feed(b"\nn end\n");
        assert!(transcript.ended);
    }

    proptest! {
        #[test]
        fn cuts_between_reads_change_nothing(cuts in proptest::collection::vec(0..SPOKEN.len(), 0..8)) {
            let mut whole = Transcript::new("n");
            whole.feed(SPOKEN);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut pieces = Transcript::new("n");
            let mut from = 0;
            for cut in cuts {
                pieces.feed(&SPOKEN[from..cut]);
                from = cut;
            }
            pieces.feed(&SPOKEN[from..]);
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }

        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            Transcript::new("n").feed(&bytes);
        }
    }
}

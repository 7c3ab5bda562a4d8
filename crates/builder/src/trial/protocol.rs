//! What the guest's first process says on the second serial port.
//!
//! A line is `NONCE KIND FIELD…`, its words separated by single spaces; a text is `x` and its bytes
//! in hexadecimal. The guest is not trusted: a line that is not exactly so is ignored, and every
//! size is bounded. The nonce keeps a check's command from speaking by accident; it is no wall
//! against the author of the patch, whose code *is* the guest's kernel.

use elivepatch_model::SignatureTrial;

/// The longest line that is read, in bytes: two texts of a check at their limits, twice over.
pub(crate) const LINE_BYTES: usize = 64 * 1024;

/// Where the guest is in the trial. The order is that of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// The kernel boots; the guest has said nothing yet.
    Boot,
    /// The target's own modules are being loaded that the livepatch patches, with what they need.
    Modules,
    /// The checks run on the kernel as shipped.
    Before,
    /// The module is being loaded.
    Load,
    /// The module is loaded, the transition is under way.
    Transition,
    /// The checks run with the livepatch active.
    After,
    /// The livepatch is disabled, the transition back is under way.
    Revert,
    /// The module is being unloaded.
    Unload,
    /// The checks run on the kernel as it was.
    Reverted,
    /// The earlier livepatch is being loaded, up to the end of its transition.
    Earlier,
    /// The livepatch is being loaded over the earlier one, up to the end of the transition.
    Replace,
    /// The earlier livepatch goes, and the checks run.
    Replaced,
    /// The livepatch that took the place of the earlier one is disabled and unloaded.
    Retire,
    /// The checks run on the kernel as it was.
    Retired,
    /// The patched modules are being unloaded: the livepatch is to be there before them.
    Away,
    /// The livepatch is loaded without them.
    Again,
    /// The patched modules are being loaded under the livepatch, and the checks run again.
    Coming,
    /// The livepatch is reverted and unloaded once more.
    Leaving,
    /// The kernel takes only signed modules from now on: which does it take?
    Signature,
}

impl Phase {
    /// All phases that the guest announces.
    const ANNOUNCED: [Phase; 18] = [
        Phase::Modules,
        Phase::Before,
        Phase::Load,
        Phase::Transition,
        Phase::After,
        Phase::Revert,
        Phase::Unload,
        Phase::Reverted,
        Phase::Earlier,
        Phase::Replace,
        Phase::Replaced,
        Phase::Retire,
        Phase::Retired,
        Phase::Away,
        Phase::Again,
        Phase::Coming,
        Phase::Leaving,
        Phase::Signature,
    ];

    /// The word in the protocol and in the console's marks.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Phase::Boot => "boot",
            Phase::Modules => "modules",
            Phase::Before => "before",
            Phase::Load => "load",
            Phase::Transition => "transition",
            Phase::After => "after",
            Phase::Revert => "revert",
            Phase::Unload => "unload",
            Phase::Reverted => "reverted",
            Phase::Earlier => "earlier",
            Phase::Replace => "replace",
            Phase::Replaced => "replaced",
            Phase::Retire => "retire",
            Phase::Retired => "retired",
            Phase::Away => "away",
            Phase::Again => "again",
            Phase::Coming => "coming",
            Phase::Leaving => "leaving",
            Phase::Signature => "signature",
        }
    }

    /// What goes on, for people: "the guest stopped while …".
    pub(crate) fn describe(self) -> &'static str {
        match self {
            Phase::Boot => "booting",
            Phase::Modules => "loading the target's own modules",
            Phase::Before => "running the checks on the kernel as shipped",
            Phase::Load => "loading the module",
            Phase::Transition => "waiting for the transition",
            Phase::After => "running the checks with the livepatch active",
            Phase::Revert => "waiting for the transition back",
            Phase::Unload => "unloading the module",
            Phase::Reverted => "running the checks after unloading",
            Phase::Earlier => "loading the earlier livepatch",
            Phase::Replace => "replacing the earlier livepatch",
            Phase::Replaced => "running the checks with the earlier livepatch replaced",
            Phase::Retire => "unloading the livepatch that replaced the earlier one",
            Phase::Retired => "running the checks after the earlier livepatch was replaced",
            Phase::Away => "unloading the target's own modules",
            Phase::Again => "loading the livepatch before the modules that it patches",
            Phase::Coming => "loading the target's own modules under the livepatch",
            Phase::Leaving => "unloading the livepatch that was there before its modules",
            Phase::Signature => "trying the module's signature",
        }
    }

    /// The phase of that word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ANNOUNCED.into_iter().find(|phase| phase.word() == word)
    }
}

/// Which of its runs a check is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CheckRun {
    /// On the kernel as shipped.
    Before,
    /// With the livepatch active.
    After,
    /// After unloading.
    Reverted,
    /// With the livepatch active that was there before the modules; only where modules are patched.
    Late,
    /// With the livepatch active that took the place of an earlier one; only where there is one.
    Replaced,
    /// After that one was unloaded.
    Retired,
}

impl CheckRun {
    /// The three runs of every trial, in their order.
    pub(crate) const ALL: [CheckRun; 3] = [CheckRun::Before, CheckRun::After, CheckRun::Reverted];

    fn from_word(word: &str) -> Option<Self> {
        match word {
            "before" => Some(CheckRun::Before),
            "after" => Some(CheckRun::After),
            "reverted" => Some(CheckRun::Reverted),
            "late" => Some(CheckRun::Late),
            "replaced" => Some(CheckRun::Replaced),
            "retired" => Some(CheckRun::Retired),
            _ => None,
        }
    }
}

/// One line of the guest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Message {
    /// `uname -r`.
    Release(String),
    /// The kernel's taint flags, at the beginning and at the end.
    Taint(u64),
    /// A phase begins, at so many seconds of guest time.
    Phase(Phase, f64),
    /// A check has run.
    Check { run: CheckRun, index: usize, status: Option<i32>, output: Vec<u8>, errors: Vec<u8> },
    /// A module that the livepatch patches was loaded before it.
    ModuleLoaded(String),
    /// A module that the livepatch patches could not be loaded; what `insmod` said.
    ModuleAbsent(String, Vec<u8>),
    /// Whether the functions of an object are replaced; `None` where the kernel does not tell.
    Object { late: bool, object: String, patched: Option<bool> },
    /// The modules could not be unloaded to try the other order; what `rmmod` said.
    LateSkipped(Vec<u8>),
    /// A module that loads without the livepatch was refused under it; what `insmod` said.
    LateRefused(String, Vec<u8>),
    /// The trial of the other order came to its end.
    LateDone,
    /// The kernel refused the module; what `insmod` said.
    LoadFailed(Vec<u8>),
    /// The module is loaded but there is no livepatch of its name.
    NoLivepatch,
    /// The state of the livepatch after the transition; `over` when it took the place of an earlier
    /// one.
    Livepatch { over: bool, enabled: bool, functions: usize },
    /// Neither the earlier livepatch nor the one that replaces it was enabled.
    Gap,
    /// The earlier livepatch did not go; its `enabled` attribute.
    NotReplaced(String),
    /// The module of the earlier livepatch could not be unloaded; what `rmmod` said.
    EarlierStays(Vec<u8>),
    /// The earlier livepatch is replaced and unloaded; how often it was looked whether one of the two
    /// is enabled.
    Replaced(u64),
    /// A task that holds the transition up: its id and name, and its stack.
    Blocked { task: Vec<u8>, stack: Vec<u8> },
    /// The transition did not end in its time.
    Stalled,
    /// The kernel refused to disable the livepatch.
    DisableFailed,
    /// The module could not be unloaded; what `rmmod` said.
    UnloadFailed(Vec<u8>),
    /// What the kernel made of the module's signature.
    Signature(SignatureTrial),
    /// The kernel took a copy that it should have refused: which one.
    SignatureAccepted(String),
    /// The guest is done and powers off.
    End,
}

impl Message {
    /// Reads a line without its end. Nothing comes of a line that is not a message of this trial.
    pub(crate) fn parse(line: &[u8], nonce: &str) -> Option<Self> {
        if line.len() > LINE_BYTES {
            return None;
        }
        let line = std::str::from_utf8(line).ok()?.trim_end_matches('\r');
        let mut words = line.strip_prefix(nonce)?.strip_prefix(' ')?.split(' ');
        let message = match words.next()? {
            "release" => Self::Release(String::from_utf8(text(words.next()?)?).ok()?),
            "taint" => Self::Taint(words.next()?.parse().ok()?),
            "phase" => Self::Phase(Phase::from_word(words.next()?)?, seconds(words.next()?)?),
            "check" => Self::Check {
                run: CheckRun::from_word(words.next()?)?,
                index: words.next()?.parse().ok()?,
                status: words.next()?.parse().ok(),
                output: text(words.next()?)?,
                errors: text(words.next()?)?,
            },
            "module-loaded" => Self::ModuleLoaded(word(words.next()?)?),
            "module-absent" => Self::ModuleAbsent(word(words.next()?)?, text(words.next()?)?),
            "object" => Self::Object {
                late: words.next()? == "late",
                object: word(words.next()?)?,
                patched: match words.next()? {
                    "1" => Some(true),
                    "0" => Some(false),
                    _ => None,
                },
            },
            "late-skipped" => Self::LateSkipped(text(words.next()?)?),
            "late-refused" => Self::LateRefused(word(words.next()?)?, text(words.next()?)?),
            "late-done" => Self::LateDone,
            "load-failed" => Self::LoadFailed(text(words.next()?)?),
            "no-livepatch" => Self::NoLivepatch,
            "livepatch" => Self::Livepatch {
                over: match words.next()? {
                    "first" => false,
                    "over" => true,
                    _ => return None,
                },
                enabled: words.next()? == "1",
                functions: words.next()?.parse().ok()?,
            },
            "gap" => Self::Gap,
            "not-replaced" => Self::NotReplaced(word(words.next()?)?),
            "earlier-stays" => Self::EarlierStays(text(words.next()?)?),
            "replaced" => Self::Replaced(words.next()?.parse().ok()?),
            "blocked" => Self::Blocked { task: text(words.next()?)?, stack: text(words.next()?)? },
            "stalled" => {
                words.next()?;
                Self::Stalled
            }
            "disable-failed" => Self::DisableFailed,
            "unload-failed" => Self::UnloadFailed(text(words.next()?)?),
            "signature" => Self::Signature(match words.next()? {
                "enforced" => SignatureTrial::Enforced,
                "not-trusted" => SignatureTrial::NotTrusted,
                "not-checked" => SignatureTrial::NotChecked,
                _ => return None,
            }),
            "signature-accepted" => Self::SignatureAccepted(word(words.next()?)?),
            "end" => Self::End,
            _ => return None,
        };
        words.next().is_none().then_some(message)
    }
}

/// A module's name.
fn word(word: &str) -> Option<String> {
    (!word.is_empty() && word.len() <= 64).then(|| word.to_owned())
}

/// The bytes of a text field.
fn text(word: &str) -> Option<Vec<u8>> {
    hex::decode(word.strip_prefix('x')?).ok()
}

/// Seconds as `/proc/uptime` writes them.
fn seconds(word: &str) -> Option<f64> {
    word.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> Option<Message> {
        Message::parse(line.as_bytes(), "n0")
    }

    #[test]
    fn check_line_gives_run_status_and_texts() {
        let expected = Message::Check {
            run: CheckRun::After,
            index: 3,
            status: Some(1),
            output: b"hi".to_vec(),
            errors: Vec::new(),
        };
        assert_eq!(parse("n0 check after 03 1 x6869 x\r"), Some(expected));
    }

    #[test]
    fn line_without_the_nonce_is_ignored() {
        for line in ["end", "n1 end", "n0end", " n0 end", "n0  end", "n0 end more", ""] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        assert_eq!(parse("n0 end"), Some(Message::End));
    }

    #[test]
    fn malformed_fields_are_ignored() {
        for line in [
            "n0 release 6869",
            "n0 release x6",
            "n0 phase lunch 1.0",
            "n0 phase load -1.0",
            "n0 phase load inf",
            "n0 check after -1 0 x x",
            "n0 taint many",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn every_announced_phase_has_its_own_word() {
        for phase in Phase::ANNOUNCED {
            assert_eq!(Phase::from_word(phase.word()), Some(phase));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(&line, "n0");
            let mut spoken = b"n0 ".to_vec();
            spoken.extend(line);
            let _ = Message::parse(&spoken, "n0");
        }
    }
}

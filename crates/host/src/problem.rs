use std::{io, path::PathBuf, time::Duration};

use elivepatch_elf::ElfError;
use elivepatch_model::{Manifest, ModuleSignature, Sha256Digest};

use crate::{Blocker, Health, Obstacle, obstacles::ENROL_KEY};

/// Why something on the host was not done.
#[derive(Debug, thiserror::Error)]
pub enum HostProblem {
    /// A file of the kernel or of the machine cannot be read.
    #[error("cannot read /{path}")]
    Read {
        /// The file, without the slash before it.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the kernel cannot be written to.
    #[error("cannot write to /{path}")]
    Write {
        /// The file, without the slash before it.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel does not tell its build-id.
    #[error(
        "this kernel does not tell its build-id, so that nothing can be known to be made for it"
    )]
    NoBuildId,
    /// The state directory, or something in it, cannot be read or written.
    #[error("{what}")]
    State {
        /// What, with its path.
        what: String,
        /// Why, when it was not the form of what was read.
        #[source]
        source: Option<io::Error>,
    },
    /// Others than this user can write where livepatches are loaded from.
    #[error("{} belongs to another user, or others can write in it: modules are loaded from there", .0.display())]
    OpenState(PathBuf),
    /// A newer elivepatch has written the state.
    #[error("{} was written by a newer elivepatch (version {version} of its form)", path.display())]
    NewerState {
        /// The file.
        path: PathBuf,
        /// The version of its form.
        version: u64,
    },
    /// Another agent runs on this machine.
    #[error("another agent of elivepatch runs on this machine")]
    OtherAgent,
    /// Another elivepatch is at work.
    #[error("another elivepatch is changing what is loaded on this machine")]
    Busy,
    /// A module cannot be read.
    #[error("cannot read the module {}", path.display())]
    ModuleUnread {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A module cannot be understood.
    #[error("{} is no kernel module that can be read", path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: ElfError,
    },
    /// Something stands against loading.
    #[error("{} cannot be loaded: {}", name, first(obstacles))]
    Obstacles {
        /// The livepatch.
        name: String,
        /// What, the worst first; at least one.
        obstacles: Vec<Obstacle>,
    },
    /// The kernel did not take the module.
    #[error("the kernel did not take the module {name}: {}", kernel_says(source))]
    Refused {
        /// The livepatch.
        name: String,
        /// What it says.
        source: io::Error,
        /// When it is busy: the functions on which there is a kprobe, in words.
        probed: Vec<String>,
    },
    /// The kernel did not take the module because of its signature, and who has signed it is known.
    #[error(
        "the kernel did not take the module {name}, which {} (key id {}) has signed: {}",
        signature.signer,
        signature.key_id,
        kernel_says(source)
    )]
    SignatureRefused {
        /// The livepatch.
        name: String,
        /// Who has signed it.
        signature: ModuleSignature,
        /// What it says.
        source: io::Error,
    },
    /// The kernel did not let a module go.
    #[error(
        "the module {name} is not active, and cannot be taken out of the kernel: {}",
        kernel_says(source)
    )]
    Stuck {
        /// The livepatch.
        name: String,
        /// What it says.
        source: io::Error,
    },
    /// The transition did not end, and was reversed.
    #[error(
        "the transition to {name} did not end within {} s, and was reversed: tasks stayed in what it \
         replaces",
        limit.as_secs()
    )]
    Stalled {
        /// The livepatch.
        name: String,
        /// How long it was waited.
        limit: Duration,
        /// The tasks that stood in the way, as they were when it was given up.
        blockers: Vec<Blocker>,
    },
    /// It was loaded, and somebody disabled it before its transition was over.
    #[error("{name} was disabled by somebody before its transition was over")]
    Disabled {
        /// The livepatch.
        name: String,
    },
    /// The transition did not end, and could not be reversed either.
    #[error("the transition of {name} ends in neither direction")]
    CannotReverse {
        /// The livepatch.
        name: String,
        /// The tasks that stand in the way.
        blockers: Vec<Blocker>,
    },
    /// The kernel is not well with the livepatch, and it was taken back.
    #[error("{name} was taken back: {}", health.words())]
    TakenBack {
        /// The livepatch.
        name: String,
        /// What was seen.
        health: Health,
    },
    /// A livepatch that was named is not known here.
    #[error("{0:.120?} is no livepatch that is known on this machine")]
    Unknown(String),
    /// A livepatch that was named is known, and its module is not here any more.
    #[error("the livepatch {digest} is not kept on this machine any more{}", locked(locked_out))]
    NotKept {
        /// Its digest.
        digest: Sha256Digest,
        /// Why it is locked out, when it is.
        locked_out: Option<String>,
    },
    /// It is not locked out.
    #[error("the livepatch {0} is not locked out")]
    NotLockedOut(Sha256Digest),
    /// Several are meant by what was given.
    #[error("{given:.120?} may be each of {}", candidates.join(", "))]
    Ambiguous {
        /// What was given.
        given: String,
        /// The livepatches.
        candidates: Vec<String>,
    },
    /// A livepatch that is kept is not what it was.
    #[error("the livepatch {digest} in {} is damaged", path.display())]
    Damaged {
        /// Its digest.
        digest: Sha256Digest,
        /// Where.
        path: PathBuf,
    },
    /// Nothing is loaded that could be taken back.
    #[error("no livepatch is loaded that elivepatch knows")]
    NothingLoaded,
}

impl HostProblem {
    pub(crate) fn read(path: &str, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &str, source: io::Error) -> Self {
        Self::Write { path: path.to_owned(), source }
    }

    /// The same of the livepatch with this manifest: who has signed it, when that is what the kernel refuses.
    pub(crate) fn of(self, manifest: Option<&Manifest>) -> Self {
        match (self, manifest.and_then(|manifest| manifest.module.signature.clone())) {
            (Self::Refused { name, source, .. }, Some(signature)) if is_of_signature(&source) => {
                Self::SignatureRefused { name, signature, source }
            }
            (problem, _) => problem,
        }
    }

    /// What can be done; one line.
    pub fn hint(&self) -> String {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                "run it as root".to_owned()
            }
            Self::Read { .. } | Self::Write { .. } => {
                "are /proc and /sys mounted, and is this the machine itself and no container?"
                    .to_owned()
            }
            Self::NoBuildId => {
                "build the kernel with a linker that writes one (--build-id)".to_owned()
            }
            Self::State { source: Some(source), .. }
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                "run it as root".to_owned()
            }
            Self::State { source: Some(source), .. }
                if matches!(
                    source.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                ) =>
            {
                "make room on its file system, and try again".to_owned()
            }
            Self::State { .. } => {
                "look at the directory: it must be root's, on a file system that can be written"
                    .to_owned()
            }
            Self::OpenState(path) => {
                let path = path.display();
                format!("look at what lies there, then: chown root {path}; chmod 700 {path}")
            }
            Self::NewerState { .. } => {
                "use the elivepatch that wrote it, or a newer one; nothing was changed".to_owned()
            }
            Self::OtherAgent => {
                "leave it to that one: elivepatch status says how it stands; a second one is of no use"
                    .to_owned()
            }
            Self::Busy => "wait until it has ended: elivepatch status says what it does".to_owned(),
            Self::ModuleUnread { .. } => {
                "give the path of a module, or what elivepatch list names".to_owned()
            }
            Self::Module { .. } => {
                "give a livepatch that an elivepatch server has built".to_owned()
            }
            Self::Obstacles { obstacles, .. } => {
                obstacles.first().map_or_else(String::new, Obstacle::hint)
            }
            Self::Refused { probed, .. } if !probed.is_empty() => format!(
                "there is a kprobe on {} (/sys/kernel/debug/kprobes/list), which keeps livepatches out when it has a \
                 post handler, as fail_function's: remove it, and try again",
                probed.join(", ")
            ),
            Self::Refused { source, .. } => refused_hint(source),
            Self::SignatureRefused { source, .. } => match is_damage(source) {
                true => "fetch it from the server again".to_owned(),
                false => ENROL_KEY.to_owned(),
            },
            Self::Stuck { name, .. } => {
                format!(
                    "something holds it: look at /sys/module/{name}/holders; it does nothing any more"
                )
            }
            Self::Stalled { .. } => {
                "nothing was changed: try again when these tasks do something else, or end them"
                    .to_owned()
            }
            Self::Disabled { .. } => {
                "look who else changes livepatches here, and try again".to_owned()
            }
            Self::CannotReverse { .. } => {
                "end the tasks that are named; the kernel goes on with the transition by itself"
                    .to_owned()
            }
            Self::TakenBack { .. } => {
                "look at the kernel's log (dmesg); elivepatch unlock lets it be loaded again"
                    .to_owned()
            }
            Self::NotLockedOut(_) => "elivepatch apply loads it".to_owned(),
            Self::NotKept { .. } => "fetch it from its server again".to_owned(),
            Self::Unknown(_) => "elivepatch list names those that are".to_owned(),
            Self::Ambiguous { .. } => "give more of its digest".to_owned(),
            Self::Damaged { .. } => "fetch it from the server again".to_owned(),
            Self::NothingLoaded => "elivepatch status says what is loaded".to_owned(),
        }
    }
}

fn locked(reason: &Option<String>) -> String {
    reason.as_ref().map(|reason| format!("; it is locked out: {reason}")).unwrap_or_default()
}

fn first(obstacles: &[Obstacle]) -> String {
    match obstacles {
        [] => "for no known reason".to_owned(),
        [one] => one.to_string(),
        [one, rest @ ..] => format!("{one} (and {} more)", rest.len()),
    }
}

/// What an error number of the kernel means of a module (`kernel/module/main.c`, `kernel/livepatch/core.c`).
fn kernel_says(error: &io::Error) -> String {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    let meaning = match errno {
        Some(Errno::KEYREJECTED) => "it is not signed by a key that the kernel trusts",
        Some(Errno::NOKEY) => "the kernel has no key for its signature",
        Some(Errno::BADMSG) => "its signature is damaged",
        Some(Errno::PERM) => "this process may not load modules",
        Some(Errno::NOEXEC) => "it is made for another kernel",
        Some(Errno::INVAL) => "it does not fit what the kernel has: see the kernel's log",
        Some(Errno::EXIST) => "a module of that name is loaded",
        Some(Errno::BUSY) => "another transition is under way, or something else holds a function",
        Some(Errno::NOENT) => "it uses a symbol that the kernel lacks: see the kernel's log",
        Some(Errno::NOMEM) => "there is not enough memory for it",
        Some(Errno::AGAIN) => "it is in use",
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}

/// Whether the kernel refuses the signature of a module, and nothing else of it.
fn is_of_signature(error: &io::Error) -> bool {
    use rustix::io::Errno;
    is_damage(error)
        || [Errno::KEYREJECTED, Errno::NOKEY]
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::BADMSG.raw_os_error())
}

fn refused_hint(error: &io::Error) -> String {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::KEYREJECTED | Errno::NOKEY | Errno::BADMSG) => {
            "have the server sign modules with a key that this kernel trusts ([signing] in its config)".to_owned()
        }
        Some(Errno::PERM) => "run it as root, outside of containers".to_owned(),
        Some(Errno::BUSY) => "try again; if it stays so, see /sys/kernel/tracing/enabled_functions".to_owned(),
        _ => "look at the end of the kernel's log: dmesg | tail".to_owned(),
    }
}

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Something that elivepatch does to a patch so that a livepatch can be made of it. Each is safe,
/// each is reported, and each can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AdaptationKind {
    /// A change to a file that this kernel does not contain is left out: documentation, tools,
    /// other architectures, code that the config leaves out.
    OutsideKernel,
    /// `#line` directives keep the numbers of the lines around a change, so that `WARN` and
    /// `__LINE__` in functions that the patch does not touch stay as they were.
    LineNumbers,
    /// `SYSCALL_DEFINEn` of a changed system call becomes `KPATCH_SYSCALL_DEFINEn`, without which
    /// kpatch cannot tell the functions apart.
    SyscallDefine,
    /// A removed file stays: its code cannot be taken out of a running kernel, and nothing that the
    /// patch leaves calls it.
    RemovedFile,
    /// A change to `__init` functions and data, which are gone in a running kernel, is left out: it
    /// acts at the next boot only, with a kernel that has it.
    InitOnly,
    /// Patched code reads variables where the kernel's own code has constants that are written into
    /// it at boot, which nothing does in a module.
    RuntimeConstants,
}

/// One adaptation that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Adaptation {
    /// Which.
    pub kind: AdaptationKind,
    /// The fix whose patch was adapted.
    pub fix: String,
    /// The file of the source tree.
    pub file: String,
    /// What was done and why, for people: completes "FILE: …".
    pub detail: String,
}

/// A text that is not the name of an adaptation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is no adaptation: outside-kernel, line-numbers, syscall-define, removed-file, init-only, \
     runtime-constants"
)]
pub struct AdaptationKindError(pub String);

impl AdaptationKind {
    /// All kinds, in the order of their documentation.
    pub const ALL: [Self; 6] = [
        Self::OutsideKernel,
        Self::LineNumbers,
        Self::SyscallDefine,
        Self::RemovedFile,
        Self::InitOnly,
        Self::RuntimeConstants,
    ];

    /// The name on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutsideKernel => "outside-kernel",
            Self::LineNumbers => "line-numbers",
            Self::SyscallDefine => "syscall-define",
            Self::RemovedFile => "removed-file",
            Self::InitOnly => "init-only",
            Self::RuntimeConstants => "runtime-constants",
        }
    }
}

impl FromStr for AdaptationKind {
    type Err = AdaptationKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| AdaptationKindError(text.chars().take(64).collect()))
    }
}

impl fmt::Display for AdaptationKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Adaptation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}: {}", self.fix, self.file, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_on_the_wire_and_on_the_command_line() {
        for kind in AdaptationKind::ALL {
            let wire = serde_json::to_string(&kind).expect("a plain name");
            assert_eq!(wire, format!("\"{kind}\""));
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert!(AdaptationKindError(String::new()).to_string().contains(kind.as_str()));
        }
    }
}

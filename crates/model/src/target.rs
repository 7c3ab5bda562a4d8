use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Architecture, Distribution, KernelRelease, LoadedLivepatch, MachineFacts};

/// What a client says of the kernel to be patched, beside its config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TargetFacts {
    /// `uname -r` of the target.
    pub release: KernelRelease,
    /// The target's processor architecture.
    pub architecture: Architecture,
    /// The GNU build-id of the running image, from `/sys/kernel/notes`; absent when the livepatch
    /// is ordered from another machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_id: Option<ElfBuildId>,
    /// `uname -v` of the target, which on Debian names the package version; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_version: Option<String>,
    /// The compiler that built the running kernel, as `/proc/version` names it: what
    /// `CONFIG_CC_VERSION_TEXT` of its config says; absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
    /// The linker that built it, from the same place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linker: Option<String>,
    /// What else is known of the machine. It informs, and decides nothing about the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineFacts>,
}

impl TargetFacts {
    /// A target of which nothing more is known.
    pub fn new(release: KernelRelease, architecture: Architecture) -> Self {
        let (build_id, kernel_version, compiler, linker, machine) = (None, None, None, None, None);
        Self { release, architecture, build_id, kernel_version, compiler, linker, machine }
    }
}

impl TargetFacts {
    /// The same without the livepatches that are loaded: for a question about the kernel and not about what a
    /// machine has loaded into it.
    pub fn without_livepatches(mut self) -> Self {
        if let Some(machine) = &mut self.machine {
            machine.livepatches = None;
        }
        self
    }

    /// What decides which CVEs matter on a machine, and nothing else: its kernel, its distribution's word, and
    /// the livepatches that are active on it. Equal ones have one answer. The loaded modules are left out: they
    /// differ from machine to machine and from hour to hour, and one that is not loaded now may be soon.
    #[must_use]
    pub fn as_assessed(&self) -> Self {
        let machine = self.machine.as_ref().map(|machine| {
            let distribution = machine.distribution.as_ref();
            let livepatches = machine.livepatches.as_ref().map(|livepatches| {
                let mut active: Vec<LoadedLivepatch> =
                    livepatches.iter().filter(|livepatch| livepatch.active).cloned().collect();
                active.sort_by(|one, other| one.name.cmp(&other.name));
                active
            });
            MachineFacts {
                distribution: distribution.map(|distribution| Distribution {
                    id: distribution.id.clone(),
                    version: None,
                    name: None,
                }),
                livepatches,
                ..MachineFacts::default()
            }
        });
        Self {
            release: self.release.clone(),
            architecture: self.architecture,
            build_id: self.build_id.clone(),
            kernel_version: self.kernel_version.clone(),
            compiler: None,
            linker: None,
            machine,
        }
    }
}

/// The package version in Debian's `uname -v`: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)`.
pub fn debian_package_version(kernel_version: &str) -> Option<&str> {
    let mut words = kernel_version.split_whitespace();
    words.find(|word| *word == "Debian")?;
    words.next()
}

/// The GNU build-id of an ELF image: the bytes of its `NT_GNU_BUILD_ID` note, in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct ElfBuildId(String);

/// A text that is not an ELF build-id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a build-id (8 to 64 bytes in lower-case hexadecimal)")]
pub struct BuildIdError(pub String);

impl ElfBuildId {
    /// Takes the descriptor bytes of the note.
    ///
    /// # Errors
    /// When there are fewer than 8 or more than 64 bytes; linkers write 8, 16 or 20.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BuildIdError> {
        hex::encode(bytes).parse()
    }

    /// The hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ElfBuildId {
    type Err = BuildIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if digits && text.len().is_multiple_of(2) && (16..=128).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BuildIdError(text.chars().take(140).collect()))
        }
    }
}

impl fmt::Display for ElfBuildId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for ElfBuildId {
    type Error = BuildIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ElfBuildId> for String {
    fn from(build_id: ElfBuildId) -> Self {
        build_id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_version_is_read_from_uname() {
        let text = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)";
        assert_eq!(debian_package_version(text), Some("6.1.176-1"));
        assert_eq!(debian_package_version("#1 SMP PREEMPT_DYNAMIC @0"), None);
    }
}

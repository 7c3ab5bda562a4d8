//! The form of what is said of a target: who reads it from outside checks it by this.

use crate::{MachineFacts, TargetFacts, limits};

/// The longest `uname -v` that is accepted, in bytes: `__NEW_UTS_LEN` in the kernel's `utsname.h`.
const KERNEL_VERSION_BYTES: usize = 64;

/// A fact that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TargetFormError {
    /// What is wrong, with the fact's name; one line.
    pub message: String,
    /// What can be done; one line.
    pub hint: &'static str,
}

impl TargetFacts {
    /// Checks the form of the facts: lengths, lines, names.
    ///
    /// # Errors
    /// The first that cannot be what it is said to be.
    pub fn check_form(&self) -> Result<(), TargetFormError> {
        if let Some(version) = &self.kernel_version
            && (version.len() > KERNEL_VERSION_BYTES || version.chars().any(char::is_control))
        {
            return Err(TargetFormError {
                message: format!(
                    "target.kernel_version is not what uname -v prints: {version:.80?}"
                ),
                hint: "send the output of uname -v, or leave it out",
            });
        }
        let texts = [("compiler", &self.compiler), ("linker", &self.linker)];
        for (name, text) in texts {
            line(&format!("target.{name}"), text.as_deref())?;
        }
        self.machine.as_ref().map_or(Ok(()), machine)
    }
}

fn machine(machine: &MachineFacts) -> Result<(), TargetFormError> {
    if let Some(distribution) = &machine.distribution {
        line("target.machine.distribution.id", Some(&distribution.id))?;
        line("target.machine.distribution.version", distribution.version.as_deref())?;
        line("target.machine.distribution.name", distribution.name.as_deref())?;
    }
    let modules = machine.loaded_modules.as_deref().unwrap_or_default();
    let modules = modules.iter().map(String::as_str);
    names("target.machine.loaded_modules", modules, limits::LOADED_MODULES)?;
    let livepatches = machine.livepatches.as_deref().unwrap_or_default();
    let livepatches = livepatches.iter().map(|livepatch| livepatch.name.as_str());
    names("target.machine.livepatches", livepatches, limits::LOADED_LIVEPATCHES)
}

/// Checks names of modules.
fn names<'a>(
    what: &str,
    mut names: impl ExactSizeIterator<Item = &'a str>,
    most: usize,
) -> Result<(), TargetFormError> {
    let is_name = |name: &str| {
        (1..=limits::MODULE_NAME_BYTES).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if names.len() > most {
        return Err(TargetFormError {
            message: format!("{what} has more than {most} names"),
            hint: "leave it out",
        });
    }
    match names.find(|name| !is_name(name)) {
        None => Ok(()),
        Some(name) => Err(TargetFormError {
            message: format!("{what} has what is no module's name: {name:.80?}"),
            hint: "send what elivepatch facts finds, or leave it out",
        }),
    }
}

fn line(name: &str, text: Option<&str>) -> Result<(), TargetFormError> {
    match text {
        Some(text) if text.len() > limits::FACT_BYTES || text.chars().any(char::is_control) => {
            Err(TargetFormError {
                message: format!("{name} is not one line of at most {} bytes", limits::FACT_BYTES),
                hint: "send what elivepatch facts finds, or leave it out",
            })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Distribution, LoadedLivepatch};

    #[test]
    fn facts_that_cannot_be_any_are_refused_by_their_names() {
        let sound = TargetFacts {
            kernel_version: Some("#1 SMP".to_owned()),
            compiler: Some("gcc-12 (Debian 12.2.0-14) 12.2.0".to_owned()),
            ..TargetFacts::new("6.12.30-a".parse().expect("a release"), Architecture::X86_64)
        };
        sound.check_form().expect("sound");
        let of_machine = |machine| TargetFacts { machine: Some(machine), ..sound.clone() };
        let modules = |names: Vec<String>| {
            of_machine(MachineFacts { loaded_modules: Some(names), ..MachineFacts::default() })
        };
        let livepatch =
            |name: &str| LoadedLivepatch { name: name.to_owned(), build_id: None, active: true };
        let livepatches = |livepatches| {
            let livepatches = Some(livepatches);
            of_machine(MachineFacts { livepatches, ..MachineFacts::default() })
        };
        livepatches(vec![livepatch("elivepatch_x")]).check_form().expect("sound");
        let distribution = Distribution { id: "a\u{1b}".to_owned(), version: None, name: None };
        let cases = [
            (
                TargetFacts { kernel_version: Some("x".repeat(65)), ..sound.clone() },
                "kernel_version",
            ),
            (TargetFacts { compiler: Some("x".repeat(100_000)), ..sound.clone() }, "compiler"),
            (TargetFacts { linker: Some("two\nlines".to_owned()), ..sound.clone() }, "linker"),
            (modules(vec!["ext4".to_owned(), "\u{1b}[2J".to_owned()]), "no module's name"),
            (modules(vec!["a".to_owned(); limits::LOADED_MODULES + 1]), "more than"),
            (livepatches(vec![livepatch("a/../b\n")]), "livepatches has what is no module's name"),
            (livepatches(vec![livepatch("a"); limits::LOADED_LIVEPATCHES + 1]), "more than"),
            (
                of_machine(MachineFacts {
                    distribution: Some(distribution),
                    ..MachineFacts::default()
                }),
                "distribution.id",
            ),
        ];
        for (target, part) in cases {
            let error = target.check_form().expect_err(part);
            assert!(error.message.contains(part), "{error}");
            assert!(!error.message.chars().any(char::is_control), "{error:?}");
        }
    }
}

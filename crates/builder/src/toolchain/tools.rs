//! Which assembler and linker a toolchain root has, and whether they are the target's: a kernel's
//! config holds their versions beside the compiler's text.

use elivepatch_model::{ConfigValue, KernelConfig};
use serde::{Deserialize, Serialize};

/// Versions below are written as `major * 10000 + minor * 100 + patch`, as the kernel's
/// `scripts/as-version.sh` and `ld-version.sh` do from 5.12 on. Before, a config had nine digits.
const MOST_OF_THIS_FORM: u64 = 9_999_999;

/// The assembler and the linker of a toolchain root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ToolVersions {
    /// The assembler's version.
    pub assembler: u64,
    /// Whether it is the one in clang.
    pub is_llvm_assembler: bool,
    /// The linker's version.
    pub linker: u64,
    /// Whether it is lld.
    pub is_lld: bool,
}

impl ToolVersions {
    /// Reads what the tools say: `assembler` is what the compiler printed when it was asked for the
    /// version of its assembler, `linker` the linker's `--version`. `None` when that is no answer.
    pub(super) fn read(compiler_text: &str, assembler: &str, linker: &str) -> Option<Self> {
        let gnu = assembler.lines().find(|line| line.starts_with("GNU assembler"));
        let (assembler, is_llvm_assembler) = match gnu {
            Some(line) => (last_version(line)?, false),
            // clang's own has no version and says so.
            None if compiler_text.contains("clang version ") => {
                (version_after(compiler_text, "clang version ")?, true)
            }
            None => return None,
        };
        let line = linker.lines().next()?;
        let (linker, is_lld) = match line.contains("LLD ") {
            true => (version_after(line, "LLD ")?, true),
            false if line.starts_with("GNU ld") => (last_version(line)?, false),
            false => return None,
        };
        Some(Self { assembler, is_llvm_assembler, linker, is_lld })
    }

    /// In what they are not those that a kernel with this config was built with, for people. What
    /// the config does not say counts for nothing.
    pub(super) fn differences(&self, config: &KernelConfig) -> Vec<String> {
        let own = [
            ("AS_VERSION", "assembler", self.assembler),
            ("LD_VERSION", "GNU linker", if self.is_lld { 0 } else { self.linker }),
            ("LLD_VERSION", "LLVM linker", if self.is_lld { self.linker } else { 0 }),
        ];
        let differs = own.into_iter().filter_map(|(option, what, own)| {
            let Some(ConfigValue::Number(wanted)) = config.value(option) else { return None };
            let wanted: u64 = wanted.parse().ok()?;
            (wanted != own && wanted <= MOST_OF_THIS_FORM).then(|| {
                format!(
                    "{what}: {} in the target (CONFIG_{option}), {} here",
                    name(wanted),
                    name(own)
                )
            })
        });
        let mut differences: Vec<String> = differs.collect();
        if config.is_yes("AS_IS_GNU") && self.is_llvm_assembler
            || config.is_yes("AS_IS_LLVM") && !self.is_llvm_assembler
        {
            let [target, here] = match self.is_llvm_assembler {
                true => ["GNU's", "clang's"],
                false => ["clang's", "GNU's"],
            };
            differences.push(format!("assembler: {target} in the target, {here} here"));
        }
        differences
    }

    /// The two, for people.
    pub(super) fn describe(&self) -> String {
        let assembler = if self.is_llvm_assembler { "clang's as" } else { "GNU as" };
        let linker = if self.is_lld { "lld" } else { "GNU ld" };
        format!("{assembler} {}, {linker} {}", name(self.assembler), name(self.linker))
    }
}

fn name(version: u64) -> String {
    match (version / 10_000, version / 100 % 100, version % 100) {
        (0, 0, 0) => "none".to_owned(),
        (major, minor, 0) => format!("{major}.{minor}"),
        (major, minor, patch) => format!("{major}.{minor}.{patch}"),
    }
}

/// The version in the last word, as in `GNU ld (GNU Binutils for Debian) 2.40`.
fn last_version(line: &str) -> Option<u64> {
    number(line.split(' ').next_back()?)
}

fn version_after(text: &str, mark: &str) -> Option<u64> {
    let (_, rest) = text.split_once(mark)?;
    number(rest.split(' ').next()?)
}

/// The number of a version; what comes behind digits and points is a distribution's own.
fn number(version: &str) -> Option<u64> {
    let end = version.find(|byte: char| !byte.is_ascii_digit() && byte != '.');
    let mut parts = version[..end.unwrap_or(version.len())].split('.');
    let mut next = || match parts.next() {
        None | Some("") => Some(0),
        Some(part) => part.parse::<u64>().ok().filter(|part| *part < 10_000),
    };
    let (major, minor, patch) = (next()?, next()?, next()?);
    (major > 0 && minor < 100 && patch < 100).then_some(major * 10_000 + minor * 100 + patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GNU: &str = "GNU ld (GNU Binutils for Debian) 2.40\nCopyright (C) 2023\n";

    fn config(text: &str) -> KernelConfig {
        KernelConfig::parse(text.as_bytes()).expect("a valid config")
    }

    #[test]
    fn versions_are_those_that_the_kernels_own_scripts_print() {
        let assembler = "GNU assembler (GNU Binutils for Debian) 2.40\nCopyright\n";
        let debian = ToolVersions::read("gcc-12 (Debian 12.2.0-14) 12.2.0", assembler, GNU);
        let debian = debian.expect("both answer");
        assert_eq!((debian.assembler, debian.linker), (24_000, 24_000));
        assert_eq!(debian.describe(), "GNU as 2.40, GNU ld 2.40");
        let gentoo = "GNU ld (Gentoo 2.35.2 p1) 2.35.2";
        assert_eq!(last_version(gentoo), Some(23_502));
        assert_eq!(number("2.34-4.fc32"), Some(23_400));
        assert_eq!((number("x"), number("")), (None, None));
        let text = "Debian clang version 19.1.7 (3+b1)";
        let refusal = "clang: error: unsupported argument '--version' to option '-Wa,'\n";
        let lld = "Debian LLD 19.1.7 (compatible with GNU linkers)\n";
        let clang = ToolVersions::read(text, refusal, lld).expect("both answer");
        let expected = ToolVersions {
            assembler: 190_107,
            is_llvm_assembler: true,
            linker: 190_107,
            is_lld: true,
        };
        assert_eq!(clang, expected);
        assert_eq!(ToolVersions::read("cc", "cc: error", GNU), None, "no assembler");
        assert_eq!(
            ToolVersions::read("gcc", assembler, "mold 2.0"),
            None,
            "no linker of the kernel's"
        );
    }

    #[test]
    fn other_assembler_or_linker_is_told_and_what_a_config_does_not_say_is_not() {
        let assembler = "GNU assembler (GNU Binutils for Debian) 2.40\n";
        let own = ToolVersions::read("gcc", assembler, GNU).expect("both answer");
        let same = "CONFIG_AS_IS_GNU=y\nCONFIG_AS_VERSION=24000\nCONFIG_LD_VERSION=24000\n\
                    CONFIG_LLD_VERSION=0\n";
        assert_eq!(own.differences(&config(same)), [""; 0]);
        assert_eq!(own.differences(&config("CONFIG_X86_64=y\n")), [""; 0]);
        // Before 5.12.
        assert_eq!(own.differences(&config("CONFIG_LD_VERSION=235020000\n")), [""; 0]);
        let other = "CONFIG_AS_VERSION=23502\nCONFIG_LD_VERSION=0\nCONFIG_LLD_VERSION=190107\n\
                     CONFIG_AS_IS_LLVM=y\n";
        assert_eq!(
            own.differences(&config(other)),
            [
                "assembler: 2.35.2 in the target (CONFIG_AS_VERSION), 2.40 here",
                "GNU linker: none in the target (CONFIG_LD_VERSION), 2.40 here",
                "LLVM linker: 19.1.7 in the target (CONFIG_LLD_VERSION), none here",
                "assembler: clang's in the target, GNU's here",
            ]
        );
    }
}

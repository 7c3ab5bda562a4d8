use std::fmt;

use serde::{Deserialize, Serialize};

/// What was proven of the base before a livepatch was published: that what it compiles is what the
/// target runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FitRecord {
    /// Whether the target's build-id is that of the base's vmlinux.
    pub build_id: BuildIdFit,
    /// The comparison of compiled code with the code of the kernel's own image and modules; absent
    /// where only the server has built such a kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeFitRecord>,
    /// The comparison of the target's `/proc/kallsyms` with the base's symbols; absent when the
    /// request had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbols: Option<SymbolFitRecord>,
    /// What was not proven, and why; a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_proven: Vec<String>,
    /// Whether the livepatch was made although the proof is missing or failed, because the request
    /// and the server's policy say so.
    #[serde(default)]
    pub accepted_unproven: bool,
}

/// Whether the target's build-id was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BuildIdFit {
    /// The target runs the very image that the base is of.
    Equal,
    /// The server has built the kernel itself, and its image has another build-id. That says nothing
    /// of the code: keys and dates make another one, too.
    Different,
    /// The request has no build-id.
    #[default]
    Unknown,
}

/// Compiled code that equals the kernel's, byte for byte but for what the linker fills in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CodeFitRecord {
    /// How many functions are equal, in all objects together.
    pub functions: u64,
    /// How many fields that the linker fills in were compared by where they lead.
    pub fields: u64,
    /// The objects, as they were before the fixes.
    pub objects: Vec<ObjectFitRecord>,
}

/// One object whose functions equal the kernel's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectFitRecord {
    /// Its path in the source tree.
    pub object: String,
    /// `vmlinux` or a module's name.
    pub parent: String,
    /// How many of its functions are equal.
    pub functions: u64,
    /// Weak functions that have no part in the kernel: another file's took their place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridden: Vec<String>,
}

/// Symbols of the running kernel that the base has as well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SymbolFitRecord {
    /// How many names of functions of vmlinux were compared, with their order.
    pub names: u64,
    /// Whether the distances between them were compared, too: a user without rights sees no
    /// addresses.
    pub sizes: bool,
    /// The patched modules whose symbols were compared. One that was not loaded has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<String>,
}

impl FitRecord {
    /// Whether something proves that the base is the target's kernel, and nothing is left open.
    pub fn is_proven(&self) -> bool {
        let has_proof =
            self.build_id == BuildIdFit::Equal || self.code.is_some() || self.symbols.is_some();
        has_proof && self.not_proven.is_empty()
    }

    /// Whether code was compared with the distribution's package, and nothing says that the target runs
    /// it.
    pub fn is_of_the_package_only(&self) -> bool {
        self.code.is_some() && self.build_id == BuildIdFit::Unknown && self.symbols.is_none()
    }
}

/// For people: the proofs, one line each, then what is not proven.
impl fmt::Display for FitRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        if self.build_id == BuildIdFit::Equal {
            lines.push("the target runs this very image (build-id)".to_owned());
        }
        if let Some(code) = &self.code {
            let overridden: usize = code.objects.iter().map(|object| object.overridden.len()).sum();
            let besides = match overridden {
                0 => String::new(),
                number => format!(", {number} weak ones are overridden"),
            };
            let (whose, open) = match self.is_of_the_package_only() {
                true => ("those of the package", "; that the target runs it was not shown"),
                false => ("the kernel's", ""),
            };
            lines.push(format!(
                "{} of {} equal {whose} byte for byte{besides}{open}",
                count(code.functions, "function"),
                count(code.objects.len() as u64, "object")
            ));
        }
        if let Some(symbols) = &self.symbols {
            let what = if symbols.sizes { "names, order and sizes" } else { "names and order" };
            let modules = match symbols.modules.len() {
                0 => String::new(),
                _ => format!(", and those of {}", symbols.modules.join(", ")),
            };
            let names = count(symbols.names, "function");
            lines.push(format!("{what} of {names} equal the running kernel's{modules}"));
        }
        lines.extend(self.not_proven.iter().map(|what| format!("not proven: {what}")));
        if self.accepted_unproven {
            lines.push("made all the same, as the request asks for".to_owned());
        }
        formatter.write_str(&lines.join("\n"))
    }
}

fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_says_what_is_proven_and_what_is_not() {
        let mut record = FitRecord::default();
        assert!(!record.is_proven());
        record.build_id = BuildIdFit::Equal;
        record.code = Some(CodeFitRecord {
            functions: 2,
            fields: 7,
            objects: vec![ObjectFitRecord {
                object: "fs/exec.o".to_owned(),
                parent: "vmlinux".to_owned(),
                functions: 2,
                overridden: vec!["arch_weak".to_owned()],
            }],
        });
        assert!(record.is_proven());
        assert_eq!(
            record.to_string(),
            "the target runs this very image (build-id)\n2 functions of 1 object equal the kernel's \
             byte for byte, 1 weak ones are overridden"
        );
        let unknown = FitRecord { build_id: BuildIdFit::Unknown, ..record.clone() };
        assert_eq!(
            unknown.to_string(),
            "2 functions of 1 object equal those of the package byte for byte, 1 weak ones are \
             overridden; that the target runs it was not shown"
        );
        record.not_proven.push("the module ext4".to_owned());
        record.accepted_unproven = true;
        assert!(!record.is_proven());
        let text = record.to_string();
        assert!(
            text.ends_with(
                "not proven: the module ext4\nmade all the same, as the request asks for"
            )
        );
        let json = serde_json::to_string(&record).expect("plain data");
        let again: FitRecord = serde_json::from_str(&json).expect("its own form");
        assert_eq!(again, record);
    }
}

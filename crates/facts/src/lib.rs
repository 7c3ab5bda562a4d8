//! What is known of a machine's kernel in one file: the machine writes it, and whoever orders a
//! livepatch for it or makes its base ready reads it elsewhere.

mod error;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use elivepatch_model::{FailureClass, KernelConfig, TargetFacts, limits};
use elivepatch_patch::SourcePatch;
use serde::{Deserialize, Serialize};

pub use error::FactsError;

/// The version of the format.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes: config, symbols and patches at their limits, in the
/// longer forms that they have in JSON.
pub const FACTS_BYTES: u64 = 64 * 1024 * 1024;

/// The most facts that may be said to be missing: there are some ten.
const MOST_MISSING: usize = 100;

/// What is known of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedFacts {
    /// What is said of it.
    pub target: TargetFacts,
    /// The text of its config.
    pub config: Option<Vec<u8>>,
    /// Its symbols in their normal form, compressed with gzip. Whoever uses them unpacks them and looks
    /// at them first.
    pub kallsyms: Option<Vec<u8>>,
    /// The patches that are compiled into it, in their order.
    pub baseline: Vec<SavedPatch>,
    /// Where the patches come from, for people.
    pub baseline_origin: String,
    /// What could not be read.
    pub missing: Vec<Missing>,
    /// The program that wrote it, with its version.
    pub collected_by: String,
}

/// A patch with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedPatch {
    /// The name of its file.
    pub name: String,
    /// Its text, in whatever encoding.
    pub content: Vec<u8>,
}

/// Something that is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What it is.
    pub what: String,
    /// Why it is not known.
    pub why: String,
}

/// The file. A field that is not known is an error: it may be one that decides what is built.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactsFile {
    facts_version: u32,
    collected_by: String,
    target: TargetFacts,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    /// In Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kallsyms: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    baseline: Vec<PatchText>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    baseline_origin: String,
    #[serde(default)]
    missing: Vec<Missing>,
}

/// A patch. Its text is in Base64: it may be in any encoding.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchText {
    name: String,
    base64: String,
}

/// What is read first, whatever else is there.
#[derive(Deserialize)]
struct VersionOnly {
    facts_version: u32,
}

impl SavedFacts {
    /// The text of the file.
    pub fn write(&self) -> Vec<u8> {
        let patches = self.baseline.iter().map(|patch| PatchText {
            name: patch.name.clone(),
            base64: BASE64.encode(&patch.content),
        });
        let file = FactsFile {
            facts_version: VERSION,
            collected_by: self.collected_by.clone(),
            target: self.target.clone(),
            // What was read as a config is text.
            config: self.config.as_ref().map(|text| String::from_utf8_lossy(text).into_owned()),
            kallsyms: self.kallsyms.as_ref().map(|packed| BASE64.encode(packed)),
            baseline: patches.collect(),
            baseline_origin: self.baseline_origin.clone(),
            missing: self.missing.clone(),
        };
        let mut text = serde_json::to_vec_pretty(&file).expect("plain data has a JSON form");
        text.push(b'\n');
        text
    }

    /// Reads and checks what [`write()`](Self::write) wrote, here or elsewhere.
    ///
    /// # Errors
    /// When it is no such file, or of another version, or holds what cannot be used.
    pub fn parse(text: &[u8]) -> Result<Self, FactsError> {
        if text.len() as u64 > FACTS_BYTES {
            return Err(FactsError::TooLarge);
        }
        let version: VersionOnly = serde_json::from_slice(text)?;
        if version.facts_version != VERSION {
            return Err(FactsError::Version { found: version.facts_version, known: VERSION });
        }
        let file: FactsFile = serde_json::from_slice(text)?;
        file.checked()
    }
}

impl FactsFile {
    fn checked(self) -> Result<SavedFacts, FactsError> {
        let faulty = |what: &str, why: String| FactsError::Part { what: what.to_owned(), why };
        self.target
            .check_form()
            .map_err(|error| faulty("what is said of the machine", error.message))?;
        let config = self.config.map(String::into_bytes);
        if let Some(text) = &config {
            let architecture = KernelConfig::parse(text).and_then(|config| config.architecture());
            let class = FailureClass::ConfigUnreadable;
            let architecture = architecture
                .map_err(|error| faulty(&format!("the config ({class})"), error.to_string()))?;
            if architecture != self.target.architecture {
                return Err(faulty("the config", format!("it is for {architecture}")));
            }
        }
        let kallsyms = self.kallsyms.map(|text| decode(&text, limits::KALLSYMS_PACKED_BYTES));
        let kallsyms = kallsyms.transpose().map_err(|why| faulty("the list of symbols", why))?;
        if self.baseline.len() > limits::BASELINE_PATCHES || self.missing.len() > MOST_MISSING {
            return Err(faulty("a list", "it is longer than any that is collected".to_owned()));
        }
        let mut baseline = Vec::with_capacity(self.baseline.len());
        for PatchText { name, base64 } in self.baseline {
            let what = format!("the baseline patch {name}");
            let content =
                decode(&base64, limits::BASELINE_PATCH_BYTES).map_err(|why| faulty(&what, why))?;
            SourcePatch::parse_baseline(&content).map_err(|error| FactsError::Patch {
                name: name.clone(),
                failure: Box::new(error.failure()),
            })?;
            baseline.push(SavedPatch { name, content });
        }
        Ok(SavedFacts {
            target: self.target,
            config,
            kallsyms,
            baseline,
            baseline_origin: self.baseline_origin,
            missing: self.missing,
            collected_by: self.collected_by,
        })
    }
}

fn decode(text: &str, limit_bytes: u64) -> Result<Vec<u8>, String> {
    // Four characters are three bytes.
    if text.len() as u64 > limit_bytes.div_ceil(3) * 4 {
        return Err(format!("it has more than {limit_bytes} bytes"));
    }
    BASE64.decode(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;

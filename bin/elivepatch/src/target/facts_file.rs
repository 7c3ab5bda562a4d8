//! What is known of a machine's kernel in one file, so that livepatches for it can be ordered from
//! another machine.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use elivepatch_api::client::NamedPatch;
use elivepatch_model::{FailureClass, KernelConfig, TargetFacts, limits};
use serde::{Deserialize, Serialize};

use super::{
    Collected, Missing,
    baseline::{self, Baseline},
    config_file::ConfigFile,
    kallsyms,
};
use crate::{inputs::read_at_most, problem::Problem, text::printable};

/// The version of the format.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes: config, symbols and patches at their limits, in the
/// longer forms that they have in JSON.
const FACTS_BYTES: u64 = 64 * 1024 * 1024;

/// The most facts that may be said to be missing: there are some ten.
const MOST_MISSING: usize = 100;

/// The file. A field that is not known is an error: it may be one that decides what is built.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FactsFile {
    facts_version: u32,
    /// The program that wrote it.
    collected_by: String,
    target: TargetFacts,
    /// The config's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    /// The symbols in their normal form, compressed with gzip, in Base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kallsyms: Option<String>,
    /// The patches that are compiled in, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    baseline: Vec<BaselineText>,
    /// Where the patches come from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    baseline_origin: String,
    /// What could not be read, with the reason.
    #[serde(default)]
    missing: Vec<Missing>,
}

/// A patch. Its text is in Base64: it may be in any encoding.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BaselineText {
    name: String,
    base64: String,
}

/// What is read first, whatever else is there.
#[derive(Deserialize)]
struct VersionOnly {
    facts_version: u32,
}

/// The text of the file for these facts.
pub fn write(collected: &Collected) -> Vec<u8> {
    let baseline = collected.baseline.patches.iter().map(|patch| BaselineText {
        name: patch.name.clone(),
        base64: BASE64.encode(&patch.content),
    });
    let config = collected.config.as_ref().map(|config| {
        // What was read as a config is text.
        String::from_utf8_lossy(&config.text).into_owned()
    });
    let file = FactsFile {
        facts_version: VERSION,
        collected_by: concat!("elivepatch ", env!("CARGO_PKG_VERSION")).to_owned(),
        target: collected.facts.clone(),
        config,
        kallsyms: collected.symbols.as_ref().map(|symbols| BASE64.encode(&symbols.packed)),
        baseline: baseline.collect(),
        baseline_origin: collected.baseline.origin.clone(),
        missing: collected.missing.clone(),
    };
    let mut text = serde_json::to_vec_pretty(&file).expect("plain data has a JSON form");
    text.push(b'\n');
    text
}

/// Reads a file that [`write()`] wrote, here or elsewhere.
pub fn read(path: &Path) -> Result<Collected, Problem> {
    let shown = path.display();
    let hint = "collect them on the machine to be patched: elivepatch facts --output FILE";
    let problem = |error: &dyn std::error::Error| {
        Problem::input(format!("cannot read the facts {shown}")).caused_by(error).hint(hint)
    };
    let text = read_at_most(path, FACTS_BYTES).map_err(|error| problem(&error))?;
    if text.len() as u64 > FACTS_BYTES {
        let message = format!("the facts {shown} have more than {FACTS_BYTES} bytes");
        return Err(Problem::input(message).hint(hint));
    }
    let version: VersionOnly = serde_json::from_slice(&text).map_err(|error| problem(&error))?;
    if version.facts_version != VERSION {
        let found = version.facts_version;
        return Err(Problem::input(format!(
            "the facts {shown} are of version {found}, not {VERSION}"
        ))
        .hint("collect them with the same version of elivepatch that orders the livepatch"));
    }
    let file: FactsFile = serde_json::from_slice(&text).map_err(|error| problem(&error))?;
    collected(file, path)
}

fn collected(file: FactsFile, path: &Path) -> Result<Collected, Problem> {
    let shown = path.display();
    let hint = "collect them anew on the machine to be patched: elivepatch facts --output FILE";
    let faulty = |what: &str, why: &str| {
        Problem::input(format!("{what} in the facts {shown} cannot be used"))
            .aside(printable(why))
            .hint(hint)
    };
    let target = file.target.check_form();
    target.map_err(|error| faulty("what is said of the machine", &error.message))?;
    let config = match file.config {
        None => None,
        Some(text) => {
            let text = text.into_bytes();
            let config = KernelConfig::parse(&text).and_then(|config| {
                config.architecture().map(|architecture| (config, architecture))
            });
            let class = FailureClass::ConfigUnreadable;
            let (config, architecture) = config
                .map_err(|error| faulty(&format!("the config ({class})"), &error.to_string()))?;
            if architecture != file.target.architecture {
                return Err(faulty("the config", &format!("it is for {architecture}")));
            }
            Some(ConfigFile { path: path.to_owned(), text, config })
        }
    };
    let symbols = match file.kallsyms {
        None => None,
        Some(text) => {
            let packed = decode(&text, limits::KALLSYMS_PACKED_BYTES);
            let symbols = packed.and_then(|packed| kallsyms::unpack(&packed));
            Some(symbols.map_err(|why| faulty("the list of symbols", &why))?)
        }
    };
    if file.baseline.len() > limits::BASELINE_PATCHES || file.missing.len() > MOST_MISSING {
        return Err(faulty("a list", "it is longer than any that is collected"));
    }
    let mut patches = Vec::with_capacity(file.baseline.len());
    for BaselineText { name, base64 } in file.baseline {
        let content = decode(&base64, limits::BASELINE_PATCH_BYTES)
            .map_err(|why| faulty(&format!("the baseline patch {}", printable(&name)), &why))?;
        baseline::check(&format!("{} in {shown}", printable(&name)), &content)?;
        patches.push(NamedPatch { name, content: content.into() });
    }
    let origin = printable(&file.baseline_origin);
    Ok(Collected {
        facts: file.target,
        config,
        symbols,
        baseline: Baseline { patches, origin },
        missing: file.missing,
    })
}

fn decode(text: &str, limit_bytes: u64) -> Result<Vec<u8>, String> {
    // Four characters are three bytes.
    if text.len() as u64 > limit_bytes.div_ceil(3) * 4 {
        return Err(format!("it has more than {limit_bytes} bytes"));
    }
    BASE64.decode(text).map_err(|error| error.to_string())
}

#[cfg(test)]
#[path = "facts_file_tests.rs"]
mod tests;

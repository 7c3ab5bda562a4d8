//! Saved facts: what is known of a machine's kernel in one file, so that livepatches for it can be
//! ordered from another machine.

use std::path::Path;

use elivepatch_api::client::NamedPatch;
use elivepatch_facts::{FACTS_BYTES, FactsError, SavedFacts, SavedPatch};
use elivepatch_model::KernelConfig;

use super::{Collected, baseline::Baseline, config_file::ConfigFile, kallsyms};
use crate::{inputs::read_at_most, problem::Problem, text::printable};

/// The text of the file for these facts.
pub fn write(collected: &Collected) -> Vec<u8> {
    let patches = collected
        .baseline
        .patches
        .iter()
        .map(|patch| SavedPatch { name: patch.name.clone(), content: patch.content.to_vec() });
    let saved = SavedFacts {
        target: collected.facts.clone(),
        config: collected.config.as_ref().map(|config| config.text.clone()),
        kallsyms: collected.symbols.as_ref().map(|symbols| symbols.packed.clone()),
        baseline: patches.collect(),
        baseline_origin: collected.baseline.origin.clone(),
        missing: collected.missing.clone(),
        collected_by: concat!("elivepatch ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    saved.write()
}

/// Reads a file that [`write()`] wrote, here or elsewhere.
pub fn read(path: &Path) -> Result<Collected, Problem> {
    let text = read_at_most(path, FACTS_BYTES)
        .map_err(|error| unreadable(path, &error).hint(FactsError::TooLarge.hint()))?;
    let saved = SavedFacts::parse(&text).map_err(|error| unusable(path, &error))?;
    let part =
        |what: &str, why: String| unusable(path, &FactsError::Part { what: what.to_owned(), why });
    let config = saved.config.map(|text| {
        let config = KernelConfig::parse(&text);
        let config = config.map_err(|error| part("the config", error.to_string()))?;
        Ok(ConfigFile { path: path.to_owned(), text, config })
    });
    let symbols = saved
        .kallsyms
        .map(|packed| kallsyms::unpack(&packed).map_err(|why| part("the list of symbols", why)));
    let patches = saved
        .baseline
        .into_iter()
        .map(|SavedPatch { name, content }| NamedPatch { name, content: content.into() });
    let origin = printable(&saved.baseline_origin);
    Ok(Collected {
        facts: saved.target,
        config: config.transpose()?,
        symbols: symbols.transpose()?,
        baseline: Baseline { patches: patches.collect(), origin },
        missing: saved.missing,
    })
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Problem {
    Problem::input(format!("cannot read the facts {}", path.display())).caused_by(error)
}

fn unusable(path: &Path, error: &FactsError) -> Problem {
    let shown = path.display();
    let problem = match error {
        FactsError::Form(error) => unreadable(path, error),
        FactsError::Part { what, why } => {
            let what = printable(what);
            Problem::input(format!("{what} in the facts {shown} cannot be used"))
                .aside(printable(why))
        }
        FactsError::Patch { name, failure } => {
            let name = printable(name);
            let what = format!("the baseline patch {name} in {shown} cannot be used");
            return Problem::from_failure(&what, failure);
        }
        FactsError::TooLarge => {
            Problem::input(format!("the facts {shown} have more than {FACTS_BYTES} bytes"))
        }
        FactsError::Version { found, known } => {
            Problem::input(format!("the facts {shown} are of version {found}, not {known}"))
        }
    };
    problem.hint(error.hint())
}

#[cfg(test)]
#[path = "facts_file_tests.rs"]
mod tests;

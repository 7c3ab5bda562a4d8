use elivepatch_api::{
    RebuildRequest,
    client::{NamedPatch, RequestTexts},
};
use elivepatch_model::Sha256Digest;

use super::rebuild::RebuildArgs;
use crate::{
    inputs,
    problem::Problem,
    target::{Collected, baseline::BaselineArgs, config_file, facts_file},
};

/// The texts that the server may not have any more.
pub(super) struct GivenTexts {
    config: Option<Vec<u8>>,
    kallsyms: Option<Vec<u8>>,
    baseline: Vec<NamedPatch>,
    patches: Vec<NamedPatch>,
}

impl GivenTexts {
    /// Reads what the command line names.
    pub(super) fn read(arguments: &RebuildArgs, request: &RebuildRequest) -> Result<Self, Problem> {
        let named = BaselineArgs { paths: arguments.baseline.clone(), none: false }.named()?;
        let patches = inputs::read_patches(&arguments.patches)?;
        let (config, kallsyms, saved) = match &arguments.facts {
            Some(path) => {
                let Collected { config, symbols, baseline, .. } = facts_file::read(path)?;
                // The machine may have got others since.
                let named = &request.request.baseline;
                let is_named = |patch: &NamedPatch| {
                    let digest = Sha256Digest::of(&patch.content);
                    named.iter().any(|named| named.digest == digest)
                };
                let patches = baseline.patches.into_iter().filter(is_named).collect();
                (config, symbols.map(|symbols| symbols.packed), patches)
            }
            None => {
                let config = arguments.config.as_deref().map(config_file::read).transpose()?;
                (config, None, Vec::new())
            }
        };
        let baseline = named.map_or(saved, |named| named.patches);
        Ok(Self { config: config.map(|config| config.text), kallsyms, baseline, patches })
    }

    /// The parts of the request.
    pub(super) fn texts(&self) -> RequestTexts<'_> {
        RequestTexts {
            config: self.config.as_deref(),
            kallsyms: self.kallsyms.as_deref(),
            baseline: &self.baseline,
            patches: &self.patches,
        }
    }
}

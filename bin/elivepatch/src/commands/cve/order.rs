use elivepatch_api::{
    RunRequest,
    client::{NamedPatch, RequestTexts},
};
use elivepatch_model::{Architecture, Sha256Digest, TargetFacts};

use super::CveArgs;
use crate::{
    cve::{StateFile, StateKey},
    inputs,
    problem::Problem,
    server::Server,
    target::{
        self, Asked, Collected,
        baseline::{Baseline, BaselineArgs},
        facts_file,
        running::RunningKernel,
    },
};

/// A run that is to be started: all of it is read and checked here before anything is sent.
pub struct Order {
    /// What is asked for.
    pub request: RunRequest,
    config: Option<Vec<u8>>,
    kallsyms: Option<Vec<u8>>,
    baseline: Vec<NamedPatch>,
}

impl Order {
    /// Reads what the command line names.
    pub fn read(arguments: &CveArgs) -> Result<Self, Problem> {
        let checks = match &arguments.checks {
            Some(path) => inputs::read_run_checks(path)?,
            None => Vec::new(),
        };
        let found = find(arguments, &arguments.baseline)?;
        let request = RunRequest {
            target: found.facts,
            linux_version: arguments.linux_version.clone(),
            selection: arguments.selection(),
            checks,
            options: arguments.how.options(),
            again: arguments.again,
        };
        let Found { config, kallsyms, baseline, .. } = found;
        Ok(Self { request, config, kallsyms, baseline: baseline.patches })
    }

    /// The texts that go with it.
    pub fn texts(&self) -> RequestTexts<'_> {
        RequestTexts {
            config: self.config.as_deref(),
            kallsyms: self.kallsyms.as_deref(),
            baseline: &self.baseline,
            patches: &[],
        }
    }

    /// Where it is remembered what the last such run said.
    pub fn state_file(&self, arguments: &CveArgs, server: &Server) -> Option<StateFile> {
        let patches = self.baseline.iter().map(|patch| Sha256Digest::of(&patch.content));
        let key =
            StateKey::new(server.url.as_str(), &self.request, self.config.as_deref(), patches);
        StateFile::new(arguments.state_directory.as_deref(), &key)
    }
}

/// The kernel that is asked about, for an answer without a livepatch. It is found as for a run, so that both
/// know the same of it.
pub fn facts(arguments: &CveArgs) -> Result<TargetFacts, Problem> {
    Ok(find(arguments, &BaselineArgs { paths: Vec::new(), none: true })?.facts)
}

/// What is known of the kernel. Without a config the server takes that of the stock kernel's package.
struct Found {
    facts: TargetFacts,
    config: Option<Vec<u8>>,
    kallsyms: Option<Vec<u8>>,
    baseline: Baseline,
}

fn find(arguments: &CveArgs, baseline: &BaselineArgs) -> Result<Found, Problem> {
    if let Some(path) = &arguments.facts {
        let named = baseline.named()?;
        let mut collected = facts_file::read(path)?;
        collected.baseline = named.unwrap_or(collected.baseline);
        return Ok(found(collected));
    }
    if arguments.config.is_some() {
        let target::Target { facts, config, kallsyms, baseline } = target::find(&Asked {
            config: arguments.config.as_deref(),
            release: arguments.kernel.as_ref(),
            facts: None,
            baseline,
        })?;
        return Ok(Found { facts, config: Some(config), kallsyms, baseline });
    }
    let kernel = RunningKernel::inspect();
    match &arguments.kernel {
        Some(release) if kernel.release.as_ref() != Some(release) => Ok(Found {
            facts: TargetFacts::new(release.clone(), Architecture::X86_64),
            config: None,
            kallsyms: None,
            baseline: said(baseline.named()?.unwrap_or_default()),
        }),
        _ => Ok(found(target::collect_facts(&kernel, None, baseline)?)),
    }
}

fn found(collected: Collected) -> Found {
    Found {
        facts: collected.facts,
        config: collected.config.map(|config| config.text),
        kallsyms: collected.symbols.map(|symbols| symbols.packed),
        baseline: said(collected.baseline),
    }
}

fn said(baseline: Baseline) -> Baseline {
    if !baseline.patches.is_empty() {
        target::say_baseline(&baseline);
    }
    baseline
}

use elivepatch_api::{
    RunRequest,
    client::{NamedPatch, RequestTexts},
};
use elivepatch_model::{Architecture, Fix, Sha256Digest, TargetFacts};

use super::{super::host::StateArgs, CveArgs};
use crate::{
    cve::{StateFile, StateKey},
    fix_name::is_of_run,
    inputs,
    live::{self, NotFound},
    output::say,
    problem::{Problem, warn},
    server::Server,
    target::{
        self, Asked, Collected,
        baseline::{Baseline, BaselineArgs},
        facts_file,
        running::RunningKernel,
    },
    text::printable,
};

/// A run that is to be started: all of it is read and checked here before anything is sent.
pub struct Order {
    /// What is asked for.
    pub request: RunRequest,
    config: Option<Vec<u8>>,
    kallsyms: Option<Vec<u8>>,
    baseline: Vec<NamedPatch>,
    /// Live fixes that its livepatch holds beside those of CVEs.
    kept: Vec<NamedPatch>,
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
        Ok(Self { request, config, kallsyms, baseline: baseline.patches, kept: Vec::new() })
    }

    /// The same with the fixes that are live and that no CVE run has made: the livepatch of a run replaces what is
    /// loaded, and they would be lost. What a run has made, the next one makes again.
    ///
    /// # Errors
    /// When it is not known what is live and the livepatch is to be loaded, or a text cannot be had.
    pub async fn with_what_is_live(
        mut self,
        arguments: &CveArgs,
        server: &Server,
    ) -> Result<Self, Problem> {
        if arguments.alone {
            return Ok(self);
        }
        let directory = StateArgs::of_environment().directory();
        let live = match live::find(server, &self.request.target, &directory).await {
            Ok(Some(live)) => live,
            Ok(None) => return Ok(self),
            // What matters on the kernel can be told all the same; it is only not to be loaded.
            Err(NotFound::Unknown(problem)) if !arguments.apply => {
                warn(&format!(
                    "{}: the livepatch will hold the fixes of CVEs only",
                    problem.message()
                ));
                return Ok(self);
            }
            Err(problem) => return Err(problem.into_problem()),
        };
        let fixes = live.fixes().iter().filter(|fix| !is_of_run(&fix.name));
        let fixes: Vec<Fix> = fixes.cloned().collect();
        if !fixes.is_empty() {
            let texts = live::kept_or_fetched(server, &directory, &live, &fixes, &[]).await;
            self.kept = texts.map_err(|problem| {
                problem.hint("order without what is live, which loading it then takes out: --alone")
            })?;
            let names: Vec<String> = fixes.iter().map(|fix| printable(&fix.name)).collect();
            let name = printable(&live.name);
            say(&format!("the livepatch keeps {}, live in {name}", names.join(", ")));
        }
        Ok(self)
    }

    /// The texts that go with it.
    pub fn texts(&self) -> RequestTexts<'_> {
        RequestTexts {
            config: self.config.as_deref(),
            kallsyms: self.kallsyms.as_deref(),
            baseline: &self.baseline,
            patches: &self.kept,
        }
    }

    /// The digests of the live fixes that its livepatch is to keep.
    pub fn kept(&self) -> Vec<Sha256Digest> {
        self.kept.iter().map(|patch| Sha256Digest::of(&patch.content)).collect()
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

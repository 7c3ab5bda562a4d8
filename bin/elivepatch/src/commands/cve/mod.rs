//! `elivepatch cve`: which CVEs matter on a kernel, and one livepatch of their fixes.

mod assess;
mod follow;
mod order;
mod reports;
mod result;

use std::{
    io::{IsTerminal, stderr, stdin, stdout},
    path::PathBuf,
};

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use elivepatch_api::{AssessmentRequest, AssessmentResource, CveSelection};
use elivepatch_cve::CveId;
use elivepatch_model::{KernelRelease, RunNumber, TargetFacts};

use super::{build::BuildArgs, options::OptionArgs, run_number};
use crate::{
    classic::ClassicArgs,
    cve::{Filter, VERDICTS},
    exit::Exit,
    manifest_key::ManifestKeyArgs,
    output::{self, say},
    problem::Problem,
    server::{Server, ServerArgs},
    target::baseline::BaselineArgs,
    text::printable,
};

/// `elivepatch cve`, and `elivepatch --cve`.
#[derive(Debug, Default, Args)]
pub struct CveArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    manifest_key: ManifestKeyArgs,
    /// Only say which CVEs matter; nothing is built
    #[arg(long)]
    dry_run: bool,
    /// The kernel, as uname -r prints it there [default: the running one]
    #[arg(
        short = 'a',
        long,
        alias = "kernel_version",
        value_name = "RELEASE",
        conflicts_with = "facts"
    )]
    kernel: Option<KernelRelease>,
    /// The kernel's config, plain or gzip [default: the running kernel's, or that of the stock kernel's package]
    #[arg(short = 'k', long, value_name = "FILE", conflicts_with = "facts")]
    config: Option<PathBuf>,
    /// What elivepatch facts has saved on the machine
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// The version of Linux, such as 6.1.176, where neither release nor facts tell it
    #[arg(long, value_name = "VERSION")]
    linux_version: Option<String>,
    #[command(flatten)]
    baseline: BaselineArgs,
    /// Only CVEs with at least this CVSS score, 0.0 to 10.0, and those without a score
    #[arg(long, value_name = "SCORE", value_parser = severity)]
    severity: Option<f32>,
    /// Only these CVEs; give it again for more
    #[arg(long, value_name = "CVE")]
    only: Vec<CveId>,
    /// Leave these CVEs out; give it again for more
    #[arg(long, value_name = "CVE")]
    exclude: Vec<CveId>,
    /// What the trial must see: a TOML file with command, before and after of each check, and with cve when
    /// it is about the fix of one
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    checks: Option<PathBuf>,
    #[command(flatten)]
    how: OptionArgs,
    /// Order without the fixes that are live and were not made by a CVE run; loading it takes them out
    #[arg(long, conflicts_with = "dry_run")]
    alone: bool,
    /// Try again what failed for other reasons than the fix itself, although nothing is new
    #[arg(long)]
    again: bool,
    /// List the CVEs with this verdict, or of this group; give it again for more
    #[arg(long, value_name = "VERDICT", value_parser = verdicts())]
    verdict: Vec<String>,
    /// Explain a CVE in full; give it again for more
    #[arg(long, visible_alias = "cve", value_name = "CVE")]
    explain: Vec<CveId>,
    /// Print all that may matter as JSON
    #[arg(long, conflicts_with_all = ["verdict", "explain"])]
    json: bool,
    /// Write the report as a page for people to FILE
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as an OpenVEX document for scanners to FILE
    #[arg(long, value_name = "FILE")]
    openvex: Option<PathBuf>,
    /// Where to store the module: a file or a directory [default: the current directory]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Replace other files that are there
    #[arg(long)]
    force: bool,
    /// Load the livepatch into the running kernel when it is stored, unless it is active already
    #[arg(long, conflicts_with_all = ["dry_run", "no_download", "cancel"])]
    apply: bool,
    /// Store no module: only report
    #[arg(long, conflicts_with = "output")]
    no_download: bool,
    /// Go on with an earlier run, or show it
    #[arg(long, value_name = "RUN", value_parser = run_number,
        conflicts_with_all = ["dry_run", "kernel", "config", "facts", "linux_version", "paths", "none",
            "severity", "only", "exclude", "checks", "without", "engine", "accept_unproven", "alone", "again",
            "clear", "changes_only"])]
    run: Option<RunNumber>,
    /// Cancel a run, also for everybody who joined it with an equal request
    #[arg(long, value_name = "RUN", value_parser = run_number,
        conflicts_with_all = ["run", "dry_run", "verdict", "explain", "html", "openvex", "output"])]
    cancel: Option<RunNumber>,
    /// Print nothing when nothing is new since the last run
    #[arg(long, conflicts_with_all = ["dry_run", "always"])]
    changes_only: bool,
    /// Print the summary also when nothing is new, and from cron
    #[arg(long)]
    always: bool,
    /// Forget what the last run for this kernel said
    #[arg(short = 'l', long, conflicts_with_all = ["dry_run", "cancel"])]
    clear: bool,
    /// Where to remember what the last run said [default: see below]
    #[arg(
        long,
        value_name = "DIRECTORY",
        env = "ELIVEPATCH_STATE_DIRECTORY",
        hide_env_values = true
    )]
    state_directory: Option<PathBuf>,
    /// How long the server may be away before the client gives up
    #[arg(long, value_name = "SECONDS", default_value = "60",
        value_parser = clap::value_parser!(u64).range(0..=86_400))]
    give_up_after: u64,
    /// Whether a user who is not root loads the livepatch through sudo.
    #[arg(skip)]
    through_sudo: bool,
}

fn verdicts() -> impl TypedValueParser<Value = String> {
    PossibleValuesParser::new(VERDICTS)
}

fn severity(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(score) if (0.0..=10.0).contains(&score) => Ok(score),
        _ => Err("a score is a number from 0.0 to 10.0".to_owned()),
    }
}

impl CveArgs {
    /// What the classic form says.
    pub fn classic(classic: ClassicArgs, build: BuildArgs) -> Self {
        Self {
            server: build.server,
            manifest_key: build.manifest_key,
            kernel: build.kernel,
            config: build.config,
            facts: build.facts,
            baseline: build.baseline,
            apply: build.apply,
            checks: build.checks,
            how: build.how,
            json: build.json,
            output: build.output,
            force: build.force,
            clear: classic.clear,
            through_sudo: build.through_sudo,
            give_up_after: build.give_up_after,
            ..Self::default()
        }
    }

    fn selection(&self) -> CveSelection {
        CveSelection {
            only: self.only.clone(),
            exclude: self.exclude.clone(),
            severity: self.severity,
        }
    }

    /// What is to be listed.
    fn filter(&self) -> Filter<'_> {
        Filter { verdicts: &self.verdict, only: &self.only, severity: self.severity }
    }

    /// Whether something is asked for that has an answer each time.
    fn asks(&self) -> bool {
        self.json || !self.verdict.is_empty() || !self.explain.is_empty()
    }

    /// Whether only news are told: as the user says, or because nobody sits there.
    fn tells_only_news(&self) -> bool {
        let is_seen = stdin().is_terminal() || stdout().is_terminal() || stderr().is_terminal();
        let is_cron = !is_seen && !self.always && !self.asks() && self.run.is_none();
        self.changes_only || is_cron && !self.dry_run
    }
}

/// Says which CVEs matter on a kernel, and has their fixes built as one livepatch.
pub async fn run(arguments: &CveArgs) -> Result<Exit, Problem> {
    if let Some(number) = arguments.cancel {
        return cancel(arguments, number).await;
    }
    if arguments.dry_run {
        return assess::run(arguments).await;
    }
    if arguments.tells_only_news() {
        output::hold();
    }
    follow::run(arguments).await
}

async fn cancel(arguments: &CveArgs, number: RunNumber) -> Result<Exit, Problem> {
    let server = arguments.server.open()?;
    let run = server.client.cancel_run(number).await.map_err(|error| server.problem(&error))?;
    say(&format!("run {} is {}", run.number, run.state.as_str()));
    Ok(Exit::Done)
}

/// Asks what CVEs are to a kernel, these in full.
async fn assessed(
    server: &Server,
    target: &TargetFacts,
    linux_version: Option<&str>,
    explain: &[CveId],
) -> Result<AssessmentResource, Problem> {
    let request = AssessmentRequest {
        target: target.clone(),
        linux_version: linux_version.map(str::to_owned),
        explain: explain.to_vec(),
    };
    let assessed = server.client.assess(&request).await.map_err(|error| server.problem(&error))?;
    match missing(explain, &assessed) {
        Some(problem) => Err(problem),
        None => Ok(assessed),
    }
}

/// What is wrong when a CVE that was asked for is not in the answer.
fn missing(asked: &[CveId], assessed: &AssessmentResource) -> Option<Problem> {
    let is_missing = |id: &&CveId| !assessed.cves.iter().any(|cve| cve.id == **id);
    let id = asked.iter().find(is_missing)?;
    let fault = assessed.faults.iter().find(|fault| fault.id == *id);
    Some(match fault {
        Some(fault) => Problem::input(format!(
            "the record of {id} in the server's feed cannot be used: {}",
            printable(&fault.reason)
        ))
        .hint("it was never read whole; look at what the kernel's CVE team says of it"),
        None => Problem::input(format!("the server's feed has no {id}"))
            .hint("look whether it is one of the kernel's, and how old the feed is"),
    })
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

use std::{cell::Cell, path::PathBuf, time::Duration};

use clap::Args;
use elivepatch_api::{
    BuildRequest, BuildResource,
    client::{NamedPatch, RequestTexts},
};
use elivepatch_model::{BuildNumber, BuildState, Failure, KernelRelease, Manifest, Sha256Digest};
use serde::Serialize;

use super::{
    build_number,
    host::{self, StateArgs},
    options::OptionArgs,
};
use crate::{
    destination::Destination,
    download::{self, Sent, SentFixes, Stored},
    exit::Exit,
    inputs,
    manifest_key::ManifestKeyArgs,
    output::{data, say},
    problem::Problem,
    report,
    server::{Server, ServerArgs},
    target::{self, Asked, Target, baseline::BaselineArgs},
    watch::{self, Watched},
};

/// `elivepatch build`, and `elivepatch` without a command.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The config of the kernel to be patched, plain or gzip [default: the running kernel's]
    #[arg(short = 'k', long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A patch against the kernel's source; give it again for more, in their order
    #[arg(short, long = "patch", value_name = "FILE")]
    pub patches: Vec<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub manifest_key: ManifestKeyArgs,
    /// The kernel's release as uname -r prints it [default: worked out from the config]
    #[arg(short = 'a', long, alias = "kernel_version", value_name = "RELEASE")]
    pub kernel: Option<KernelRelease>,
    /// What elivepatch facts saved of the machine to be patched, instead of config and release
    #[arg(long, value_name = "FILE", conflicts_with_all = ["config", "kernel"])]
    pub facts: Option<PathBuf>,
    #[command(flatten)]
    pub baseline: BaselineArgs,
    /// What the trial must see: a TOML file with command, before and after of each check
    #[arg(long, value_name = "FILE")]
    pub checks: Option<PathBuf>,
    #[command(flatten)]
    pub how: OptionArgs,
    /// Where to store the module: a file or a directory [default: the current directory]
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Replace another file that is there
    #[arg(long)]
    pub force: bool,
    /// Load the livepatch into the running kernel when it is stored: elivepatch apply
    #[arg(long)]
    pub apply: bool,
    /// Print the outcome with the manifest as JSON
    #[arg(long)]
    pub json: bool,
    /// Only submit the build and print its number
    #[arg(long, conflicts_with_all = ["output", "force", "verbose", "apply"])]
    pub no_wait: bool,
    /// Go on with an earlier build instead of submitting one
    #[arg(long, value_name = "BUILD", value_parser = build_number,
        conflicts_with_all = ["config", "patches", "kernel", "checks", "without", "engine", "no_wait", "facts",
            "paths", "none", "accept_unproven"])]
    pub follow: Option<BuildNumber>,
    /// How long the server may be away before the client gives up
    #[arg(long, value_name = "SECONDS", default_value = "60",
        value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub give_up_after: u64,
    /// Show what the build's tools print
    #[arg(long)]
    pub verbose: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Outcome<'a> {
    build: BuildNumber,
    server: &'a str,
    state: BuildState,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest_file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'a Manifest>,
}

/// A build that is to be submitted: all of it is read and checked here before anything is sent.
struct Order {
    request: BuildRequest,
    config: Vec<u8>,
    kallsyms: Option<Vec<u8>>,
    baseline: Vec<NamedPatch>,
    patches: Vec<NamedPatch>,
}

impl Order {
    fn texts(&self) -> RequestTexts<'_> {
        RequestTexts {
            config: Some(&self.config),
            kallsyms: self.kallsyms.as_deref(),
            baseline: &self.baseline,
            patches: &self.patches,
        }
    }

    /// What the manifest of the livepatch must say again.
    fn identity(&self) -> Sent {
        let target = &self.request.target;
        let fixes = self.patches.iter().map(|patch| Sha256Digest::of(&patch.content));
        Sent {
            release: target.release.clone(),
            build_id: target.build_id.clone(),
            accept_unproven: self.request.options.accept_unproven,
            fixes: SentFixes::InOrder(fixes.collect()),
        }
    }
}

/// Submits a build, or goes on with one, until Ctrl-C.
pub async fn run(arguments: &BuildArgs) -> Result<Exit, Problem> {
    if arguments.follow.is_none() && arguments.patches.is_empty() {
        return Err(Problem::usage("no patch is given")
            .hint("give one with --patch FILE, or go on with a build with --follow BUILD"));
    }
    let server = arguments.server.open()?;
    let destination = match arguments.no_wait {
        true => None,
        false => Some(Destination::open(arguments.output.as_deref(), arguments.force)?),
    };
    let order = match arguments.follow {
        Some(_) => None,
        None => Some(read_order(arguments)?),
    };
    let sent = order.as_ref().map(Order::identity);
    let current = Cell::new(arguments.follow);
    let work = async {
        if let Some(order) = order {
            current.set(Some(submit(&server, order).await?));
        }
        let number = current.get().expect("a build is submitted or followed");
        match destination {
            Some(destination) => {
                complete(arguments, &server, number, &destination, sent.as_ref()).await
            }
            None => print_submitted(arguments, &server, number).await,
        }
    };
    // From here on there are no blocking reads of what the user gave: Ctrl-C is seen at once.
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => {
            Err(interrupted(&server, current.get(), |number| server.follow_command(number)))
        }
    }
}

fn read_order(arguments: &BuildArgs) -> Result<Order, Problem> {
    let patches = inputs::read_patches(&arguments.patches)?;
    let checks = match &arguments.checks {
        Some(path) => inputs::read_checks(path)?,
        None => Vec::new(),
    };
    let target = target::find(&Asked {
        config: arguments.config.as_deref(),
        release: arguments.kernel.as_ref(),
        facts: arguments.facts.as_deref(),
        baseline: &arguments.baseline,
    })?;
    let options = arguments.how.options();
    let Target { facts, config, kallsyms, baseline } = target;
    let request = BuildRequest { target: facts, checks, options };
    Ok(Order { request, config, kallsyms, baseline: baseline.patches, patches })
}

async fn submit(server: &Server, order: Order) -> Result<BuildNumber, Problem> {
    let submission = server
        .client
        .submit_texts(&order.request, &order.texts())
        .await
        .map_err(|error| server.problem(&error))?;
    let number = submission.build.number;
    let state = submission.build.state;
    if submission.joined {
        say(&format!("build {number} on {}: an equal build is there ({state})", server.url));
    } else {
        say(&format!("build {number} on {}", server.url));
    }
    Ok(number)
}

/// Watches a build to its end, stores the livepatch and says what became of it.
async fn complete(
    arguments: &BuildArgs,
    server: &Server,
    number: BuildNumber,
    destination: &Destination,
    sent: Option<&Sent>,
) -> Result<Exit, Problem> {
    let patience = Duration::from_secs(arguments.give_up_after);
    let go_on = server.follow_command(number);
    let watched = Watched { server, number, patience, go_on: &go_on };
    let build = watch::to_the_end(&watched, arguments.verbose).await?;
    if build.state != BuildState::Succeeded {
        if arguments.json {
            print_outcome(server, &build, None)?;
        }
        return Err(not_built(&build));
    }
    let trust = arguments.manifest_key.trust(StateArgs::of_environment().directory());
    let stored =
        download::fetch(server, &build, sent, &trust, destination, patience).await.map_err(
            |problem| problem.aside(format!("build {number} is there; get it with: {go_on}")),
        )?;
    if arguments.json {
        print_outcome(server, &build, Some(&stored))?;
    } else {
        report::print_stored(&stored, arguments.apply)?;
    }
    if arguments.apply {
        host::apply::module(&stored.module_path, &arguments.manifest_key, false)?;
    }
    Ok(Exit::Done)
}

async fn print_submitted(
    arguments: &BuildArgs,
    server: &Server,
    number: BuildNumber,
) -> Result<Exit, Problem> {
    if arguments.json {
        let build = server.client.build(number).await.map_err(|error| server.problem(&error))?;
        print_outcome(server, &build, None)?;
    } else {
        data(&number.to_string())?;
    }
    say(&format!("follow it with: {}", server.follow_command(number)));
    Ok(Exit::Done)
}

fn print_outcome(
    server: &Server,
    build: &BuildResource,
    stored: Option<&Stored>,
) -> Result<(), Problem> {
    report::print_json(&Outcome {
        build: build.number,
        server: server.url.as_str(),
        state: build.state,
        module: stored.map(|stored| stored.module_path.display().to_string()),
        manifest_file: stored.map(|stored| stored.manifest_path.display().to_string()),
        failure: build.failure.as_ref(),
        manifest: stored.map(|stored| &stored.manifest),
    })
}

pub(super) fn not_built(build: &BuildResource) -> Problem {
    let number = build.number;
    match &build.failure {
        Some(failure) => Problem::from_failure(&format!("build {number} failed"), failure),
        None => Problem::new(Exit::Build, format!("build {number} is {}", build.state))
            .hint("to have it built after all, submit it again: run the same command again"),
    }
}

/// The user's Ctrl-C. `go_on` gives the command that goes on with a build.
pub(super) fn interrupted(
    server: &Server,
    number: Option<BuildNumber>,
    go_on: impl Fn(BuildNumber) -> String,
) -> Problem {
    match number {
        Some(number) => {
            Problem::new(Exit::Interrupted, format!("interrupted; build {number} goes on"))
                .hint(format!("follow it with: {}", go_on(number)))
                .aside(format!("cancel it with: {}", server.cancel_command(number)))
        }
        None => Problem::new(Exit::Interrupted, "interrupted before the build had a number")
            .hint(format!("see whether the server has it: {}", server.list_command())),
    }
}

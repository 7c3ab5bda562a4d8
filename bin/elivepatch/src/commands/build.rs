use std::{cell::Cell, path::PathBuf, time::Duration};

use clap::Args;
use elivepatch_api::BuildResource;
use elivepatch_model::{BuildNumber, BuildState, Failure, KernelRelease, Manifest};
use serde::Serialize;

use super::{
    build_number,
    host::{self, StateArgs, apply::Module},
    options::OptionArgs,
    order::{Order, Ordered},
};
use crate::{
    destination::Destination,
    download::{self, Stored},
    exit::Exit,
    live,
    manifest_key::ManifestKeyArgs,
    output::{data, say},
    problem::Problem,
    report,
    server::{Server, ServerArgs},
    target::baseline::BaselineArgs,
    watch::{self, Watched},
};

/// `elivepatch build`, and `elivepatch` without a command.
#[derive(Debug, Default, Args)]
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
    /// Order without the fixes that are live; loading it takes them out
    #[arg(long)]
    pub alone: bool,
    /// Leave a fix out that is live: its patch's name, its CVE, or the beginning of its digest; give it again for more
    #[arg(long, value_name = "FIX", conflicts_with = "alone")]
    pub drop: Vec<String>,
    /// Go on with an earlier build instead of submitting one
    #[arg(long, value_name = "BUILD", value_parser = build_number,
        conflicts_with_all = ["config", "patches", "kernel", "checks", "without", "engine", "no_wait", "facts",
            "paths", "none", "accept_unproven", "alone", "drop"])]
    pub follow: Option<BuildNumber>,
    /// How long the server may be away before the client gives up
    #[arg(long, value_name = "SECONDS", default_value = "60",
        value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub give_up_after: u64,
    /// Show what the build's tools print
    #[arg(long)]
    pub verbose: bool,
    /// Whether a user who is not root loads the livepatch through sudo.
    #[arg(skip)]
    pub through_sudo: bool,
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

/// Submits a build, or goes on with one, until Ctrl-C.
pub async fn run(arguments: &BuildArgs) -> Result<Exit, Problem> {
    if arguments.follow.is_none() && arguments.patches.is_empty() && arguments.drop.is_empty() {
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
        None => Some(Order::read(arguments)?),
    };
    let current = Cell::new(arguments.follow);
    let work = async {
        let order = match order {
            Some(order) => match order.with_what_is_live(arguments, &server).await? {
                Ordered::New(order) => Some(order),
                Ordered::AllLive { livepatch } => return print_live(arguments, &livepatch),
            },
            None => None,
        };
        if let Some(order) = &order {
            current.set(Some(submit(&server, order).await?));
        }
        let number = current.get().expect("a build is submitted or followed");
        match destination {
            Some(destination) => {
                complete(arguments, &server, number, &destination, order.as_deref()).await
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

async fn submit(server: &Server, order: &Order) -> Result<BuildNumber, Problem> {
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
    order: Option<&Order>,
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
    let sent = order.map(Order::identity);
    let trust = arguments.manifest_key.trust(StateArgs::of_environment().directory());
    let fetched =
        download::fetch(server, &build, sent.as_ref(), &trust, destination, patience).await;
    let stored = fetched.map_err(|problem| {
        problem.aside(format!("build {number} is there; get it with: {go_on}"))
    })?;
    if arguments.json {
        print_outcome(server, &build, Some(&stored))?;
    } else {
        report::print_stored(&stored, arguments.apply)?;
    }
    if arguments.apply {
        let patches = match order {
            Some(order) => order.patches.iter().map(|patch| patch.content.to_vec()).collect(),
            None => {
                let directory = host::StateArgs::of_environment().directory();
                live::of_build(server, &directory, number, &stored.manifest).await
            }
        };
        let dropped = order.map(|order| &order.dropped[..]).unwrap_or_default();
        host::apply::module(&Module {
            path: &stored.module_path,
            patches,
            dropped,
            key: &arguments.manifest_key,
            quiet: false,
            through_sudo: arguments.through_sudo,
        })?;
    }
    Ok(Exit::Done)
}

/// All that was given is live already: there is nothing to be built.
fn print_live(arguments: &BuildArgs, livepatch: &str) -> Result<Exit, Problem> {
    /// What `--json` prints then.
    #[derive(Serialize)]
    struct AllLive<'a> {
        state: &'a str,
        livepatch: &'a str,
    }
    if arguments.json {
        report::print_json(&AllLive { state: "live", livepatch })?;
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

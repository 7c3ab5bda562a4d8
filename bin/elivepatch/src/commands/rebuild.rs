use std::{cell::Cell, path::PathBuf, time::Duration};

use clap::Args;
use elivepatch_api::{
    BuildResource, RebuildRequest,
    client::{ClientError, RequestTexts},
};
use elivepatch_host::ManifestTrust;
use elivepatch_model::{
    BuildNumber, BuildState, Difference, FailureClass, Manifest, manifest_differences,
};
use serde::Serialize;

use super::{
    build::{interrupted, not_built},
    build_number,
    host::StateArgs,
    rebuild_texts::GivenTexts,
};
use crate::{
    download::{self, Rebuilt},
    exit::Exit,
    manifest_file::{self, ManifestFile},
    manifest_key::ManifestKeyArgs,
    output::{data, say},
    problem::{Problem, warn},
    report,
    server::{Server, ServerArgs},
    text::printable,
    watch::{self, Watched},
};

/// `elivepatch rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// The manifest of the livepatch, as it was stored beside the module
    #[arg(value_name = "MANIFEST")]
    manifest: PathBuf,
    /// The patches that the livepatch was built from, where the server may not have them any more
    #[arg(value_name = "PATCH")]
    pub(super) patches: Vec<PathBuf>,
    /// The config that it was built for, where the server may not have it any more
    #[arg(short = 'k', long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// What elivepatch facts saved of the machine that it was built for, likewise
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(super) facts: Option<PathBuf>,
    /// A patch that was compiled into the running kernel, or a directory of such patches, likewise
    #[arg(long, value_name = "PATH")]
    pub(super) baseline: Vec<PathBuf>,
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    manifest_key: ManifestKeyArgs,
    /// Build even where the source, the toolchain or the builder is another one, and compare
    #[arg(long)]
    anyway: bool,
    /// Go on with an earlier rebuild of this livepatch instead of submitting one
    #[arg(long, value_name = "BUILD", value_parser = build_number,
        conflicts_with_all = ["patches", "config", "facts", "baseline", "anyway"])]
    follow: Option<BuildNumber>,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
    /// How long the server may be away before the client gives up
    #[arg(long, value_name = "SECONDS", default_value = "60",
        value_parser = clap::value_parser!(u64).range(0..=86_400))]
    give_up_after: u64,
    /// Show what the build's tools print
    #[arg(long)]
    verbose: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Outcome<'a> {
    build: BuildNumber,
    server: &'a str,
    state: BuildState,
    identical: bool,
    differences: &'a [Difference],
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'a elivepatch_model::Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'a Manifest>,
}

/// Has a livepatch built again and compares the two modules byte by byte, by their digests.
pub async fn run(arguments: &RebuildArgs) -> Result<Exit, Problem> {
    let trust = arguments.manifest_key.trust(StateArgs::of_environment().directory());
    let then = manifest_file::read(&arguments.manifest, &trust)?;
    let Some(request) = RebuildRequest::of(&then.manifest, arguments.anyway) else {
        let shown = arguments.manifest.display();
        let message = format!("{shown} does not say what its livepatch was built for");
        return Err(Problem::input(message)
            .hint("manifests have said so since version 2: build the livepatch anew first"));
    };
    let given = GivenTexts::read(arguments, &request)?;
    let server = arguments.server.open()?;
    let go_on = |number| server.follow_rebuild_command(number, &arguments.manifest);
    let current = Cell::new(arguments.follow);
    let work = async {
        let number = match arguments.follow {
            Some(number) => number,
            None => {
                check_builder(&server, &request, arguments).await?;
                submit(&server, &request, &given.texts()).await?
            }
        };
        current.set(Some(number));
        if arguments.follow.is_some() {
            check_followed(&server, number, &then, arguments).await?;
        }
        compare(arguments, &server, number, (&then, &trust), &go_on(number)).await
    };
    tokio::select! {
        outcome = work => outcome,
        _ = tokio::signal::ctrl_c() => Err(interrupted(&server, current.get(), go_on)),
    }
}

/// Says in what the server's builder differs from the one of then, before anything is built, and
/// goes on only if the results can be compared all the same.
async fn check_builder(
    server: &Server,
    request: &RebuildRequest,
    arguments: &RebuildArgs,
) -> Result<(), Problem> {
    let patience = Duration::from_secs(arguments.give_up_after);
    let version = server
        .patiently(patience, || server.client.version())
        .await
        .map_err(|error| server.problem(&error))?;
    let differences = request.rebuild.builder_differences(&version.builder);
    if differences.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = differences.iter().map(difference_line).collect();
    if arguments.anyway {
        for line in lines {
            warn(&format!("the server's builder is another one: {line}"));
        }
        return Ok(());
    }
    let message = "the server's builder is not the one that made the livepatch, so other bytes would \
                   prove nothing";
    let problem = lines.into_iter().fold(Problem::new(Exit::Build, message), Problem::aside);
    Err(problem.hint("rebuild with the same version of elivepatch-server, or add --anyway"))
}

/// Refuses a build that is no rebuild of the manifest's livepatch: the bytes of the first build
/// itself, say, would be the same and prove nothing.
async fn check_followed(
    server: &Server,
    number: BuildNumber,
    then: &ManifestFile,
    arguments: &RebuildArgs,
) -> Result<(), Problem> {
    let patience = Duration::from_secs(arguments.give_up_after);
    let build = server
        .patiently(patience, || server.client.build(number))
        .await
        .map_err(|error| server.problem(&error))?;
    let manifest = &then.manifest;
    if build.key == manifest.build_key
        && build.rebuild.is_some_and(|rebuild| rebuild.module == manifest.module.digest)
    {
        return Ok(());
    }
    let shown = arguments.manifest.display();
    Err(Problem::input(format!("build {number} is no rebuild of the livepatch of {shown}"))
        .hint("give the number that elivepatch rebuild printed, or leave --follow out"))
}

async fn submit(
    server: &Server,
    request: &RebuildRequest,
    texts: &RequestTexts<'_>,
) -> Result<BuildNumber, Problem> {
    let submission = server.client.rebuild(request, texts).await.map_err(|error| match &error {
        // Nothing joins a rebuild: the same command again would make a second one.
        ClientError::Lost { .. } => server.problem(&error).hint(format!(
            "see whether the server has it: {}; then go on with it by --follow BUILD",
            server.list_command()
        )),
        _ => server.problem(&error),
    })?;
    let number = submission.build.number;
    say(&format!("build {number} on {}: a rebuild", server.url));
    Ok(number)
}

async fn compare(
    arguments: &RebuildArgs,
    server: &Server,
    number: BuildNumber,
    (then, trust): (&ManifestFile, &ManifestTrust),
    go_on: &str,
) -> Result<Exit, Problem> {
    let patience = Duration::from_secs(arguments.give_up_after);
    let watched = Watched { server, number, patience, go_on };
    let build = watch::to_the_end(&watched, arguments.verbose).await?;
    if build.state != BuildState::Succeeded {
        if arguments.json {
            print_json(server, &build, false, &[], None)?;
        }
        let differs = build.failure.as_ref().map(|failure| failure.class);
        return Err(match differs {
            // What was asked is answered: the same bytes cannot come out here.
            Some(FailureClass::RebuildDiffers) => not_built(&build).with_exit(Exit::Build),
            _ => not_built(&build),
        });
    }
    // The bytes decide, not what the server says of them.
    let now = download::digest(server, &build, trust, patience).await.map_err(|problem| {
        problem.aside(format!("build {number} is there; compare it with: {go_on}"))
    })?;
    // Whoever signs them: a signature proves nothing of what was compiled.
    let Rebuilt { manifest: now, unsigned } = now;
    let identical = unsigned == then.manifest.module.unsigned();
    let differences = manifest_differences(&then.manifest, &now);
    if arguments.json {
        print_json(server, &build, identical, &differences, Some(&now))?;
    } else {
        print(then, &now, identical, &differences)?;
    }
    Ok(if identical { Exit::Done } else { Exit::Build })
}

fn print(
    then: &ManifestFile,
    now: &Manifest,
    identical: bool,
    differences: &[Difference],
) -> Result<(), Problem> {
    let (old, new) = (&then.manifest.module, &now.module);
    data(if identical { "rebuild: identical" } else { "rebuild: different" })?;
    data(&format!("  module then: sha256 {}, {} bytes", old.digest, old.size_bytes))?;
    data(&format!("  module now:  sha256 {}, {} bytes", new.digest, new.size_bytes))?;
    if let Some(path) = &then.module {
        data(&format!("  {} is the module of the manifest", path.display()))?;
    }
    if identical {
        let functions = now.functions.len();
        data(&format!(
            "  both from {} {} with {} ({}), engine {}, builder {}; {functions} replaced function{}",
            printable(&now.source.kind),
            printable(&now.source.version),
            printable(&now.toolchain.name),
            now.toolchain.digest,
            now.engine,
            printable(&now.builder_version),
            if functions == 1 { "" } else { "s" },
        ))?;
    } else if differences.is_empty() {
        data("  nothing in the two manifests explains it: please report it with both modules")?;
    }
    if identical && old.digest != new.digest {
        data("  the signatures of the two modules differ, and all before them is the same")?;
    }
    for difference in differences {
        data(&format!("  {}", difference_line(difference)))?;
    }
    Ok(())
}

fn difference_line(difference: &Difference) -> String {
    let Difference { what, then, now } = difference;
    format!("{}: {}, now {}", printable(what), printable(then), printable(now))
}

fn print_json(
    server: &Server,
    build: &BuildResource,
    identical: bool,
    differences: &[Difference],
    manifest: Option<&Manifest>,
) -> Result<(), Problem> {
    report::print_json(&Outcome {
        build: build.number,
        server: server.url.as_str(),
        state: build.state,
        identical,
        differences,
        failure: build.failure.as_ref(),
        manifest,
    })
}

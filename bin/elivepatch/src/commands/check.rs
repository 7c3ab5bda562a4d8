use std::{path::PathBuf, time::Duration};

use clap::Args;
use elivepatch_patch::{
    SourcePatch,
    patchability::{self, Surroundings, Verdict},
};

use crate::{
    check_report, exit::Exit, inputs, problem::Problem, report, source_tree::DiskTree, target,
};

/// How long the files that include the patches' headers are looked for, in all: the verdict is to
/// come in under a second, and a kernel tree has 60,000 files.
const INCLUDERS_TIME: Duration = Duration::from_millis(400);

/// `elivepatch check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The patches, in the order in which they are applied; - is standard input
    #[arg(value_name = "PATCH", required = true)]
    patches: Vec<PathBuf>,
    /// The config of the kernel to be patched, plain or gzip
    #[arg(short = 'k', long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The kernel's source: judge whole files and not only what the patch shows
    #[arg(short, long, value_name = "TREE")]
    source: Option<PathBuf>,
    /// Exit with 3 also when it cannot be sure
    #[arg(long)]
    strict: bool,
    /// Print the verdict as JSON
    #[arg(long)]
    json: bool,
}

/// Judges patches without a server.
pub fn run(arguments: &CheckArgs) -> Result<Exit, Problem> {
    let outcome = judge(arguments);
    // Who reads JSON is to find some on standard output, whatever happens.
    if let (Err(problem), true) = (&outcome, arguments.json) {
        report::print_json(&problem.as_json())?;
    }
    outcome
}

fn judge(arguments: &CheckArgs) -> Result<Exit, Problem> {
    let patches = inputs::read_patches_or_input(&arguments.patches)?;
    let patches = patches.into_iter().map(|patch| {
        let parsed = SourcePatch::parse(&patch.content).map_err(|error| {
            Problem::from_failure(&format!("{} was not judged", patch.name), &error.failure())
        });
        parsed.map(|parsed| (patch.name, parsed))
    });
    let patches: Vec<(String, SourcePatch)> = patches.collect::<Result<_, _>>()?;
    let config = arguments.config.as_deref().map(target::config_file::read).transpose()?;
    let tree = arguments.source.as_deref().map(|root| DiskTree::open(root, INCLUDERS_TIME));
    let tree = tree.transpose()?;
    let surroundings = Surroundings {
        config: config.as_ref().map(|config| &config.config),
        tree: tree.as_ref().map(|tree| tree as &dyn patchability::SourceTree),
    };
    let verdict = patchability::check(&patches, &surroundings);
    if arguments.json {
        report::print_json(&verdict)?;
    } else {
        check_report::print(&verdict, surroundings.tree.is_some())?;
    }
    Ok(match verdict.verdict {
        Verdict::Refused => Exit::Build,
        Verdict::Unsure if arguments.strict => Exit::Build,
        _ => Exit::Done,
    })
}

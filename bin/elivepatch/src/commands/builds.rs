use clap::{Args, builder::PossibleValuesParser, builder::TypedValueParser};
use elivepatch_api::{BuildList, ListBuildsQuery};
use elivepatch_model::BuildState;

use crate::{exit::Exit, problem::Problem, report, server::ServerArgs};

/// How many builds the server gives at once; its own limit is 200.
const PAGE: u32 = 100;

/// `elivepatch builds`.
#[derive(Debug, Args)]
pub struct BuildsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Only builds in this state
    #[arg(long, value_name = "STATE", value_parser = state_parser())]
    state: Option<BuildState>,
    /// At most so many, the newest first
    #[arg(long, value_name = "NUMBER", default_value = "20",
        value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print the builds as JSON
    #[arg(long)]
    json: bool,
}

fn state_parser() -> impl TypedValueParser<Value = BuildState> {
    PossibleValuesParser::new(["queued", "running", "succeeded", "failed", "cancelled"])
        .try_map(|text| text.parse::<BuildState>())
}

/// Lists builds.
pub async fn run(arguments: &BuildsArgs) -> Result<Exit, Problem> {
    let server = arguments.server.open()?;
    let mut list = BuildList { builds: Vec::new(), next: None };
    loop {
        let missing = arguments.limit.saturating_sub(list.builds.len() as u32);
        let query = ListBuildsQuery {
            state: arguments.state,
            before: list.next,
            limit: Some(missing.min(PAGE)),
        };
        let page = server.client.list(&query).await.map_err(|error| server.problem(&error))?;
        let got_some = !page.builds.is_empty();
        list.builds.extend(page.builds);
        list.next = page.next;
        let complete = list.builds.len() >= arguments.limit as usize;
        if complete || !got_some || list.next.is_none() {
            break;
        }
    }
    if arguments.json {
        report::print_json(&list)?;
    } else {
        report::print_list(&list)?;
    }
    Ok(Exit::Done)
}

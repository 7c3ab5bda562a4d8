mod assign;
mod exposure;
mod hold;
mod list;
mod show;
mod withdraw;

use elivepatch_api::ErrorCode;
use elivepatch_model::Whom;
use elivepatch_server::{
    AppError, ServerConfig,
    app::{Fleet, StoreError},
    config::Places,
};

use super::{feed::open, load_config, wait_for};
use crate::{actor, arguments::Arguments, error::CommandError, host_arguments::HostCommand};

/// How many a page has that is read of a list.
const PAGE: u32 = 1000;

/// Looks after hosts. The server may run or not.
pub fn run(arguments: &Arguments, command: &HostCommand) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    wait_for(async {
        if let HostCommand::Exposure(asked) = command {
            return exposure::show(&config, asked).await;
        }
        let fleet = fleet(&config).await?;
        let done = with(&fleet, command).await;
        fleet.close().await;
        done.map_err(of_app)
    })
}

async fn with(fleet: &Fleet, command: &HostCommand) -> Result<(), AppError> {
    match command {
        HostCommand::List(asked) => list::list(fleet, asked).await,
        HostCommand::Show { name, output } => show::show(fleet, name, output.json).await,
        HostCommand::Forget { name } => {
            fleet.forget(name).await?;
            anstream::println!("forgotten: {name}; what is loaded there stays loaded");
            Ok(())
        }
        HostCommand::Tag { name, tags, remove } => {
            let host = match remove {
                true => fleet.remove_tags(name, tags.clone()).await?,
                false => fleet.add_tags(name, tags.clone()).await?,
            };
            anstream::println!("tags of {name}: {}", list::tags(&host.summary.tags));
            Ok(())
        }
        HostCommand::Assign { build, whom, note } => {
            assign::assign(fleet, *build, whom.whom(), note).await
        }
        HostCommand::Assignments(output) => assign::list(fleet, output.json).await,
        HostCommand::Unassign { id } => {
            fleet.unassign(*id).await?;
            anstream::println!("taken away: assignment {id}; what is loaded by it stays loaded");
            Ok(())
        }
        HostCommand::Hold { whom, reason } => hold::hold(fleet, whom.whom(), reason).await,
        HostCommand::Release { whom } => hold::release(fleet, &whom.whom()).await,
        HostCommand::Holds(output) => hold::list(fleet, output.json).await,
        HostCommand::Withdraw { build, reason } => withdraw::withdraw(fleet, *build, reason).await,
        HostCommand::Allow { build } => {
            fleet.allow(*build).await?;
            anstream::println!(
                "allowed: the livepatch of build {build}; what is assigned of it counts again"
            );
            Ok(())
        }
        HostCommand::Withdrawals(output) => withdraw::list(fleet, output.json).await,
        HostCommand::Exposure(_) => unreachable!("it is answered without a fleet"),
    }
}

/// The hosts of a server.
async fn fleet(config: &ServerConfig) -> Result<Fleet, CommandError> {
    let fleet = Fleet::new(open(config).await?, config.hosts.report_seconds);
    Ok(fleet.acting_as(actor::of_this_process()))
}

/// What an error of the server is to a command.
fn of_app(error: AppError) -> CommandError {
    let hint = match &error {
        AppError::Store(StoreError::NoSuchBuild(_)) => {
            "elivepatch builds lists the builds of a server that runs".to_owned()
        }
        error if error.code() == ErrorCode::Internal => {
            "look at the data directory, and whether its disk is full".to_owned()
        }
        error => error.hint(),
    };
    match error.code() {
        ErrorCode::Internal | ErrorCode::DiskFull => CommandError::failed(error, hint),
        _ => CommandError::input(error, hint),
    }
}

/// For whom something is, in a table.
fn shown(whom: &Whom) -> String {
    match whom {
        Whom::Host(name) => format!("host {name}"),
        Whom::Tag(tag) => format!("tag {tag}"),
        Whom::All => "all".to_owned(),
    }
}

/// When hosts hear of something, for people.
fn at_next_report(hosts: u64) -> String {
    match hosts {
        0 => "it reaches no host now".to_owned(),
        1 => "1 host hears of it at its next report".to_owned(),
        hosts => format!("{hosts} hosts hear of it at their next reports"),
    }
}

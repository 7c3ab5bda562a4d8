use std::time::Duration;

use elivepatch_server::{
    ServerConfig,
    app::{
        FeedError, FeedOptions, FeedStatus, FeedUpdate, GitError, Store, StoreError, feed_status,
        shown_source, update_feed,
    },
    config::Places,
};

use super::{bundle, load_config, make_directory, wait_for};
use crate::{
    arguments::{Arguments, FeedCommand},
    error::CommandError,
    owner, report,
};

/// Reads the CVE feed, or tells what was read of it. The server may run or not.
pub fn run(arguments: &Arguments, command: &FeedCommand) -> Result<(), CommandError> {
    let config = load_config(arguments, &Places::of_this_user())?;
    wait_for(async {
        match command {
            FeedCommand::Update { force } => update(&config, *force).await,
            FeedCommand::Status(list) => status(&config, list.json).await,
            FeedCommand::Faults(list) => faults(&config, list.json).await,
            FeedCommand::Export(asked) => bundle::export(&config, asked).await,
            FeedCommand::Import(asked) => bundle::import(&config, asked).await,
            FeedCommand::Keygen { secret, public } => bundle::keygen(secret, public),
        }
    })
}

/// What the config says of the feed; `None` when there is none.
pub fn options(config: &ServerConfig) -> Option<FeedOptions> {
    let feed = &config.feed;
    Some(FeedOptions {
        source: feed.source.clone()?,
        mirror: config.cache_directory.join(elivepatch_builder::FEED_MIRROR),
        every: Duration::from_secs(u64::from(feed.every_hours) * 3600),
        stale_after: stale_after(config),
    })
}

/// How old the feed may be, whether it is read or imported.
pub(super) fn stale_after(config: &ServerConfig) -> Duration {
    Duration::from_secs(u64::from(config.feed.stale_days) * 24 * 3600)
}

async fn update(config: &ServerConfig, force: bool) -> Result<(), CommandError> {
    let Some(options) = options(config) else {
        return Err(CommandError::input(
            anyhow::anyhow!("the server's config names no CVE feed"),
            "set source in its [feed] section; elivepatch-server init shows it in a new config",
        ));
    };
    owner::become_owner_of(&config.data_directory)?;
    make_directory(&config.data_directory)?;
    make_directory(&config.cache_directory)?;
    let store = Store::open(&config.data_directory).await.map_err(of_store)?;
    anstream::eprintln!("reading {}", shown_source(&options.source));
    let updated = update_feed(&store, &options, force).await;
    store.close().await;
    let FeedUpdate { change, counts, seconds } = updated.map_err(|error| {
        let hint = error.hint();
        match error {
            FeedError::Store(_)
            | FeedError::Broken
            | FeedError::Spool(_)
            | FeedError::Git { source: GitError::Mirror { .. }, .. } => {
                CommandError::failed(error, hint)
            }
            FeedError::Git { .. } => CommandError::network(error, hint),
            FeedError::Read(_) | FeedError::Shrunk { .. } => CommandError::input(error, hint),
        }
    })?;
    anstream::println!(
        "{} published, {} rejected, {} faulty; {} new, {} changed, {} gone ({seconds:.1} s)",
        counts.published,
        counts.rejected,
        counts.faulty,
        change.added,
        change.changed,
        change.removed
    );
    if counts.faulty > 0 {
        report::warn("some records cannot be used: elivepatch-server feed faults");
    }
    Ok(())
}

async fn status(config: &ServerConfig, json: bool) -> Result<(), CommandError> {
    let store = open(config).await?;
    let status = feed_status(&store, stale_after(config)).await.map_err(of_store)?;
    store.close().await;
    if json {
        report::json(&status);
        return Ok(());
    }
    let Some(status) = status else {
        return Err(CommandError::input(
            anyhow::anyhow!("no CVE feed was read yet"),
            "elivepatch-server feed update reads it; the server does so by itself. Without a network: feed import",
        ));
    };
    let FeedStatus { source, revision, data_at, read_at, changed_at, counts, .. } = status;
    let commit = revision.map(|commit| format!(", commit {commit}")).unwrap_or_default();
    anstream::println!("source:    {source}{commit}");
    anstream::println!("data of:   {}", report::age(data_at));
    anstream::println!("read:      {}", report::age(read_at));
    anstream::println!("changed:   {}", report::age(changed_at));
    anstream::println!("published: {}", counts.published);
    anstream::println!("rejected:  {}", counts.rejected);
    anstream::println!("faulty:    {}", counts.faulty);
    if status.is_stale {
        report::warn(match status.is_imported {
            true => "the feed is stale: export it anew where there is a network, and import that",
            false => {
                "the feed is stale: elivepatch-server feed update says why it is not read; if it is, its \
                 source has nothing new"
            }
        });
    }
    if status.is_imported && status.is_outdated {
        report::warn(
            "another version of elivepatch has read these records, and other things of them than this one \
             would: export them with this version, and import that",
        );
    }
    Ok(())
}

async fn faults(config: &ServerConfig, json: bool) -> Result<(), CommandError> {
    let store = open(config).await?;
    let faults = store.feed_faults().await.map_err(of_store)?;
    store.close().await;
    if json {
        report::json(&faults);
        return Ok(());
    }
    for fault in faults {
        anstream::println!("{}: {}", fault.id, fault.what.escape_debug());
    }
    Ok(())
}

/// The store of a server; one that is not there yet is not made. From here on the command is run by its owner: what root
/// alone may read must have been read before.
pub(super) async fn open(config: &ServerConfig) -> Result<Store, CommandError> {
    let directory = &config.data_directory;
    owner::become_owner_of(directory)?;
    if !directory.is_dir() {
        return Err(CommandError::input(
            anyhow::anyhow!("there is no data directory {directory}"),
            "name the server's own with --config, or with data_directory in its config",
        ));
    }
    Store::open(directory).await.map_err(of_store)
}

pub(super) fn of_store(error: StoreError) -> CommandError {
    CommandError::failed(error, "look at the data directory, and whether its disk is full")
}

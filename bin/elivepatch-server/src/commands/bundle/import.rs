use elivepatch_server::{
    ServerConfig,
    app::{
        BundleError, ImportError, Imported, PublicKey, Store, UnusableFix, import_feed, read_bundle,
    },
};

use super::{is_failure, of_bundle};
use crate::{
    arguments::ImportArguments,
    commands::{feed::of_store, make_directory},
    error::CommandError,
    owner, report,
};

/// Takes over what another server exported.
pub async fn import(config: &ServerConfig, asked: &ImportArguments) -> Result<(), CommandError> {
    let keys = keys(config, asked).map_err(of_bundle)?;
    // All of it is read before there is a store that it could change.
    let file = asked.file.clone();
    let read = tokio::task::spawn_blocking(move || read_bundle(&file, &keys)).await;
    let read = read.map_err(CommandError::bug)?.map_err(of_import)?;
    owner::become_owner_of(&config.data_directory)?;
    make_directory(&config.data_directory)?;
    let store = Store::open(&config.data_directory).await.map_err(of_store)?;
    let imported = import_feed(&store, read, asked.force).await;
    store.close().await;
    tell(&imported.map_err(of_import)?);
    if config.feed.source.is_some() {
        report::warn(
            "the config names a source of the feed, which the server reads in the place of this import: \
             remove source from its [feed] section",
        );
    }
    Ok(())
}

/// The key that was given, or else those of the config.
fn keys(config: &ServerConfig, asked: &ImportArguments) -> Result<Vec<PublicKey>, BundleError> {
    match &asked.public_key {
        Some(key) => Ok(vec![PublicKey::parse_or_read(key)?]),
        None => {
            let keys = config.feed.public_keys.iter().map(|key| PublicKey::parse(key));
            Ok(keys.collect::<Result<_, _>>()?)
        }
    }
}

fn of_import(error: ImportError) -> CommandError {
    let hint = error.hint();
    match &error {
        ImportError::Bundle(of_bundle) if !is_failure(of_bundle) => {
            CommandError::input(error, hint)
        }
        ImportError::Bundle(_) | ImportError::Store(_) | ImportError::Broken => {
            CommandError::failed(error, hint)
        }
        ImportError::Content { .. }
        | ImportError::Parser { .. }
        | ImportError::Older { .. }
        | ImportError::Shrunk { .. } => CommandError::input(error, hint),
    }
}

fn tell(imported: &Imported) {
    let Imported { change, counts, .. } = imported;
    for UnusableFix { commit, why } in &imported.unusable {
        report::warn(&format!("the fix {commit} is left out: {why}"));
    }
    if let Some(first) = imported.other_fixes.first() {
        report::warn(&format!(
            "{} fixes have another text here, which stays, such as {first}",
            imported.other_fixes.len()
        ));
    }
    anstream::println!(
        "{} published, {} rejected, {} faulty; {} new, {} changed, {} gone",
        counts.published,
        counts.rejected,
        counts.faulty,
        change.added,
        change.changed,
        change.removed
    );
    anstream::println!("{} new fixes, {} were here", imported.new_fixes, imported.known_fixes);
    anstream::println!(
        "data of {}, exported at {} by key {}",
        report::age(imported.data_at),
        report::time(imported.exported_at),
        imported.key
    );
    if counts.faulty > 0 {
        report::warn("some records cannot be used: elivepatch-server feed faults");
    }
}

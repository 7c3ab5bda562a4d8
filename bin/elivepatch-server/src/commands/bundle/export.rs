use std::time::{Duration, Instant};

use elivepatch_server::{
    ServerConfig,
    app::{
        ExportError, Exported, FixSource, MissingFix, SecretKey, Store, WantedFixes, export_feed,
    },
};

use super::{is_failure, of_bundle};
use crate::{
    arguments::ExportArguments,
    commands::{feed::open, fix},
    error::CommandError,
    report,
};

/// How often it is said how far the fetching is.
const SAID_EVERY: Duration = Duration::from_secs(5);

/// How many CVEs of one fix are named.
const NAMED: usize = 3;

/// Writes the feed and the texts of fixes into one signed file.
pub async fn export(config: &ServerConfig, asked: &ExportArguments) -> Result<(), CommandError> {
    // Before hundreds of fixes are fetched.
    let key = SecretKey::read(&asked.key).map_err(of_bundle)?;
    if key.is_open_to_others() {
        report::warn(&format!(
            "others than its owner may read or write the secret key {0}: chmod 600 {0}",
            asked.key
        ));
    }
    let sources: Vec<FixSource> = fix::options(config).fixes.iter().map(FixSource::new).collect();
    let store = open(config).await?;
    let exported = write(&store, &sources, asked, &key).await;
    store.close().await;
    let Exported { counts, fixes, missing, without_fix, approved, bytes, key } =
        exported.map_err(|error| {
            let hint = error.hint();
            match &error {
                ExportError::Bundle(of_bundle) if !is_failure(of_bundle) => {
                    CommandError::input(error, hint)
                }
                ExportError::NoFeed => CommandError::input(error, hint),
                ExportError::Bundle(_) | ExportError::Store(_) => CommandError::failed(error, hint),
            }
        })?;
    for MissingFix { commit, cves, why } in &missing {
        let named: Vec<String> = cves.iter().take(NAMED).map(ToString::to_string).collect();
        let more = if cves.len() > NAMED { ", …" } else { "" };
        let of = if named.is_empty() {
            String::new()
        } else {
            format!(" of {}{more}", named.join(", "))
        };
        report::warn(&format!("without the fix {commit}{of}: {why}"));
    }
    if !missing.is_empty() {
        report::warn(&format!("{} fixes could not be had", missing.len()));
    }
    if without_fix > 0 {
        anstream::eprintln!(
            "{without_fix} CVEs of these versions have no fix in a later one of the branch; for them there is \
             nothing to carry"
        );
    }
    if approved > 0 {
        anstream::eprintln!(
            "{approved} approved fixes are not exported: a person approves them on each server"
        );
    }
    anstream::println!(
        "{}: {} published, {} rejected, {} faulty; {fixes} fixes ({}), signed by key {key}",
        asked.file,
        counts.published,
        counts.rejected,
        counts.faulty,
        report::size(bytes)
    );
    Ok(())
}

async fn write(
    store: &Store,
    sources: &[FixSource],
    asked: &ExportArguments,
    key: &SecretKey,
) -> Result<Exported, ExportError> {
    let wanted = match (&asked.fixes_for[..], asked.all_fixes) {
        (_, true) => WantedFixes::All,
        ([], false) => WantedFixes::Remembered,
        (versions, false) => WantedFixes::OpenIn(versions.to_vec()),
    };
    let mut said = Instant::now();
    let tell = |done: usize, all: usize| {
        let is_over = done == all && all > 0;
        if is_over || said.elapsed() >= SAID_EVERY {
            anstream::eprintln!("looked for {done} of {all} fixes");
            said = Instant::now();
        }
    };
    export_feed(store, sources, &wanted, key, &asked.file, tell).await
}

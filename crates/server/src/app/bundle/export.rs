use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use elivepatch_bundle::{BundleWriter, FeedHeader, KeyId, SecretKey};
use elivepatch_cve::{CveId, LinuxVersion, Standing, feed::shown_source, standing};
use elivepatch_fixes::{CommitHash, FixSource};
use elivepatch_store::{CveFacts, FeedCounts, FeedState, Store, WholeFeed};

use super::ExportError;
use crate::app::{fixes::fetch, now};

/// Which texts of fixes are in a bundle, beside those that are remembered already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedFixes {
    /// No others.
    Remembered,
    /// Those of all CVEs that these versions have, as far as a later version of their branch has the fix.
    OpenIn(Vec<LinuxVersion>),
    /// All that the feed names, of all branches.
    All,
}

/// What was exported.
#[derive(Debug, Clone)]
pub struct Exported {
    /// How many records.
    pub counts: FeedCounts,
    /// How many texts of fixes.
    pub fixes: usize,
    /// Those that were wanted and could not be had.
    pub missing: Vec<MissingFix>,
    /// CVEs that a version has and no later one of its branch fixes: nothing can be had for them.
    pub without_fix: usize,
    /// Texts that a person approved. They are not exported: he did so for this server.
    pub approved: usize,
    /// The size of the file.
    pub bytes: u64,
    /// The key that signed it.
    pub key: KeyId,
}

/// A text that could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFix {
    /// Its commit.
    pub commit: String,
    /// The CVEs that it fixes.
    pub cves: BTreeSet<CveId>,
    /// Why.
    pub why: String,
}

/// The commits that are wanted, with what they fix.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    commits: BTreeMap<String, BTreeSet<CveId>>,
    without_fix: BTreeSet<CveId>,
}

/// Writes the feed that the store has, and the texts of fixes, into one file, and signs it. What is wanted and
/// not remembered is asked of the sources first; `tell` hears how many of how many were looked for.
///
/// # Errors
/// When there is no feed, or the file cannot be written. Then nothing of it is there.
pub async fn export_feed(
    store: &Store,
    sources: &[FixSource],
    wanted: &WantedFixes,
    key: &SecretKey,
    path: &Utf8Path,
    tell: impl FnMut(usize, usize),
) -> Result<Exported, ExportError> {
    if store.feed_state().await?.is_none() {
        return Err(ExportError::NoFeed);
    }
    let Wanted { commits, without_fix } = match wanted {
        WantedFixes::Remembered => Wanted::default(),
        wanted => Wanted::of(wanted, &store.cve_facts().await?),
    };
    // What is no commit's name no source is asked for.
    let hashes: Vec<CommitHash> = commits.keys().filter_map(|hash| hash.parse().ok()).collect();
    let missing = fetch(store, sources, hashes.into_iter(), tell).await?;
    let mut missing: Vec<MissingFix> = missing
        .into_iter()
        .map(|(commit, why)| MissingFix {
            cves: commits.get(commit.as_str()).cloned().unwrap_or_default(),
            commit: commit.to_string(),
            why,
        })
        .collect();
    let mut writer = BundleWriter::new()?;
    let whole =
        store.whole_feed(|entries| writer.add_records(&entries).map_err(ExportError::from)).await?;
    let Some(WholeFeed { state, counts, faults }) = whole else { return Err(ExportError::NoFeed) };
    writer.add_faults(&faults)?;
    missing.extend(add_fixes(store, &mut writer).await?);
    let approved = store.approved_fixes().await?.len();
    let written = writer.finish(header(state, counts), now(), key, path)?;
    Ok(Exported {
        counts,
        fixes: written.fixes,
        missing,
        without_fix: without_fix.len(),
        approved,
        bytes: written.bytes,
        key: key.id(),
    })
}

/// Adds all texts that are remembered. Gives those that are damaged.
async fn add_fixes(
    store: &Store,
    writer: &mut BundleWriter,
) -> Result<Vec<MissingFix>, ExportError> {
    let mut damaged = Vec::new();
    for (commit, fix) in store.known_fixes().await? {
        match store.intact_blob(fix.blob).await? {
            // A user and password in the address of a source are nobody else's.
            Some(text) => writer.add_fix(&commit, &shown_source(&fix.source), &text)?,
            None => {
                let why = "its text is gone from the data directory, or damaged".to_owned();
                damaged.push(MissingFix { commit, cves: BTreeSet::new(), why });
            }
        }
    }
    Ok(damaged)
}

fn header(state: FeedState, counts: FeedCounts) -> FeedHeader {
    FeedHeader {
        source: state.source,
        revision: state.revision,
        parser: state.parser,
        data_at: state.data_at,
        read_at: state.read_at,
        published: counts.published,
        rejected: counts.rejected,
        faulty: counts.faulty,
    }
}

impl Wanted {
    fn of(wanted: &WantedFixes, facts: &[CveFacts]) -> Self {
        let mut found = Self::default();
        for CveFacts { id, dyads, .. } in facts.iter().filter(|cve| !cve.rejected) {
            let mut want = |hash: &str| {
                found.commits.entry(hash.to_owned()).or_default().insert(*id);
            };
            match wanted {
                WantedFixes::Remembered => {}
                WantedFixes::All => dyads
                    .iter()
                    .filter_map(|dyad| dyad.fixed.as_ref())
                    .for_each(|commit| want(&commit.hash)),
                WantedFixes::OpenIn(versions) => {
                    for version in versions {
                        match standing(dyads, *version) {
                            // What only mainline has is never built by itself.
                            Standing::Affected { own_fixes, .. } if own_fixes.is_empty() => {
                                found.without_fix.insert(*id);
                            }
                            Standing::Affected { own_fixes, .. } => {
                                own_fixes.iter().for_each(|commit| want(&commit.hash));
                            }
                            Standing::NotIntroduced | Standing::Fixed { .. } => {}
                        }
                    }
                }
            }
        }
        found
    }
}

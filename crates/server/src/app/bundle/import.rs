use std::collections::{BTreeMap, HashSet};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_bundle::{Bundle, Content, FeedHeader, KeyId, PublicKey};
use elivepatch_cve::{
    CveId,
    feed::{Entry, Fault, PARSER, Snapshot},
};
use elivepatch_model::Sha256Digest;
use elivepatch_store::{
    FeedChange, FeedCounts, FeedExtent, FeedState, KeptBlob, KnownFix, Store, StoreError,
};
use jiff::Timestamp;

use super::{IMPORTED, ImportError};
use crate::app::{
    feed::shrinks,
    fixes::{Looked, look_at},
    now,
};

/// A bundle that was verified and read to its end.
#[derive(Debug)]
pub struct ReadBundle {
    path: Utf8PathBuf,
    bundle: Bundle,
    snapshot: Snapshot,
    fixes: BTreeMap<String, CarriedFix>,
    unusable: Vec<UnusableFix>,
}

/// A text that can be taken over; its bytes stay in the bundle until it is.
#[derive(Debug)]
struct CarriedFix {
    digest: Sha256Digest,
    size_bytes: u64,
    source: String,
    looked: Looked,
}

/// A text that this program does not take for the patch of its commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableFix {
    /// The commit.
    pub commit: String,
    /// Why.
    pub why: String,
}

/// What an import came to.
#[derive(Debug, Clone)]
pub struct Imported {
    /// What changed in the feed.
    pub change: FeedChange,
    /// What there is now.
    pub counts: FeedCounts,
    /// How old its data is.
    pub data_at: Timestamp,
    /// When it was exported.
    pub exported_at: Timestamp,
    /// The key that signed it.
    pub key: KeyId,
    /// Texts of fixes that are new here.
    pub new_fixes: usize,
    /// Texts that were here already.
    pub known_fixes: usize,
    /// Commits of which another text was here, which stays.
    pub other_fixes: Vec<String>,
    /// Texts that were left out.
    pub unusable: Vec<UnusableFix>,
}

/// Verifies a bundle, reads all of it and looks at each patch. Nothing is kept yet. It takes seconds, and a
/// thread that may wait.
///
/// # Errors
/// When it is not a whole bundle that one of the keys signed, or holds what this program does not read.
pub fn read_bundle(path: &Utf8Path, keys: &[PublicKey]) -> Result<ReadBundle, ImportError> {
    let bundle = Bundle::open(path, keys)?;
    let shown = path.to_string();
    let feed = &bundle.index().feed;
    if feed.parser != PARSER {
        let by = bundle.index().exported_by.clone();
        return Err(ImportError::Parser { path: shown, by, theirs: feed.parser, ours: PARSER });
    }
    let wrong = |what: String| ImportError::Content { path: shown.clone(), what };
    let (mut entries, mut faults) = (Vec::<Entry>::new(), Vec::<Fault>::new());
    let (mut fixes, mut unusable) = (BTreeMap::new(), Vec::new());
    let mut seen = HashSet::new();
    bundle.read(|content| {
        match content {
            Content::Record(line) => {
                let entry: Entry = serde_json::from_slice(line)
                    .map_err(|error| wrong(format!("record {}: {error}", entries.len() + 1)))?;
                let id = entry.record.id;
                if !seen.insert(id) {
                    return Err(wrong(format!("it has {id} twice")));
                }
                entries.push(entry);
            }
            Content::Faults(text) => {
                faults = serde_json::from_slice(text)
                    .map_err(|error| wrong(format!("its list of faults: {error}")))?;
            }
            Content::Fix { commit, source, text } => {
                let (digest, size_bytes) = (Sha256Digest::of(&text), text.len() as u64);
                let hash = commit.parse().map_err(|error| wrong(format!("{error}")))?;
                match look_at(&hash, text) {
                    Ok(looked) => {
                        let source = source.to_owned();
                        let fix = CarriedFix { digest, size_bytes, source, looked };
                        fixes.insert(commit.to_owned(), fix);
                    }
                    Err(why) => unusable.push(UnusableFix { commit: commit.to_owned(), why }),
                }
            }
        }
        Ok(())
    })?;
    if let Some(what) = miscounted(feed, &entries, &faults) {
        return Err(wrong(what));
    }
    let snapshot = Snapshot::carried(entries, faults).map_err(StoreError::Spool)?;
    Ok(ReadBundle { path: path.to_owned(), bundle, snapshot, fixes, unusable })
}

/// Why records and faults are not those that the header speaks of.
fn miscounted(feed: &FeedHeader, entries: &[Entry], faults: &[Fault]) -> Option<String> {
    if entries.is_empty() {
        return Some("there is no CVE record in it".to_owned());
    }
    let rejected = entries.iter().filter(|entry| entry.rejected).count() as u64;
    let published = entries.len() as u64 - rejected;
    let faulty: HashSet<CveId> = faults.iter().map(|fault| fault.id).collect();
    let found = (published, rejected, faulty.len() as u64);
    let said = (feed.published, feed.rejected, feed.faulty);
    let text = |(published, rejected, faulty)| {
        format!("{published} published, {rejected} rejected and {faulty} faulty records")
    };
    (found != said).then(|| format!("it has {}, and says {}", text(found), text(said)))
}

/// Takes over a bundle: first the texts of fixes, then the feed. With `force` also one that is older than
/// what is there, or has lost most of the records. The server that has the store may run.
///
/// # Errors
/// When it is refused, or cannot be kept. The feed that was there stays then; texts of fixes, which say
/// nothing by themselves, may be there already.
pub async fn import_feed(
    store: &Store,
    read: ReadBundle,
    force: bool,
) -> Result<Imported, ImportError> {
    let ReadBundle { path, bundle, snapshot, fixes, unusable } = read;
    let (key, index) = (bundle.key(), bundle.index().clone());
    let time = now();
    // What comes from the future is from now: a clock is wrong.
    let data_at = index.feed.data_at.min(time);
    if !force {
        let ours = store.feed_state().await?.map(|state| state.data_at);
        if let Some(ours) = ours.filter(|ours| *ours > data_at) {
            return Err(ImportError::Older { path: path.to_string(), theirs: data_at, ours });
        }
        if let Some((lost, before)) = shrinks(store, &snapshot, FeedExtent::Whole).await? {
            return Err(ImportError::Shrunk { path: path.to_string(), before, lost });
        }
    }
    let carried = fixes.len();
    let (wanted, other_fixes) = wanted(store, fixes).await?;
    let known_fixes = carried - wanted.len() - other_fixes.len();
    let fixes = place(store, bundle, wanted, index.exported_at.min(time)).await?;
    let new_fixes = fixes.len();
    store.keep_fixes(&fixes, &[], time).await?;
    let source = format!(
        "{IMPORTED}{}, exported at {} by key {key}",
        path.file_name().unwrap_or(path.as_str()),
        index.exported_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    );
    let state = FeedState {
        source,
        revision: index.feed.revision,
        parser: index.feed.parser,
        data_at,
        // Nobody has looked for anything newer since.
        read_at: index.feed.read_at.min(time),
        changed_at: time,
    };
    let change = store.apply_feed(&snapshot, FeedExtent::Whole, &state).await?;
    let counts = store.feed_counts().await?;
    let exported_at = index.exported_at;
    Ok(Imported {
        change,
        counts,
        data_at,
        exported_at,
        key,
        new_fixes,
        known_fixes,
        other_fixes,
        unusable,
    })
}

/// The texts that are not here, and the commits of which another one is.
async fn wanted(
    store: &Store,
    fixes: BTreeMap<String, CarriedFix>,
) -> Result<(BTreeMap<String, CarriedFix>, Vec<String>), ImportError> {
    let (mut wanted, mut others) = (BTreeMap::new(), Vec::new());
    for (commit, fix) in fixes {
        let known = store.known_fix(&commit).await?;
        let is_here = match &known {
            Some(known) => store.intact_blob(known.blob).await?.is_some(),
            None => false,
        };
        match known.filter(|_| is_here) {
            Some(known) if known.blob.digest == fix.digest => {}
            Some(_) => others.push(commit),
            None => drop(wanted.insert(commit, fix)),
        }
    }
    Ok((wanted, others))
}

/// Writes the texts that are wanted, in a second reading: all of them together may be large.
async fn place(
    store: &Store,
    bundle: Bundle,
    mut wanted: BTreeMap<String, CarriedFix>,
    fetched_at: Timestamp,
) -> Result<Vec<(String, KnownFix)>, ImportError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let (store, runtime) = (store.clone(), tokio::runtime::Handle::current());
    let work = move || {
        let mut fixes = Vec::new();
        bundle.read(|content| {
            let Content::Fix { commit, text, .. } = content else { return Ok(()) };
            let Some(CarriedFix { digest, size_bytes, source, looked }) = wanted.remove(commit)
            else {
                return Ok(());
            };
            runtime.block_on(store.place_blob(text))?;
            let Looked { files, is_refused } = looked;
            let blob = KeptBlob { digest, size_bytes };
            let source = format!("imported, from {source}");
            let fix = KnownFix { blob, source, files, is_refused, fetched_at };
            fixes.push((commit.to_owned(), fix));
            Ok::<_, ImportError>(())
        })?;
        Ok(fixes)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| ImportError::Broken)?
}

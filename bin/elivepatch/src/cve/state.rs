//! What the client remembers of the last run for a kernel, so that it can tell what is new.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use elivepatch_api::{CveSelection, RunResource};
use elivepatch_cve::{CveId, Group};
use elivepatch_model::{BuildOptions, KernelRelease, RunNumber, Sha256Digest, TargetFacts};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::words::group_of;
use crate::{
    destination::{Present, present},
    download::Stored,
    inputs::read_at_most,
    problem::Problem,
};

/// The form of the file; one of another form is taken as none.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes: 14,000 CVEs with their verdicts are 500 kB.
const STATE_BYTES: u64 = 8 * 1024 * 1024;

/// Where root's state is.
const ROOT_DIRECTORY: &str = "/var/lib/elivepatch/cve";

/// What a state is of: runs with other keys are not compared with each other.
#[derive(Debug, Serialize)]
pub struct StateKey<'a> {
    server: &'a str,
    target: TargetFacts,
    linux_version: Option<&'a str>,
    config: Option<Sha256Digest>,
    baseline: Vec<Sha256Digest>,
    only: Vec<CveId>,
    exclude: Vec<CveId>,
    severity: Option<f32>,
    options: &'a BuildOptions,
}

impl<'a> StateKey<'a> {
    /// The key of a request. What is loaded on the machine, its symbols and its load are not in it.
    pub fn new(
        server: &'a str,
        request: &'a elivepatch_api::RunRequest,
        config: Option<&[u8]>,
        baseline: impl Iterator<Item = Sha256Digest>,
    ) -> Self {
        let CveSelection { only, exclude, severity } = request.selection.clone();
        let sorted = |mut ids: Vec<CveId>| {
            ids.sort();
            ids.dedup();
            ids
        };
        Self {
            server,
            target: TargetFacts { machine: None, ..request.target.clone() },
            linux_version: request.linux_version.as_deref(),
            config: config.map(Sha256Digest::of),
            baseline: baseline.collect(),
            only: sorted(only),
            exclude: sorted(exclude),
            severity,
            options: &request.options,
        }
    }

    fn file_name(&self) -> String {
        let text = serde_json::to_vec(self).expect("plain data");
        format!("{}-{:.16}.json", self.target.release, Sha256Digest::of(&text).to_string())
    }
}

/// What is remembered of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    version: u32,
    /// The server that it was on.
    server: String,
    /// Its number there.
    run: RunNumber,
    /// When it was finished.
    pub at: Timestamp,
    outcome_digest: Sha256Digest,
    feed_is_stale: bool,
    /// The verdicts of the CVEs that are in the kernel.
    pub verdicts: BTreeMap<CveId, String>,
    livepatch: Option<RememberedModule>,
}

/// Where a livepatch was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct RememberedModule {
    module: PathBuf,
    digest: Sha256Digest,
}

impl Remembered {
    /// What is to be remembered of a finished run, of which all CVEs are known.
    pub fn new(server: &str, run: &RunResource, stored: Option<&Stored>) -> Self {
        let is_told =
            |verdict: &str| !matches!(group_of(verdict), Group::NotInKernel | Group::NotAffected);
        let verdicts = run.cves.iter().map(|cve| (cve.result.id, cve.result.verdict().to_owned()));
        let livepatch = stored.map(|stored| RememberedModule {
            module: absolute(&stored.module_path),
            digest: stored.manifest.module.digest,
        });
        Self {
            version: VERSION,
            server: server.to_owned(),
            run: run.number,
            at: run.finished_at.unwrap_or(run.submitted_at),
            outcome_digest: run.outcome_digest,
            feed_is_stale: run.grounds.feed_is_stale,
            verdicts: verdicts.filter(|(_, verdict)| is_told(verdict)).collect(),
            livepatch,
        }
    }

    /// Whether a finished run says nothing new.
    pub fn is_as_told(&self, run: &RunResource) -> bool {
        self.outcome_digest == run.outcome_digest && self.feed_is_stale == run.grounds.feed_is_stale
    }

    /// Whether the module is where it was stored, as it was, and lies in `directory`, where it would be stored
    /// now.
    pub fn has_module_in(&self, directory: &Path) -> bool {
        self.livepatch.as_ref().is_some_and(|known| {
            known.module.parent() == Some(&absolute(directory))
                && matches!(present(&known.module, &known.digest), Ok(Present::Same))
        })
    }
}

fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    // "." within is gone by now, also at the end.
    path.components().collect()
}

/// The file that remembers the last run of a key.
#[derive(Debug)]
pub struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// Finds the place: in `directory`, or else where this user's state is.
    pub fn new(directory: Option<&Path>, key: &StateKey<'_>) -> Option<Self> {
        let default = || {
            default_directory(rustix::process::geteuid().is_root(), |name| std::env::var_os(name))
        };
        let directory = directory.map(Path::to_owned).or_else(default)?;
        Some(Self { path: directory.join(key.file_name()) })
    }

    /// Reads it. What is damaged, or of another form, is taken as none.
    pub fn read(&self) -> Option<Remembered> {
        let text = read_at_most(&self.path, STATE_BYTES).ok()?;
        let remembered: Remembered = serde_json::from_slice(&text).ok()?;
        (remembered.version == VERSION).then_some(remembered)
    }

    /// Replaces it as a whole.
    pub fn write(&self, remembered: &Remembered) -> Result<(), Problem> {
        let directory = self.path.parent().expect("it has a directory");
        let write = || -> io::Result<()> {
            fs::create_dir_all(directory)?;
            let mut file =
                tempfile::Builder::new().prefix(".elivepatch-").tempfile_in(directory)?;
            file.write_all(&serde_json::to_vec_pretty(remembered)?)?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        write().map_err(|error| {
            let shown = self.path.display();
            Problem::input(format!("cannot remember this run in {shown}"))
                .caused_by(&error)
                .hint("give a directory that you may write to with --state-directory")
        })
    }

    /// Removes it. Gives whether there was one.
    pub fn forget(&self) -> Result<bool, Problem> {
        match fs::remove_file(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => {
                Err(Problem::input(format!("cannot remove {}", self.path.display()))
                    .caused_by(&error))
            }
        }
    }
}

/// The module that the last run for a release stored, with its digest, of the runs that are remembered below a
/// directory; the latest of several.
pub fn last_module(directory: &Path, release: &KernelRelease) -> Option<(PathBuf, Sha256Digest)> {
    let begin = format!("{release}-");
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&begin));
    let remembered = files.filter_map(|entry| StateFile { path: entry.path() }.read());
    let last = remembered.max_by_key(|remembered| remembered.at)?;
    last.livepatch.map(|module| (module.module, module.digest))
}

/// The place that the environment names, root's, or that of the XDG base directories.
fn default_directory(
    is_root: bool,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let path = |name: &str| variable(name).filter(|text| !text.is_empty()).map(PathBuf::from);
    // By its specification a relative path counts as none.
    let absolute = |name: &str| path(name).filter(|path| path.is_absolute());
    let of_user = || {
        let state = absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
        Some(state.join("elivepatch/cve"))
    };
    path("ELIVEPATCH_STATE_DIRECTORY").or_else(|| match is_root {
        true => Some(PathBuf::from(ROOT_DIRECTORY)),
        false => of_user(),
    })
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

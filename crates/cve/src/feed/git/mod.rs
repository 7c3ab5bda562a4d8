//! The feed's git repository, mirrored in one of our own, which has no settings, hooks or work tree of a
//! stranger. Objects are read by `cat-file`, for which attributes and filters do not exist.

mod command;
mod read;

use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use command::{git, run, write_settings};
use elivepatch_git::{protocol_of, remove_leftovers};

use super::{LimitError, SpoolError, shown_source, source::without_userinfo};

/// How long a fetch may take: the whole feed is 30 MB, and a slow line has its time.
const FETCH_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long a git may take that asks for no more than the newest commit of an address.
const ASK_LIMIT: Duration = Duration::from_secs(60);

/// How long a git may take that reads the mirror: seconds, unless the disk is in trouble.
const LOCAL_LIMIT: Duration = Duration::from_secs(5 * 60);

/// How many packs a mirror may have: each fetch adds one, and git looks into all for each object.
const MOST_PACKS: usize = 100;

/// A path at which no repository is. A git that is told so looks for none around its working directory, either.
const NOWHERE: &str = "/dev/null";

/// What was fetched last.
const HEAD: &str = "refs/elivepatch/feed";

/// Why the feed's repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git is not there, or cannot be run.
    #[error("cannot run git; apt-get install git")]
    Run(#[source] io::Error),
    /// The mirror's directory, or what lies beside it, cannot be written.
    #[error("cannot keep a mirror in {path}")]
    Mirror {
        /// The mirror.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The address has a protocol that is not used.
    #[error("{0:?} is neither a directory nor an address with https, http, git or ssh")]
    Address(String),
    /// git said no.
    #[error("git cannot {action}: {said}")]
    Failed {
        /// What it was to do.
        action: String,
        /// The first reason that it gave.
        said: String,
    },
    /// git did not come to an end, and was killed.
    #[error("git took longer than {seconds} s to {action}")]
    Slow {
        /// What it was to do.
        action: String,
        /// How long it may take.
        seconds: u64,
    },
    /// The repository has more than any feed.
    #[error("the repository is not taken for a CVE feed")]
    TooLarge(#[from] LimitError),
    /// What was read cannot be kept until it is needed.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// A mirror of the feed's repository. While it lives no other process works with it.
#[derive(Debug)]
pub struct FeedMirror {
    directory: PathBuf,
    settings: PathBuf,
    _lock: File,
}

/// What is to be read of a mirror.
#[derive(Debug)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The CVEs of which a file is another one than at a commit.
    Since(String),
}

impl FeedMirror {
    /// The mirror in a directory, which is made when it is not there. Waits while another process works
    /// with it, and removes what one that was killed has left. Beside it lie `NAME.lock` and `NAME.config`.
    ///
    /// # Errors
    /// When git fails, or the disk.
    pub fn open(directory: &Path) -> Result<Self, GitError> {
        let failed = |source| GitError::Mirror { path: directory.to_owned(), source };
        let lock = File::options().create(true).append(true).open(beside(directory, "lock"));
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock)).map_err(failed)?;
        let settings = beside(directory, "config");
        write_settings(&settings, None).map_err(failed)?;
        let mirror = Self { directory: directory.to_owned(), settings, _lock: lock };
        if directory.join("HEAD").is_file() {
            remove_leftovers(directory).map_err(failed)?;
        } else {
            mirror.make(directory)?;
        }
        Ok(mirror)
    }

    /// Fetches the newest state of the repository at an address or in a directory, without history. Gives
    /// its commit. A mirror that is broken, or has too many packs, is made anew.
    ///
    /// # Errors
    /// When the address cannot be used, or git fails. What was there before stays.
    pub fn fetch(&self, from: &str) -> Result<String, GitError> {
        if packs(&self.directory) > MOST_PACKS {
            return self.fetch_anew(from);
        }
        match self.fetch_into(&self.directory, from) {
            // When the other end answers, it is the mirror that is at fault.
            Err(GitError::Failed { .. }) if self.answers(from) => self.fetch_anew(from),
            outcome => outcome,
        }
    }

    /// Makes the mirror anew, by fetching all of the newest state. Gives its commit.
    ///
    /// # Errors
    /// As of `fetch`.
    pub fn fetch_anew(&self, from: &str) -> Result<String, GitError> {
        let failed = |source| GitError::Mirror { path: self.directory.clone(), source };
        let new = beside(&self.directory, "new");
        remove(&new).map_err(failed)?;
        self.make(&new)?;
        let fetched = self.fetch_into(&new, from);
        if fetched.is_err() {
            // The reason is told; what is left is removed the next time at the latest.
            let _ = remove(&new);
            return fetched;
        }
        remove(&self.directory).and_then(|()| fs::rename(&new, &self.directory)).map_err(failed)?;
        fetched
    }

    fn make(&self, directory: &Path) -> Result<(), GitError> {
        let mut init = git(&[], &self.settings);
        init.args(["init", "--bare", "--quiet", "--template=", "--"]).arg(directory);
        run(init, "make a repository", LOCAL_LIMIT).map(|_| ())
    }

    fn fetch_into(&self, directory: &Path, from: &str) -> Result<String, GitError> {
        let mut fetch = self.reach(directory, from)?;
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head"]);
        fetch.args(["--no-recurse-submodules", "--no-auto-maintenance", "--end-of-options", from]);
        // History that was rewritten is no matter: what is there now counts.
        fetch.arg(format!("+HEAD:{HEAD}"));
        let fetched = run(fetch, &format!("fetch {}", shown_source(from)), FETCH_LIMIT);
        fetched.map_err(|error| match error {
            GitError::Failed { action, said } => {
                GitError::Failed { action, said: without_userinfo(&said, from) }
            }
            error => error,
        })?;
        let mut parse = self.git_in(directory);
        parse.args(["rev-parse", "--verify", "--quiet", &format!("{HEAD}^{{commit}}")]);
        let output = run(parse, "read what it fetched", LOCAL_LIMIT)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Whether the repository at an address tells its newest commit. It is asked from outside the mirror, whose
    /// damage would make this fail, too.
    fn answers(&self, from: &str) -> bool {
        let asked = self.reach(Path::new(NOWHERE), from).and_then(|mut ask| {
            ask.args(["ls-remote", "--quiet", "--exit-code", "--end-of-options", from, "HEAD"]);
            run(ask, "ask for the newest commit", ASK_LIMIT)
        });
        asked.is_ok()
    }

    /// A git that may reach an address by its protocol alone.
    fn reach(&self, directory: &Path, from: &str) -> Result<Command, GitError> {
        let path = Path::new(from);
        let (allowed, path) = match protocol_of(from) {
            Some(protocol) => (protocol, None),
            None if path.is_dir() => ("file", Some(path)),
            None => return Err(GitError::Address(shown_source(from))),
        };
        let failed = |source| GitError::Mirror { path: self.directory.clone(), source };
        write_settings(&self.settings, path).map_err(failed)?;
        let mut command = self.git_in(directory);
        command.env("GIT_ALLOW_PROTOCOL", allowed);
        Ok(command)
    }

    fn git(&self) -> Command {
        self.git_in(&self.directory)
    }

    fn git_in(&self, directory: &Path) -> Command {
        git(&[OsStr::new("--git-dir"), directory.as_os_str()], &self.settings)
    }
}

/// The path of something that lies beside the mirror.
fn beside(directory: &Path, ending: &str) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// How many packs there are.
fn packs(directory: &Path) -> usize {
    let entries = fs::read_dir(directory.join("objects/pack")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension() == Some(OsStr::new("pack"))).count()
}

#[cfg(test)]
mod tests;

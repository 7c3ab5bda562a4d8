//! The feed's git repository, mirrored in one of our own, which has no settings, hooks or work tree of a
//! stranger. Objects are read by `cat-file`, for which attributes and filters do not exist.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
};

use super::{
    FILE_BYTES, FeedFile, Snapshot,
    parsers::{Sink, snapshot_of},
};

/// The protocols that are allowed. Others run programs (`ext`).
const PROTOCOLS: [&str; 4] = ["https", "http", "git", "ssh"];

/// What each git is told, whatever the machine's settings are.
const SETTINGS: [&str; 8] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.sshCommand=ssh -oBatchMode=yes",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "gc.auto=0",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
];

/// Of our own environment what leads to the network.
const PASSED_ON: [&str; 9] = [
    "PATH",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSH_AUTH_SOCK",
];

/// What was fetched last.
const HEAD: &str = "refs/elivepatch/feed";

/// Why the feed's repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git is not there, or cannot be run.
    #[error("cannot run git; apt-get install git")]
    Run(#[source] io::Error),
    /// The address has a protocol that is not used.
    #[error("{0:?} is neither a directory nor an address with https, http, git or ssh")]
    Address(String),
    /// git said no.
    #[error("git cannot {action}: {said}")]
    Failed {
        /// What it was to do.
        action: String,
        /// The last line that it said.
        said: String,
    },
}

/// A mirror of the feed's repository.
#[derive(Debug)]
pub struct FeedMirror {
    directory: PathBuf,
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
    /// The mirror in a directory, which is made when it is not there.
    ///
    /// # Errors
    /// When git fails.
    pub fn open(directory: &Path) -> Result<Self, GitError> {
        let mirror = Self { directory: directory.to_owned() };
        if !directory.join("HEAD").is_file() {
            let mut init = git(&[]);
            init.args(["init", "--bare", "--quiet", "--template=", "--"]).arg(directory);
            run(init, "make a repository")?;
        }
        Ok(mirror)
    }

    /// Fetches the newest state of the repository at an address or in a directory, without history. Gives
    /// its commit.
    ///
    /// # Errors
    /// When the address cannot be used, or git fails. What was there before stays.
    pub fn fetch(&self, from: &str) -> Result<String, GitError> {
        let scheme = PROTOCOLS.into_iter().find(|scheme| from.starts_with(&format!("{scheme}://")));
        let allowed = match scheme {
            Some(scheme) => scheme,
            None if Path::new(from).is_dir() => "file",
            None => return Err(GitError::Address(from.to_owned())),
        };
        let mut fetch = self.git();
        fetch.env("GIT_ALLOW_PROTOCOL", allowed);
        fetch.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--no-write-fetch-head"]);
        fetch.args(["--no-recurse-submodules", "--no-auto-maintenance", "--end-of-options", from]);
        // History that was rewritten is no matter: what is there now counts.
        fetch.arg(format!("+HEAD:{HEAD}"));
        run(fetch, &format!("fetch {from}"))?;
        let mut parse = self.git();
        parse.args(["rev-parse", "--verify", "--quiet", &format!("{HEAD}^{{commit}}")]);
        let output = run(parse, "read what it fetched")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Reads a commit that was fetched. Gives the CVEs of which something was read; of each all its files.
    ///
    /// # Errors
    /// When git fails; for a commit that is not there any more read the whole.
    pub fn read(&self, commit: &str, extent: &Extent) -> Result<Snapshot, GitError> {
        snapshot_of(|sink| self.read_into(commit, extent, sink))
    }

    fn read_into(&self, commit: &str, extent: &Extent, sink: &Sink) -> Result<(), GitError> {
        let mut names: Vec<String> = match extent {
            Extent::Whole => self.names(["ls-tree", "-r", "-z", "--name-only", commit])?,
            Extent::Since(before) => {
                let changed = self.names([
                    "diff-tree",
                    "-r",
                    "-z",
                    "--name-only",
                    "--no-renames",
                    before,
                    commit,
                ])?;
                let ids = changed.iter().filter_map(|name| Some(FeedFile::of(name)?.id));
                let ids: std::collections::BTreeSet<_> = ids.collect();
                let all = self.names(["ls-tree", "-r", "-z", "--name-only", commit])?;
                let is_changed =
                    |name: &String| FeedFile::of(name).is_some_and(|file| ids.contains(&file.id));
                // One that is gone altogether is told by nothing being read of it.
                for id in &ids {
                    sink.expect(*id);
                }
                all.into_iter().filter(is_changed).collect()
            }
        };
        names.retain(|name| FeedFile::of(name).is_some() && !name.contains('\n'));
        self.contents(commit, &names, sink)
    }

    fn names<const N: usize>(&self, arguments: [&str; N]) -> Result<Vec<String>, GitError> {
        let mut list = self.git();
        list.args(arguments);
        let output = run(list, "list what it fetched")?;
        let names = output.stdout.split(|byte| *byte == 0);
        Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
    }

    /// Reads files by one `cat-file`.
    fn contents(&self, commit: &str, names: &[String], sink: &Sink) -> Result<(), GitError> {
        let mut command = self.git();
        command.args(["cat-file", "--batch", "--buffer"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(GitError::Run)?;
        let mut input = child.stdin.take().expect("it is piped");
        let asked: String = names.iter().map(|name| format!("{commit}:{name}\n")).collect();
        let writer = thread::spawn(move || input.write_all(asked.as_bytes()));
        let mut output =
            BufReader::with_capacity(1 << 20, child.stdout.take().expect("it is piped"));
        let read = names.iter().try_for_each(|name| read_one(&mut output, name, sink));
        let failed = |said: String| GitError::Failed { action: "read the feed".to_owned(), said };
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        let ended = end(&mut child, output)?;
        read.and(written).map_err(|error| failed(error.to_string()))?;
        if ended { Ok(()) } else { Err(failed("it ended with an error".to_owned())) }
    }

    fn git(&self) -> Command {
        git(&[OsStr::new("--git-dir"), self.directory.as_os_str()])
    }
}

/// Reads an object: a line `HASH TYPE SIZE`, the content, a line feed.
fn read_one(output: &mut BufReader<ChildStdout>, name: &str, sink: &Sink) -> io::Result<()> {
    let Some(file) = FeedFile::of(name) else { return Ok(()) };
    let mut header = String::new();
    output.read_line(&mut header)?;
    let words: Vec<&str> = header.split_whitespace().collect();
    let [_, kind, size] = words[..] else {
        sink.add_unreadable(file, "git does not have it");
        return Ok(());
    };
    let size: u64 = size.parse().map_err(io::Error::other)?;
    let mut rest = output.by_ref().take(size + 1);
    if kind == "blob" && size <= FILE_BYTES {
        let mut content = Vec::new();
        rest.read_to_end(&mut content)?;
        if content.len() as u64 != size + 1 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        content.pop();
        sink.add(file, content);
    } else {
        io::copy(&mut rest, &mut io::sink())?;
        sink.add_unreadable(file, "it is no file, or larger than any record");
    }
    Ok(())
}

/// Waits for a git of which nothing more is read; says whether it succeeded.
fn end(child: &mut Child, output: BufReader<ChildStdout>) -> Result<bool, GitError> {
    drop(output);
    Ok(child.wait().map_err(GitError::Run)?.success())
}

fn git(before: &[&OsStr]) -> Command {
    let mut command = Command::new("git");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    command.args(before).env_clear();
    for name in PASSED_ON {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    command
}

fn run(mut command: Command, action: &str) -> Result<Output, GitError> {
    let output = command.output().map_err(GitError::Run)?;
    if output.status.success() {
        return Ok(output);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let mut lines = text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.find(|line| line.starts_with("fatal: ")).or(text.lines().last());
    let said = said.unwrap_or("it ended with an error").chars().take(300).collect();
    Err(GitError::Failed { action: action.to_owned(), said })
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;

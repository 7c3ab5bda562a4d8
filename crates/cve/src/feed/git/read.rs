//! Reading what was fetched.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, BufReader, Read, Write},
    process::{ChildStdout, Stdio},
    thread,
};

use super::{
    Extent, FeedMirror, GitError, LOCAL_LIMIT,
    command::{Watchdog, run},
};
use crate::feed::{
    FILE_BYTES, FeedFile, LimitError, Snapshot,
    parsers::{Sink, snapshot_of},
};

/// Why reading broke off.
enum ReadError {
    Io(io::Error),
    Limit(LimitError),
}

impl FeedMirror {
    /// Reads a commit that was fetched. Gives the CVEs of which something was read; of each all its files.
    ///
    /// # Errors
    /// When git fails; for a commit that is not there any more read the whole.
    pub fn read(&self, commit: &str, extent: &Extent) -> Result<Snapshot, GitError> {
        snapshot_of(|sink| {
            if let Some(seconds) = self.time_of(commit)? {
                sink.note_time(seconds);
            }
            self.read_into(commit, extent, sink)
        })
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
                let ids: BTreeSet<_> = ids.collect();
                let all = self.names(["ls-tree", "-r", "-z", "--name-only", commit])?;
                let is_changed =
                    |name: &String| FeedFile::of(name).is_some_and(|file| ids.contains(&file.id));
                // One that is gone altogether is told by nothing being read of it.
                for id in &ids {
                    sink.expect(*id)?;
                }
                all.into_iter().filter(is_changed).collect()
            }
        };
        names.retain(|name| FeedFile::of(name).is_some() && !name.contains('\n'));
        self.contents(commit, &names, sink)
    }

    /// When a commit was made, in seconds since 1970.
    fn time_of(&self, commit: &str) -> Result<Option<i64>, GitError> {
        let mut log = self.git();
        log.args(["log", "-1", "--no-show-signature", "--format=%ct", "--end-of-options", commit]);
        let output = run(log, "read when it was made", LOCAL_LIMIT)?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().parse().ok())
    }

    fn names<const N: usize>(&self, arguments: [&str; N]) -> Result<Vec<String>, GitError> {
        let mut list = self.git();
        list.args(arguments);
        let output = run(list, "list what it fetched", LOCAL_LIMIT)?;
        let names = output.stdout.split(|byte| *byte == 0);
        Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
    }

    /// Reads files by one `cat-file`.
    fn contents(&self, commit: &str, names: &[String], sink: &Sink) -> Result<(), GitError> {
        let mut command = self.git();
        command.args(["cat-file", "--batch", "--buffer"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(GitError::Run)?;
        let watchdog = Watchdog::start(&child, LOCAL_LIMIT);
        let mut input = child.stdin.take().expect("it is piped");
        let asked: String = names.iter().map(|name| format!("{commit}:{name}\n")).collect();
        let writer = thread::spawn(move || input.write_all(asked.as_bytes()));
        let mut output =
            BufReader::with_capacity(1 << 20, child.stdout.take().expect("it is piped"));
        let read = names.iter().try_for_each(|name| read_one(&mut output, name, sink));
        drop(output);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("it panicked")));
        let ended = child.wait().map_err(GitError::Run)?;
        let action = "read the feed".to_owned();
        if watchdog.has_bitten() {
            return Err(GitError::Slow { action, seconds: LOCAL_LIMIT.as_secs() });
        }
        let said = match (read, written) {
            (Err(ReadError::Limit(limit)), _) => return Err(limit.into()),
            (Err(ReadError::Io(error)), _) | (Ok(()), Err(error)) => error.to_string(),
            (Ok(()), Ok(())) if !ended.success() => "it ended with an error".to_owned(),
            (Ok(()), Ok(())) => return Ok(()),
        };
        Err(GitError::Failed { action, said })
    }
}

/// Reads an object: a line `HASH TYPE SIZE`, the content, a line feed.
fn read_one(output: &mut BufReader<ChildStdout>, name: &str, sink: &Sink) -> Result<(), ReadError> {
    let Some(file) = FeedFile::of(name) else { return Ok(()) };
    let mut header = String::new();
    output.read_line(&mut header)?;
    let words: Vec<&str> = header.split_whitespace().collect();
    let [_, kind, size] = words[..] else {
        return Ok(sink.add_unreadable(file, "git does not have it")?);
    };
    let size: u64 = size.parse().map_err(|error| ReadError::Io(io::Error::other(error)))?;
    let mut rest = output.by_ref().take(size + 1);
    if kind == "blob" && size <= FILE_BYTES {
        let mut content = Vec::new();
        rest.read_to_end(&mut content)?;
        if content.len() as u64 != size + 1 {
            return Err(ReadError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        content.pop();
        sink.add(file, content)?;
    } else {
        io::copy(&mut rest, &mut io::sink())?;
        sink.add_unreadable(file, "it is no file, or larger than any record")?;
    }
    Ok(())
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<LimitError> for ReadError {
    fn from(error: LimitError) -> Self {
        Self::Limit(error)
    }
}

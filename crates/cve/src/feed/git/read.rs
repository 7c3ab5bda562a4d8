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
use crate::{
    CveId,
    feed::{
        FILE_BYTES, FeedFile, LimitError, Snapshot,
        parsers::{Sink, snapshot_of},
    },
};

/// Why reading broke off.
enum ReadError {
    Io(io::Error),
    Limit(LimitError),
}

/// A file of the feed in a commit, and the hash of its content.
struct Blob<'a> {
    file: FeedFile,
    object: &'a str,
}

impl FeedMirror {
    /// Reads a commit that was fetched. Gives the CVEs of which something was read; of each all its files.
    ///
    /// # Errors
    /// When git fails; for a commit that is not there any more read the whole.
    pub fn read(&self, commit: &str, extent: &Extent) -> Result<Snapshot, GitError> {
        let snapshot = snapshot_of(|sink| {
            if let Some(seconds) = self.time_of(commit)? {
                sink.note_time(seconds);
            }
            match extent {
                Extent::Whole => self.contents(&files(&self.list(commit)?, |_| true), sink),
                Extent::Since(before) if before == commit => Ok(()),
                Extent::Since(before) => self.read_changes(before, commit, sink),
            }
        })?;
        Ok(snapshot?)
    }

    fn read_changes(&self, before: &str, commit: &str, sink: &Sink) -> Result<(), GitError> {
        // Each takes its time for trees with tens of thousands of names.
        let (changed, list) = thread::scope(|scope| {
            let changed = scope.spawn(|| self.changed(before, commit));
            let list = self.list(commit);
            (changed.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), list)
        });
        let changed = changed?;
        // One that is gone altogether is told by nothing being read of it.
        for id in &changed {
            sink.expect(*id)?;
        }
        self.contents(&files(&list?, |file| changed.contains(&file.id)), sink)
    }

    /// The CVEs of which a file is another one in a commit than in one before.
    fn changed(&self, before: &str, commit: &str) -> Result<BTreeSet<CveId>, GitError> {
        let arguments = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", before, commit];
        let output = self.output(&arguments, "compare what it fetched")?;
        let names = output.split(|byte| *byte == 0).filter_map(|name| str::from_utf8(name).ok());
        Ok(names.filter_map(|name| Some(FeedFile::of(name)?.id)).collect())
    }

    /// What git says of all files in a commit.
    fn list(&self, commit: &str) -> Result<Vec<u8>, GitError> {
        self.output(&["ls-tree", "-r", "-z", commit], "list what it fetched")
    }

    /// When a commit was made, in seconds since 1970.
    fn time_of(&self, commit: &str) -> Result<Option<i64>, GitError> {
        let log = ["log", "-1", "--no-show-signature", "--format=%ct", "--end-of-options", commit];
        let output = self.output(&log, "read when it was made")?;
        Ok(String::from_utf8_lossy(&output).trim().parse().ok())
    }

    fn output(&self, arguments: &[&str], action: &str) -> Result<Vec<u8>, GitError> {
        let mut command = self.git();
        command.args(arguments);
        Ok(run(command, action, LOCAL_LIMIT)?.stdout)
    }

    /// Reads files by one `cat-file`. They are asked for by their objects: by a path git would go through
    /// the trees for each.
    fn contents(&self, files: &[Blob], sink: &Sink) -> Result<(), GitError> {
        let mut command = self.git();
        command.args(["cat-file", "--batch", "--buffer"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(GitError::Run)?;
        let watchdog = Watchdog::start(&child, LOCAL_LIMIT);
        let mut input = child.stdin.take().expect("it is piped");
        let asked: String = files.iter().flat_map(|blob| [blob.object, "\n"]).collect();
        let writer = thread::spawn(move || input.write_all(asked.as_bytes()));
        let mut output =
            BufReader::with_capacity(1 << 20, child.stdout.take().expect("it is piped"));
        let read = files.iter().try_for_each(|blob| read_one(&mut output, blob.file, sink));
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

/// The files of the feed in what `ls-tree -z` says: `MODE TYPE HASH`, a tab, the path, a zero.
fn files(list: &[u8], is_wanted: impl Fn(&FeedFile) -> bool) -> Vec<Blob<'_>> {
    let lines = list.split(|byte| *byte == 0).filter_map(|line| str::from_utf8(line).ok());
    let files = lines.filter_map(|line| {
        let (object, path) = line.split_once('\t')?;
        Some(Blob { file: FeedFile::of(path)?, object: object.rsplit(' ').next()? })
    });
    files.filter(|blob| is_wanted(&blob.file)).collect()
}

/// Reads an object: a line `HASH TYPE SIZE`, the content, a line feed.
fn read_one(
    output: &mut BufReader<ChildStdout>,
    file: FeedFile,
    sink: &Sink,
) -> Result<(), ReadError> {
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

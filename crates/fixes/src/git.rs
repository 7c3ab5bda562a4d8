//! The patch of a commit out of a clone, without anything of the clone but its objects.

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_git::isolate;
use elivepatch_model::limits;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

use crate::{CommitHash, FixSourceError, text};

/// How long git may take for a commit. It takes some 50 ms; a clone on a slow disk takes seconds for the
/// first one.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// How much git may say to explain itself, in bytes. What comes after that is passed over.
const MESSAGE_BYTES: u64 = 16 * 1024;

/// The patch of a commit.
pub(crate) async fn fix(clone: &Utf8Path, commit: &CommitHash) -> Result<Vec<u8>, FixSourceError> {
    let objects = objects_of(clone)?;
    let home = tokio::task::spawn_blocking(move || repository_with(&objects))
        .await
        .map_err(|error| FixSourceError::GitRun(io::Error::other(error)))?
        .map_err(FixSourceError::GitRun)?;
    let asked = async {
        // A name of 40 digits is never one of a branch here.
        let listed =
            git(home.path(), &["cat-file", "--batch-check"], &format!("{commit}\n")).await?;
        let listed = String::from_utf8_lossy(&listed);
        match listed.trim_end().split(' ').nth(1) {
            Some("commit") => {}
            Some("missing") => return Err(FixSourceError::Absent),
            _ => return Err(FixSourceError::Git(format!("{commit} is not a commit"))),
        }
        let arguments = [
            "format-patch",
            "-1",
            "--stdout",
            // Its own version is of no use in the text.
            "--no-signature",
            "--no-ext-diff",
            "--no-textconv",
            "--no-color",
            commit.as_str(),
        ];
        let patch = git(home.path(), &arguments, "").await?;
        match text::check(&patch, Some(commit)) {
            // It passes over a merge, to a commit before it or to none.
            Err(FixSourceError::NoChange | FixSourceError::OtherCommit(_))
                if is_merge(home.path(), commit).await? =>
            {
                Err(FixSourceError::Merge)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(patch),
        }
    };
    let seconds = TIME_LIMIT.as_secs();
    tokio::time::timeout(TIME_LIMIT, asked)
        .await
        .unwrap_or(Err(FixSourceError::GitSlow { seconds }))
}

/// Whether a clone can be read at all.
pub(crate) fn objects_of(clone: &Utf8Path) -> Result<Utf8PathBuf, FixSourceError> {
    let places = [clone.join(".git/objects"), clone.join("objects")];
    let found = places.into_iter().find(|path| path.is_dir());
    found.ok_or_else(|| FixSourceError::NotAClone(clone.to_owned()))
}

/// A repository of our own that has the objects of another and nothing else of it: neither settings, which
/// may run programs, nor attributes, replaced objects, or a server to fetch from.
fn repository_with(objects: &Utf8Path) -> io::Result<tempfile::TempDir> {
    if objects.as_str().contains('\n') {
        return Err(io::Error::other("the path of the clone has a line feed"));
    }
    let home = tempfile::Builder::new().prefix("elivepatch-fix-").tempdir()?;
    let path = home.path();
    std::fs::create_dir_all(path.join("objects/info"))?;
    std::fs::create_dir(path.join("refs"))?;
    std::fs::write(path.join("HEAD"), "ref: refs/heads/none\n")?;
    std::fs::write(path.join("config"), "[core]\n\trepositoryformatversion = 0\n\tbare = true\n")?;
    std::fs::write(path.join("objects/info/alternates"), format!("{objects}\n"))?;
    Ok(home)
}

async fn is_merge(home: &Path, commit: &CommitHash) -> Result<bool, FixSourceError> {
    let text = git(home, &["cat-file", "commit", commit.as_str()], "").await?;
    let header = text.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    Ok(header.filter(|line| line.starts_with(b"parent ")).count() > 1)
}

/// Runs a git on the repository, with a text to read. Dropping it ends git.
async fn git(home: &Path, arguments: &[&str], input: &str) -> Result<Vec<u8>, FixSourceError> {
    let mut command = std::process::Command::new("git");
    isolate(&mut command, Path::new("/dev/null"));
    command
        // A graph is a second opinion on commits, which nobody checks.
        .args(["-c", "core.commitGraph=false", "-c", "core.attributesFile=/dev/null"])
        .args(arguments)
        .env("GIT_DIR", home)
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_ALLOW_PROTOCOL", "none")
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child =
        Command::from(command).kill_on_drop(true).spawn().map_err(FixSourceError::GitRun)?;
    let mut stdin = child.stdin.take().expect("it is piped");
    // Git may end before it has read all.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let stdout = child.stdout.take().expect("it is piped");
    let stderr = child.stderr.take().expect("it is piped");
    let (output, said) =
        tokio::join!(read_to(stdout, limits::PATCH_BYTES), read_and_pass_over(stderr));
    let output = output.map_err(FixSourceError::GitRun)?;
    let Some(output) = output else {
        return Err(FixSourceError::TooLarge { limit_bytes: limits::PATCH_BYTES });
    };
    let status: ExitStatus = child.wait().await.map_err(FixSourceError::GitRun)?;
    if status.success() {
        return Ok(output);
    }
    Err(FixSourceError::Git(reason(&said.map_err(FixSourceError::GitRun)?)))
}

/// All that comes; `None` when it is more than the limit.
async fn read_to(reader: impl AsyncRead + Unpin, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    reader.take(limit + 1).read_to_end(&mut bytes).await?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

async fn read_and_pass_over(mut reader: impl AsyncRead + Unpin) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    (&mut reader).take(MESSAGE_BYTES).read_to_end(&mut bytes).await?;
    tokio::io::copy(&mut reader, &mut tokio::io::sink()).await?;
    Ok(bytes)
}

/// The line that names a reason: those after it name what came of that.
fn reason(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let fatal = lines.clone().find(|line| line.starts_with("fatal: "));
    let line = fatal.or_else(|| lines.next_back()).unwrap_or("it ended with an error");
    line.trim_start_matches("fatal: ").chars().take(200).collect()
}

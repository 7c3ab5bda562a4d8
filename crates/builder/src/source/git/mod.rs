//! The tags of git repositories. A repository is a stranger's: its settings and hooks can make any git
//! command run any program. So git reads it in the sandbox, where that harms nobody, and nothing that
//! git says is believed: commit, trees and blobs are hashed here, and must be what they are called.

mod export;
mod mirror;
mod object;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{
    BuildEvent, Failure, FailureClass, GitRecord, KernelRelease, Sha256Digest, StepName,
};

use super::{
    GitOptions, Repository, Tools, TreeFacts, baseline::temporary_file, not_served::not_here,
    signature::Signatures,
};
use crate::{
    base::WORK,
    failures::io_failure,
    process::Finished,
    sandbox::{Sandbox, SandboxCommand},
    untrusted_file::read_untrusted,
};
pub(super) use export::export;
use object::{BatchObject, read_batch};

/// Where the sandbox shows the repository.
const REPOSITORY: &str = "/repository";

/// The largest commit or tag that is read, in bytes.
const OBJECT_BYTES: u64 = 1 << 20;

/// What each git in the sandbox is told. A full clone of Linux has a pack of 5 GB, of which only some
/// may be mapped at a time, or the limit on address space ends it.
const SETTINGS: [&str; 9] = [
    "safe.directory=*",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.pager=cat",
    "core.packedGitLimit=1g",
    "core.packedGitWindowSize=32m",
    "core.deltaBaseCacheLimit=256m",
    "protocol.allow=never",
    "gc.auto=0",
];

/// The environment of each git in the sandbox.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    // What is asked for is what is wanted, not what a repository puts in its place.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// A repository, for one kernel.
pub(super) struct GitSource<'a> {
    /// What the config says.
    pub options: &'a GitOptions,
    /// The kernel.
    pub release: &'a KernelRelease,
    /// What it is done with.
    pub tools: Tools<'a>,
}

impl GitSource<'_> {
    /// The tag of the kernel's version, fetched when it is not here yet.
    ///
    /// # Errors
    /// `release-unknown` when there is no such tag; `fetch-failed`, `source-unusable`.
    pub(super) fn find(&self) -> Result<TreeFacts, Failure> {
        let tag = self.options.tag.fill(self.release);
        let (path, found) = match &self.options.repository {
            Repository::Path(path) => {
                let found = self.look_up(path, &tag)?;
                (path.clone(), found.ok_or_else(|| no_tag(path.as_str(), &tag))?)
            }
            Repository::Url(url) => self.remote(url, &tag)?,
        };
        if let Some(keyring) = &self.options.verify_tag {
            self.check_signature(&found, &tag, keyring)?;
        }
        let GitRecord { commit, tree } = &found.record;
        let digest = Sha256Digest::of(format!("git {commit} {tree}").as_bytes());
        let facts = TreeFacts::of(&path, digest);
        let facts = facts.with_origin("git", self.release.upstream_version(), Some(found.record));
        Ok(facts.with_route(self.route()?))
    }

    /// A digest of where the tag is fetched from and how it is checked; `None` of a repository on the
    /// server.
    ///
    /// # Errors
    /// `source-unusable` when the keyring cannot be read.
    pub(in crate::source) fn route(&self) -> Result<Option<Sha256Digest>, Failure> {
        let Repository::Url(url) = &self.options.repository else { return Ok(None) };
        let keys = match &self.options.verify_tag {
            Some(path) => fs_err::read(path)
                .map_err(|error| io_failure(FailureClass::SourceUnusable, "read", path, &error))?,
            None => Vec::new(),
        };
        let tag = self.options.tag.fill(self.release);
        let verify = self.options.verify_tag.is_some();
        let text = format!("{url} {tag} {verify} {}", Sha256Digest::of(&keys));
        Ok(Some(Sha256Digest::of(text.as_bytes())))
    }

    /// The tag in our own repository of what was fetched.
    fn remote(&self, url: &str, tag: &str) -> Result<(Utf8PathBuf, FoundTag), Failure> {
        let path = mirror::place(self.tools.cache, url);
        // Without git nothing is known of what is there.
        program()?;
        let Tools { cache, observer, .. } = self.tools;
        let mut was_mended = false;
        loop {
            // Bases that are being made of it share its lock for up to hours, so whoever fetches another
            // tag shares it, too: what is added changes nothing for readers. It is not removed meanwhile.
            let shared = cache.share(&path, observer)?;
            if path.exists() {
                if let Ok(Some(found)) = self.look_up(&path, tag) {
                    return Ok((path, found));
                }
                // One at a time adds to it, and finds it without the half of another's.
                let fetching = cache.lock(&mirror::fetches(&path), observer)?;
                match self.look_up(&path, tag) {
                    Ok(Some(found)) => return Ok((path, found)),
                    Ok(None) => {
                        mirror::fetch(&path, url, tag, observer)?;
                        let found = self.look_up(&path, tag)?.ok_or_else(|| no_tag(url, tag))?;
                        return Ok((path, found));
                    }
                    Err(failure)
                        if failure.class == FailureClass::SourceUnusable && !was_mended => {}
                    Err(failure) => return Err(failure),
                }
                drop(fetching);
                was_mended = true;
            }
            drop(shared);
            self.make_mirror(&path, url, tag)?;
        }
    }

    /// Makes our own repository where there is none, and anew where it is damaged.
    fn make_mirror(&self, path: &Utf8Path, url: &str, tag: &str) -> Result<(), Failure> {
        let Tools { cache, observer, .. } = self.tools;
        let _alone = cache.lock(path, observer)?;
        if path.exists() {
            match self.look_up(path, tag) {
                // Someone else has made it while we waited.
                Ok(_) => return Ok(()),
                // It is ours, and nobody can mend it better than by fetching it again.
                Err(failure) if failure.class == FailureClass::SourceUnusable => {
                    let line = format!("removing what was fetched from {url}: {}", failure.message);
                    observer.event(BuildEvent::Log { step: StepName::Source, line });
                    mirror::remove(path)?;
                }
                Err(failure) => return Err(failure),
            }
        }
        mirror::init(path, url, observer)
    }

    /// What a tag leads to; `None` when the repository does not have it.
    fn look_up(&self, repository: &Utf8Path, tag: &str) -> Result<Option<FoundTag>, Failure> {
        let Tools { sandbox, observer, .. } = self.tools;
        let scratch = scratch_directory(sandbox)?;
        let place = Utf8Path::from_path(scratch.path()).unwrap_or(Utf8Path::new("/tmp"));
        let names = format!("refs/tags/{tag}\nrefs/tags/{tag}^{{commit}}\n");
        let names = temporary_file(names.as_bytes(), sandbox)?;
        let names = Utf8Path::from_path(names.path()).unwrap_or(Utf8Path::new("/dev/null"));
        let script = format!("exec \"$@\" cat-file --batch < /inputs/names > {WORK}/objects");
        let command = git_command(repository, &script)?
            .writable(place, WORK)
            .read_only(names, "/inputs/names");
        let finished = sandbox.run(&command, StepName::Source, observer)?;
        if !finished.succeeded() {
            return Err(unreadable(repository, &finished));
        }
        let text = read_untrusted(&place.join("objects"), OBJECT_BYTES).map_err(|error| {
            io_failure(FailureClass::SourceUnusable, "read the tag of", repository, &error)
        })?;
        let damaged = |what: &str| damaged(repository, &format!("its tag {tag} {what}"));
        let mut rest = text.as_slice();
        let mut next = || read_batch(&mut rest, OBJECT_BYTES).map_err(|error| damaged(&error));
        let (tag, commit) = (next()?, next()?);
        let Some(tag) = tag else { return Ok(None) };
        let Some(commit) = commit else { return Err(damaged("leads to nothing")) };
        if commit.kind != "commit" {
            return Err(damaged("leads to no commit"));
        }
        let Some(tree) = commit.header("tree") else { return Err(damaged("has no tree")) };
        let tree = tree.to_owned();
        let is_whole =
            (tag.kind == "tag" && tag.header("object") == Some(&commit.id)) || tag.id == commit.id;
        if !is_whole {
            return Err(damaged("leads to something else than it says"));
        }
        let record = GitRecord { commit: commit.id, tree };
        Ok(Some(FoundTag { tag, record }))
    }

    /// Refuses a tag that is not signed by a key of the keyring.
    fn check_signature(
        &self,
        found: &FoundTag,
        name: &str,
        keyring: &Utf8Path,
    ) -> Result<(), Failure> {
        let label = format!("the tag {name}");
        let text = &found.tag.content;
        let begin = b"-----BEGIN PGP SIGNATURE-----";
        let at = text.windows(begin.len()).position(|window| window == begin);
        let is_named = found.tag.header("tag") == Some(name);
        let Some(at) = at.filter(|_| found.tag.kind == "tag" && is_named) else {
            return Err(Failure::new(
                FailureClass::FetchFailed,
                format!("{label} is not signed"),
                "leave verify_tag out of the [[source]] in the server's config, or name a repository \
                 whose tags are signed",
            ));
        };
        let (signed, signature) = text.split_at(at);
        let Tools { sandbox, observer, .. } = self.tools;
        let file = temporary_file(signed, sandbox)?;
        let path = Utf8Path::from_path(file.path()).unwrap_or(Utf8Path::new("/dev/null"));
        let signatures = Signatures { keyring, sandbox, observer };
        signatures.check_file(path, "cat /inputs/data", signature, &label)
    }
}

/// What was found of a tag.
struct FoundTag {
    tag: BatchObject,
    record: GitRecord,
}

/// A command in a sandbox that shows the repository, to be read. `script` is run by a shell with git
/// and its settings as arguments.
fn git_command(repository: &Utf8Path, script: &str) -> Result<SandboxCommand, Failure> {
    let directory = git_directory(repository)?;
    let mut words = ["sh", "-c", script, "git"].map(str::to_owned).to_vec();
    words.push(program()?.into_string());
    for setting in SETTINGS {
        words.extend(["-c".to_owned(), setting.to_owned()]);
    }
    let command = SandboxCommand::new(Utf8Path::new("/"), words)
        .read_only(repository, REPOSITORY)
        .environment("GIT_DIR", directory);
    let environment = ENVIRONMENT.into_iter();
    Ok(environment.fold(command, |command, (name, value)| command.environment(name, value)))
}

/// The git directory of a repository, in the sandbox.
fn git_directory(repository: &Utf8Path) -> Result<&'static str, Failure> {
    let unusable = |what: &str| {
        Failure::new(
            FailureClass::SourceUnusable,
            format!("the git repository {repository} {what}"),
            "name a repository that is whole in the [[source]] of the server's config: `git clone \
             --bare --no-local` makes one",
        )
    };
    let inner = repository.join(".git");
    let (directory, inside) = match inner.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => (inner, "/repository/.git"),
        Ok(_) => return Err(unusable("is a work tree of another one")),
        Err(_) => (repository.to_owned(), REPOSITORY),
    };
    if !directory.join("objects").is_dir() || !directory.join("HEAD").is_file() {
        return Err(unusable("is not there, or is none"));
    }
    if directory.join("objects/info/alternates").symlink_metadata().is_ok() {
        return Err(unusable("borrows objects from another one (objects/info/alternates)"));
    }
    Ok(inside)
}

/// Where git is. The sandbox has the machine's `/usr`, and a search path of its own.
fn program() -> Result<Utf8PathBuf, Failure> {
    let search = std::env::var("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin"].map(str::to_owned);
    let directories = search.split(':').map(str::to_owned).chain(usual);
    let mut programs = directories.map(|directory| Utf8PathBuf::from(directory).join("git"));
    programs.find(|program| program.starts_with("/usr") && program.is_file()).ok_or_else(|| {
        Failure::new(FailureClass::SourceUnusable, "there is no git", "apt-get install git")
    })
}

fn scratch_directory(sandbox: &Sandbox) -> Result<tempfile::TempDir, Failure> {
    let made = tempfile::tempdir().and_then(|directory| {
        sandbox.hand_over(Utf8Path::from_path(directory.path()).unwrap_or(Utf8Path::new("")))?;
        Ok(directory)
    });
    made.map_err(|error| {
        io_failure(FailureClass::Internal, "make", Utf8Path::new("a directory"), &error)
    })
}

fn no_tag(repository: &str, tag: &str) -> Failure {
    not_here(format!("{repository} has no tag {tag}"))
}

fn unreadable(repository: &Utf8Path, finished: &Finished) -> Failure {
    let lines = finished.last_lines(5);
    damaged(repository, lines.last().map_or("git cannot read it", String::as_str))
        .with_details(lines)
}

fn damaged(repository: &Utf8Path, what: &str) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!("the git repository {repository} cannot be used: {what}"),
        "`git fsck` says whether it is whole; one below the server's cache directory can be removed \
         and is fetched again",
    )
}

#[cfg(test)]
mod tests;

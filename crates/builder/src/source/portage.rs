//! What Gentoo's ebuilds make of their distfiles. Portage's own `ebuild` unpacks and patches, in the
//! sandbox: an ebuild is a program.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, KernelRelease, Sha256Digest, StepName};

use super::{
    PortageOptions, Tools, TreeFacts, directory, not_served::not_here, tree::facts_of,
    walk::unreadable,
};
use crate::{base::WORK, cache::StagingDirectory, failures::io_failure, sandbox::SandboxCommand};

/// Where the sandbox shows the ebuild repository: where Gentoo's profiles look for it.
const REPOSITORY: &str = "/var/db/repos/gentoo";

/// Where the sandbox shows the distfiles.
const DISTFILES: &str = "/distfiles";

/// What portage's own sandboxes need is forbidden in ours, and root is nobody there.
const FEATURES: &str = "-sandbox -usersandbox -userpriv -userfetch -usersync -network-sandbox \
    -ipc-sandbox -pid-sandbox -mount-sandbox -cgroup -ccache -distcc -news -parallel-fetch";

/// What `ebuild` needs of `/etc` where the root is the server's own.
const OWN_ETC: [&str; 6] = [
    "/etc/portage",
    "/etc/passwd",
    "/etc/group",
    "/etc/python-exec",
    "/etc/env.d",
    "/etc/profile.env",
];

/// The patches of the server's administrator for his own kernel: a target's come as its baseline.
const USER_PATCHES: &str = "etc/portage/patches";

/// An ebuild repository, for one kernel.
pub(super) struct Portage<'a> {
    /// What the config says.
    pub options: &'a PortageOptions,
    /// The kernel.
    pub release: &'a KernelRelease,
    /// What it is done with.
    pub tools: Tools<'a>,
    /// For tests: what runs in the place of `ebuild`.
    pub stand_in: Option<&'a Utf8Path>,
}

/// An ebuild.
struct Ebuild {
    category: String,
    name: String,
    /// The version with its revision, such as `6.12.31-r1`.
    version: String,
    /// The directory of its package.
    directory: Utf8PathBuf,
}

impl Portage<'_> {
    /// The source as the ebuild of the kernel's version prepares it; prepared once.
    ///
    /// # Errors
    /// `release-unknown` when there is no such ebuild; `source-unusable` when it does not do its work;
    /// those of the sandbox.
    pub(super) fn find(&self) -> Result<TreeFacts, Failure> {
        let ebuild = self.ebuild()?;
        let Tools { cache, observer, .. } = self.tools;
        let place = cache.sources().join(format!("portage-{}", self.key(&ebuild)?.short()));
        let mut lock = cache.share(&place, observer)?;
        if !place.exists() {
            drop(lock);
            lock = cache.lock(&place, observer)?;
            // Someone else may have prepared it while we waited.
            if !place.exists() {
                let staging = StagingDirectory::empty(&place)?;
                self.prepare(&ebuild, staging.path())?;
                staging.publish(&place)?;
            }
        }
        let tree = only_directory(&place)?;
        let facts = facts_of(&tree, cache)?;
        drop(lock);
        let route = Some(self.key(&ebuild)?);
        Ok(facts.with_origin("portage", ebuild.version, None).with_route(route))
    }

    /// What decides what the ebuild makes.
    ///
    /// # Errors
    /// `release-unknown` when there is no such ebuild; `source-unusable`.
    pub(super) fn route(&self) -> Result<Sha256Digest, Failure> {
        self.key(&self.ebuild()?)
    }

    /// The ebuild of the kernel: `6.12.31-gentoo-r1` is version 6.12.31-r1 of gentoo-sources.
    fn ebuild(&self) -> Result<Ebuild, Failure> {
        let PortageOptions { package, .. } = self.options;
        let (category, name) = category_and_name(package);
        let mark = format!("-{}", name.strip_suffix("-sources").unwrap_or(name));
        let Some(behind) = self.release.suffix().strip_prefix(&mark) else {
            return Err(not_here(format!("{} has no {mark} in it", self.release)));
        };
        let revision = behind
            .strip_prefix("-r")
            .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        let (major, minor, patch) = self.release.version();
        let version = match revision.filter(|digits| !digits.is_empty()) {
            Some(revision) => format!("{major}.{minor}.{patch}-r{revision}"),
            None => format!("{major}.{minor}.{patch}"),
        };
        let directory = package_directory(self.options);
        let ebuild =
            Ebuild { category: category.to_owned(), name: name.to_owned(), version, directory };
        let path = ebuild.path();
        if path.is_file() { Ok(ebuild) } else { Err(not_here(format!("{path} is not there"))) }
    }

    /// A digest of what decides what comes of the ebuild: its package with the digests of the distfiles, and
    /// the repository's eclasses.
    fn key(&self, ebuild: &Ebuild) -> Result<Sha256Digest, Failure> {
        let content = content_of(self.options)?;
        let text = format!("{:?} {} {content}", self.options, ebuild.version);
        Ok(Sha256Digest::of(text.as_bytes()))
    }

    /// Runs `ebuild` and moves the tree that it leaves into `place`.
    fn prepare(&self, ebuild: &Ebuild, place: &Utf8Path) -> Result<(), Failure> {
        let Tools { sandbox, observer, .. } = self.tools;
        let work = place.join("work");
        sandbox.make_directory(&work)?;
        sandbox.make_directory(&work.join("distfiles"))?;
        let nothing = place.join("nothing");
        fs_err::create_dir(&nothing).map_err(|error| failed("make", &nothing, &error))?;
        let command = self.command(ebuild, &work, &nothing);
        let class = FailureClass::SourceUnusable;
        let ran = sandbox.run_checked(&command, StepName::Source, observer, class);
        ran.map_err(|failure| match failure.class {
            FailureClass::SourceUnusable => Failure::new(
                class,
                format!("{} does not prepare its source", ebuild.path()),
                format!(
                    "look at the lines below and at the build's log; the files that it names must lie in \
                     {}: `ebuild {} fetch` gets them",
                    self.options.distfiles,
                    ebuild.path()
                ),
            )
            .with_details(failure.details),
            _ => failure,
        })?;
        let made = work.join("portage").join(&ebuild.category).join(ebuild.full_name());
        let tree = only_directory(&made.join("work"))?;
        if !tree.join("Makefile").is_file() {
            return Err(unusable(&tree, "has no Makefile: it is no kernel's source"));
        }
        directory::check(&tree)?;
        let target = place.join(tree.file_name().unwrap_or("linux"));
        fs_err::rename(&tree, &target).map_err(|error| failed("move", &tree, &error))?;
        for directory in [work, nothing] {
            crate::remove_work_directory(&directory)
                .map_err(|error| failed("remove", &directory, &error))?;
        }
        Ok(())
    }

    fn command(&self, ebuild: &Ebuild, work: &Utf8Path, nothing: &Utf8Path) -> SandboxCommand {
        let PortageOptions { root, repository, distfiles, .. } = self.options;
        let program = if self.stand_in.is_some() { "/inputs/ebuild" } else { "ebuild" };
        let inside = format!(
            "{REPOSITORY}/{}/{}/{}.ebuild",
            ebuild.category,
            ebuild.name,
            ebuild.full_name()
        );
        let words = [program, &inside, "clean", "unpack", "prepare"];
        let mut command = SandboxCommand::new(root, words)
            .read_only(repository, REPOSITORY)
            .read_only(distfiles, DISTFILES)
            .writable(work, WORK)
            .directory(WORK)
            .environment("PORTAGE_TMPDIR", WORK)
            .environment("DISTDIR", format!("{WORK}/distfiles"))
            .environment("PORTAGE_RO_DISTDIRS", DISTFILES)
            .environment("PORTAGE_USERNAME", "root")
            .environment("PORTAGE_GRPNAME", "root")
            .environment("FEATURES", FEATURES)
            .environment("GENTOO_MIRRORS", "")
            .environment("FETCHCOMMAND", "false")
            .environment("RESUMECOMMAND", "false")
            .environment("NOCOLOR", "true");
        let repositories =
            format!("[DEFAULT]\nmain-repo = gentoo\n\n[gentoo]\nlocation = {REPOSITORY}\n");
        command = command.environment("PORTAGE_REPOSITORIES", repositories);
        if let Some(stand_in) = self.stand_in {
            command = command.read_only(stand_in, program);
        }
        if *root == "/" {
            for path in OWN_ETC.into_iter().filter(|path| Utf8Path::new(path).exists()) {
                command = command.read_only(Utf8Path::new(path), path);
            }
        }
        if root.join(USER_PATCHES).is_dir() {
            command = command.read_only(nothing, &format!("/{USER_PATCHES}"));
        }
        command
    }
}

impl Ebuild {
    fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn path(&self) -> Utf8PathBuf {
        self.directory.join(format!("{}.ebuild", self.full_name()))
    }
}

/// A digest of what the ebuilds of a source's package are prepared by, whatever the version.
///
/// # Errors
/// `source-unusable`.
pub(super) fn content(options: &PortageOptions) -> Result<Sha256Digest, Failure> {
    Ok(Sha256Digest::of(content_of(options)?.as_bytes()))
}

fn content_of(options: &PortageOptions) -> Result<String, Failure> {
    let package = directory::digest(&package_directory(options))?;
    let eclasses = options.repository.join("eclass");
    let eclasses = match eclasses.is_dir() {
        true => directory::digest(&eclasses)?.to_string(),
        false => String::new(),
    };
    Ok(format!("{package} {eclasses}"))
}

fn package_directory(options: &PortageOptions) -> Utf8PathBuf {
    let (category, name) = category_and_name(&options.package);
    options.repository.join(category).join(name)
}

fn category_and_name(package: &str) -> (&str, &str) {
    package.split_once('/').unwrap_or(("sys-kernel", package))
}

/// The only directory in a directory that tools could write.
fn only_directory(parent: &Utf8Path) -> Result<Utf8PathBuf, Failure> {
    let entries = parent.read_dir_utf8().map_err(|error| unreadable(parent, "", &error))?;
    let is_directory = |entry: &camino::Utf8DirEntry| {
        // Not through a symbolic link.
        entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    let directories: Vec<Utf8PathBuf> =
        entries.flatten().filter(is_directory).map(|entry| entry.path().to_owned()).collect();
    match directories.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(unusable(parent, "does not have the one directory that an ebuild should leave")),
    }
}

fn unusable(path: &Utf8Path, what: &str) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!("{path} {what}"),
        "look at the [[source]] of the kind portage in the server's config, and at what its ebuild does",
    )
}

fn failed(action: &str, path: &Utf8Path, error: &std::io::Error) -> Failure {
    io_failure(FailureClass::SourceUnusable, action, path, error)
}

#[cfg(test)]
#[path = "portage_tests.rs"]
mod tests;

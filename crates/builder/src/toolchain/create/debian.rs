//! Roots from Debian's archive: mmdebstrap installs them.

use std::process::Command;

use camino::Utf8Path;
use elivepatch_model::Failure;
use tempfile::NamedTempFile;

use super::{
    as_root::AsRoot,
    run::{failure, mortal, run, run_quietly},
};
use crate::{
    Observer,
    debian::{Apt, fault_in},
    process::Finished,
    toolchain::{Recipe, recipe::UnpackedPackage},
};

/// Installs the packages of `suites` into `root`, a directory that is not there yet, in one that holds nothing else.
/// Without root's rights mmdebstrap works in a user namespace, and all files belong to this user: he can remove them
/// again.
pub(super) fn install(
    recipe: &Recipe,
    suites: &[String],
    packages: &[String],
    root: &Utf8Path,
    apt: &Apt,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    apt.check_keyring()?;
    let is_root = rustix::process::geteuid().is_root();
    let place = root.parent().unwrap_or(root);
    // apt gives up root's rights before it reads this, and the cache is closed to others.
    let configuration = match is_root {
        true => NamedTempFile::new(),
        false => NamedTempFile::new_in(place),
    };
    let configuration = configuration.and_then(|file| {
        fs_err::copy(apt.configuration(), file.path())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs_err::set_permissions(file.path(), mode)?;
        Ok(file)
    });
    let configuration = configuration.map_err(|error| {
        failure(
            format!("cannot write a temporary file: {error}"),
            "look at the disks of /tmp and the cache",
        )
    })?;
    let as_root = AsRoot::new()?;
    let mut mmdebstrap = match is_root {
        true => with_roots_rights("mmdebstrap"),
        false => {
            as_root.check("mmdebstrap", place, observer)?;
            let mut mmdebstrap = as_root.command("mmdebstrap", place);
            mmdebstrap.args(WITHOUT_ROOTS_RIGHTS);
            mmdebstrap
        }
    };
    mmdebstrap.env("APT_CONFIG", configuration.path());
    mmdebstrap.args(["--mode=root", "--format=directory", "--variant=minbase"]);
    mmdebstrap.arg(format!("--architectures={}", "amd64"));
    mmdebstrap.arg(format!("--include={}", packages.join(",")));
    mmdebstrap.arg("--aptopt=APT::Install-Recommends \"false\"");
    // It gives its apt a configuration of its own, and leaves these in the root: a proxy's password is
    // nothing that builds should read.
    mmdebstrap.args(apt.acquire_lines().iter().map(|line| format!("--aptopt={line}")));
    mmdebstrap.arg("--customize-hook=rm \"$1/etc/apt/apt.conf.d/99mmdebstrap\"");
    // Documentation is a third of the size, and nobody reads it there.
    mmdebstrap.args(["--dpkgopt=path-exclude=/usr/share/man/*"]);
    mmdebstrap.args(["--dpkgopt=path-exclude=/usr/share/locale/*"]);
    mmdebstrap.args(["--dpkgopt=path-exclude=/usr/share/doc/*"]);
    mmdebstrap.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
    mmdebstrap.arg(&suites[0]).arg(root).args(apt.source_lines(suites));
    let finished = run(mmdebstrap, observer)?;
    if !finished.succeeded() {
        return Err(not_installed(recipe, &finished));
    }
    Ok(())
}

/// mmdebstrap starts many programs; a process namespace takes all of them along when it ends.
fn with_roots_rights(program: &str) -> Command {
    let mut unshare = mortal("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--", program]);
    unshare
}

/// What mmdebstrap must do otherwise where all ids but one are missing: apt takes no other user; `/dev` of the place
/// is shown, for that of mmdebstrap has a `devpts` for the user 5; there is no `/sys`, which belongs to the machine;
/// and no program is left that gives others the rights of this user.
const WITHOUT_ROOTS_RIGHTS: [&str; 6] = [
    "--aptopt=APT::Sandbox::User \"root\"",
    "--skip=chroot/mount/dev",
    "--skip=chroot/mount/sys",
    "--extract-hook=mount --bind /dev \"$1/dev\"",
    "--customize-hook=umount \"$1/dev\"",
    "--customize-hook=find \"$1\" -xdev -type f -perm /6000 -exec chmod ug-s {} +",
];

/// mmdebstrap did not make it.
fn not_installed(recipe: &Recipe, finished: &Finished) -> Failure {
    let message = format!("mmdebstrap could not install the toolchain root {}", recipe.name);
    let (message, hint) = match fault_in(&finished.text()) {
        Some(fault) => (format!("{message}: {}", fault.meaning), fault.hint),
        None => (message, "the build's log has its whole output; is there room on the disk?"),
    };
    failure(message, hint).with_details(finished.last_lines(12))
}

/// The packages that are installed in a root, as its own records say.
pub(super) fn installed_packages(
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Vec<String>, Failure> {
    let mut query = Command::new("dpkg-query");
    query.arg(format!("--admindir={root}/var/lib/dpkg"));
    query.args(["--show", "--showformat=${Package} ${Version} ${Architecture}\\n"]);
    let finished = run_quietly(query, observer)?;
    if !finished.succeeded() {
        return Err(failure(
            "dpkg-query cannot list the packages of the new toolchain root",
            "the build's log has its output",
        )
        .with_details(finished.last_lines(5)));
    }
    Ok(finished.text().lines().map(str::to_owned).collect())
}

/// Unpacks a package over a root, without installing it; gives the line on it.
pub(super) fn unpack(
    wanted: &UnpackedPackage,
    root: &Utf8Path,
    apt: &Apt,
    observer: &dyn Observer,
) -> Result<String, Failure> {
    let UnpackedPackage { suite, package } = wanted;
    let versions = apt.versions_in(suite, package, observer)?;
    let Some(package) = versions.first() else {
        let others = apt.offers(package, observer)?.into_iter();
        return Err(failure(
            format!("the suite {suite} has no package {package}"),
            "correct the [[unpack]] of the recipe, or name a mirror that has the suite in the server's \
             config",
        )
        .with_details(others.map(|other| format!("{} has {}", other.suite, other.version))));
    };
    let file = apt.hold(package, observer)?;
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.args(["--extract", file.as_str(), root.as_str()]);
    let finished = run(dpkg, observer)?;
    if !finished.succeeded() {
        return Err(failure(
            format!("dpkg-deb cannot unpack {}", &*file),
            "the build's log has its output",
        )
        .with_details(finished.last_lines(5)));
    }
    Ok(format!("{} {} {}", package.name, package.version, package.digest))
}

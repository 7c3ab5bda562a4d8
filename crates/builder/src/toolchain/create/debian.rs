//! Roots from Debian's archive: mmdebstrap installs them.

use std::process::Command;

use camino::Utf8Path;
use elivepatch_model::Failure;

use super::{
    extract::extract_tar,
    run::{failure, mortal, run, run_quietly},
};
use crate::{
    Observer,
    debian::{Apt, fault_in},
    process::Finished,
    toolchain::{Recipe, recipe::UnpackedPackage},
};

/// Installs the packages of `suites` into `root`. Without root's rights mmdebstrap works in a user
/// namespace and leaves a tarball, which is unpacked with this user as owner of all: files of
/// other owners could not be removed again.
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
    let tarball = root.with_extension("tar");
    // Others than this user read it, in a user namespace, and the cache is closed to them.
    let configuration = tempfile::NamedTempFile::new().and_then(|file| {
        fs_err::copy(apt.configuration(), file.path())?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        fs_err::set_permissions(file.path(), mode)?;
        Ok(file)
    });
    let configuration = configuration.map_err(|error| {
        failure(format!("cannot write a temporary file: {error}"), "look at the disk of /tmp")
    })?;
    // mmdebstrap starts many programs; a process namespace takes all of them along when it ends.
    let mut mmdebstrap = mortal("unshare");
    if is_root {
        mmdebstrap.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    }
    mmdebstrap.args(["--", "mmdebstrap"]).env("APT_CONFIG", configuration.path());
    match is_root {
        true => mmdebstrap.args(["--mode=root", "--format=directory"]),
        false => mmdebstrap.args([unprivileged_mode(&recipe.name)?, "--format=tar"]),
    };
    mmdebstrap.arg("--variant=minbase");
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
    mmdebstrap.arg(&suites[0]).arg(if is_root { root } else { &tarball });
    mmdebstrap.args(apt.source_lines(suites));
    let finished = run(mmdebstrap, observer)?;
    if !finished.succeeded() {
        return Err(not_installed(recipe, is_root, &finished));
    }
    if !is_root {
        extract_tar(&tarball, root, observer)?;
        let _ = fs_err::remove_file(&tarball);
    }
    Ok(())
}

/// mmdebstrap did not make it: for the archive's sake, or for want of rights.
fn not_installed(recipe: &Recipe, is_root: bool, finished: &Finished) -> Failure {
    let message = format!("mmdebstrap could not install the toolchain root {}", recipe.name);
    let (message, hint) = match (fault_in(&finished.text()), is_root) {
        (Some(fault), _) => (format!("{message}: {}", fault.meaning), fault.hint),
        (None, true) => {
            (message, "the build's log has its whole output; is there room on the disk?")
        }
        (None, false) => (
            message,
            "this user may not make it here: give him subordinate ids, or install fakechroot and fakeroot; the build's \
             log has the whole output",
        ),
    };
    failure(message, hint).with_details(finished.last_lines(12))
}

/// How mmdebstrap can work without root's rights.
fn unprivileged_mode(name: &str) -> Result<&'static str, Failure> {
    let has = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
    };
    let user = rustix::process::geteuid().as_raw();
    if has("newuidmap") && has("newgidmap") && has_subordinate_ids(user) {
        return Ok("--mode=unshare");
    }
    if has("fakechroot") && has("fakeroot") {
        return Ok("--mode=fakechroot");
    }
    Err(failure(
        "a toolchain root cannot be made by this user: it has no subordinate ids (/etc/subuid, \
         /etc/subgid, newuidmap), and fakechroot is not installed",
        format!(
            "as root: apt-get install uidmap; usermod --add-subuids 100000-165535 --add-subgids \
             100000-165535 USER (of id {user}); or: apt-get install fakechroot fakeroot. Then: elivepatch-server \
             toolchain create {name}"
        ),
    ))
}

/// Whether getsubids, or the two files that it reads, know ids for a user.
fn has_subordinate_ids(user: u32) -> bool {
    let name = Command::new("id").arg("--name").arg("--user").output();
    let name = name.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let names = [name.unwrap_or_default(), user.to_string()];
    ["/etc/subuid", "/etc/subgid"].into_iter().all(|file| {
        let text = fs_err::read_to_string(file).unwrap_or_default();
        let mut owners = text.lines().filter_map(|line| line.split(':').next());
        owners.any(|owner| names.iter().any(|name| name == owner))
    })
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

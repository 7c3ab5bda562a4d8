//! Making a toolchain root: mmdebstrap installs it, some packages are unpacked over it, and what
//! is in it is written down.

use std::{
    process::{Child, Command},
    time::Duration,
};

use camino::Utf8Path;
use elivepatch_model::{BuildEvent, Failure, FailureClass, Sha256Digest, StepName};

use super::{Recipe, recipe::UnpackedPackage, root::RootFacts};
use crate::{
    Observer,
    cache::StagingDirectory,
    debian::Apt,
    failures::{cancelled, io_failure},
    process::{Ended, Finished, ProcessLimits, mortal_command, supervise},
};

/// Installing 150 packages over a slow line takes its time; a line of output comes with each.
const INSTALL_LIMITS: ProcessLimits = ProcessLimits {
    time: Duration::from_secs(3600),
    silence: Duration::from_secs(900),
    output_bytes: 64 * 1024 * 1024,
};

/// Makes the root of `recipe` at `place`. The caller holds the lock of `place`.
pub(super) fn create(
    recipe: &Recipe,
    place: &Utf8Path,
    apt: &Apt,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| io_failure(FailureClass::ToolchainFailed, "make", place, &error);
    let staging = StagingDirectory::empty(place)?;
    let root = staging.path().join("root");
    log(observer, format!("making the toolchain root {} (once; about a minute)", recipe.name));
    install(recipe, &root, apt, observer)?;
    let mut packages = installed_packages(&root, observer)?;
    for package in &recipe.unpack {
        packages.push(unpack(package, &root, apt, observer)?);
    }
    packages.sort();
    let facts = RootFacts {
        recipe: recipe.digest,
        digest: Sha256Digest::of(packages.join("\n").as_bytes()),
        packages,
        compiler_text: compiler_text(recipe, &recipe.compiler, &root, observer)?,
        rust_compiler_text: match recipe.rust_compiler_text_begins {
            Some(_) => Some(compiler_text(recipe, "rustc", &root, observer)?),
            None => None,
        },
    };
    let text = serde_json::to_vec_pretty(&facts).expect("plain data has a JSON form");
    fs_err::write(staging.path().join("root.json"), text).map_err(failed)?;
    staging.publish(place)
}

fn install(
    recipe: &Recipe,
    root: &Utf8Path,
    apt: &Apt,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    // mmdebstrap starts many programs; a process namespace takes all of them along when it ends.
    let mut mmdebstrap = mortal_command("unshare");
    if rustix::process::geteuid().is_root() {
        mmdebstrap.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    }
    mmdebstrap.args(["--", "mmdebstrap"]);
    mmdebstrap.env("APT_CONFIG", apt.configuration());
    mmdebstrap.args(["--variant=minbase", "--format=directory"]);
    mmdebstrap.arg(format!("--architectures={}", "amd64"));
    mmdebstrap.arg(format!("--include={}", recipe.packages.join(",")));
    mmdebstrap.arg("--aptopt=APT::Install-Recommends \"false\"");
    // Documentation is a third of the size, and nobody reads it there.
    mmdebstrap.args(["--dpkgopt=path-exclude=/usr/share/man/*"]);
    mmdebstrap.args(["--dpkgopt=path-exclude=/usr/share/locale/*"]);
    mmdebstrap.args(["--dpkgopt=path-exclude=/usr/share/doc/*"]);
    mmdebstrap.arg("--dpkgopt=path-include=/usr/share/doc/*/copyright");
    mmdebstrap.arg(&recipe.suites[0]).arg(root);
    mmdebstrap.args(apt.source_lines(&recipe.suites));
    let finished = run(mmdebstrap, observer)?;
    if finished.succeeded() {
        return Ok(());
    }
    Err(Failure::new(
        FailureClass::ToolchainFailed,
        format!("mmdebstrap could not install the toolchain root {}", recipe.name),
        "it needs root, mmdebstrap installed and a mirror that answers; the build's log has its whole \
         output",
    )
    .with_details(finished.last_lines(12)))
}

fn installed_packages(root: &Utf8Path, observer: &dyn Observer) -> Result<Vec<String>, Failure> {
    let mut query = Command::new("dpkg-query");
    query.arg(format!("--admindir={root}/var/lib/dpkg"));
    query.args(["--show", "--showformat=${Package} ${Version} ${Architecture}\\n"]);
    let finished = run_quietly(query, observer)?;
    if !finished.succeeded() {
        return Err(Failure::new(
            FailureClass::ToolchainFailed,
            "dpkg-query cannot list the packages of the new toolchain root",
            "the build's log has its output",
        )
        .with_details(finished.last_lines(5)));
    }
    Ok(finished.text().lines().map(str::to_owned).collect())
}

fn unpack(
    wanted: &UnpackedPackage,
    root: &Utf8Path,
    apt: &Apt,
    observer: &dyn Observer,
) -> Result<String, Failure> {
    let versions = apt.versions(&wanted.package, observer)?;
    let package = versions.first().ok_or_else(|| {
        Failure::new(
            FailureClass::ToolchainFailed,
            format!("the archive has no package {}", wanted.package),
            format!("look whether the mirror has the suite {}", wanted.suite),
        )
    })?;
    let file = apt.hold(package, observer)?;
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.args(["--extract", file.as_str(), root.as_str()]);
    let finished = run(dpkg, observer)?;
    if !finished.succeeded() {
        return Err(Failure::new(
            FailureClass::ToolchainFailed,
            format!("dpkg-deb cannot unpack {}", &*file),
            "the build's log has its output",
        )
        .with_details(finished.last_lines(5)));
    }
    Ok(format!("{} {} {}", package.name, package.version, package.digest))
}

/// What Kbuild writes into `CONFIG_CC_VERSION_TEXT` and `CONFIG_RUSTC_VERSION_TEXT`: the first line
/// of the compiler's `--version`.
fn compiler_text(
    recipe: &Recipe,
    command: &str,
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<String, Failure> {
    let mut compiler = Command::new("chroot");
    compiler.args([root.as_str(), command, "--version"]).env("LC_ALL", "C");
    let finished = run_quietly(compiler, observer)?;
    let text = finished.text();
    match text.lines().next() {
        Some(line) if finished.succeeded() => Ok(line.to_owned()),
        _ => Err(Failure::new(
            FailureClass::ToolchainFailed,
            format!("{command} does not run in the new toolchain root {}", recipe.name),
            "the recipe installs no such compiler",
        )
        .with_details(finished.last_lines(5))),
    }
}

fn run(command: Command, observer: &dyn Observer) -> Result<Finished, Failure> {
    run_with(command, observer, &mut |line| log(observer, line.to_owned()))
}

fn run_quietly(command: Command, observer: &dyn Observer) -> Result<Finished, Failure> {
    run_with(command, observer, &mut |_| {})
}

fn run_with(
    command: Command,
    observer: &dyn Observer,
    on_line: &mut dyn FnMut(&str),
) -> Result<Finished, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut watch = |_: &Child| observer.is_cancelled().then_some(Ended::Cancelled);
    let finished = supervise(command, INSTALL_LIMITS, on_line, &mut watch).map_err(|error| {
        Failure::new(
            FailureClass::ToolchainFailed,
            format!("cannot run {name}: {error}"),
            format!("apt-get install {name}"),
        )
    })?;
    if finished.ended == Ended::Cancelled { Err(cancelled()) } else { Ok(finished) }
}

fn log(observer: &dyn Observer, line: String) {
    observer.event(BuildEvent::Log { step: StepName::Toolchain, line });
}

//! Making a toolchain root: its file system is installed or unpacked, some packages are unpacked over
//! it, and what is in it is written down.

mod as_root;
mod debian;
mod extract;
mod host;
mod image_file;
mod oci;
mod run;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, Sha256Digest};

use super::{
    OpenApt, Origin, Recipe,
    contents::Contents,
    root::{ROOT, RootFacts},
    tools::ToolVersions,
};
use crate::{Observer, cache::StagingDirectory, failures::io_failure, sandbox::how_to_allow};
use run::{failure, in_root, log, run_quietly};

/// What a build runs beside compiler, assembler and linker. Debian's recipes name the packages that
/// have these; other roots may lack some.
const NEEDED_PROGRAMS: [&str; 17] = [
    "make", "bison", "flex", "bc", "perl", "python3", "patch", "tar", "xz", "readelf", "objcopy",
    "nm", "ar", "pahole", "cpio", "kmod", "busybox",
];

/// Where kpatch's tools are.
const KPATCH_TOOLS: [&str; 2] = ["usr/lib/kpatch", "usr/libexec/kpatch"];

/// Makes the root of `recipe` at `place`. The caller holds the lock of `place`.
pub(super) fn create(
    recipe: &Recipe,
    place: &Utf8Path,
    apt: OpenApt,
    observer: &dyn Observer,
) -> Result<(), Failure> {
    let failed =
        |error: std::io::Error| io_failure(FailureClass::ToolchainFailed, "make", place, &error);
    check_namespaces(recipe, observer)?;
    let staging = StagingDirectory::empty(place)?;
    let root = staging.path().join(ROOT);
    log(observer, format!("making the toolchain root {} (once; about a minute)", recipe.name));
    let mut packages = match &recipe.origin {
        Origin::Debian { suites, packages } => {
            debian::install(recipe, suites, packages, &root, apt()?, observer)?;
            debian::installed_packages(&root, observer)?
        }
        Origin::Tarball(tarball) => extract::from_tarball(tarball, &root, observer)?,
        Origin::Oci(image) => oci::from_image(image, staging.path(), &root, observer)?,
        Origin::Host => host::link(&root)?,
    };
    for package in &recipe.unpack {
        packages.push(debian::unpack(package, &root, apt()?, observer)?);
    }
    if !matches!(recipe.origin, Origin::Debian { .. }) {
        check_layout(recipe, &root, observer)?;
    }
    let compiler_text = compiler_text(recipe, &recipe.compiler, &root, observer)?;
    let contents = match recipe.origin {
        Origin::Host => {
            let contents = host::contents(recipe, &root, observer)?;
            packages.extend(contents.to_text().lines().map(str::to_owned));
            contents
        }
        _ => Contents::read(&root).map_err(failed)?,
    };
    packages.sort();
    let facts = RootFacts {
        recipe: recipe.digest,
        digest: Sha256Digest::of(packages.join("\n").as_bytes()),
        packages,
        rust_compiler_text: match recipe.rust_compiler_text_begins {
            Some(_) => Some(self::compiler_text(recipe, "rustc", &root, observer)?),
            None => None,
        },
        tools: Some(tool_versions(recipe, &compiler_text, &root, observer)?),
        contents: Some(contents.digest()),
        compiler_text,
    };
    facts.write(staging.path(), &contents).map_err(failed)?;
    staging.publish(place)
}

/// Refuses to begin where no program can be run in what would be made: that is found out at once, and not
/// after a minute.
fn check_namespaces(recipe: &Recipe, observer: &dyn Observer) -> Result<(), Failure> {
    let finished = run_quietly(in_root(Utf8Path::new("/"), &["true"]), observer)?;
    if finished.succeeded() {
        return Ok(());
    }
    let name = &recipe.name;
    let message = format!("bubblewrap can make no sandbox to look at the toolchain root {name} in");
    Err(failure(message, how_to_allow()).with_details(finished.last_lines(3)))
}

/// Notes what is in a root that an earlier version made, which did not. The caller shares the lock
/// of `place`: two that do it at once write the same.
pub(super) fn complete(
    recipe: &Recipe,
    facts: RootFacts,
    place: &Utf8Path,
    observer: &dyn Observer,
) -> Result<RootFacts, Failure> {
    let failed =
        |error: std::io::Error| io_failure(FailureClass::ToolchainFailed, "read", place, &error);
    let root = place.join(ROOT);
    let contents = Contents::read(&root).map_err(failed)?;
    let tools = tool_versions(recipe, &facts.compiler_text, &root, observer)?;
    let facts = RootFacts { tools: Some(tools), contents: Some(contents.digest()), ..facts };
    // Whoever may not write there does it again the next time.
    if let Err(error) = facts.write(place, &contents) {
        tracing::warn!("cannot note what is in {place}: {error}");
    }
    Ok(facts)
}

/// Refuses a root that a sandbox cannot show, or that lacks what a build runs.
fn check_layout(recipe: &Recipe, root: &Utf8Path, observer: &dyn Observer) -> Result<(), Failure> {
    let name = &recipe.name;
    let is_merged = ["bin", "lib"].iter().all(|directory| {
        let directory = root.join(directory);
        directory.is_symlink() || !directory.exists()
    });
    if !is_merged || !root.join("usr/bin").is_dir() || !root.join("etc").is_dir() {
        return Err(failure(
            format!("the file system of {name} has no /etc, or programs and libraries beside /usr"),
            "a root is used with all of /bin and /lib in /usr: take one with a merged /usr",
        ));
    }
    // All that are missing, not only the first one.
    let script = r#"for name; do command -v "$name" > /dev/null || printf '%s ' "$name"; done"#;
    let mut words = vec!["sh", "-c", script, "sh", &recipe.compiler];
    words.extend(NEEDED_PROGRAMS);
    let finished = run_quietly(in_root(root, &words), observer)?;
    if !finished.succeeded() {
        return Err(failure(
            format!("no program runs in the file system of {name}"),
            "is it of this machine's architecture, and a whole root file system?",
        )
        .with_details(finished.last_lines(5)));
    }
    let text = finished.text();
    let mut missing: Vec<&str> = text.split_whitespace().collect();
    if !KPATCH_TOOLS.iter().any(|tools| root.join(tools).join("create-diff-object").exists()) {
        missing.push("create-diff-object");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let hint = match recipe.origin {
        // Nothing is unpacked over the machine's own tools.
        Origin::Host => {
            "install them on this machine; create-diff-object comes with kpatch-build, which Debian 13 has"
        }
        _ => {
            "install them in it; create-diff-object comes with kpatch-build, which an [[unpack]] in the \
             recipe takes from Debian"
        }
    };
    Err(failure(format!("the file system of {name} lacks {}", missing.join(", ")), hint))
}

/// What Kbuild writes into `CONFIG_CC_VERSION_TEXT` and `CONFIG_RUSTC_VERSION_TEXT`: the first line
/// of the compiler's `--version`.
fn compiler_text(
    recipe: &Recipe,
    command: &str,
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<String, Failure> {
    let finished = run_quietly(in_root(root, &[command, "--version"]), observer)?;
    let text = finished.text();
    match text.lines().next() {
        Some(line) if finished.succeeded() => Ok(line.to_owned()),
        _ => Err(failure(
            format!("{command} does not run in the new toolchain root {}", recipe.name),
            "the recipe installs no such compiler",
        )
        .with_details(finished.last_lines(5))),
    }
}

/// Asks compiler and linker as the kernel's `scripts/as-version.sh` and `ld-version.sh` do.
fn tool_versions(
    recipe: &Recipe,
    compiler_text: &str,
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<ToolVersions, Failure> {
    let assembler = [
        &recipe.compiler,
        "-Wa,--version",
        "-c",
        "-x",
        "assembler-with-cpp",
        "/dev/null",
        "-o",
        "/dev/null",
    ];
    let assembler = run_quietly(in_root(root, &assembler), observer)?.text();
    let linker = linker(&recipe.make_flags);
    let linked = run_quietly(in_root(root, &[&linker, "--version"]), observer)?.text();
    ToolVersions::read(compiler_text, &assembler, &linked).ok_or_else(|| {
        let lines = [&assembler, &linked].into_iter().filter_map(|text| text.lines().next());
        failure(
            format!("the assembler or linker of {} does not say its version", recipe.name),
            format!("a kernel is built with GNU binutils or LLVM's tools; asked was {linker}"),
        )
        .with_details(lines.map(str::to_owned))
    })
}

/// The linker that make takes with these flags, as the kernel's Makefile chooses it.
fn linker(flags: &[String]) -> String {
    let value = |name: &str| {
        let flag = flags.iter().rev().find_map(|flag| flag.split_once('=').filter(|f| f.0 == name));
        flag.map(|(_, value)| value).filter(|value| !value.is_empty())
    };
    match (value("LD"), value("LLVM")) {
        (Some(linker), _) => linker.to_owned(),
        (None, Some(suffix)) if suffix.starts_with('-') => format!("ld.lld{suffix}"),
        (None, Some(prefix)) if prefix.ends_with('/') => format!("{prefix}ld.lld"),
        (None, Some(_)) => "ld.lld".to_owned(),
        (None, None) => format!("{}ld", value("CROSS_COMPILE").unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linker_is_the_one_that_the_kernels_makefile_takes() {
        let linker = |flags: &[&str]| {
            linker(&flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(linker(&[]), "ld");
        assert_eq!(linker(&["LLVM=1"]), "ld.lld");
        assert_eq!(linker(&["LLVM=-19"]), "ld.lld-19");
        assert_eq!(linker(&["LLVM=/usr/lib/llvm-19/bin/"]), "/usr/lib/llvm-19/bin/ld.lld");
        assert_eq!(linker(&["LLVM=1", "LD=ld.bfd"]), "ld.bfd");
    }
}

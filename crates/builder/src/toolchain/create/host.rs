//! The machine's own tools as a toolchain root: its `/usr`, and of `/etc` what programs need to be
//! found. Whatever an update of the machine changes of the tools makes another root of it.

use std::os::unix::fs::symlink;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass};

use super::{
    NEEDED_PROGRAMS,
    run::{failure, run_quietly},
};
use crate::{
    Observer,
    failures::io_failure,
    toolchain::{Recipe, contents::Contents},
};

/// What of the machine's `/etc` a sandbox is shown: where libraries are, and which program a name
/// leads to. The rest is none of a build's business.
const SHOWN_OF_ETC: [&str; 2] = ["ld.so.cache", "alternatives"];

/// The parts of the compiler that run without being named on a command line.
const PARTS: [&str; 5] = ["cc1", "collect2", "as", "ld", "lto-wrapper"];

/// Programs beside those that every build needs, where there are any.
const MORE: [&str; 8] =
    ["ld.lld", "llvm-ar", "llvm-nm", "llvm-objcopy", "objdump", "strip", "rustc", "bindgen"];

/// Makes `root` show the machine's tools.
pub(super) fn link(root: &Utf8Path) -> Result<Vec<String>, Failure> {
    let make = || {
        fs_err::create_dir_all(root.join("etc"))?;
        symlink("/usr", root.join("usr"))?;
        for name in SHOWN_OF_ETC {
            copy(&Utf8Path::new("/etc").join(name), &root.join("etc").join(name))?;
        }
        std::io::Result::Ok(())
    };
    make().map_err(|error| io_failure(FailureClass::ToolchainFailed, "make", root, &error))?;
    Ok(vec!["host".to_owned()])
}

/// Copies a file, or a directory of links.
fn copy(from: &Utf8Path, to: &Utf8Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return if from.exists() { fs_err::copy(from, to).map(drop) } else { Ok(()) };
    }
    fs_err::create_dir(to)?;
    for entry in from.read_dir_utf8()? {
        let entry = entry?;
        if entry.file_type()?.is_symlink() {
            symlink(entry.path().read_link_utf8()?, to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// The programs that builds run, with their digests, by the paths that they really have.
pub(super) fn contents(
    recipe: &Recipe,
    root: &Utf8Path,
    observer: &dyn Observer,
) -> Result<Contents, Failure> {
    let mut paths: Vec<Utf8PathBuf> = Vec::new();
    let names = [&recipe.compiler as &str].into_iter().chain(NEEDED_PROGRAMS).chain(MORE);
    for name in names {
        let places = ["/usr/bin", "/usr/sbin"].map(|place| Utf8Path::new(place).join(name));
        paths.extend(places.iter().find_map(|path| path.canonicalize_utf8().ok()));
    }
    for part in PARTS {
        let mut compiler = std::process::Command::new(&recipe.compiler);
        compiler.arg(format!("-print-prog-name={part}"));
        let text = run_quietly(compiler, observer)?.text();
        let said = Utf8PathBuf::from(text.trim());
        let place = if said.is_absolute() { said } else { Utf8Path::new("/usr/bin").join(part) };
        paths.extend(place.canonicalize_utf8());
    }
    paths.retain(|path| path.starts_with("/usr"));
    let shown = paths.iter().map(|path| root.join(path.strip_prefix("/").unwrap_or(path)));
    let mut shown: Vec<Utf8PathBuf> = shown.collect();
    shown.sort_unstable();
    shown.dedup();
    if shown.is_empty() {
        let hint = "install it, or take a recipe of another kind";
        return Err(failure(format!("this machine has no {}", recipe.compiler), hint));
    }
    Contents::of(root, &shown)
        .map_err(|error| io_failure(FailureClass::ToolchainFailed, "read", root, &error))
}

//! The patches that are compiled into the running kernel.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use clap::Args;
use elivepatch_api::client::NamedPatch;
use elivepatch_model::limits::{BASELINE_BYTES, BASELINE_PATCH_BYTES, BASELINE_PATCHES};
use elivepatch_patch::SourcePatch;

use crate::{inputs::read_at_most, problem::Problem};

/// Which patches are compiled into the kernel to be patched.
#[derive(Debug, Default, Args)]
pub struct BaselineArgs {
    /// A patch that is compiled into the running kernel, or a directory of such patches; give it
    /// again for more, in their order [default: on Gentoo, those of /etc/portage/patches]
    #[arg(long = "baseline", value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// The kernel's source has no patches that the server does not know
    #[arg(long = "no-baseline", conflicts_with = "paths")]
    pub none: bool,
}

/// Patches with where they were found.
#[derive(Debug, Clone, Default)]
pub struct Baseline {
    /// The patches, in the order in which they are applied.
    pub patches: Vec<NamedPatch>,
    /// Where they come from, for people; after "patches".
    pub origin: String,
}

impl BaselineArgs {
    /// Reads the patches that are named; `None` when the command line leaves it open.
    pub fn named(&self) -> Result<Option<Baseline>, Problem> {
        if self.none {
            return Ok(Some(Baseline::default()));
        }
        if self.paths.is_empty() {
            return Ok(None);
        }
        let mut files = Vec::new();
        for path in &self.paths {
            if path.is_dir() {
                let found = in_directory(path)?;
                if found.is_empty() {
                    let shown = path.display();
                    let message = format!("there is no patch in the directory {shown}");
                    return Err(Problem::input(message).hint(
                        "files named *.patch and *.diff are taken, in the order of their names",
                    ));
                }
                files.extend(found);
            } else {
                files.push(path.clone());
            }
        }
        let shown: Vec<String> = self.paths.iter().map(|path| path.display().to_string()).collect();
        let patches = read(&files)?;
        Ok(Some(Baseline { patches, origin: format!("from {}", shown.join(", ")) }))
    }
}

impl Baseline {
    /// The names, for people.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.patches.iter().map(|patch| patch.name.as_str()).collect();
        names.join(", ")
    }
}

/// The patches of a directory that are to be applied, by the order of the bytes of their names.
fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let mut found = BTreeMap::new();
    add_directory(directory, &mut found)?;
    Ok(found.into_values().flatten().collect())
}

/// Adds what Portage's `eapply_user` takes from a directory: files named `*.patch` and `*.diff` that
/// are not hidden. One whose name is there already stays out: the more specific directory came
/// first. An empty one, or a link to nothing or `/dev/null`, has `None`: it stands for no patch.
pub fn add_directory(
    directory: &Path,
    found: &mut BTreeMap<OsString, Option<PathBuf>>,
) -> Result<(), Problem> {
    let problem = |error: std::io::Error| {
        Problem::input(format!("cannot read the directory {}", directory.display()))
            .caused_by(&error)
            .hint("name the patches with --baseline, or leave them out with --no-baseline")
    };
    for entry in fs::read_dir(directory).map_err(problem)? {
        let entry = entry.map_err(problem)?;
        let name = entry.file_name();
        if is_patch_name(&name) && !found.contains_key(&name) {
            let path = entry.path();
            let file = is_applied(&path)?.then_some(path);
            found.insert(name, file);
        }
    }
    Ok(())
}

fn is_patch_name(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.starts_with(b".") && (bytes.ends_with(b".patch") || bytes.ends_with(b".diff"))
}

/// Whether there is something in a file, as the shell's `-s` has it.
fn is_applied(path: &Path) -> Result<bool, Problem> {
    let shown = path.display();
    match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Problem::input(format!("cannot read {shown}")).caused_by(&error)),
        Ok(metadata) if metadata.is_file() => Ok(metadata.len() > 0),
        // Anything else could be read without end, or not at all.
        Ok(metadata) if metadata.len() == 0 && !metadata.is_dir() => Ok(false),
        Ok(_) => Err(Problem::input(format!("{shown} is named like a patch, and is no file"))
            .hint("give its files with --baseline FILE")),
    }
}

/// Reads and checks patches in their order.
pub fn read(files: &[PathBuf]) -> Result<Vec<NamedPatch>, Problem> {
    if files.len() > BASELINE_PATCHES {
        let message = format!(
            "{} patches are compiled into the kernel, and at most {BASELINE_PATCHES} are sent",
            files.len()
        );
        return Err(Problem::input(message).hint("join patches that belong together"));
    }
    let mut patches = Vec::with_capacity(files.len());
    let mut bytes = 0;
    for path in files {
        let patch = read_one(path)?;
        bytes += patch.content.len() as u64;
        if bytes > BASELINE_BYTES {
            let message = format!("the baseline patches have more than {BASELINE_BYTES} bytes");
            return Err(Problem::input(message)
                .hint("have the server's administrator put the patched source there"));
        }
        patches.push(patch);
    }
    Ok(patches)
}

fn read_one(path: &Path) -> Result<NamedPatch, Problem> {
    let shown = path.display();
    let content = read_at_most(path, BASELINE_PATCH_BYTES).map_err(|error| {
        Problem::input(format!("cannot read the baseline patch {shown}"))
            .caused_by(&error)
            .hint("give a unified diff, or a directory of such files named *.patch or *.diff")
    })?;
    check(&shown.to_string(), &content)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Ok(NamedPatch { name, content: content.into() })
}

/// Looks whether a text is a patch that can be applied safely.
pub fn check(shown: &str, content: &[u8]) -> Result<(), Problem> {
    SourcePatch::parse_baseline(content).map(drop).map_err(|error| {
        let what = format!("the baseline patch {shown} cannot be used");
        Problem::from_failure(&what, &error.failure())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const PATCH: &str = "--- a/Makefile\n+++ b/Makefile\n@@ -1,2 +1,2 @@\n one\n-two\n+TWO\n";

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("a file");
        }
        directory
    }

    fn named(paths: &[&Path]) -> Result<String, String> {
        let paths = paths.iter().map(|path| path.to_path_buf()).collect();
        let named = BaselineArgs { paths, none: false }.named();
        named.map(|found| found.expect("named").names()).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn directory_gives_its_patches_by_the_bytes_of_their_names() {
        let one = directory(&[
            ("b.patch", PATCH),
            ("B.diff", PATCH),
            ("10-a.patch", PATCH),
            (".hidden.patch", "no diff"),
            ("notes.txt", "no diff"),
            ("a.patch~", "no diff"),
            ("empty.patch", ""),
        ]);
        symlink("/dev/null", one.path().join("off.patch")).expect("a link");
        symlink("nowhere", one.path().join("gone.patch")).expect("a link");
        symlink("b.patch", one.path().join("z.patch")).expect("a link");
        let two = directory(&[("a.patch", PATCH)]);
        let file = two.path().join("a.patch");
        assert_eq!(
            named(&[&file, one.path(), &file]).expect("patches"),
            "a.patch, 10-a.patch, B.diff, b.patch, z.patch, a.patch"
        );
    }

    #[test]
    fn what_cannot_be_sent_is_refused_by_its_name() {
        let outside = PATCH.replace("a/Makefile", "a/../../x").replace("b/Makefile", "b/../../x");
        let files = [("bad.patch", "hello\n"), ("out.patch", &outside), ("empty.patch", "")];
        let bad = directory(&files);
        for (name, part) in [
            ("bad.patch", "patch-unreadable"),
            ("out.patch", "patch-path-outside-tree"),
            ("empty.patch", "patch-empty"),
            ("missing.patch", "cannot read the baseline patch"),
        ] {
            let problem = named(&[&bad.path().join(name)]).expect_err(name);
            assert!(problem.contains(part) && problem.contains(name), "{problem}");
        }
        let problem = named(&[directory(&[("a.txt", "")]).path()]).expect_err("nothing");
        assert!(problem.contains("there is no patch in"), "{problem}");
        let odd = directory(&[]);
        fs::create_dir(odd.path().join("series.patch")).expect("a directory");
        let problem = named(&[odd.path()]).expect_err("a directory");
        assert!(problem.contains("series.patch is named like a patch"), "{problem}");
        let large = directory(&[("a.patch", &format!("{PATCH}{}", "#\n".repeat(3 << 20)))]);
        let problem = named(&[large.path()]).expect_err("large");
        assert!(problem.contains("patch-too-large"), "{problem}");
    }

    #[test]
    fn number_and_size_of_all_together_are_bounded() {
        let filler = format!("{PATCH}{}", "# text\n".repeat(250_000));
        let one = directory(&[("a.patch", &filler)]);
        let file = one.path().join("a.patch");
        let problem = named(&vec![file.as_path(); 20]).expect_err("too large");
        assert!(problem.contains("more than 33554432 bytes"), "{problem}");
        let problem = named(&vec![file.as_path(); BASELINE_PATCHES + 1]).expect_err("too many");
        assert!(problem.contains("at most 256"), "{problem}");
    }
}

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, StepName};

use super::{Base, KeptView};
use crate::{
    Observer,
    failures::io_failure,
    remove_work_directory,
    sandbox::{Overlay, Sandbox, SandboxCommand},
    untrusted_file::{read_untrusted, read_untrusted_below},
};

/// The source tree in the sandbox.
pub const TREE: &str = "/build";

/// The work directory in the sandbox.
pub const WORK: &str = "/scratch";

/// What the builder gives to tools, in the sandbox; they can only read it.
pub(super) const INPUTS: &str = "/inputs";

/// A writable view of a base's source tree, for one build. The base itself is not changed: the
/// view is an overlay, or where the kernel does not allow that, a copy.
#[derive(Debug)]
pub struct Workspace {
    toolchain_root: Utf8PathBuf,
    work: Utf8PathBuf,
    inputs: Utf8PathBuf,
    view: View,
}

#[derive(Debug)]
enum View {
    Overlay(Overlay),
    Copy(Utf8PathBuf),
}

impl Workspace {
    /// Makes a view called `name`; its files lie in the directory `work`.
    ///
    /// # Errors
    /// When a directory cannot be made or the tree cannot be copied.
    pub fn make(
        base: &Base,
        toolchain_root: &Utf8Path,
        sandbox: &Sandbox,
        work: &Utf8Path,
        name: &str,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let (work, inputs) = make_directories(&work.join(name), sandbox)?;
        let view = if sandbox.overlays() {
            let layer = layer_of(&work);
            sandbox.make_layer(&layer)?;
            View::Overlay(Overlay { lower: base.tree(), between: Vec::new(), layer })
        } else {
            let copy = copy_of(&work);
            sandbox.make_directory(&copy)?;
            let command = SandboxCommand::new(
                toolchain_root,
                ["cp", "--archive", "--reflink=auto", "/base/.", TREE],
            )
            .read_only(&base.tree(), "/base")
            .writable(&copy, TREE);
            sandbox.run_checked(&command, StepName::Check, observer, FailureClass::BaseFailed)?;
            View::Copy(copy)
        };
        Ok(Self { toolchain_root: toolchain_root.to_owned(), work, inputs, view })
    }

    /// Makes another view of the same base, in a directory beside this one; with a number behind its
    /// name when there is one of that name already.
    ///
    /// # Errors
    /// As [`Workspace::make`].
    pub fn another(
        &self,
        name: &str,
        base: &Base,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let work = self.work.parent().unwrap_or(&self.work);
        let is_free = |name: &String| work.join(name).symlink_metadata().is_err();
        let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let name = std::iter::once(name.to_owned()).chain(numbered).find(is_free);
        let name = name.unwrap_or_default();
        Self::make(base, &self.toolchain_root, sandbox, work, &name, observer)
    }

    /// Makes a view whose files lie in `directory`, where a [`KeptView`] finds them later.
    ///
    /// # Errors
    /// As [`Workspace::make`].
    pub fn make_to_keep(
        &self,
        directory: &Utf8Path,
        name: &str,
        base: &Base,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        Self::make(base, &self.toolchain_root, sandbox, directory, name, observer)
    }

    /// The view that [`Workspace::make_to_keep`] made there earlier, with what was made in it.
    ///
    /// # Errors
    /// When a directory cannot be made.
    pub fn kept_before(
        &self,
        directory: &Utf8Path,
        name: &str,
        base: &Base,
        sandbox: &Sandbox,
    ) -> Result<Self, Failure> {
        let work = directory.join(name);
        for directory in [&work, &beside(&work, "inputs")] {
            remove_work_directory(directory)
                .map_err(|error| io_failure(FailureClass::Internal, "remove", directory, &error))?;
        }
        let (work, inputs) = make_directories(&work, sandbox)?;
        let view = if sandbox.overlays() {
            let layer = layer_of(&work);
            View::Overlay(Overlay { lower: base.tree(), between: Vec::new(), layer })
        } else {
            View::Copy(copy_of(&work))
        };
        Ok(Self { toolchain_root: self.toolchain_root.clone(), work, inputs, view })
    }

    /// Makes a view that shows what was made or changed in this view over what was made in a kept
    /// one, both over the base. Neither of the two is changed.
    ///
    /// # Errors
    /// As [`Workspace::make`].
    pub fn over(
        &self,
        kept: &KeptView,
        name: &str,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<Self, Failure> {
        let work = self.work.with_file_name(name);
        let (work, inputs) = make_directories(&work, sandbox)?;
        let toolchain_root = self.toolchain_root.clone();
        let view = match &self.view {
            View::Overlay(overlay) => {
                let layer = layer_of(&work);
                sandbox.make_layer(&layer)?;
                let between = vec![overlay.layer.clone(), kept.files()];
                View::Overlay(Overlay { lower: overlay.lower.clone(), between, layer })
            }
            View::Copy(_) => {
                let copy = copy_of(&work);
                sandbox.make_directory(&copy)?;
                let command = SandboxCommand::new(
                    &toolchain_root,
                    ["cp", "--archive", "--reflink=auto", "/kept/.", TREE],
                )
                .read_only(&kept.files(), "/kept")
                .writable(&copy, TREE);
                sandbox.run_checked(
                    &command,
                    StepName::Compile,
                    observer,
                    FailureClass::Internal,
                )?;
                View::Copy(copy)
            }
        };
        let over = Self { toolchain_root, work, inputs, view };
        over.refresh(self, sandbox, observer)?;
        Ok(over)
    }

    /// Shows what was changed in `upper` since this view was made over it.
    ///
    /// # Errors
    /// When the tree cannot be copied.
    pub fn refresh(
        &self,
        upper: &Self,
        sandbox: &Sandbox,
        observer: &dyn Observer,
    ) -> Result<(), Failure> {
        let (View::Copy(copy), View::Copy(changed)) = (&self.view, &upper.view) else {
            return Ok(());
        };
        // What is the base's own is older there than in the kept view, or as old; what was changed
        // is newer.
        let command = SandboxCommand::new(
            &self.toolchain_root,
            ["cp", "--archive", "--update", "/changed/.", TREE],
        )
        .read_only(changed, "/changed")
        .writable(copy, TREE);
        sandbox.run_checked(&command, StepName::Compile, observer, FailureClass::Internal).map(drop)
    }

    /// Gives a file to the tools. They see it at the path that is returned and cannot change it:
    /// where tools write, a symbolic link could lead us elsewhere.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_input(&self, name: &str, content: &[u8]) -> Result<String, Failure> {
        let path = self.inputs.join(name);
        fs_err::write(&path, content)
            .map_err(|error| io_failure(FailureClass::Internal, "write", &path, &error))?;
        Ok(format!("{INPUTS}/{name}"))
    }

    /// Takes a file that tools left directly in `/scratch`.
    ///
    /// # Errors
    /// With `class` when it is missing, no regular file, or larger than `limit_bytes`.
    pub fn take_output(
        &self,
        name: &str,
        limit_bytes: u64,
        class: FailureClass,
    ) -> Result<Vec<u8>, Failure> {
        let path = self.work.join(name);
        read_untrusted(&path, limit_bytes).map_err(|error| io_failure(class, "read", &path, &error))
    }

    /// Reads a file of the tree that tools made or changed in this view; no symbolic link is
    /// followed on the way. In a copy also what was there before counts.
    ///
    /// # Errors
    /// When it is missing, no regular file, or larger than `limit_bytes`.
    pub fn read_made(&self, path: &str, limit_bytes: u64) -> io::Result<Vec<u8>> {
        match &self.view {
            // From the layer on: tools could have put a symbolic link in the place of `upper`.
            View::Overlay(overlay) => {
                read_untrusted_below(&overlay.layer, &format!("upper/{path}"), limit_bytes)
            }
            View::Copy(copy) => read_untrusted_below(copy, path, limit_bytes),
        }
    }

    /// A program that runs in the source tree.
    pub fn command<S: Into<String>>(&self, program: impl IntoIterator<Item = S>) -> SandboxCommand {
        let command = SandboxCommand::new(&self.toolchain_root, program)
            .writable(&self.work, WORK)
            .read_only(&self.inputs, INPUTS)
            .directory(TREE);
        match &self.view {
            View::Overlay(overlay) => command.overlay(overlay.clone()),
            View::Copy(copy) => command.writable(copy, TREE),
        }
    }
}

/// Makes the directory that tools write and the one that they read.
fn make_directories(
    work: &Utf8Path,
    sandbox: &Sandbox,
) -> Result<(Utf8PathBuf, Utf8PathBuf), Failure> {
    sandbox.make_directory(work)?;
    let inputs = beside(work, "inputs");
    fs_err::create_dir(&inputs)
        .map_err(|error| io_failure(FailureClass::Internal, "make", &inputs, &error))?;
    Ok((work.to_owned(), inputs))
}

pub(super) fn layer_of(work: &Utf8Path) -> Utf8PathBuf {
    beside(work, "layer")
}

pub(super) fn copy_of(work: &Utf8Path) -> Utf8PathBuf {
    beside(work, "tree")
}

fn beside(work: &Utf8Path, what: &str) -> Utf8PathBuf {
    Utf8PathBuf::from(format!("{work}.{what}"))
}

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, StepName};

use super::Base;
use crate::{
    Observer,
    sandbox::{Overlay, Sandbox, SandboxCommand},
};

/// The source tree in the sandbox.
pub const TREE: &str = "/build";

/// The work directory in the sandbox.
pub const WORK: &str = "/scratch";

/// A writable view of a base's source tree, for one build. The base itself is not changed: the
/// view is an overlay, or where the kernel does not allow that, a copy.
#[derive(Debug)]
pub struct Workspace {
    toolchain_root: Utf8PathBuf,
    work: Utf8PathBuf,
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
        let work = work.join(name);
        sandbox.make_directory(&work)?;
        let view = if sandbox.overlays() {
            let layer = work.with_file_name(format!("{name}.layer"));
            sandbox.make_layer(&layer)?;
            View::Overlay(Overlay { lower: base.tree(), layer })
        } else {
            let copy = work.with_file_name(format!("{name}.tree"));
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
        Ok(Self { toolchain_root: toolchain_root.to_owned(), work, view })
    }

    /// The directory of the machine that the sandbox sees as `/scratch`.
    pub fn work(&self) -> &Utf8Path {
        &self.work
    }

    /// A program that runs in the source tree.
    pub fn command<S: Into<String>>(&self, program: impl IntoIterator<Item = S>) -> SandboxCommand {
        let command = SandboxCommand::new(&self.toolchain_root, program)
            .writable(&self.work, WORK)
            .directory(TREE);
        match &self.view {
            View::Overlay(overlay) => command.overlay(overlay.clone()),
            View::Copy(copy) => command.writable(copy, TREE),
        }
    }
}

//! What lies in the staging directory of a base beside the stamp: the tree in which the kernel is
//! built, and two directories that are only for the time of the build.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, Sha256Digest};
use serde::{Deserialize, Serialize};

use super::super::facts::base_io;
use crate::{kernel_build, sandbox::Sandbox};

/// The tree, in the staging directory.
const TREE: &str = "tree";

/// How far a base is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stage {
    /// Nothing is certain.
    #[default]
    Empty,
    /// The source is complete.
    Unpacked,
    /// The config is in the tree and checked; compilers have begun.
    Configured,
}

/// The staging directory of a base. The caller holds the base's lock.
#[derive(Debug)]
pub(super) struct Staging {
    /// How far it is.
    pub resumable: kernel_build::Staging<Stage>,
}

impl Staging {
    /// Opens the staging directory of `place`, as [`kernel_build::Staging::open`] does.
    pub(super) fn open(
        place: &Utf8Path,
        input: Sha256Digest,
        sandbox: &Sandbox,
    ) -> Result<Self, Failure> {
        let staging = Self { resumable: kernel_build::Staging::open(place, input, TREE)? };
        if staging.stage() == Stage::Empty {
            sandbox.make_directory(&staging.tree())?;
        }
        // The last thing before a base is whole is that these go.
        sandbox.make_directory(&staging.scratch())?;
        let inputs = staging.inputs();
        fs_err::create_dir_all(&inputs).map_err(|error| base_io("make", &inputs, &error))?;
        Ok(staging)
    }

    /// Removes what is only for the time of the build, for a base has none of it.
    pub(super) fn remove_directories(&self) -> Result<(), Failure> {
        for directory in [self.scratch(), self.inputs()] {
            fs_err::remove_dir_all(&directory)
                .map_err(|error| base_io("remove", &directory, &error))?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Utf8Path {
        self.resumable.path()
    }

    /// The source tree in which the kernel is built.
    pub(super) fn tree(&self) -> Utf8PathBuf {
        self.path().join(TREE)
    }

    /// A directory for what tools need for a while.
    pub(super) fn scratch(&self) -> Utf8PathBuf {
        self.path().join("scratch")
    }

    /// Gives a file to tools, which see it in a directory that they can only read. Never into a
    /// directory that tools can write: they may have put a symbolic link there.
    pub(super) fn write_input(&self, name: &str, content: &[u8]) -> Result<Utf8PathBuf, Failure> {
        let directory = self.inputs();
        let path = directory.join(name);
        fs_err::write(&path, content).map_err(|error| base_io("write", &path, &error))?;
        Ok(directory)
    }

    /// Where [`Staging::write_input`] puts files.
    fn inputs(&self) -> Utf8PathBuf {
        self.path().join("inputs")
    }

    pub(super) fn stage(&self) -> Stage {
        self.resumable.stage()
    }
}

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::workspace::{copy_of, layer_of};
use crate::{
    sandbox::{Sandbox, SandboxCommand},
    untrusted_file::read_untrusted_below,
};

/// A view that is kept beside a base, to lie under the views of builds ([`super::Workspace::over`]). It
/// serves only as it was made: as a layer, or as a copy.
#[derive(Debug, Clone)]
pub struct KeptView {
    work: Utf8PathBuf,
    is_layer: bool,
}

impl KeptView {
    /// The view called `name` in `directory`.
    pub fn new(directory: &Utf8Path, name: &str, sandbox: &Sandbox) -> Self {
        Self { work: directory.join(name), is_layer: sandbox.overlays() }
    }

    /// How such views are made on this machine; a part of the names of directories with them.
    pub fn kind(sandbox: &Sandbox) -> &'static str {
        if sandbox.overlays() { "layer" } else { "copy" }
    }

    /// Where the view called `name` has what was made in it, as a path in its directory; in a copy
    /// also what is the base's own.
    pub fn made_in(name: &str, sandbox: &Sandbox) -> Utf8PathBuf {
        let view = Self::new(Utf8Path::new(""), name, sandbox);
        if view.is_layer { view.files().join("upper") } else { view.files() }
    }

    /// The directory of the machine with its files.
    pub(super) fn files(&self) -> Utf8PathBuf {
        if self.is_layer { layer_of(&self.work) } else { copy_of(&self.work) }
    }

    /// Reads a file that was made in the view, as [`super::Workspace::read_made`] does.
    ///
    /// # Errors
    /// As [`super::Workspace::read_made`].
    pub fn read_made(&self, path: &str, limit_bytes: u64) -> io::Result<Vec<u8>> {
        let path = if self.is_layer { format!("upper/{path}") } else { path.to_owned() };
        read_untrusted_below(&self.files(), &path, limit_bytes)
    }

    /// Shows the files to a tool: at `inside` is what [`KeptView::shown_at`] begins with.
    pub fn show(&self, command: SandboxCommand, inside: &str) -> SandboxCommand {
        command.read_only(&self.files(), inside)
    }

    /// Where the files are in what [`KeptView::show`] shows at `inside`.
    pub fn shown_at(&self, inside: &str) -> String {
        if self.is_layer { format!("{inside}/upper") } else { inside.to_owned() }
    }
}

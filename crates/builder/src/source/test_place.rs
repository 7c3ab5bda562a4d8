//! For tests: a directory with a cache and a sandbox of its own, as a server has them.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Failure;

use super::{Tools, TreeFacts, Unpacking};
use crate::{Cache, Sandbox, SandboxLimits, SilentObserver};

pub(crate) struct TestPlace {
    _temporary: tempfile::TempDir,
    pub(crate) directory: Utf8PathBuf,
    pub(crate) cache: Cache,
    pub(crate) sandbox: Sandbox,
}

impl TestPlace {
    pub(crate) fn new() -> Self {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8").to_owned();
        let cache = Cache::open(&directory.join("cache")).expect("own directory");
        let sandbox = Sandbox::probe(SandboxLimits::default(), &directory.join("probe"));
        let sandbox = sandbox.expect("a sandbox");
        Self { _temporary: temporary, directory, cache, sandbox }
    }

    pub(crate) fn tools(&self) -> Tools<'_> {
        Tools { cache: &self.cache, sandbox: &self.sandbox, observer: &SilentObserver }
    }

    /// Unpacks a source into an empty tree, by the machine's own tools.
    pub(crate) fn unpack(&self, facts: &TreeFacts) -> Result<Utf8PathBuf, Failure> {
        let (tree, scratch) = self.empty_tree();
        facts.unpack(&self.unpacking(&tree, &scratch))?;
        Ok(tree)
    }

    /// Empty directories for a tree and for what is needed meanwhile.
    pub(crate) fn empty_tree(&self) -> (Utf8PathBuf, Utf8PathBuf) {
        ["tree", "scratch"].map(|name| self.empty_directory(name)).into()
    }

    fn empty_directory(&self, name: &str) -> Utf8PathBuf {
        let directory = self.directory.join(name);
        // It is there the second time.
        let _ = fs_err::remove_dir_all(&directory);
        self.sandbox.make_directory(&directory).expect("own directory");
        directory
    }

    pub(crate) fn unpacking<'a>(
        &'a self,
        tree: &'a Utf8Path,
        scratch: &'a Utf8Path,
    ) -> Unpacking<'a> {
        Unpacking {
            tree,
            scratch,
            toolchain_root: Utf8Path::new("/"),
            sandbox: &self.sandbox,
            observer: &SilentObserver,
        }
    }
}

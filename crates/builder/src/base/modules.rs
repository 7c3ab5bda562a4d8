//! The loadable modules in a base.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, Sha256Digest};

use super::{
    Base, ModuleTable,
    facts::{FACTS, MODULE_TABLE},
};
use crate::digest_file::digest_file;

/// The directory with the symbols of each module, as `readelf --symbols --wide` lists them.
pub(super) const SYMBOLS: &str = "modules.symbols";

/// The directory with the modules as they are loaded, uncompressed.
pub(super) const LOADABLE: &str = "modules.loadable";

impl Base {
    /// The target's loadable modules.
    ///
    /// # Errors
    /// When the list cannot be read.
    pub(crate) fn modules(&self) -> Result<ModuleTable, Failure> {
        Ok(ModuleTable::parse(&self.read(&self.place.join(MODULE_TABLE))?))
    }

    /// The list of all symbols of a module.
    ///
    /// # Errors
    /// `base-failed` when there is no such module, or its list is damaged.
    pub(crate) fn module_symbols(&self, name: &str) -> Result<Utf8PathBuf, Failure> {
        let modules = self.modules()?;
        let Some(module) = modules.get(name) else {
            return Err(Failure::new(
                FailureClass::BaseFailed,
                format!("the base has no symbols of the module {name}"),
                "this is a fault of elivepatch: please report it with the kernel's release",
            ));
        };
        self.whole(self.place.join(SYMBOLS).join(name), module.symbols)
    }

    /// A module as the target loads it; `None` when the kernel's packages do not have it.
    ///
    /// # Errors
    /// `base-failed` when it is damaged.
    pub(crate) fn loadable_module(
        &self,
        modules: &ModuleTable,
        name: &str,
    ) -> Result<Option<Utf8PathBuf>, Failure> {
        let Some(digest) = modules.get(name).and_then(|module| module.loadable) else {
            return Ok(None);
        };
        let path = self.place.join(LOADABLE).join(format!("{name}.ko"));
        self.whole(path, digest).map(Some)
    }

    /// Gives the path of a file that is as it was made. A damaged one ends the build, and with
    /// `base.json` the base itself: it is prepared anew as soon as no build uses it.
    fn whole(&self, path: Utf8PathBuf, digest: Sha256Digest) -> Result<Utf8PathBuf, Failure> {
        if digest_file(&path).is_ok_and(|found| found == digest) {
            return Ok(path);
        }
        // When it cannot be removed the hint helps.
        let _ = fs_err::remove_file(self.place.join(FACTS));
        Err(damaged(&path))
    }
}

fn damaged(path: &Utf8Path) -> Failure {
    Failure::new(
        FailureClass::BaseFailed,
        format!("{path} is damaged"),
        "submit the build again: the base is prepared anew; if that does not help, remove it",
    )
}

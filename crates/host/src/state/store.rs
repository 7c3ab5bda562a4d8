use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _},
    path::PathBuf,
};

use elivepatch_model::{
    ElfBuildId, Manifest, Sha256Digest,
    limits::{MODULE_BYTES, PATCH_BYTES},
};

use super::{
    State, StateDirectory,
    directory::{Lock, MANIFEST_BYTES},
};
use crate::{HostProblem, ModuleFile, machine::is_gone};

/// Where the livepatches are.
const LIVEPATCHES: &str = "livepatches";
/// Where the texts of a livepatch's fixes are, in its own directory.
const PATCHES: &str = "patches";

/// A livepatch that is kept on this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its module.
    pub module: ModuleFile,
    /// What its server says of it; absent of a module that came without.
    pub manifest: Option<Manifest>,
}

impl StateDirectory {
    /// Keeps a module and its manifest. What is there already stays.
    ///
    /// # Errors
    /// When they cannot be written; then nothing half is in their place.
    pub fn keep(
        &self,
        _lock: &Lock,
        module: &ModuleFile,
        manifest: Option<&[u8]>,
    ) -> Result<PathBuf, HostProblem> {
        let place = self.place(module.digest);
        if let Some(manifest) = manifest {
            self.put(&format!("{place}/manifest.json"), manifest)?;
        }
        let kept = self.module_path(module.digest);
        if fs::metadata(&kept).is_ok_and(|there| there.len() == module.size)
            && ModuleFile::read(&kept).is_ok_and(|there| there.digest == module.digest)
        {
            return Ok(kept);
        }
        let mut bytes = Vec::new();
        let read = File::open(&module.path)
            .and_then(|file| file.take(MODULE_BYTES + 1).read_to_end(&mut bytes));
        let cannot = |source| HostProblem::ModuleUnread { path: module.path.clone(), source };
        read.map_err(cannot)?;
        if Sha256Digest::of(&bytes) != module.digest {
            let error = io::Error::other("it has changed while it was looked at");
            return Err(cannot(error));
        }
        self.put(&format!("{place}/module.ko"), &bytes)?;
        Ok(kept)
    }

    /// Keeps the texts of a livepatch's fixes beside it: the next livepatch is ordered with them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn keep_patches(
        &self,
        _lock: &Lock,
        livepatch: Sha256Digest,
        patches: &[Vec<u8>],
    ) -> Result<(), HostProblem> {
        for patch in patches {
            let name = format!("{}/{PATCHES}/{}", self.place(livepatch), Sha256Digest::of(patch));
            if self.read_at_most(&name, PATCH_BYTES).ok().flatten().as_ref() != Some(patch) {
                self.put(&name, patch)?;
            }
        }
        Ok(())
    }

    /// The text of a fix, of whatever livepatch that is kept; `None` when none has it whole.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn patch(&self, fix: Sha256Digest) -> Result<Option<Vec<u8>>, HostProblem> {
        for livepatch in self.held_digests()? {
            let name = format!("{}/{PATCHES}/{fix}", self.place(livepatch));
            // What is damaged in one may be whole in another.
            if let Ok(Some(text)) = self.read_at_most(&name, PATCH_BYTES)
                && Sha256Digest::of(&text) == fix
            {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// The livepatch whose module has a build-id, of those that are kept; `None` when none has.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn held_with(&self, build_id: &ElfBuildId) -> Result<Option<Held>, HostProblem> {
        for digest in self.held_digests()? {
            // One that is damaged identifies nothing.
            if let Ok(Some(held)) = self.held(digest)
                && held.module.build_id.as_ref() == Some(build_id)
            {
                return Ok(Some(held));
            }
        }
        Ok(None)
    }

    /// A livepatch that is kept; `None` when there is none with that digest.
    ///
    /// # Errors
    /// When it is not what it was, or cannot be read.
    pub fn held(&self, digest: Sha256Digest) -> Result<Option<Held>, HostProblem> {
        let place = self.place(digest);
        let path = self.module_path(digest);
        match fs::metadata(&path) {
            Ok(_) => {}
            Err(error) if is_gone(&error) => return Ok(None),
            Err(error) => return Err(self.cannot("read", &place, error)),
        }
        let module = ModuleFile::read(&path)?;
        if module.digest != digest {
            return Err(HostProblem::Damaged { digest, path });
        }
        let manifest = match self.read_at_most(&format!("{place}/manifest.json"), MANIFEST_BYTES)? {
            // One that this version cannot read tells nothing; the module is the same.
            Some(text) => serde_json::from_slice::<Manifest>(&text).ok(),
            None => None,
        };
        let manifest = manifest.filter(|manifest| manifest.module.digest == digest);
        Ok(Some(Held { module, manifest }))
    }

    /// The digests of all livepatches that are kept.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn held_digests(&self) -> Result<BTreeSet<Sha256Digest>, HostProblem> {
        let entries = match fs::read_dir(self.path().join(LIVEPATCHES)) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return Ok(BTreeSet::new()),
            Err(error) => return Err(self.cannot("read", LIVEPATCHES, error)),
        };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        Ok(names.filter_map(|name| name.parse().ok()).collect())
    }

    /// Removes the livepatches that nothing names any more. What cannot be removed is tried again the next time.
    pub fn forget_others(&self, _lock: &Lock, state: &State) -> Result<(), HostProblem> {
        let named: BTreeSet<Sha256Digest> = state.named().collect();
        for digest in self.held_digests()?.difference(&named) {
            let _ = fs::remove_dir_all(self.path().join(self.place(*digest)));
        }
        Ok(())
    }

    /// Where the module of a livepatch is, or would be.
    pub fn module_path(&self, digest: Sha256Digest) -> PathBuf {
        self.path().join(self.place(digest)).join("module.ko")
    }

    fn place(&self, digest: Sha256Digest) -> String {
        format!("{LIVEPATCHES}/{digest}")
    }
}

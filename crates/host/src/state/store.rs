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
use elivepatch_signature::SIGNATURE_BYTES;

use super::{
    State, StateDirectory,
    directory::{Lock, MANIFEST_BYTES},
};
use crate::{HostProblem, ManifestTrust, ModuleFile, machine::is_gone};

/// Where the livepatches are.
const LIVEPATCHES: &str = "livepatches";
/// Where the texts of a livepatch's fixes are, in its own directory.
const PATCHES: &str = "patches";

/// The names of the files of a manifest beside its module.
const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.json.minisig";

/// A livepatch that is kept on this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// Its module.
    pub module: ModuleFile,
    /// What its server says of it; absent of a module that came without.
    pub manifest: Option<Manifest>,
    /// The text of that.
    pub manifest_text: Option<Vec<u8>>,
    /// The signature of the text, where there is one.
    pub manifest_signature: Option<Vec<u8>>,
}

/// A manifest as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct ManifestFiles<'a> {
    /// Its text.
    pub text: &'a [u8],
    /// The signature of the text.
    pub signature: Option<&'a [u8]>,
}

impl StateDirectory {
    /// Keeps a module and its manifest. What is there already stays, and so does a manifest of the same module whose
    /// signature is trusted: text and signature are two files, and must not be of two manifests after a power cut.
    ///
    /// # Errors
    /// When they cannot be written; then nothing half is in their place.
    pub fn keep(
        &self,
        _lock: &Lock,
        module: &ModuleFile,
        manifest: Option<ManifestFiles<'_>>,
    ) -> Result<PathBuf, HostProblem> {
        let place = self.place(module.digest);
        if let Some(ManifestFiles { text, signature }) = manifest {
            let [text_there, signature_there] = self.manifest_files(&place)?;
            let stays = match self.trust() {
                ManifestTrust::Anybody => {
                    text_there.as_deref() == Some(text)
                        && (signature.is_none() || signature_there.is_some())
                }
                // The same text may have come with the signature of another key: the server's key was changed.
                trust => text_there.as_deref().is_some_and(|there| {
                    is_of(there, module.digest)
                        && trust.verify(Some(there), signature_there.as_deref()).is_ok()
                }),
            };
            if !stays {
                if let Some(signature) = signature {
                    self.put(&format!("{place}/{SIGNATURE}"), signature)?;
                }
                self.put(&format!("{place}/{MANIFEST}"), text)?;
            }
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
        let [manifest_text, manifest_signature] = self.manifest_files(&place)?;
        let manifest = manifest_text.as_deref().and_then(|text| of_module(text, digest));
        Ok(Some(Held { module, manifest, manifest_text, manifest_signature }))
    }

    /// The text of a manifest that is kept, and its signature.
    fn manifest_files(&self, place: &str) -> Result<[Option<Vec<u8>>; 2], HostProblem> {
        Ok([
            self.read_at_most(&format!("{place}/{MANIFEST}"), MANIFEST_BYTES)?,
            self.read_at_most(&format!("{place}/{SIGNATURE}"), SIGNATURE_BYTES)?,
        ])
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

/// The manifest with this text, when it is that of a module. One that this version cannot read tells nothing.
fn of_module(text: &[u8], module: Sha256Digest) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(text).ok()?;
    (manifest.module.digest == module).then_some(manifest)
}

fn is_of(text: &[u8], module: Sha256Digest) -> bool {
    of_module(text, module).is_some()
}

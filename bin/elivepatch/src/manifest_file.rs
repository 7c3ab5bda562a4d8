//! Reads a manifest that was stored beside its module.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use elivepatch_host::ManifestTrust;
use elivepatch_model::{Manifest, Sha256Digest};
use elivepatch_signature::SIGNATURE_BYTES;

use crate::{destination::signature_path, inputs::read_at_most, manifest_key, problem::Problem};

/// The largest manifest that is read, in bytes: what the server gives has at most as much.
const MANIFEST_BYTES: u64 = 16 * 1024 * 1024;

/// The largest module that is read, in bytes: what a server takes from a worker.
const MODULE_BYTES: u64 = 256 * 1024 * 1024;

/// What the name of a manifest has behind that of its module.
const SUFFIX: &str = ".manifest.json";

/// A manifest with the module beside it.
#[derive(Debug)]
pub struct ManifestFile {
    /// What it says.
    pub manifest: Manifest,
    /// The module, when it lies beside it; its digest is the manifest's.
    pub module: Option<PathBuf>,
}

/// Reads a manifest, when it is trusted, and compares the module beside it, where there is one.
pub fn read(path: &Path, trust: &ManifestTrust) -> Result<ManifestFile, Problem> {
    let shown = path.display();
    let problem = |error: &dyn std::error::Error| {
        Problem::input(format!("cannot read the manifest {shown}")).caused_by(error).hint(
            "give the file MODULE.manifest.json that elivepatch build stored beside the module",
        )
    };
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MANIFEST_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| problem(&error))?;
    if text.len() as u64 > MANIFEST_BYTES {
        return Err(Problem::input(format!("{shown} has more than {MANIFEST_BYTES} bytes")));
    }
    let signature = read_signature(path)?;
    manifest_key::verify(trust, &format!("the manifest {shown}"), &text, signature.as_deref())?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| problem(&error))?;
    let module = module_beside(path).filter(|module| module.exists());
    if let Some(module) = &module {
        let named = manifest.module.digest;
        let found =
            digest_of(module, manifest.module.size_bytes.min(MODULE_BYTES)).map_err(|error| {
                Problem::input(format!("cannot read {}", module.display())).caused_by(&error)
            })?;
        if found != named {
            let message = format!("{} is not the module of the manifest", module.display());
            return Err(Problem::input(message)
                .aside(format!("the manifest names sha256 {named}, the file has {found}"))
                .hint(
                    "do not load it; a rebuild can only prove the module that a manifest names",
                ));
        }
    }
    Ok(ManifestFile { manifest, module })
}

/// The signature that lies beside a manifest, where there is one.
pub fn read_signature(manifest: &Path) -> Result<Option<Vec<u8>>, Problem> {
    let path = signature_path(manifest);
    match read_at_most(&path, SIGNATURE_BYTES) {
        Ok(signature) => Ok(Some(signature)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let message = format!("cannot read the signature {}", path.display());
            Err(Problem::input(message).caused_by(&error).hint("fetch it again with the module"))
        }
    }
}

/// Where the module lies, by the manifest's name.
fn module_beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    (!name.is_empty()).then(|| path.with_file_name(name))
}

/// The digest of a file's first `limit_bytes`, and of one byte more when there is more.
fn digest_of(path: &Path, limit_bytes: u64) -> io::Result<Sha256Digest> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(Sha256Digest::of(&bytes))
}

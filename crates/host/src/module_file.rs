use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _, Seek as _},
    path::{Path, PathBuf},
};

use elivepatch_elf::{LivepatchMaker, Module, SignedModule};
use elivepatch_model::{ElfBuildId, Sha256Digest, limits::MODULE_BYTES};

use crate::{HostProblem, PatchedFunction};

/// What else is read of what a module says of itself.
const SAYS: [&str; 5] = ["description", "author", "license", "version", "srcversion"];

/// A module in a file, as far as it matters to whoever loads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Where it is.
    pub path: PathBuf,
    /// The digest of the file.
    pub digest: Sha256Digest,
    /// The size of the file, in bytes.
    pub size: u64,
    /// The module's name.
    pub name: String,
    /// What kernel it is made for: the release and what else matters to its layout.
    pub vermagic: String,
    /// Whether it is a livepatch.
    pub is_livepatch: bool,
    /// Its build-id, when it has one.
    pub build_id: Option<ElfBuildId>,
    /// Whether it has a signature, of whomever.
    pub is_signed: bool,
    /// What it replaces.
    pub functions: BTreeSet<PatchedFunction>,
    /// What made a livepatch of it; `None` for what neither kpatch nor klp-build made.
    pub maker: Option<LivepatchMaker>,
    /// What it says of itself beside that: its description, author, and so on, as modinfo(8) names them.
    pub says: Vec<(&'static str, String)>,
}

impl ModuleFile {
    /// Opens the file at a path, which must have the very bytes of this module.
    pub(crate) fn open_again(&self, path: &Path) -> Result<File, HostProblem> {
        let cannot = |source| HostProblem::ModuleUnread { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(cannot)?;
        let mut bytes = Vec::new();
        (&mut file).take(MODULE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
        if Sha256Digest::of(&bytes) != self.digest {
            return Err(HostProblem::Damaged { digest: self.digest, path: path.to_owned() });
        }
        file.rewind().map_err(cannot)?;
        Ok(file)
    }

    /// Reads a module.
    ///
    /// # Errors
    /// When it cannot be read, is larger than any livepatch, or is no module.
    pub fn read(path: &Path) -> Result<Self, HostProblem> {
        let cannot = |source| HostProblem::ModuleUnread { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(cannot)?;
        file.take(MODULE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
        if bytes.len() as u64 > MODULE_BYTES {
            return Err(cannot(io::Error::other(format!("it has more than {MODULE_BYTES} bytes"))));
        }
        Self::parse(path, &bytes)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, HostProblem> {
        let module = Module::read(bytes)
            .map_err(|source| HostProblem::Module { path: path.to_owned(), source })?;
        let functions = module.replaced_functions.iter().map(|function| PatchedFunction {
            object: function.object.clone(),
            name: function.name.clone(),
            position: function.position.max(1),
        });
        Ok(Self {
            path: path.to_owned(),
            digest: Sha256Digest::of(bytes),
            size: bytes.len() as u64,
            name: module.modinfo.name().unwrap_or_default().to_owned(),
            vermagic: module.modinfo.vermagic().unwrap_or_default().to_owned(),
            is_livepatch: module.modinfo.is_livepatch(),
            build_id: module.build_id.clone(),
            is_signed: SignedModule::is_marked(bytes),
            functions: functions.collect(),
            maker: module.maker,
            says: SAYS
                .into_iter()
                .flat_map(|field| {
                    module.modinfo.all(field).map(move |text| (field, text.to_owned()))
                })
                .collect(),
        })
    }

    /// The release that it was made for.
    pub fn release(&self) -> &str {
        self.vermagic.split(' ').next().unwrap_or_default()
    }
}

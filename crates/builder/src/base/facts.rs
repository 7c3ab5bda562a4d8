use std::collections::BTreeMap;

use camino::Utf8Path;
use elivepatch_model::{
    ElfBuildId, Failure, FailureClass, KernelConfig, KernelRelease, Sha256Digest,
};
use serde::{Deserialize, Serialize};

use crate::{digest_file::digest_file, failures::io_failure, source::KernelSource};

pub(super) const KERNEL_IMAGE: &str = "vmlinuz";
pub(super) const SYMBOL_TABLE: &str = "vmlinux.symtab";
pub(super) const SOURCES: &str = "sources";
pub(super) const MODULE_TABLE: &str = "modules";
pub(super) const PACKAGE_CONFIG: &str = "config";
pub(super) const NO_ENDBR: &str = "vmlinux.no-endbr";
pub(super) const MODULES_NO_ENDBR: &str = "modules.no-endbr";
pub(super) const FACTS: &str = "base.json";

/// The small files that every build reads; with the bootable image all that [`BaseFacts`] has a
/// digest of.
const SMALL_FILES: [&str; 8] = [
    SYMBOL_TABLE,
    NO_ENDBR,
    MODULES_NO_ENDBR,
    SOURCES,
    MODULE_TABLE,
    PACKAGE_CONFIG,
    "tree/Module.symvers",
    "tree/.config",
];

/// The digests of the base's files, when it has been made at `place`.
pub(super) struct FileDigests {
    /// See [`BaseFacts::kernel_image`].
    pub(super) kernel_image: Sha256Digest,
    /// See [`BaseFacts::files`].
    pub(super) files: BTreeMap<String, Sha256Digest>,
}

impl FileDigests {
    /// Reads the files.
    ///
    /// # Errors
    /// When one is missing or cannot be read.
    pub(super) fn of(place: &Utf8Path) -> Result<Self, Failure> {
        let digest = |name: &str| {
            let path = place.join(name);
            digest_file(&path).map_err(|error| base_io("read", &path, &error))
        };
        let files = SMALL_FILES.into_iter().map(|name| Ok((name.to_owned(), digest(name)?)));
        Ok(Self {
            files: files.collect::<Result<_, Failure>>()?,
            kernel_image: digest(KERNEL_IMAGE)?,
        })
    }
}

/// What is known of a base; `base.json` in its directory. It is written last: a directory with it
/// is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseFacts {
    /// The target's release.
    pub release: KernelRelease,
    /// What it was made from. Packages serve later builds also when the archive has them no more.
    pub source: KernelSource,
    /// The build-id of vmlinux.
    pub build_id: ElfBuildId,
    /// The vermagic of the stock kernel's own modules.
    pub vermagic: String,
    /// Sizes of the kernel's special structures by name, in bytes, from vmlinux's DWARF.
    pub struct_sizes: BTreeMap<String, u64>,
    /// The digest of the bootable image.
    pub kernel_image: Sha256Digest,
    /// The digests of the small files that every build reads, by file name in the base.
    pub files: BTreeMap<String, Sha256Digest>,
}

impl BaseFacts {
    /// Reads the facts of the base at `place`; `None` when there is none, or a file of it is
    /// damaged, so that it is prepared anew.
    pub(super) fn read(place: &Utf8Path) -> Result<Option<Self>, Failure> {
        let whole = |facts: &Self| {
            facts.files.iter().all(|(name, digest)| {
                digest_file(&place.join(name)).is_ok_and(|found| found == *digest)
            }) && digest_file(&place.join(KERNEL_IMAGE))
                .is_ok_and(|found| found == facts.kernel_image)
        };
        Ok(Self::peek(place)?.filter(whole))
    }

    /// Reads the facts of the base at `place` without a look at its files; `None` when there is
    /// none.
    pub(super) fn peek(place: &Utf8Path) -> Result<Option<Self>, Failure> {
        let path = place.join(FACTS);
        let text = match fs_err::read(&path) {
            Ok(text) => text,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(base_io("read", &path, &error)),
        };
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The config in the kernel's package.
    pub(super) fn package_config(&self, place: &Utf8Path) -> Result<KernelConfig, Failure> {
        let path = place.join(PACKAGE_CONFIG);
        let text = fs_err::read(&path).map_err(|error| base_io("read", &path, &error))?;
        KernelConfig::parse(&text).map_err(|error| {
            Failure::new(
                FailureClass::BaseFailed,
                format!("{path}: {error}"),
                "the kernel's package holds a config that is none: please report it",
            )
        })
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    // A lock file beside the bases has a name like a base and is no directory.
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
}

pub(super) fn base_io(action: &str, path: &Utf8Path, error: &std::io::Error) -> Failure {
    io_failure(FailureClass::BaseFailed, action, path, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_that_builds_read_has_its_digest_and_none_may_be_missing() {
        let temporary = tempfile::tempdir().expect("a directory");
        let place = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        fs_err::create_dir(place.join("tree")).expect("own directory");
        for name in SMALL_FILES.into_iter().chain([KERNEL_IMAGE]) {
            fs_err::write(place.join(name), name).expect("own file");
        }
        let digests = FileDigests::of(place).expect("all are there");
        assert_eq!(digests.kernel_image, Sha256Digest::of(KERNEL_IMAGE.as_bytes()));
        for name in SMALL_FILES {
            assert_eq!(digests.files[name], Sha256Digest::of(name.as_bytes()), "{name}");
            fs_err::rename(place.join(name), place.join("away")).expect("own file");
            let failure = FileDigests::of(place).err().expect("one is missing");
            assert!(failure.message.contains(name), "{failure}");
            fs_err::rename(place.join("away"), place.join(name)).expect("own file");
        }
    }
}

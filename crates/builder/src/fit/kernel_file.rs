//! The code of a prepared base's kernel, kept beside the base: taken out of the bootable image, which
//! is what the machine runs, and of which the base has the digest.

use std::io::Write as _;

use camino::Utf8Path;
use elivepatch_elf::VmlinuxFile;
use elivepatch_model::{Failure, FailureClass, Sha256Digest};
use serde::{Deserialize, Serialize};

use super::kernel_image::take_kernel_image;
use crate::{
    base::Base,
    digest_file::digest_file,
    failures::io_failure,
    shared_file::{Flush, write_shared},
    untrusted_file::read_untrusted,
};

/// The largest bootable image that is read, in bytes.
const BOOTABLE_BYTES: u64 = 256 * 1024 * 1024;

/// The file with the code, and its record.
const CODE: &str = "vmlinux-1";
const RECORD: &str = "vmlinux-1.json";

/// What is known of the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// The digest of the bootable image that it is from.
    from: Sha256Digest,
    /// Its own digest.
    digest: Sha256Digest,
}

/// Opens the code of the base's kernel; takes it out of the bootable image when that was not done or
/// the file is damaged.
///
/// # Errors
/// `fit-unproven` when the image cannot be read, `base-does-not-fit` when it is another kernel than
/// the base's symbols are of; those of writing.
pub(super) fn kernel_code(base: &Base) -> Result<VmlinuxFile, Failure> {
    let directory = base.fit();
    let (path, from) = (directory.join(CODE), base.facts().kernel_image);
    if !is_whole(&directory, from) {
        let digest = take(&base.kernel_image(), &path)?;
        let record = serde_json::to_vec(&Record { from, digest }).expect("plain data");
        let place = directory.join(RECORD);
        write_shared(&place, &record, Flush::Unneeded)
            .map_err(|error| io_failure(FailureClass::Internal, "write", &place, &error))?;
    }
    let file = VmlinuxFile::open(path.as_std_path())
        .map_err(|error| unreadable(&base.kernel_image(), &error.to_string()))?;
    match file.build_id() {
        Some(build_id) if *build_id == base.facts().build_id => Ok(file),
        other => Err(another_kernel(base, other.map(ToString::to_string))),
    }
}

fn is_whole(directory: &Utf8Path, from: Sha256Digest) -> bool {
    let record = fs_err::read(directory.join(RECORD)).ok();
    let record: Option<Record> = record.and_then(|text| serde_json::from_slice(&text).ok());
    record.is_some_and(|record| {
        record.from == from
            && digest_file(&directory.join(CODE)).is_ok_and(|digest| digest == record.digest)
    })
}

/// Takes the kernel out of a bootable image; gives the digest of the file.
fn take(bootable: &Utf8Path, path: &Utf8Path) -> Result<Sha256Digest, Failure> {
    let failed = |error: std::io::Error| io_failure(FailureClass::Internal, "write", path, &error);
    let directory = path.parent().unwrap_or(path);
    fs_err::create_dir_all(directory).map_err(failed)?;
    let image = read_untrusted(bootable, BOOTABLE_BYTES)
        .map_err(|error| io_failure(FailureClass::BaseFailed, "read", bootable, &error))?;
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let mut output = std::io::BufWriter::with_capacity(1 << 20, file.as_file_mut());
    match take_kernel_image(&image, &mut output).and_then(|()| output.flush()) {
        Ok(()) => drop(output),
        Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Err(failed(error)),
        Err(error) => return Err(unreadable(bootable, &error.to_string())),
    }
    let temporary = Utf8Path::from_path(file.path()).unwrap_or(path);
    let digest = digest_file(temporary).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(digest)
}

fn unreadable(bootable: &Utf8Path, problem: &str) -> Failure {
    Failure::new(
        FailureClass::FitUnproven,
        format!(
            "the kernel's code cannot be taken out of its bootable image {bootable}: {problem}"
        ),
        "report this kernel; --accept-unproven makes the livepatch without the comparison",
    )
}

fn another_kernel(base: &Base, found: Option<String>) -> Failure {
    let found = found.unwrap_or_else(|| "one without a build-id".to_owned());
    Failure::new(
        FailureClass::BaseDoesNotFit,
        format!(
            "the bootable image of {} holds the kernel {found}, and its debug symbols are of {}",
            base.facts().source.name(),
            base.facts().build_id
        ),
        "the kernel's packages do not belong together: report it with their versions",
    )
}

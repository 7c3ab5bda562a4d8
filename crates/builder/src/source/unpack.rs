//! Unpacking a tarball: decompressed and unpacked in the sandbox, and looked through between.

use std::io::{self, Read, Write};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, Sha256Digest, StepName};
use sha2::{Digest, Sha256};

use super::{TreeFacts, Unpacking, archive, directory, walk::unreadable};
use crate::{base::WORK, failures::io_failure, untrusted_file::open_untrusted};

/// The endings of tarballs, with what decompresses them to standard output.
pub const TARBALLS: [(&str, &str); 8] = [
    (".tar", "cat"),
    (".tar.gz", "gzip --decompress --stdout"),
    (".tgz", "gzip --decompress --stdout"),
    // xz is told to use all cores; it does so only for files that were made in blocks.
    (".tar.xz", "xz --decompress --stdout --threads=0"),
    (".txz", "xz --decompress --stdout --threads=0"),
    // A window of 128 MiB, as `zstd --long` makes them: the default is 8.
    (".tar.zst", "zstd --decompress --stdout --quiet --long=27"),
    (".tzst", "zstd --decompress --stdout --quiet --long=27"),
    (".tar.zstd", "zstd --decompress --stdout --quiet --long=27"),
];

/// How many times its size a tarball takes while it is unpacked: its copy, the tar and the tree.
/// Measured: linux-source-6.12.tar.xz has 0.15 GB, its tar 1.6 and the tree 1.8.
pub(super) fn growth(path: &Utf8Path) -> u64 {
    match decompressor(path) {
        Some("cat") => 4,
        Some(program) if program.starts_with("gzip") => 17,
        _ => 25,
    }
}

/// What decompresses a tarball of that name; `None` when its ending is not known.
fn decompressor(path: &Utf8Path) -> Option<&'static str> {
    let name = path.file_name()?;
    TARBALLS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, program)| *program)
}

/// Unpacks the tarball into the empty directory `tree`. Gives the digest of the file; one that has
/// changed is not unpacked.
///
/// # Errors
/// `source-unusable`, naming the member that is not to be in a source tree; those of the sandbox.
pub(super) fn unpack(source: &TreeFacts, unpacking: &Unpacking) -> Result<Sha256Digest, Failure> {
    let Unpacking { tree, scratch, sandbox, observer, .. } = *unpacking;
    let tarball = &source.path;
    let Some(program) = decompressor(tarball) else {
        let endings: Vec<&str> = TARBALLS.iter().map(|(ending, _)| *ending).collect();
        return Err(Failure::new(
            FailureClass::SourceUnusable,
            format!("the source {tarball} has none of the endings of a tarball"),
            format!("name a directory, or a file that ends in {}", endings.join(", ")),
        ));
    };
    // A copy: what is looked through must be what is unpacked, and the file may change meanwhile.
    let packed = scratch.join("source.packed");
    let found = copy(tarball, &packed)?;
    if found != source.digest {
        return Ok(found);
    }
    let run = |script: &str| {
        let command = unpacking.command(["sh", "-c", script]);
        let class = FailureClass::SourceUnusable;
        sandbox.run_checked(&command, StepName::Base, observer, class).map_err(|failure| {
            let Failure { class: FailureClass::SourceUnusable, details, .. } = failure else {
                return failure;
            };
            Failure::new(
                FailureClass::SourceUnusable,
                format!(
                    "the source {tarball} cannot be unpacked: {}",
                    details.last().map_or("it is damaged", String::as_str)
                ),
                "put the source there again; `tar --list --file` shows whether it is whole",
            )
            .with_details(details)
        })
    };
    run(&format!("{program} < {WORK}/source.packed > {WORK}/source.tar"))?;
    let failed = |error: io::Error| unreadable(tarball, "", &error);
    let unpacked = scratch.join("source.tar");
    archive::check(open_untrusted(&unpacked).map_err(failed)?, tarball)?;
    run(&format!(
        "tar --extract --strip-components=1 --no-same-owner --no-same-permissions \
         --file={WORK}/source.tar"
    ))?;
    for file in [packed, unpacked] {
        fs_err::remove_file(&file)
            .map_err(|error| io_failure(FailureClass::SourceUnusable, "remove", &file, &error))?;
    }
    // tar may understand an odd tarball in another way than our reader.
    directory::check(tree)?;
    Ok(found)
}

/// Copies the tarball, and gives its digest.
fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<Sha256Digest, Failure> {
    let mut source =
        fs_err::File::open(from).map_err(|error| unreadable(from, "", &error))?.into_file();
    let failed = |error: io::Error| io_failure(FailureClass::SourceUnusable, "copy to", to, &error);
    let mut target = fs_err::File::create(to).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = source.read(&mut buffer).map_err(|error| unreadable(from, "", &error))?;
        if count == 0 {
            return Ok(Sha256Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
        target.write_all(&buffer[..count]).map_err(failed)?;
    }
}

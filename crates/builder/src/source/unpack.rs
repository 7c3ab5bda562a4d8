//! Unpacking a tarball: decompressed and unpacked in the sandbox, and looked through between.

use std::io::{self, Read, Write};

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, Sha256Digest, StepName};
use sha2::{Digest, Sha256};

use super::{
    TreeFacts, Unpacking, archive,
    baseline::temporary_file,
    directory,
    tree::{FileFacts, changed},
    walk::unreadable,
};
use crate::{
    base::WORK,
    failures::io_failure,
    process::Finished,
    sandbox::SandboxCommand,
    untrusted_file::{open_untrusted, read_untrusted},
};

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
    match tarball_decompressor(path) {
        Some("cat") => 4,
        Some(program) if program.starts_with("gzip") => 17,
        _ => 25,
    }
}

/// The endings of patches of the stable branch.
const PATCHES: [(&str, &str); 3] = [
    (".xz", "xz --decompress --stdout"),
    (".gz", "gzip --decompress --stdout"),
    (".zst", "zstd --decompress --stdout --quiet"),
];

/// Where the sandbox shows the copy of what is decompressed.
const PACKED: &str = "/inputs/packed";

/// The most that a tarball may unpack to, in bytes: Linux 7.3 has 1.7 GB.
pub(super) const UNPACKED_BYTES: u64 = 8 << 30;

/// The most that a patch of the stable branch may unpack to, in bytes: that of 6.1.176 has 25 MB.
const PATCH_BYTES: u64 = 256 << 20;

/// What decompresses a tarball or patch of that name to standard output; `None` when its ending is not
/// known.
pub(super) fn decompressor(name: &str) -> Option<&'static str> {
    let known = TARBALLS.iter().chain(&PATCHES);
    known.clone().find(|(ending, _)| name.ends_with(ending)).map(|(_, program)| *program)
}

/// What decompresses the tarball of that name; `None` when its ending is not known.
fn tarball_decompressor(path: &Utf8Path) -> Option<&'static str> {
    let name = path.file_name()?;
    TARBALLS.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, program)| *program)
}

/// Unpacks the tarball into the empty directory `tree`. Gives the digest of the file; one that has
/// changed is not unpacked.
///
/// # Errors
/// `source-unusable`, naming the member that is not to be in a source tree; those of the sandbox.
pub(super) fn unpack(source: &TreeFacts, unpacking: &Unpacking) -> Result<Sha256Digest, Failure> {
    let Unpacking { tree, scratch, .. } = *unpacking;
    let tarball = &source.path;
    let Some(program) = tarball_decompressor(tarball) else {
        let endings: Vec<&str> = TARBALLS.iter().map(|(ending, _)| *ending).collect();
        return Err(Failure::new(
            FailureClass::SourceUnusable,
            format!("the source {tarball} has none of the endings of a tarball"),
            format!("name a directory, or a file that ends in {}", endings.join(", ")),
        ));
    };
    let (packed, found) = copy(tarball, unpacking)?;
    if found != source.digest {
        return Ok(found);
    }
    decompress(unpacking, tarball, program, (&packed, "source.tar"), UNPACKED_BYTES)?;
    drop(packed);
    let failed = |error: io::Error| unreadable(tarball, "", &error);
    let unpacked = scratch.join("source.tar");
    archive::check(open_untrusted(&unpacked).map_err(failed)?, tarball)?;
    let script = format!(
        "tar --extract --strip-components=1 --no-same-owner --no-same-permissions \
         --file={WORK}/source.tar"
    );
    run(unpacking, tarball, &script)?;
    fs_err::remove_file(&unpacked)
        .map_err(|error| io_failure(FailureClass::SourceUnusable, "remove", &unpacked, &error))?;
    // tar may understand an odd tarball in another way than our reader.
    directory::check(tree)?;
    Ok(found)
}

/// Applies a patch of the stable branch to the unpacked tarball.
///
/// # Errors
/// `source-unusable` when it is not what it was, cannot be read, or does not fit; those of the sandbox.
pub(super) fn apply_increment(file: &FileFacts, unpacking: &Unpacking) -> Result<(), Failure> {
    let path = &file.path;
    let plain = unpacking.scratch.join("plain");
    let (packed, found) = copy(path, unpacking)?;
    if found != file.digest {
        return Err(changed(path));
    }
    let program = decompressor(file.name()).unwrap_or("cat");
    decompress(unpacking, path, program, (&packed, "plain"), PATCH_BYTES)?;
    let text = read_untrusted(&plain, PATCH_BYTES).map_err(|error| unreadable(path, "", &error))?;
    let patch = temporary_file(&text, unpacking.sandbox)?;
    let place = Utf8Path::from_path(patch.path()).unwrap_or(Utf8Path::new("/dev/null"));
    unpacking.apply(place)?.map_err(|misfits| {
        Failure::new(
            FailureClass::SourceUnusable,
            format!(
                "the patch {path} does not fit its tarball: {}",
                misfits.first().map_or("it cannot be read", String::as_str)
            ),
            "kernel.org's patches lead from X.Y to X.Y.Z: the tarball must be that of X.Y",
        )
        .with_details(misfits.into_iter().skip(1))
    })?;
    fs_err::remove_file(&plain)
        .map_err(|error| io_failure(FailureClass::SourceUnusable, "remove", &plain, &error))
}

/// Decompresses a copy into a file of the scratch directory, in the sandbox. `source` is what it is for
/// people.
fn decompress(
    unpacking: &Unpacking,
    source: &Utf8Path,
    program: &str,
    (packed, to): (&tempfile::NamedTempFile, &str),
    limit_bytes: u64,
) -> Result<(), Failure> {
    // `head` ends what does not end; the exit code of the program it hides.
    let failed = unpacking.scratch.join("failed");
    let script = format!(
        "{{ {program} < {PACKED} || echo $? > {WORK}/failed; }} | head --bytes={} > {WORK}/{to}",
        limit_bytes + 1
    );
    let path = Utf8Path::from_path(packed.path()).unwrap_or(Utf8Path::new("/dev/null"));
    let command = unpacking.command(["sh", "-c", &script]).read_only(path, PACKED);
    let finished = run_command(unpacking, source, &command)?;
    let size = open_untrusted(&unpacking.scratch.join(to))
        .and_then(|file| file.metadata())
        .map_err(|error| unreadable(source, "", &error))?
        .len();
    if size > limit_bytes {
        return Err(Failure::new(
            FailureClass::SourceUnusable,
            format!(
                "the source {source} unpacks to more than {} MiB: no kernel's source does",
                limit_bytes >> 20
            ),
            "it is made to fill the disk, or is something else: get it from where it comes from again",
        ));
    }
    if failed.symlink_metadata().is_ok() {
        return Err(not_unpacked(source, finished.last_lines(20)));
    }
    Ok(())
}

fn run(unpacking: &Unpacking, source: &Utf8Path, script: &str) -> Result<Finished, Failure> {
    run_command(unpacking, source, &unpacking.command(["sh", "-c", script]))
}

fn run_command(
    unpacking: &Unpacking,
    source: &Utf8Path,
    command: &SandboxCommand,
) -> Result<Finished, Failure> {
    let Unpacking { sandbox, observer, .. } = *unpacking;
    let class = FailureClass::SourceUnusable;
    sandbox.run_checked(command, StepName::Base, observer, class).map_err(|failure| {
        match failure.class {
            FailureClass::SourceUnusable => not_unpacked(source, failure.details),
            _ => failure,
        }
    })
}

fn not_unpacked(source: &Utf8Path, details: Vec<String>) -> Failure {
    Failure::new(
        FailureClass::SourceUnusable,
        format!(
            "the source {source} cannot be unpacked: {}",
            details.last().map_or("it is damaged", String::as_str)
        ),
        "put the source there again; `tar --list --file` shows whether it is whole",
    )
    .with_details(details)
}

/// Copies a file, and gives the copy and its digest: what is looked through must be what is unpacked,
/// and the file may change meanwhile. The copy lies beside the scratch directory and is only shown to
/// tools: in what they can write, an earlier one may have put a link or a pipe in its place.
fn copy(
    from: &Utf8Path,
    unpacking: &Unpacking,
) -> Result<(tempfile::NamedTempFile, Sha256Digest), Failure> {
    let mut source =
        fs_err::File::open(from).map_err(|error| unreadable(from, "", &error))?.into_file();
    let directory = unpacking.scratch.parent().unwrap_or(unpacking.scratch);
    let failed =
        |error: io::Error| io_failure(FailureClass::SourceUnusable, "copy to", directory, &error);
    let mut target =
        tempfile::Builder::new().prefix("packed-").tempfile_in(directory).map_err(failed)?;
    let path = Utf8Path::from_path(target.path()).unwrap_or(Utf8Path::new(""));
    unpacking.sandbox.hand_over(path).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = source.read(&mut buffer).map_err(|error| unreadable(from, "", &error))?;
        if count == 0 {
            return Ok((target, Sha256Digest::from_bytes(hasher.finalize().into())));
        }
        hasher.update(&buffer[..count]);
        target.write_all(&buffer[..count]).map_err(failed)?;
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;

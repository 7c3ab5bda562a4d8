//! Files out of Debian packages, without unpacking what is not needed.
//!
//! A package is an `ar` archive with a compressed tar in it. `dpkg-deb` would decompress all of
//! the 282 MB of a kernel's debug package; here reading stops behind the wanted file.

use std::io::{self, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass};
use liblzma::{read::XzDecoder, stream::MtStreamBuilder};

use crate::{failures::io_failure, process::available_cores};

/// Memory that decompression may use, in bytes: 8 threads of xz -9.
const DECOMPRESSION_MEMORY: u64 = 8 * 70 * 1024 * 1024;

/// Hands the first file whose path in the package satisfies `wanted` to `take`.
///
/// # Errors
/// When the package cannot be read or has no such file (`base-failed`).
pub fn read_first_file(
    package: &Utf8Path,
    wanted: &dyn Fn(&str) -> bool,
    take: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> Result<(), Failure> {
    let mut found = false;
    for_each_file(package, &mut |path, content| {
        if wanted(path) {
            found = true;
            take(content)?;
        }
        Ok(!found)
    })?;
    if found {
        return Ok(());
    }
    Err(Failure::new(
        FailureClass::BaseFailed,
        format!("{package} does not hold the file that is expected in it"),
        "this kernel's packages are laid out differently: please report it",
    ))
}

/// Writes every file whose path in the package satisfies `wanted` to `directory`, under the last
/// part of its name. Stops early when `count` files were written.
///
/// # Errors
/// When the package cannot be read, a file cannot be written, or fewer than `count` were found.
pub fn unpack_package(
    package: &Utf8Path,
    directory: &Utf8Path,
    count: usize,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Utf8PathBuf>, Failure> {
    let mut written = Vec::new();
    for_each_file(package, &mut |path, content| {
        if wanted(path) {
            let name = path.rsplit('/').next().unwrap_or(path);
            let target = directory.join(name);
            io::copy(content, &mut fs_err::File::create(&target)?)?;
            written.push(target);
        }
        Ok(written.len() < count)
    })?;
    if written.len() == count {
        return Ok(written);
    }
    Err(Failure::new(
        FailureClass::BaseFailed,
        format!("{package} does not hold the {count} files that are expected in it"),
        "this kernel's packages are laid out differently: please report it",
    ))
}

/// Writes the source tarball of a `linux-source` package, still compressed, to `target`.
///
/// # Errors
/// When the package cannot be read or holds no source, or `target` cannot be written.
pub fn unpack_source_tarball(package: &Utf8Path, target: &Utf8Path) -> Result<(), Failure> {
    let wanted =
        |path: &str| path.starts_with("usr/src/linux-source-") && path.ends_with(".tar.xz");
    read_first_file(package, &wanted, &mut |content| {
        io::copy(content, &mut fs_err::File::create(target)?)?;
        Ok(())
    })
}

/// What is called for a file, with its path and content; `false` ends the walk.
type Visit<'a> = dyn FnMut(&str, &mut dyn Read) -> io::Result<bool> + 'a;

/// Calls `visit` with path and content of each regular file until it says `false`.
///
/// # Errors
/// When the package cannot be read, or `visit` fails.
pub fn for_each_file(package: &Utf8Path, visit: &mut Visit) -> Result<(), Failure> {
    walk(package, visit)
        .map_err(|error| io_failure(FailureClass::BaseFailed, "unpack", package, &error))
}

fn walk(package: &Utf8Path, visit: &mut Visit) -> io::Result<()> {
    let mut archive = ar::Archive::new(BufReader::new(fs_err::File::open(package)?));
    while let Some(member) = archive.next_entry() {
        let member = member?;
        match member.header().identifier() {
            b"data.tar.xz" => {
                let stream = MtStreamBuilder::new()
                    .threads(available_cores())
                    .memlimit_threading(DECOMPRESSION_MEMORY)
                    .memlimit_stop(DECOMPRESSION_MEMORY)
                    .decoder()
                    .map_err(io::Error::other)?;
                return walk_tar(XzDecoder::new_stream(member, stream), visit);
            }
            b"data.tar" => return walk_tar(member, visit),
            name if name.starts_with(b"data.tar") => {
                let name = String::from_utf8_lossy(name).into_owned();
                return Err(io::Error::other(format!("{name} is compressed in an unknown way")));
            }
            _ => {}
        }
    }
    Err(io::Error::other("it has no data.tar: it is not a Debian package"))
}

fn walk_tar(reader: impl Read, visit: &mut Visit) -> io::Result<()> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 20, reader));
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path()?.to_string_lossy().into_owned();
        if !visit(path.trim_start_matches("./"), &mut entry)? {
            return Ok(());
        }
    }
    Ok(())
}

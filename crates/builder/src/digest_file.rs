use std::{
    fs::File,
    io::{self, Read},
};

use camino::Utf8Path;
use elivepatch_model::Sha256Digest;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

/// The digest of a regular file, read in pieces. A symbolic link is not followed, and a pipe not
/// waited for: what a kernel's build left in a base may be anything.
pub(crate) fn digest_file(path: &Utf8Path) -> io::Result<Sha256Digest> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path.as_std_path(), flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut file = file;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Digest::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

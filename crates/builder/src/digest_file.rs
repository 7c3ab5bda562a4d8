use std::{
    fs::File,
    io::{self, Read},
};

use camino::Utf8Path;
use elivepatch_model::Sha256Digest;
use sha2::{Digest, Sha256};

use crate::untrusted_file::open_untrusted;

/// The digest of a regular file, read in pieces. A symbolic link is not followed, and a pipe not
/// waited for: what a kernel's build left in a base may be anything.
pub(crate) fn digest_file(path: &Utf8Path) -> io::Result<Sha256Digest> {
    digest_open_file(open_untrusted(path)?)
}

/// The digest of what an open file holds from where it stands.
pub(crate) fn digest_open_file(mut file: File) -> io::Result<Sha256Digest> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Digest::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

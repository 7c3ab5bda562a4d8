use std::io::{self, Read};

use camino::Utf8Path;
use elivepatch_model::Sha256Digest;
use sha2::{Digest, Sha256};

/// The digest of a file, read in pieces.
pub(crate) fn digest_file(path: &Utf8Path) -> io::Result<Sha256Digest> {
    let mut file = fs_err::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Sha256Digest::from_bytes(hasher.finalize().into())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

//! The outside of a bundle: a signature, and what it is of.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
};

use camino::Utf8Path;
use elivepatch_signature::{KeyId, PublicKey, SIGNATURE_BYTES, Signature};

use crate::{BundleError, INNER, INNER_BYTES, SIGNATURE, read::is_file};

/// Reads the two members of the file, and gives the tarball, copied, once its signature fits.
pub(crate) fn verified(
    path: &Utf8Path,
    file: File,
    keys: &[PublicKey],
) -> Result<(KeyId, File), BundleError> {
    let wrong = |what: String| BundleError::NoBundle { path: path.to_owned(), what };
    let read = |source: io::Error| wrong(source.to_string());
    // Raw: nothing that a header announces is read but these two.
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut entries = archive.entries().map_err(read)?.raw(true);
    let mut next = |name: &str, limit: u64| {
        let entry = entries.next().ok_or_else(|| wrong(format!("{name} is missing")))?;
        let entry = entry.map_err(read)?;
        is_file(&entry, name, None).map_err(wrong)?;
        if entry.size() > limit {
            let (what, found) = (format!("{name} in {path}"), format!("{} bytes", entry.size()));
            return Err(BundleError::TooLarge { what, found, limit });
        }
        Ok(entry)
    };
    let cut_off = |member: &str, expected: u64, found: u64| BundleError::CutOff {
        path: path.to_owned(),
        member: member.to_owned(),
        expected,
        found,
    };
    let entry = next(SIGNATURE, SIGNATURE_BYTES)?;
    let (size, mut text) = (entry.size(), Vec::new());
    entry.take(size).read_to_end(&mut text).map_err(read)?;
    if (text.len() as u64) < size {
        return Err(cut_off(SIGNATURE, size, text.len() as u64));
    }
    let signature = Signature::parse(&text)
        .ok_or_else(|| wrong(format!("{SIGNATURE} is no signature of minisign's")))?;
    let found = signature.key();
    let Some(key) = keys.iter().find(|key| key.id() == found) else {
        let trusted = keys.iter().map(PublicKey::id).collect();
        return Err(BundleError::OtherKey { path: path.to_owned(), found, trusted });
    };
    // One that is not hashed before would have to be in memory.
    let verifier = signature.verifier(key);
    let mut verifier =
        verifier.ok_or_else(|| wrong("its signature is of the old kind".to_owned()))?;
    let mut entry = next(INNER, INNER_BYTES)?;
    let expected = entry.size();
    let mut copy = tempfile::tempfile().map_err(BundleError::scratch)?;
    let mut buffer = vec![0; 64 << 10];
    let mut copied = 0;
    loop {
        let count = entry.read(&mut buffer).map_err(read)?;
        if count == 0 {
            break;
        }
        verifier.update(&buffer[..count]);
        copy.write_all(&buffer[..count]).map_err(BundleError::scratch)?;
        copied += count as u64;
    }
    if copied != expected {
        return Err(cut_off(INNER, expected, copied));
    }
    verifier
        .finalize()
        .map_err(|_| BundleError::Signature { path: path.to_owned(), key: found })?;
    match entries.next() {
        None => Ok((found, copy)),
        Some(_) => Err(wrong("it has more than a tarball and its signature".to_owned())),
    }
}

//! Writing a bundle.

use std::{
    fs::{File, Permissions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::PermissionsExt,
};

use camino::Utf8Path;
use elivepatch_model::Sha256Digest;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    BundleError, FeedHeader, INNER, Index, Member, SIGNATURE, SecretKey,
    index::{self, FAULTS, FORM, RECORDS, VERSION},
};

/// How much the tarball is compressed: a feed takes seconds, and becomes a seventh of what it is.
const LEVEL: i32 = 9;

/// A bundle that is being put together. Its members are in a file without a name until their digests, which
/// come before them, are known.
#[derive(Debug)]
pub struct BundleWriter {
    scratch: File,
    records: Hashed,
    others: Vec<Member>,
}

/// A bundle that was written.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// The size of the file.
    pub bytes: u64,
    /// How many fixes are in it.
    pub fixes: usize,
}

#[derive(Debug, Default)]
struct Hashed {
    bytes: u64,
    hasher: Sha256,
}

impl BundleWriter {
    /// Begins a bundle.
    ///
    /// # Errors
    /// When there is no room for what is put away.
    pub fn new() -> Result<Self, BundleError> {
        let scratch = tempfile::tempfile().map_err(BundleError::scratch)?;
        Ok(Self { scratch, records: Hashed::default(), others: Vec::new() })
    }

    /// Adds records. All of them come before all others.
    ///
    /// # Errors
    /// When there is no room for what is put away.
    pub fn add_records(&mut self, records: &[impl Serialize]) -> Result<(), BundleError> {
        assert!(self.others.is_empty(), "records come first");
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record)
                .map_err(|source| BundleError::Json { what: "a record".to_owned(), source })?;
            text.push(b'\n');
        }
        self.scratch.write_all(&text).map_err(BundleError::scratch)?;
        self.records.hasher.update(&text);
        self.records.bytes += text.len() as u64;
        Ok(())
    }

    /// Adds the list of faults, once, after the records.
    ///
    /// # Errors
    /// When there is no room for what is put away.
    pub fn add_faults(&mut self, faults: &impl Serialize) -> Result<(), BundleError> {
        assert!(self.others.is_empty(), "the faults come before the fixes");
        let text = serde_json::to_vec(faults)
            .map_err(|source| BundleError::Json { what: "the faults".to_owned(), source })?;
        self.add(FAULTS.to_owned(), None, &text)
    }

    /// Adds the patch of a commit, which has 40 digits in lower case, with where it was had from. Each comes
    /// once, after the faults.
    ///
    /// # Errors
    /// When there is no room for what is put away.
    pub fn add_fix(&mut self, commit: &str, source: &str, text: &[u8]) -> Result<(), BundleError> {
        assert!(!self.others.is_empty(), "the fixes come last");
        self.add(index::fix_name(commit), Some(source.to_owned()), text)
    }

    fn add(
        &mut self,
        name: String,
        source: Option<String>,
        text: &[u8],
    ) -> Result<(), BundleError> {
        self.scratch.write_all(text).map_err(BundleError::scratch)?;
        let (size_bytes, sha256) = (text.len() as u64, Sha256Digest::of(text));
        self.others.push(Member { name, size_bytes, sha256, source });
        Ok(())
    }

    /// Signs the bundle and writes it, in the place of what is there. It is there whole, or not at all.
    ///
    /// # Errors
    /// When the file cannot be written, or the bundle is larger than one may be.
    pub fn finish(
        mut self,
        feed: FeedHeader,
        exported_at: Timestamp,
        key: &SecretKey,
        path: &Utf8Path,
    ) -> Result<Written, BundleError> {
        let records = Member {
            name: RECORDS.to_owned(),
            size_bytes: self.records.bytes,
            sha256: Sha256Digest::from_bytes(self.records.hasher.finalize().into()),
            source: None,
        };
        let index = Index {
            form: FORM.to_owned(),
            version: VERSION,
            exported_at,
            exported_by: format!("elivepatch {}", env!("CARGO_PKG_VERSION")),
            feed,
            members: std::iter::once(records).chain(self.others).collect(),
        };
        // What could not be read again is not written.
        if let Some(what) = index.problem() {
            return Err(BundleError::Inside { path: path.to_owned(), what });
        }
        let mut inner =
            pack(&index, &mut self.scratch, exported_at).map_err(BundleError::scratch)?;
        let signature = sign(&mut inner, exported_at, key)?;
        let failed = |source| BundleError::Write { path: path.to_owned(), source };
        let bytes = wrap(&mut inner, &signature, exported_at, path).map_err(failed)?;
        Ok(Written { bytes, fixes: index.fixes() })
    }
}

/// The compressed tarball, in a file without a name.
fn pack(index: &Index, members: &mut File, time: Timestamp) -> io::Result<File> {
    members.seek(SeekFrom::Start(0))?;
    let mut encoder = zstd::Encoder::new(tempfile::tempfile()?, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut tarball = tar::Builder::new(encoder);
    let text = serde_json::to_vec_pretty(index)?;
    append(&mut tarball, index::NAME, text.len() as u64, &text[..], time)?;
    for member in &index.members {
        let content = Read::by_ref(members).take(member.size_bytes);
        append(&mut tarball, &member.name, member.size_bytes, content, time)?;
    }
    tarball.into_inner()?.finish()
}

fn sign(inner: &mut File, time: Timestamp, key: &SecretKey) -> Result<String, BundleError> {
    inner.seek(SeekFrom::Start(0)).map_err(BundleError::scratch)?;
    let comment = format!("elivepatch feed bundle, exported at {time}");
    Ok(key.sign(inner, &comment)?)
}

/// Puts signature and tarball into one file. Gives its size, in bytes.
fn wrap(inner: &mut File, signature: &str, time: Timestamp, path: &Utf8Path) -> io::Result<u64> {
    let bytes = inner.seek(SeekFrom::End(0))?;
    inner.seek(SeekFrom::Start(0))?;
    let directory = match path.parent() {
        Some(directory) if !directory.as_str().is_empty() => directory,
        _ => Utf8Path::new("."),
    };
    // Whoever may read the directory may have it: it holds nothing that is secret.
    let file = tempfile::Builder::new()
        .prefix(".elivepatch-export-")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    let mut tarball = tar::Builder::new(file);
    append(&mut tarball, SIGNATURE, signature.len() as u64, signature.as_bytes(), time)?;
    append(&mut tarball, INNER, bytes, inner, time)?;
    let file = tarball.into_inner()?;
    file.as_file().sync_all()?;
    let bytes = file.as_file().metadata()?.len();
    file.persist(path).map_err(|error| error.error)?;
    File::open(directory)?.sync_all()?;
    Ok(bytes)
}

fn append(
    tarball: &mut tar::Builder<impl Write>,
    name: &str,
    bytes: u64,
    content: impl Read,
    time: Timestamp,
) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(bytes);
    header.set_mode(0o644);
    header.set_mtime(time.as_second().unsigned_abs());
    header.set_cksum();
    tarball.append(&header, content)
}

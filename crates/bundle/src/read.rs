//! Reading a bundle that may come from anybody.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;
use sha2::{Digest, Sha256};
use tar::EntryType;

use crate::{
    BundleError, INDEX_BYTES, Index, KeyId, MOST_RECORDS, Member, PublicKey, RECORD_BYTES,
    UNPACKED_BYTES,
    index::{self, FAULTS, FORM, RECORDS, VERSION},
    verify::verified,
};

/// A bundle whose signature is that of a trusted key. What was verified is what is read: it lies in a file of
/// this process.
#[derive(Debug)]
pub struct Bundle {
    path: Utf8PathBuf,
    inner: File,
    key: KeyId,
    index: Index,
}

/// A part of a bundle.
#[derive(Debug)]
pub enum Content<'a> {
    /// A record of the feed, as JSON.
    Record(&'a [u8]),
    /// The list of faults, as JSON.
    Faults(&'a [u8]),
    /// The patch of a commit.
    Fix {
        /// The commit, 40 digits in lower case.
        commit: &'a str,
        /// Where it was had from, for people.
        source: &'a str,
        /// The patch.
        text: Vec<u8>,
    },
}

impl Bundle {
    /// Verifies a file by the trusted key that it names, and reads its index.
    ///
    /// # Errors
    /// When it is not a whole bundle that one of the keys signed. Nothing of the inside was looked at, unless
    /// one did.
    pub fn open(path: &Utf8Path, keys: &[PublicKey]) -> Result<Self, BundleError> {
        if keys.is_empty() {
            return Err(BundleError::NoKey { path: path.to_owned() });
        }
        let failed = |source| BundleError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("it is not a regular file")));
        }
        let (key, inner) = verified(path, file, keys)?;
        let index = first_member(&inner).map_err(|error| BundleError::Inside {
            path: path.to_owned(),
            what: error.to_string(),
        })?;
        let index = parse_index(path, &index)?;
        Ok(Self { path: path.to_owned(), inner, key, index })
    }

    /// The key that signed it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// What it says of itself.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Gives all that is in it to `take`. What was given counts only when this returns without an error: the
    /// digest of a member is known at its end.
    ///
    /// # Errors
    /// When a member is not what the index says, or `take` fails.
    pub fn read<E: From<BundleError>>(
        &self,
        mut take: impl FnMut(Content<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let inside = |what: String| BundleError::Inside { path: self.path.clone(), what };
        let unreadable = |error: io::Error| inside(error.to_string());
        let mut tarball = tarball(&self.inner).map_err(unreadable)?;
        let mut entries = tarball.entries().map_err(unreadable)?.raw(true);
        let mut next = |name: &str, size: Option<u64>| {
            let entry = entries.next().ok_or_else(|| inside(format!("{name} is missing")))?;
            let entry = entry.map_err(unreadable)?;
            is_file(&entry, name, size).map_err(inside)?;
            Ok::<_, BundleError>(entry)
        };
        drop(next(index::NAME, None)?);
        for member in &self.index.members {
            let entry = next(&member.name, Some(member.size_bytes))?;
            let mut hashed = Hashed { reader: entry, hasher: Sha256::new() };
            match member.name.as_str() {
                RECORDS => {
                    records(&mut hashed, &mut |line| match line {
                        Ok(line) => take(Content::Record(line)),
                        Err(what) => Err(inside(what).into()),
                    })?;
                    hashed.check(member).map_err(inside)?;
                }
                name => {
                    let mut content = Vec::new();
                    hashed.read_to_end(&mut content).map_err(unreadable)?;
                    hashed.check(member).map_err(inside)?;
                    match index::commit_of(name) {
                        Some(commit) => {
                            let source = member.source.as_deref().unwrap_or_default();
                            take(Content::Fix { commit, source, text: content })?;
                        }
                        None => {
                            debug_assert_eq!(name, FAULTS);
                            take(Content::Faults(&content))?;
                        }
                    }
                }
            }
        }
        match entries.next() {
            None => Ok(()),
            Some(_) => Err(inside("it has more members than its index".to_owned()).into()),
        }
    }
}

/// The tarball from its beginning.
fn tarball(inner: &File) -> io::Result<tar::Archive<impl Read + use<'_>>> {
    let mut inner = inner;
    inner.seek(SeekFrom::Start(0))?;
    let decoder = zstd::Decoder::new(inner)?;
    Ok(tar::Archive::new(decoder.take(UNPACKED_BYTES + INDEX_BYTES)))
}

/// The text of the first member.
fn first_member(inner: &File) -> io::Result<Vec<u8>> {
    let mut tarball = tarball(inner)?;
    let mut entries = tarball.entries()?.raw(true);
    let entry = entries.next().ok_or_else(|| io::Error::other("it is empty"))??;
    is_file(&entry, index::NAME, None).map_err(io::Error::other)?;
    let size = entry.size();
    if size > INDEX_BYTES {
        let what = format!("{} has more than {INDEX_BYTES} bytes", index::NAME);
        return Err(io::Error::other(what));
    }
    let mut text = Vec::new();
    entry.take(size).read_to_end(&mut text)?;
    Ok(text)
}

/// Why a member is not the file that must be in this place.
pub(crate) fn is_file(
    entry: &tar::Entry<'_, impl Read>,
    name: &str,
    size: Option<u64>,
) -> Result<(), String> {
    let found = entry.path_bytes();
    if *found != *name.as_bytes() {
        let found = String::from_utf8_lossy(&found).chars().take(100).collect::<String>();
        return Err(format!("it has {found:?} in the place of {name}"));
    }
    if entry.header().entry_type() != EntryType::Regular {
        return Err(format!("{name} in it is no file"));
    }
    match size.filter(|size| *size != entry.size()) {
        Some(size) => {
            Err(format!("{name} has {} bytes, not {size} as its index says", entry.size()))
        }
        None => Ok(()),
    }
}

fn parse_index(path: &Utf8Path, text: &[u8]) -> Result<Index, BundleError> {
    /// What all versions have.
    #[derive(serde::Deserialize)]
    struct Form {
        form: String,
        version: u32,
    }
    let inside = |what: String| BundleError::Inside { path: path.to_owned(), what };
    let unreadable = |error: serde_json::Error| inside(format!("its index: {error}"));
    let Form { form, version } = serde_json::from_slice(text).map_err(unreadable)?;
    if form != FORM {
        return Err(inside(format!("it is {form:?} and not {FORM}")));
    }
    if version != VERSION {
        return Err(BundleError::Newer { path: path.to_owned(), version, known: VERSION });
    }
    let index: Index = serde_json::from_slice(text).map_err(unreadable)?;
    index.problem().map_or(Ok(index), |problem| Err(inside(problem)))
}

/// Gives each line to `take`; an error of the lines themselves as well.
fn records<E>(
    reader: &mut impl Read,
    take: &mut impl FnMut(Result<&[u8], String>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = BufReader::with_capacity(256 << 10, reader);
    let (mut line, mut count) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = (&mut reader).take(RECORD_BYTES + 1).read_until(b'\n', &mut line);
        if let Err(error) = read {
            return take(Err(error.to_string()));
        }
        if line.is_empty() {
            return Ok(());
        }
        count += 1;
        if line.len() as u64 > RECORD_BYTES {
            return take(Err(format!("record {count} has more than {RECORD_BYTES} bytes")));
        }
        if count > MOST_RECORDS {
            return take(Err(format!("it has more than {MOST_RECORDS} records")));
        }
        take(Ok(&line))?;
    }
}

/// A member that is read, with the digest of what was.
struct Hashed<R> {
    reader: R,
    hasher: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl<R> Hashed<R> {
    /// To be called at the end of the member.
    fn check(self, member: &Member) -> Result<(), String> {
        match Sha256Digest::from_bytes(self.hasher.finalize().into()) == member.sha256 {
            true => Ok(()),
            false => Err(format!("{} does not have the digest that its index says", member.name)),
        }
    }
}

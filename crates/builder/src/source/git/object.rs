//! Git's objects, as `git cat-file --batch` writes them, and their names: digests of what they hold.

use std::io::{self, BufRead, Read};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// An object that is what it is called.
#[derive(Debug)]
pub(super) struct BatchObject {
    /// Its name.
    pub id: String,
    /// `commit`, `tree`, `blob` or `tag`.
    pub kind: String,
    /// What it holds.
    pub content: Vec<u8>,
}

impl BatchObject {
    /// The value of a header of a commit or tag.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let end = self.content.windows(2).position(|window| window == b"\n\n");
        let head = &self.content[..end.unwrap_or(self.content.len())];
        let mut lines = head.split(|byte| *byte == b'\n');
        lines.find_map(|line| std::str::from_utf8(line).ok()?.strip_prefix(name)?.strip_prefix(' '))
    }
}

/// Makes the name of an object from what it holds. Which digest it is, is seen from another name's
/// length.
pub(super) enum ObjectHasher {
    Sha1(Sha1),
    Sha256(Sha256),
}

impl ObjectHasher {
    /// For an object of this kind and size; `like` is a name in the same repository.
    pub(super) fn new(kind: &str, size: u64, like: &str) -> Self {
        let mut hasher =
            if like.len() == 64 { Self::Sha256(Sha256::new()) } else { Self::Sha1(Sha1::new()) };
        hasher.update(format!("{kind} {size}\0").as_bytes());
        hasher
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// The name.
    pub(super) fn finish(self) -> String {
        match self {
            Self::Sha1(hasher) => hex::encode(hasher.finalize()),
            Self::Sha256(hasher) => hex::encode(hasher.finalize()),
        }
    }
}

/// Whether a text is the name of an object.
pub(super) fn is_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64)
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The line before an object: its name, kind and size; `None` when there is no such object.
pub(super) fn read_batch_head(
    reader: &mut impl BufRead,
) -> Result<Option<(String, String, u64)>, String> {
    let mut line = Vec::new();
    let mut limited = reader.take(4096);
    limited.read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
    let line = String::from_utf8_lossy(&line).into_owned();
    let Some(line) = line.strip_suffix('\n') else { return Err("breaks off".to_owned()) };
    if line.ends_with(" missing") {
        return Ok(None);
    }
    let words: Vec<&str> = line.split(' ').collect();
    let [id, kind, size] = words.as_slice() else { return Err("cannot be read".to_owned()) };
    let size = size.parse().ok().filter(|_| is_id(id)).ok_or("cannot be read")?;
    Ok(Some(((*id).to_owned(), (*kind).to_owned(), size)))
}

/// Copies what an object holds, and gives its name as its content makes it.
pub(super) fn copy_batch_content(
    reader: &mut impl BufRead,
    target: &mut impl io::Write,
    kind: &str,
    size: u64,
    like: &str,
) -> io::Result<String> {
    let mut hasher = ObjectHasher::new(kind, size, like);
    let mut left = size;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = reader.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&buffer[..count]);
        target.write_all(&buffer[..count])?;
        left -= count as u64;
    }
    let mut end = [0];
    reader.read_exact(&mut end)?;
    if end != *b"\n" {
        Err(io::Error::other("it is longer than it says"))
    } else {
        Ok(hasher.finish())
    }
}

/// Reads an object of at most `limit_bytes`; `None` when it is not there.
///
/// # Errors
/// When it is larger, cannot be read, or does not hold what its name says.
pub(super) fn read_batch(
    reader: &mut impl BufRead,
    limit_bytes: u64,
) -> Result<Option<BatchObject>, String> {
    let Some((id, kind, size)) = read_batch_head(reader)? else { return Ok(None) };
    if size > limit_bytes {
        return Err("is too large".to_owned());
    }
    let mut content = Vec::new();
    let found = copy_batch_content(reader, &mut content, &kind, size, &id)
        .map_err(|error| error.to_string())?;
    match found == id {
        true => Ok(Some(BatchObject { id, kind, content })),
        false => Err(format!("holds {kind} {id}, whose content is that of {found}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_git_gives() {
        let name = |content: &[u8], like: &str| {
            let mut hasher = ObjectHasher::new("blob", content.len() as u64, like);
            hasher.update(content);
            hasher.finish()
        };
        assert_eq!(name(b"hello\n", &"0".repeat(40)), "ce013625030ba8dba906f756967f9e9ca394464a");
        let long = "2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4";
        assert_eq!(name(b"hello\n", &"0".repeat(64)), long);
    }

    #[test]
    fn object_that_is_not_what_it_is_called_is_refused() {
        let text = b"ce013625030ba8dba906f756967f9e9ca394464a blob 6\nhello\n\nx missing\n";
        let mut rest = text.as_slice();
        let object = read_batch(&mut rest, 6).expect("it is right").expect("it is there");
        assert_eq!(object.content, b"hello\n");
        assert!(read_batch(&mut rest, 6).expect("a line").is_none());
        assert!(read_batch(&mut rest, 6).is_err());
        for wrong in [
            "ce013625030ba8dba906f756967f9e9ca394464a blob 6\nHello\n\n",
            "ce013625030ba8dba906f756967f9e9ca394464a blob 5\nhello\n\n",
            "ce013625030ba8dba906f756967f9e9ca394464a blob 7\nhello\n\n",
            "ce013625030ba8dba906f756967f9e9ca394464a tree 6\nhello\n\n",
            "ce blob 6\nhello\n\n",
            "",
        ] {
            assert!(read_batch(&mut wrong.as_bytes(), 100).is_err(), "{wrong:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let _ = read_batch(&mut bytes.as_slice(), 1000);
        }
    }
}

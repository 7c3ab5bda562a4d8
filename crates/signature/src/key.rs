//! Keys in the files of the program minisign.

use std::{
    fmt,
    fs::{File, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use camino::Utf8Path;
use minisign::{KeyPair, SecretKeyBox};

use crate::{KEY_BYTES, KeyError};

/// How many bytes a secret key has before it is encoded. Those at 2 and 3 are zero when it has no password.
const SECRET_BYTES: usize = 158;

/// How many bytes at its end are the checksum.
const CHECKSUM_BYTES: usize = 32;

/// The length of a public key in base64.
const PUBLIC_CHARACTERS: usize = 56;

/// The number by which a key is known, shown as minisign shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId(u64);

impl KeyId {
    /// That of a public key or signature: two bytes for the algorithm come before it.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_le_bytes(bytes.get(2..10)?.try_into().ok()?)))
    }

    fn of_bytes(bytes: &[u8]) -> Self {
        let mut number = [0; 8];
        number.copy_from_slice(&bytes[..8]);
        Self(u64::from_le_bytes(number))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016X}", self.0)
    }
}

/// A key that signatures are verified with.
#[derive(Clone)]
pub struct PublicKey {
    pub(crate) key: minisign_verify::PublicKey,
    id: KeyId,
    text: String,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({})", self.id)
    }
}

impl PublicKey {
    /// Reads a key from its text: the line with `RW…`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let what = || KeyError::NoPublicKey {
            what: format!("{:?}", text.chars().take(80).collect::<String>()),
        };
        let key = minisign_verify::PublicKey::from_base64(text).map_err(|_| what())?;
        let bytes = BASE64_STANDARD.decode(text).map_err(|_| what())?;
        Ok(Self { key, id: KeyId::of(&bytes).ok_or_else(what)?, text: text.to_owned() })
    }

    /// Takes the text of a key, or else the name of a file with one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse_or_read(text: &str) -> Result<Self, KeyError> {
        if text.starts_with("RW") && text.len() == PUBLIC_CHARACTERS {
            return Self::parse(text);
        }
        let path = Utf8Path::new(text);
        let content = read(path)?;
        let line = content.lines().find(|line| line.starts_with("RW"));
        let none = || KeyError::NoPublicKey { what: path.to_string() };
        Self::parse(line.ok_or_else(none)?.trim()).map_err(|_| none())
    }

    /// The number by which it is known.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its text: the line with `RW…`.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// A key that is signed with.
pub struct SecretKey {
    pub(crate) key: minisign::SecretKey,
    is_open: bool,
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretKey({})", self.id())
    }
}

impl SecretKey {
    /// Reads the file of a key.
    ///
    /// # Errors
    /// When it cannot be read, is no key, or has a password.
    pub fn read(path: &Utf8Path) -> Result<Self, KeyError> {
        let wrong =
            |what: &str| KeyError::NoSecretKey { path: path.to_owned(), what: what.to_owned() };
        let text = read(path)?;
        let line = text.lines().nth(1).ok_or_else(|| wrong("it has no second line"))?;
        let bytes = BASE64_STANDARD.decode(line.trim()).map_err(|_| wrong("it is not base64"))?;
        if bytes.len() != SECRET_BYTES {
            return Err(wrong("it has another length"));
        }
        if bytes[2..4] != [0, 0] {
            return Err(KeyError::Password { path: path.to_owned() });
        }
        // The program minisign leaves the checksum of a key without a password out; the library asks for it.
        let has_checksum = bytes[SECRET_BYTES - CHECKSUM_BYTES..].iter().any(|byte| *byte != 0);
        let key = match has_checksum {
            true => SecretKeyBox::from(text).into_unencrypted_secret_key(),
            false => minisign::SecretKey::from_bytes(&bytes),
        };
        let key = key.map_err(|error| wrong(&error.to_string()))?;
        // What the public half does not verify, nobody else's would.
        minisign::PublicKey::from_secret_key(&key)
            .and_then(|public| minisign::sign(Some(&public), &key, &b""[..], None, None))
            .map_err(|_| wrong("its halves do not fit together"))?;
        let mode = std::fs::metadata(path).map_or(0, |found| found.mode());
        Ok(Self { key, is_open: mode & 0o077 != 0 })
    }

    /// The number by which it is known.
    pub fn id(&self) -> KeyId {
        KeyId::of_bytes(self.key.keynum())
    }

    /// The text of its public half: the line with `RW…`.
    ///
    /// # Errors
    /// When it has none; one that was read has.
    pub fn public(&self) -> Result<String, KeyError> {
        let public = minisign::PublicKey::from_secret_key(&self.key);
        public.map(|key| key.to_base64()).map_err(|error| KeyError::Sign(error.to_string()))
    }

    /// Whether others than its owner may read its file, or write it.
    pub fn is_open_to_others(&self) -> bool {
        self.is_open
    }
}

/// Makes a pair of keys, the secret one without a password, and writes their files, which must not be there.
/// Only this user can read the secret one. Gives the public key's number and text.
///
/// # Errors
/// When a file is there already or cannot be written; neither is left then.
pub fn generate_keys(secret: &Utf8Path, public: &Utf8Path) -> Result<(KeyId, String), KeyError> {
    let unusable = |error: minisign::PError| KeyError::Sign(error.to_string());
    let KeyPair { pk, sk } = KeyPair::generate_unencrypted_keypair().map_err(unusable)?;
    let id = KeyId::of_bytes(pk.keynum());
    let secret_text =
        sk.to_box(Some(&format!("elivepatch secret key {id}"))).map_err(unusable)?.into_string();
    let key = pk.to_base64();
    write(secret, 0o600, &secret_text)?;
    let public_text = format!("untrusted comment: elivepatch public key {id}\n{key}\n");
    if let Err(error) = write(public, 0o644, &public_text) {
        let _ = std::fs::remove_file(secret);
        return Err(error);
    }
    Ok((id, key))
}

/// Puts a file where none is, whole or not at all: another process may look for it at any time.
fn write(path: &Utf8Path, mode: u32, text: &str) -> Result<(), KeyError> {
    let directory = match path.parent() {
        Some(parent) if parent.as_str() != "" => parent,
        _ => Utf8Path::new("."),
    };
    let put = || {
        let mut file = tempfile::Builder::new()
            .permissions(Permissions::from_mode(mode))
            .tempfile_in(directory)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        // It was not there before.
        synced.inspect_err(|_| drop(std::fs::remove_file(path)))
    };
    put().map_err(|source| KeyError::Write { path: path.to_owned(), source })
}

fn read(path: &Utf8Path) -> Result<String, KeyError> {
    let failed = |source| KeyError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(KEY_BYTES + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if text.len() as u64 > KEY_BYTES {
        return Err(failed(io::Error::other("it is larger than any key")));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;

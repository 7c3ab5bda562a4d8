use std::fmt;

use crate::{KeyError, KeyId, PublicKey, Signature};

/// The keys of which one must have signed something. There is at least one.
#[derive(Debug, Clone)]
pub struct TrustedKeys(Vec<PublicKey>);

/// Why something is not taken for what a trusted key has signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureProblem {
    /// There is no signature.
    #[error("it is not signed, and must be by {}", keys(trusted))]
    Missing {
        /// The keys that are trusted.
        trusted: Vec<KeyId>,
    },
    /// It does not have the form of a signature.
    #[error("its signature is none of minisign's")]
    Unreadable,
    /// Somebody else has signed it.
    #[error("it is signed by the key {found}, and must be by {}", keys(trusted))]
    OtherKey {
        /// The key that the signature names.
        found: KeyId,
        /// The keys that are trusted.
        trusted: Vec<KeyId>,
    },
    /// The signature is not one of these bytes.
    #[error(
        "its signature by the key {key} does not fit: it was changed, or it is the signature of something else"
    )]
    DoesNotFit {
        /// The key that the signature names.
        key: KeyId,
    },
}

fn keys(trusted: &[KeyId]) -> String {
    let word = if trusted.len() == 1 { "the key" } else { "one of the keys" };
    let ids: Vec<String> = trusted.iter().map(ToString::to_string).collect();
    format!("{word} {}", ids.join(", "))
}

/// As [`TrustedKeys::parse_or_read`] takes them.
impl fmt::Display for TrustedKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<&str> = self.0.iter().map(PublicKey::text).collect();
        formatter.write_str(&texts.join(","))
    }
}

impl TrustedKeys {
    /// Takes keys, or names of files with one, several separated by commas or white space: while one key takes the
    /// place of another, both are trusted. `None` when there is none.
    ///
    /// # Errors
    /// When one is no key, and no file with one.
    pub fn parse_or_read(text: &str) -> Result<Option<Self>, KeyError> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace());
        let keys = words.filter(|word| !word.is_empty()).map(PublicKey::parse_or_read);
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        Ok((!keys.is_empty()).then_some(Self(keys)))
    }

    /// The numbers of the keys.
    pub fn ids(&self) -> Vec<KeyId> {
        self.0.iter().map(PublicKey::id).collect()
    }

    /// Whether one of the keys has signed exactly these bytes. Gives that key, and what the signature says of them.
    ///
    /// # Errors
    /// When none has.
    pub fn verify(
        &self,
        content: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<KeyId, SignatureProblem> {
        let text = signature.ok_or_else(|| SignatureProblem::Missing { trusted: self.ids() })?;
        let signature = Signature::parse(text).ok_or(SignatureProblem::Unreadable)?;
        let found = signature.key();
        let Some(key) = self.0.iter().find(|key| key.id() == found) else {
            return Err(SignatureProblem::OtherKey { found, trusted: self.ids() });
        };
        let mut verifier = signature.verifier(key).ok_or(SignatureProblem::Unreadable)?;
        verifier.update(content);
        match verifier.finalize() {
            Ok(()) => Ok(found),
            Err(_) => Err(SignatureProblem::DoesNotFit { key: found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use camino::Utf8Path;

    use super::*;
    use crate::{SecretKey, generate_keys};

    fn key(place: &Utf8Path, name: &str) -> (SecretKey, String) {
        let secret = place.join(name);
        let (_, public) = generate_keys(&secret, &place.join(format!("{name}.pub"))).expect("keys");
        (SecretKey::read(&secret).expect("a key"), public)
    }

    #[test]
    fn only_what_a_trusted_key_signed_is_taken_and_the_keys_are_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Utf8Path::from_path(directory.path()).expect("UTF-8");
        let ((one, one_public), (two, two_public)) = (key(place, "one"), key(place, "two"));
        let trusted = TrustedKeys::parse_or_read(&one_public).expect("a key").expect("one");
        let text = b"{\"a\": 1}";
        let signature = one.sign(&text[..], "of this").expect("signed");
        assert_eq!(trusted.verify(text, Some(signature.as_bytes())), Ok(one.id()));

        let missing = trusted.verify(text, None).expect_err("none").to_string();
        assert_eq!(missing, format!("it is not signed, and must be by the key {}", one.id()));
        let other = two.sign(&text[..], "of this").expect("signed");
        let problem = trusted.verify(text, Some(other.as_bytes())).expect_err("another's");
        let (ours, theirs) = (one.id().to_string(), two.id().to_string());
        let words = problem.to_string();
        assert!(words.contains(&ours) && words.contains(&theirs), "{words}");
        // Both are trusted while one takes the other's place, from files as well.
        let both = format!("{one_public}, {}\n", place.join("two.pub"));
        let both = TrustedKeys::parse_or_read(&both).expect("keys").expect("two");
        assert_eq!(both.verify(text, Some(other.as_bytes())), Ok(two.id()));
        assert_eq!(both.ids(), [one.id(), two.id()]);
        assert_eq!(both.to_string(), format!("{one_public},{two_public}"));

        for (content, signature) in [
            (&b"{\"a\": 2}"[..], signature.as_bytes().to_vec()),
            (text, one.sign(&b"other"[..], "of this").expect("signed").into_bytes()),
            // What is signed says what it is of: that cannot be changed either.
            (text, signature.replace("of this", "of that").into_bytes()),
        ] {
            let problem = trusted.verify(content, Some(&signature)).expect_err("it does not fit");
            assert_eq!(problem, SignatureProblem::DoesNotFit { key: one.id() });
        }
        for broken in ["", "untrusted comment: x\nabc\n", &signature[..signature.len() / 2]] {
            let problem = trusted.verify(text, Some(broken.as_bytes())).expect_err("none");
            assert_eq!(problem, SignatureProblem::Unreadable, "{broken}");
        }
        assert!(TrustedKeys::parse_or_read(" ,").expect("nothing").is_none());
        assert!(TrustedKeys::parse_or_read("RWnone").is_err());
    }

    #[test]
    fn program_minisign_verifies_what_is_signed_here() {
        let directory = tempfile::tempdir().expect("a directory");
        let place = Utf8Path::from_path(directory.path()).expect("UTF-8");
        let (secret, public) = key(place, "key");
        let file = place.join("text");
        std::fs::write(&file, "the text").expect("own file");
        let signature = secret.sign(&b"the text"[..], "elivepatch manifest").expect("signed");
        std::fs::write(place.join("text.minisig"), signature).expect("own file");
        let verify = || {
            let mut minisign = Command::new("minisign");
            minisign.args(["-V", "-P", &public, "-m", file.as_str()]);
            minisign.output().expect("the program minisign is installed")
        };
        let ran = verify();
        assert!(ran.status.success(), "{ran:?}");
        assert!(String::from_utf8_lossy(&ran.stdout).contains("elivepatch manifest"), "{ran:?}");
        std::fs::write(&file, "the other").expect("own file");
        assert!(!verify().status.success());
    }
}

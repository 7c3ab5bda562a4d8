use std::{fmt, str::FromStr};

/// Where the hyphens of a UUID are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];
/// How many characters a UUID has.
const CHARACTERS: usize = 36;

/// What a client of the REST API v1.0 calls its session: a random (version 4) UUID, in lower case.
///
/// Whoever knows it gets the session's module, so it is a secret: 122 bits of it are random. It is not in any log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SessionId(String);

/// A text that is no random UUID. It is not repeated: it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a random (version 4) UUID, which has {CHARACTERS} characters")]
pub struct SessionIdError;

impl SessionId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SessionId").finish_non_exhaustive()
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let is_in_place = |(index, byte): (usize, u8)| match index {
            _ if HYPHENS.contains(&index) => byte == b'-',
            // The version (RFC 9562, section 4.2): others are made of times and addresses, and can be guessed.
            14 => byte == b'4',
            // The variant (section 4.1).
            19 => b"89abAB".contains(&byte),
            _ => byte.is_ascii_hexdigit(),
        };
        match text.len() == CHARACTERS && text.bytes().enumerate().all(is_in_place) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(SessionIdError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_random_uuid_names_a_session_whatever_its_case() {
        let read = |text: &str| text.parse::<SessionId>();
        let session = read("6B7F3C1E-0f5d-4a2b-9c3d-1e2f3a4b5c6d").expect("a random UUID");
        assert_eq!(session.as_str(), "6b7f3c1e-0f5d-4a2b-9c3d-1e2f3a4b5c6d");
        for text in [
            "",
            "../../../../../../../etc/passwd-12345",
            "6b7f3c1e/0f5d/4a2b/9c3d/1e2f3a4b5c6d",
            "6b7f3c1e0f5d4a2b9c3d1e2f3a4b5c6d",
            "{6b7f3c1e-0f5d-4a2b-9c3d-1e2f3a4b5c6d}",
            "6b7f3c1e-0f5d-4a2b-9c3d-1e2f3a4b5c6d\n",
            "6b7f3c1e-0f5d-4a2b-9c3d-1e2f3a4b5c6\u{e9}",
            // Of a time and an address, and one of nothing.
            "6b7f3c1e-0f5d-11ee-9c3d-1e2f3a4b5c6d",
            "6b7f3c1e-0f5d-4a2b-cc3d-1e2f3a4b5c6d",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert_eq!(read(text), Err(SessionIdError), "{text:?}");
        }
    }

    #[test]
    fn session_is_not_shown_where_things_are_logged() {
        let text = "6b7f3c1e-0f5d-4a2b-9c3d-1e2f3a4b5c6d";
        let session: SessionId = text.parse().expect("a random UUID");
        assert!(!format!("{session:?}").contains("6b7f"));
    }
}

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Sha256Digest;

/// How many bytes name a token: enough that no two get the same, few enough to be typed.
const ID_BYTES: usize = 6;
/// How many random bytes are its secret.
const SECRET_BYTES: usize = 32;

/// What names a token where it is listed and revoked: twelve hexadecimal digits. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct TokenId(String);

/// A token: whoever has it may do what its role says. Written `elp_ID_SECRET`, in lower-case hexadecimal digits:
/// nothing in it is mistaken for another character, and a double click takes all of it.
///
/// The secret has 256 random bits. That is why a server may keep a plain SHA-256 of it: slow and salted digests
/// are for secrets that can be guessed.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    id: TokenId,
    secret: [u8; SECRET_BYTES],
}

/// A text that is no token. It is not repeated: most of it may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not a token: one begins with elp_ and has {} characters", AccessToken::CHARACTERS)]
pub struct AccessTokenError;

/// A text that names no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no token: it is twelve hexadecimal digits")]
pub struct TokenIdError(String);

impl TokenId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AccessToken {
    /// How many bytes must be drawn for a token.
    pub const RANDOM_BYTES: usize = ID_BYTES + SECRET_BYTES;
    /// How many characters it has.
    pub const CHARACTERS: usize = "elp_".len() + 2 * ID_BYTES + "_".len() + 2 * SECRET_BYTES;

    /// The token of bytes that were drawn at random.
    pub fn of_random(bytes: &[u8; Self::RANDOM_BYTES]) -> Self {
        let (id, rest) = bytes.split_at(ID_BYTES);
        let mut secret = [0; SECRET_BYTES];
        secret.copy_from_slice(rest);
        Self { id: TokenId(hex::encode(id)), secret }
    }

    /// What names it.
    pub fn id(&self) -> &TokenId {
        &self.id
    }

    /// The digest of its secret: all that a server keeps of it.
    pub fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.secret)
    }

    /// The whole token, for whom it was made.
    pub fn reveal(&self) -> String {
        format!("elp_{}_{}", self.id, hex::encode(self.secret))
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AccessToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for AccessToken {
    type Err = AccessTokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.strip_prefix("elp_").and_then(|rest| rest.split_once('_'));
        let (id, digits) = parts.ok_or(AccessTokenError)?;
        let id = id.parse().map_err(|_| AccessTokenError)?;
        let mut secret = [0; SECRET_BYTES];
        if !is_digits(digits, SECRET_BYTES) || hex::decode_to_slice(digits, &mut secret).is_err() {
            return Err(AccessTokenError);
        }
        Ok(Self { id, secret })
    }
}

impl FromStr for TokenId {
    type Err = TokenIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_digits(text, ID_BYTES) {
            true => Ok(Self(text.to_owned())),
            false => Err(TokenIdError(text.chars().take(40).collect())),
        }
    }
}

/// Whether a text is so many bytes in hexadecimal digits, and in the one way of writing them.
fn is_digits(text: &str, bytes: usize) -> bool {
    text.len() == 2 * bytes
        && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

impl fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TokenId> for String {
    fn from(id: TokenId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_read_as_it_was_written_and_does_not_show_its_secret() {
        let mut bytes = [0xab; AccessToken::RANDOM_BYTES];
        bytes[0] = 1;
        let token = AccessToken::of_random(&bytes);
        let text = token.reveal();
        assert_eq!(text.len(), AccessToken::CHARACTERS);
        assert_eq!(text, format!("elp_01ababababab_{}", "ab".repeat(32)));
        assert_eq!(text.parse(), Ok(token.clone()));
        assert_eq!(token.digest(), Sha256Digest::of(&[0xab; 32]));
        assert!(!format!("{token:?}").contains(&"ab".repeat(32)), "{token:?}");
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_repeated() {
        let secret = "ab".repeat(32);
        for wrong in [
            String::new(),
            "elp_".to_owned(),
            format!("elp_01ababababab_{}", &secret[1..]),
            format!("elp_01ababababab_{secret}0"),
            format!("elp_01ABABABABAB_{secret}"),
            format!("elp_01ababababab_{}", secret.to_uppercase()),
            format!("elp_01ababababa_{secret}"),
            format!("ghp_01ababababab_{secret}"),
            format!(" elp_01ababababab_{secret}"),
            format!("elp_01ababababab_{}ä", &secret[2..]),
        ] {
            let error = wrong.parse::<AccessToken>().expect_err(&wrong).to_string();
            assert!(!error.contains("abab"), "{error}");
        }
        "01ababababab".parse::<TokenId>().expect("an id");
        "01ababababaB".parse::<TokenId>().expect_err("no id");
    }
}

//! Keys and signatures in the form of the program minisign: what a server signs, and what is verified before
//! anything of it is looked at.

mod error;
mod key;
mod sign;
mod trust;

pub use error::KeyError;
pub use key::{KeyId, PublicKey, SecretKey, generate_keys};
pub use minisign_verify::StreamVerifier;
pub use sign::Signature;
pub use trust::{SignatureProblem, TrustedKeys};

/// The largest signature, in bytes: one has some 300, with a comment of some length.
pub const SIGNATURE_BYTES: u64 = 4 << 10;

/// The largest file of a key, in bytes.
const KEY_BYTES: u64 = 4 << 10;

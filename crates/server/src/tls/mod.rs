//! Encrypted connections: the server's certificate, and its side of a handshake.

mod certificate;
mod handshake;
mod made;
#[cfg(test)]
mod tests;

pub use certificate::{ServerCertificate, TlsError};
pub(crate) use handshake::accept;
pub use made::{MadeCertificate, make_certificate};
#[cfg(test)]
pub(crate) use tests::made;

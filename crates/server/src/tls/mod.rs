//! Encrypted connections: the server's certificate, and the listener that speaks TLS.

mod certificate;
mod listener;
mod made;
#[cfg(test)]
mod tests;

pub use certificate::{ServerCertificate, TlsError};
pub use listener::TlsListener;
pub use made::{MadeCertificate, make_certificate};

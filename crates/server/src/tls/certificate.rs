use std::sync::{Arc, PoisonError, RwLock};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::Sha256Digest;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::rustls::{
    self, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

/// Why connections cannot be encrypted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file with a certificate or a key cannot be read, or holds none.
    #[error("cannot read {what} in {path}")]
    Unreadable {
        /// `a certificate` or `a private key`.
        what: &'static str,
        /// The file.
        path: Utf8PathBuf,
        /// What reading it said.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// Certificate and key can be read, but not be used: they do not belong together, or are of a kind that is not
    /// known.
    #[error("the certificate {certificate} cannot be used with the key {key}")]
    Unusable {
        /// The file of the certificate.
        certificate: Utf8PathBuf,
        /// The file of the key.
        key: Utf8PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate")]
    NotMade(#[source] rcgen::Error),
    /// A certificate was made and cannot be written.
    #[error("cannot write {path}")]
    Unwritable {
        /// The file or directory.
        path: Utf8PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A certificate with its chain and key, from PEM files. They can be read again while the server runs.
#[derive(Debug)]
pub struct ServerCertificate {
    certificate: Utf8PathBuf,
    key: Utf8PathBuf,
    loaded: RwLock<Arc<CertifiedKey>>,
}

impl ServerCertificate {
    /// Reads certificate (the server's own first, then those that lead to a root) and key.
    ///
    /// # Errors
    /// When one cannot be read, or they do not belong together.
    pub fn read(certificate: &Utf8Path, key: &Utf8Path) -> Result<Self, TlsError> {
        let loaded = RwLock::new(Arc::new(load(certificate, key)?));
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), loaded })
    }

    /// Reads the files again, for the connections that come from now on. When that fails, nothing changes.
    ///
    /// # Errors
    /// As for [`ServerCertificate::read`].
    pub fn read_again(&self) -> Result<(), TlsError> {
        let loaded = Arc::new(load(&self.certificate, &self.key)?);
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// The SHA-256 of the certificate, by which a client can know the server.
    pub fn fingerprint(&self) -> Sha256Digest {
        Sha256Digest::of(&self.current().cert[0])
    }

    /// The file of the certificate.
    pub fn path(&self) -> &Utf8Path {
        &self.certificate
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How connections are encrypted: TLS 1.2 and 1.3, nobody shows a certificate but the server.
    pub(crate) fn config(self: Arc<Self>) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(self)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

#[derive(Debug)]
struct Resolver(Arc<ServerCertificate>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn load(certificate: &Utf8Path, key: &Utf8Path) -> Result<CertifiedKey, TlsError> {
    let unreadable = |what, path: &Utf8Path| {
        let path = path.to_owned();
        move |source| TlsError::Unreadable { what, path, source }
    };
    let of_certificate = || unreadable("a certificate", certificate);
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(of_certificate())?;
    if chain.is_empty() {
        return Err(of_certificate()(rustls_pki_types::pem::Error::NoItemsFound));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(unreadable("a private key", key))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(|source| TlsError::Unusable {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        source,
    })
}

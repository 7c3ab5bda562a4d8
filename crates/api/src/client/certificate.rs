//! Knowing a server by its certificate alone: for servers whose certificate nobody has signed whom the system trusts.

use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use elivepatch_model::Sha256Digest;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// The SHA-256 of a certificate (of its DER form). Written in hexadecimal digits; `openssl x509 -fingerprint
/// -sha256` writes the same in capitals with colons, which is read, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CertificatePin(Sha256Digest);

/// A text that is no fingerprint of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the SHA-256 of a certificate: 64 hexadecimal digits")]
pub struct CertificatePinError;

impl FromStr for CertificatePin {
    type Err = CertificatePinError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim().to_ascii_lowercase().replace(':', "");
        let digits = text.strip_prefix("sha256").unwrap_or(&text);
        digits.parse().map(Self).map_err(|_| CertificatePinError)
    }
}

impl fmt::Display for CertificatePin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Accepts one certificate and no other, whatever its names, dates and signatures; or none. Remembers which it saw.
#[derive(Debug)]
pub(super) struct PinVerifier {
    expected: Option<CertificatePin>,
    seen: Mutex<Option<CertificatePin>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl PinVerifier {
    /// Accepts a certificate; `None`: none.
    pub(super) fn new(expected: Option<CertificatePin>) -> Arc<Self> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        Arc::new(Self { expected, seen: Mutex::default(), algorithms })
    }

    /// The certificate that it accepts, and another one that a server has shown.
    pub(super) fn mismatch(&self) -> Option<(Option<CertificatePin>, CertificatePin)> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|seen| self.expected != Some(*seen)).map(|seen| (self.expected, seen))
    }

    /// What was seen before says nothing about the next connection.
    pub(super) fn forget(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// TLS 1.2 and 1.3 with this verifier.
    pub(super) fn config(self: Arc<Self>) -> Result<ClientConfig, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?;
        Ok(builder.dangerous().with_custom_certificate_verifier(self).with_no_client_auth())
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let seen = CertificatePin(Sha256Digest::of(end_entity));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
        match self.expected == Some(seen) {
            true => Ok(ServerCertVerified::assertion()),
            false => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
    }

    // Everybody can show the certificate; only the server has its key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_is_read_as_openssl_writes_it_too() {
        let plain = "ab".repeat(32);
        let pin: CertificatePin = plain.parse().expect("a fingerprint");
        assert_eq!(pin.to_string(), plain);
        let colons = vec!["AB"; 32].join(":");
        for same in [&colons, &format!("sha256:{plain}"), &format!(" {plain}\n")] {
            assert_eq!(same.parse(), Ok(pin), "{same}");
        }
        for wrong in ["", "ab", &plain[1..], &format!("{plain}ab"), "SHA1:ab"] {
            wrong.parse::<CertificatePin>().expect_err(wrong);
        }
    }
}

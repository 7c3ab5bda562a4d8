use camino::Utf8Path;
use elivepatch_model::Failure;

use super::{failure, openssl, unreadable};

/// The largest file with a certificate, in bytes; one has some 2000.
const FILE_BYTES: u64 = 256 << 10;

/// The certificate of a key that signs modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerCertificate {
    /// Whose key it is.
    pub subject: String,
    /// What the kernel knows the key by, in hexadecimal: its subject key identifier, or else its serial number.
    pub key_id: String,
    /// In the form that files have.
    pub pem: String,
    /// In the form that `mokutil` takes.
    pub der: Vec<u8>,
}

impl SignerCertificate {
    /// Reads the first certificate of a file.
    pub(super) fn read(path: &Utf8Path) -> Result<Self, Failure> {
        let no_certificate = |what: &str| {
            failure(
                format!(
                    "{path} has no certificate for the key that modules are signed with: {what}"
                ),
                "name a PEM file with one as module_certificate in the [signing] section of the server's config",
            )
        };
        let size = fs_err::metadata(path)
            .map_err(|error| unreadable("certificate", path, "module_certificate", &error))?
            .len();
        if size > FILE_BYTES {
            return Err(no_certificate("it is larger than any"));
        }
        let text = fs_err::read_to_string(path)
            .map_err(|error| unreadable("certificate", path, "module_certificate", &error))?;
        // The key may be in the same file: nothing of it goes on.
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        let from = text.find(begin).ok_or_else(|| no_certificate("there is none in it"))?;
        let length = text[from..].find(end).ok_or_else(|| no_certificate("it is cut off"))?;
        let pem = format!("{}\n", &text[from..from + length + end.len()]);
        let told = openssl::describe(&pem).map_err(|what| no_certificate(&what))?;
        let der = openssl::der(&pem).map_err(|what| no_certificate(&what))?;
        let subject = told.lines().find_map(|line| line.strip_prefix("subject="));
        let subject = subject.map(str::trim).filter(|subject| !subject.is_empty());
        let key_id = key_id(&told).ok_or_else(|| no_certificate("it has no serial number"))?;
        let subject = subject.unwrap_or("a certificate without a name").to_owned();
        Ok(Self { subject, key_id, pem, der })
    }
}

/// The subject key identifier, or the serial number: what `x509_key_preparse()` in
/// `crypto/asymmetric_keys/x509_public_key.c` describes the key by.
fn key_id(told: &str) -> Option<String> {
    let mut lines = told.lines();
    let digits = |text: &str| text.trim().replace(':', "").to_ascii_lowercase();
    let is_hexadecimal =
        |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let identifier = lines
        .by_ref()
        .skip_while(|line| !line.contains("Subject Key Identifier"))
        .nth(1)
        .map(digits)
        .filter(is_hexadecimal);
    identifier.or_else(|| {
        let serial = told.lines().find_map(|line| line.strip_prefix("serial="));
        serial.map(digits).filter(is_hexadecimal)
    })
}

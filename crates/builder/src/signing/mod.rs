//! Signing finished modules, for kernels that load only what is signed by a key that they trust.
//!
//! It is done by the program openssl, outside the sandbox: nothing that a stranger's code can reach sees the
//! key. What comes out is what the kernel's `scripts/sign-file` makes: a detached signature in PKCS#7, over the
//! file as it is, without attributes and certificates, appended to it.

mod certificate;
mod openssl;
#[cfg(test)]
mod tests;

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_elf::SignedModule;
use elivepatch_model::{
    Failure, FailureClass, KernelConfig, ModuleHash, ModuleSignature, Sha256Digest,
};

pub use certificate::SignerCertificate;

/// How a key in a PKCS#11 token is named.
const PKCS11: &str = "pkcs11:";

/// What is signed to see whether a key works.
const PROBE: &[u8] = b"elivepatch: does this key work?\n";

/// What modules are signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningOptions {
    /// The key: a PEM file, or a PKCS#11 URI.
    pub key: String,
    /// Its certificate: a PEM file, which may be that of the key.
    pub certificate: Utf8PathBuf,
    /// The hash that is signed; absent: that of the kernel's own modules.
    pub hash: Option<ModuleHash>,
    /// The file with the key's passphrase, or the token's PIN, in its first line.
    pub passphrase_file: Option<Utf8PathBuf>,
}

/// Signs modules. Nothing is kept between two of them: a token that was away may be there again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSigner {
    options: SigningOptions,
}

impl ModuleSigner {
    /// One that signs with this key.
    pub fn new(options: SigningOptions) -> Self {
        Self { options }
    }

    /// The certificate of the key.
    ///
    /// # Errors
    /// When there is none.
    pub fn certificate(&self) -> Result<SignerCertificate, Failure> {
        SignerCertificate::read(&self.options.certificate)
    }

    /// Signs something and verifies it, to see whether the key works.
    ///
    /// # Errors
    /// `signing-failed` with what is wrong with the key, its certificate or its passphrase.
    pub fn try_it(&self) -> Result<SignerCertificate, Failure> {
        let certificate = self.certificate()?;
        self.signature_of(PROBE, &certificate, self.options.hash.unwrap_or_default())?;
        Ok(certificate)
    }

    /// What decides about the bytes that come out, in one word: the certificate and the hash. That of a kernel is in
    /// its config, which every build is of.
    pub(crate) fn identity(&self) -> String {
        let certificate = fs_err::read(&self.options.certificate).unwrap_or_default();
        let hash = self.options.hash.map_or("as the kernel", ModuleHash::as_str);
        let both = [hash.as_bytes(), &certificate].concat();
        Sha256Digest::of(&both).to_string()
    }

    /// In one line for people.
    pub fn describe(&self) -> String {
        match self.certificate() {
            Ok(by) => {
                let hash = self.options.hash.map(|hash| hash.to_string());
                let hash = hash.unwrap_or_else(|| "with the hash of each kernel".to_owned());
                format!("modules are signed by {} (key {}, {hash})", by.subject, by.key_id)
            }
            Err(_) => "modules cannot be signed".to_owned(),
        }
    }

    /// The hash that is signed for a kernel with this config.
    fn hash_for(&self, config: &KernelConfig) -> ModuleHash {
        self.options.hash.or_else(|| ModuleHash::of_kernel(config)).unwrap_or_default()
    }

    /// Gives the module with its signature behind it, for a kernel with this config, and who has signed it.
    ///
    /// # Errors
    /// `signing-failed`, as [`ModuleSigner::try_it`].
    pub(crate) fn sign(
        &self,
        module: &[u8],
        config: &KernelConfig,
    ) -> Result<(Vec<u8>, ModuleSignature), Failure> {
        let certificate = self.certificate()?;
        let hash = self.hash_for(config);
        let signature = self.signature_of(module, &certificate, hash)?;
        let signed = SignedModule { content: module, signature: &signature }.join();
        let SignerCertificate { subject: signer, key_id, .. } = certificate;
        let unsigned = Sha256Digest::of(module);
        Ok((signed, ModuleSignature { signer, key_id, hash, unsigned }))
    }

    /// The signature of these bytes, verified with the certificate.
    fn signature_of(
        &self,
        content: &[u8],
        certificate: &SignerCertificate,
        hash: ModuleHash,
    ) -> Result<Vec<u8>, Failure> {
        self.readable_key()?;
        let place = tempfile::tempdir().map_err(|error| scratch(&error))?;
        let place = Utf8Path::from_path(place.path())
            .ok_or_else(|| failure("the temporary directory has no UTF-8 name", NO_SCRATCH))?;
        let (module, signer) = (place.join("module"), place.join("certificate.pem"));
        // A copy, so that what signs is what was looked at.
        fs_err::write(&signer, &certificate.pem).map_err(|error| scratch(&error))?;
        fs_err::write(&module, content).map_err(|error| scratch(&error))?;
        let input = openssl::Input { module: &module, certificate: &signer, hash };
        let signature = openssl::sign(&self.options, &input, &place.join("signature"))?;
        openssl::verify(&module, &signer, &place.join("signature"))?;
        Ok(signature)
    }

    /// Names the file that is missing or may not be read: openssl says it in many lines.
    fn readable_key(&self) -> Result<(), Failure> {
        let key = Some(&self.options.key).filter(|key| !key.starts_with(PKCS11));
        let passphrase = self.options.passphrase_file.as_ref();
        let files = [
            ("key", key.map(Utf8Path::new), "module_key"),
            ("passphrase", passphrase.map(|path| &**path), "module_passphrase_file"),
        ];
        for (what, path, name) in files {
            let Some(path) = path else { continue };
            fs_err::File::open(path).map_err(|error| unreadable(what, path, name, &error))?;
        }
        Ok(())
    }
}

/// What is said when there is no place for a moment.
const NO_SCRATCH: &str =
    "make room there, or name another directory in the environment variable TMPDIR";

fn failure(message: impl Into<String>, hint: impl Into<String>) -> Failure {
    Failure::new(FailureClass::SigningFailed, message, hint)
}

fn scratch(error: &std::io::Error) -> Failure {
    failure(format!("there is no place to sign a module in: {error}"), NO_SCRATCH)
}

fn unreadable(what: &str, path: &Utf8Path, name: &str, error: &std::io::Error) -> Failure {
    // fs-err's messages name the path already.
    let bare =
        std::error::Error::source(error).map_or_else(|| error.to_string(), |e| e.to_string());
    failure(
        format!("the {what} {path} that modules are signed with cannot be read: {bare}"),
        format!(
            "correct {name} in the [signing] section of the server's config, or the file's owner"
        ),
    )
}

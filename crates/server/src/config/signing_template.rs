//! The part of the config's template on signing.

/// Every key of the section.
pub(super) const SIGNING: &str = r##"[signing]
# The key that manifests are signed with, so that clients load nothing that this server has not made: one of
# minisign's, without a password. Without it, it is manifest.key in the data directory, which the server makes
# when it is not there. elivepatch-server manifest-key prints the public key for the clients.
#manifest_key = "/etc/elivepatch/manifest.key"

# The key that modules are signed with, for kernels that load only modules with a signature that they trust
# (module.sig_enforce, lockdown, Secure Boot): a PEM file, or a key in a PKCS#11 token, such as
# "pkcs11:token=elivepatch;object=modules;type=private". An RSA key gives the same bytes each time, so that
# rebuilds are identical.
#module_key = "/etc/elivepatch/module.key.pem"

# Its certificate, a PEM file, which the kernels must know; elivepatch-server module-key --der FILE writes it in
# the form in which mokutil takes it. Without this key it is in the same file as the key.
#module_certificate = "/etc/elivepatch/module.crt.pem"

# The hash that is signed: sha256, sha384 or sha512. The kernels must have it built in. Without this key it is for
# each kernel the one of its own modules (CONFIG_MODULE_SIG_HASH), or else sha256.
#module_hash = "sha256"

# The file that has the passphrase of the key, or the PIN of the token, in its first line. Without it the key
# has none.
#module_passphrase_file = "/etc/elivepatch/module.passphrase"

"##;

//! With the real openssl, and a token of SoftHSM.

use std::process::Command;

use camino::Utf8PathBuf;
use tempfile::TempDir;

use super::*;

/// The variable by which the test of the token tells itself where it is.
const TOKEN_PLACE: &str = "ELIVEPATCH_TEST_TOKEN";

struct Place {
    path: Utf8PathBuf,
    _directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).expect("UTF-8");
        Self { path, _directory: directory }
    }

    fn file(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let mut openssl = Command::new("openssl");
        let ran = openssl.args(arguments).current_dir(&self.path).output().expect("openssl");
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }

    /// Makes NAME.key and NAME.crt.
    fn pair(&self, name: &str, kind: &[&str]) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let subject = format!("/O=Tests/CN={name}'s modules");
        let mut arguments = vec!["req", "-new", "-x509", "-nodes", "-days", "30", "-newkey"];
        arguments.extend(kind);
        arguments.extend(["-subj", &subject, "-keyout", &key, "-out", &certificate]);
        self.openssl(&arguments);
    }

    fn signer(&self, key: &str, certificate: &str) -> ModuleSigner {
        let key = match key.starts_with(PKCS11) {
            true => key.to_owned(),
            false => self.file(key).into_string(),
        };
        ModuleSigner::new(SigningOptions {
            key,
            certificate: self.file(certificate),
            hash: None,
            passphrase_file: None,
        })
    }
}

fn with_passphrase(signer: ModuleSigner, file: Utf8PathBuf) -> ModuleSigner {
    let ModuleSigner { options } = signer;
    ModuleSigner { options: SigningOptions { passphrase_file: Some(file), ..options } }
}

const RSA: [&str; 1] = ["rsa:2048"];

/// The config of a kernel whose own modules are signed with this hash.
fn kernel(hash: &str) -> KernelConfig {
    let text = format!("CONFIG_MODULE_SIG=y\nCONFIG_MODULE_SIG_HASH=\"{hash}\"\n");
    KernelConfig::parse(text.as_bytes()).expect("a config")
}

/// Stands for a module: for openssl any bytes are.
const MODULE: &[u8] = b"\x7fELF\r\n\0 a module \n";

#[test]
fn signed_module_is_what_the_kernel_s_own_program_makes_of_it() {
    let place = Place::new();
    place.pair("ours", &RSA);
    let signer = place.signer("ours.key", "ours.crt");
    let (signed, by) = signer.sign(MODULE, &kernel("sha512")).expect("signed");
    assert_eq!(
        signer.sign(MODULE, &kernel("sha512")).expect("signed").0,
        signed,
        "the same bytes each time"
    );
    let parts = SignedModule::split(&signed).expect("it has a signature");
    assert_eq!(parts.content, MODULE);
    assert_eq!(by.unsigned, Sha256Digest::of(MODULE));
    assert_eq!((by.signer.as_str(), by.hash), ("O=Tests, CN=ours's modules", ModuleHash::Sha512));
    let told =
        place.openssl(&["x509", "-in", "ours.crt", "-noout", "-ext", "subjectKeyIdentifier"]);
    let identifier =
        told.lines().last().expect("it has one").trim().replace(':', "").to_lowercase();
    assert_eq!(by.key_id, identifier);
    // openssl takes it apart.
    std::fs::write(place.file("signature"), parts.signature).expect("own file");
    std::fs::write(place.file("module"), MODULE).expect("own file");
    let shown = place.openssl(&["cms", "-cmsout", "-print", "-inform", "DER", "-in", "signature"]);
    for part in [
        "eContent: <ABSENT>",
        "certificates:\n      <ABSENT>",
        "signedAttrs:\n          <ABSENT>",
        "sha512",
    ] {
        assert!(shown.contains(part), "{part:?} is missing: {shown}");
    }
    // The program that signs a kernel's own modules; it comes with the headers that modules are built with.
    let programs = std::fs::read_dir("/usr/lib").expect("it is there").flatten();
    let programs = programs.map(|entry| entry.path().join("scripts/sign-file"));
    let is_kbuild = |path: &std::path::PathBuf| path.to_string_lossy().contains("/linux-kbuild-");
    let Some(sign_file) = programs.filter(is_kbuild).find(|path| path.is_file()) else {
        eprintln!("linux-kbuild is not installed: not compared with its sign-file");
        return;
    };
    let mut sign_file = Command::new(sign_file);
    sign_file.args(["sha512", "ours.key", "ours.crt", "module", "by-sign-file"]);
    let ran = sign_file.current_dir(&place.path).output().expect("sign-file");
    assert!(ran.status.success(), "{ran:?}");
    assert_eq!(std::fs::read(place.file("by-sign-file")).expect("it was made"), signed);
}

#[test]
fn hash_is_that_of_the_kernel_s_own_modules_unless_the_config_names_one() {
    let place = Place::new();
    place.pair("ours", &RSA);
    let own = place.signer("ours.key", "ours.crt");
    let mut named = own.clone();
    named.options.hash = Some(ModuleHash::Sha384);
    let without = KernelConfig::parse(b"# CONFIG_MODULE_SIG is not set\n").expect("a config");
    let (sha256, sha384, sha512) = (ModuleHash::Sha256, ModuleHash::Sha384, ModuleHash::Sha512);
    for (signer, config, hash) in [
        (&own, kernel("sha256"), sha256),
        (&own, kernel("sha384"), sha384),
        (&own, kernel("sha512"), sha512),
        (&own, kernel("sha3-512"), sha256),
        (&own, without, sha256),
        (&named, kernel("sha512"), sha384),
    ] {
        let (signed, by) = signer.sign(MODULE, &config).expect("signed");
        assert_eq!(by.hash, hash);
        // It is what was signed, and not only what is told.
        let parts = SignedModule::split(&signed).expect("it has a signature");
        std::fs::write(place.file("signature"), parts.signature).expect("own file");
        let shown =
            place.openssl(&["cms", "-cmsout", "-print", "-inform", "DER", "-in", "signature"]);
        let algorithm = format!("digestAlgorithms:\n        algorithm: {hash} ");
        assert!(shown.contains(&algorithm), "{algorithm:?} is missing: {shown}");
    }
}

#[test]
fn other_kinds_of_keys_and_certificates_serve() {
    let place = Place::new();
    place.pair("ec", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    place.signer("ec.key", "ec.crt").sign(MODULE, &kernel("sha512")).expect("signed");
    // Both in one file, as the kernel's own certs/signing_key.pem; and one without a key identifier.
    place.pair("ours", &[RSA[0], "-addext", "subjectKeyIdentifier=none", "-set_serial", "0x1a2b"]);
    let both = ["ours.key", "ours.crt"]
        .map(|name| std::fs::read_to_string(place.file(name)).expect("own file"));
    std::fs::write(place.file("both.pem"), both.concat()).expect("own file");
    let signer = place.signer("both.pem", "both.pem");
    let (_, by) = signer.sign(MODULE, &kernel("sha512")).expect("signed");
    assert_eq!(by.key_id, "1a2b");
    let certificate = signer.certificate().expect("it has one");
    assert!(!certificate.pem.contains("PRIVATE"), "the key stays where it is");
    assert_eq!(certificate.der[0], 0x30, "it is DER");
    assert!(
        signer.describe().contains("CN=ours's modules (key 1a2b, with the hash of each kernel)")
    );
}

#[test]
fn what_is_wrong_with_key_certificate_or_passphrase_is_named() {
    let place = Place::new();
    place.pair("ours", &RSA);
    place.pair("other", &RSA);
    let locked =
        ["pkey", "-in", "ours.key", "-aes256", "-passout", "pass:secret", "-out", "locked.key"];
    place.openssl(&locked);
    for (name, text) in [("right", "secret\n"), ("wrong", "guess\n"), ("empty", "")] {
        std::fs::write(place.file(name), text).expect("own file");
    }
    let locked = || place.signer("locked.key", "ours.crt");
    with_passphrase(locked(), place.file("right")).try_it().expect("it opens");
    for (signer, parts) in [
        (place.signer("none.key", "ours.crt"), ["none.key", "No such file", "module_key"]),
        (place.signer("ours.key", "none.crt"), ["none.crt", "No such file", "module_certificate"]),
        (
            place.signer("ours.key", "ours.key"),
            ["ours.key", "has no certificate", "module_certificate"],
        ),
        (
            place.signer("ours.key", "other.crt"),
            ["ours.key", "other.crt do not belong together", "module_key"],
        ),
        (place.signer("ours.crt", "ours.crt"), ["ours.crt", "cannot be used", "PEM key"]),
        (place.signer("empty", "ours.crt"), ["empty", "cannot be used", "PEM key"]),
        (locked(), ["locked.key", "does not open", "module_passphrase_file"]),
        (
            with_passphrase(locked(), place.file("wrong")),
            ["locked.key", "does not open", "first line of"],
        ),
        (with_passphrase(locked(), place.file("empty")), ["locked.key", "", ""]),
        (
            with_passphrase(locked(), place.file("none")),
            ["none", "No such file", "module_passphrase_file"],
        ),
    ] {
        let failure = signer.try_it().expect_err("it cannot sign");
        assert_eq!(failure.class, FailureClass::SigningFailed);
        let told = format!("{failure}; {}", failure.hint);
        for part in parts {
            assert!(told.contains(part), "{part:?} is missing: {failure:?}");
        }
        assert_eq!(
            signer.sign(MODULE, &kernel("sha512")).expect_err("nor a module").class,
            FailureClass::SigningFailed
        );
    }
    // The same key with another certificate is another builder; and so is another hash.
    let one = place.signer("ours.key", "ours.crt");
    let mut other = one.clone();
    other.options.hash = Some(ModuleHash::Sha256);
    assert_ne!(one.identity(), other.identity());
    assert!(other.describe().contains(", sha256)"));
    assert_ne!(one.identity(), place.signer("ours.key", "other.crt").identity());
}

/// A key with the passphrase `secret`, which also the passphrase `guess84` seems to decrypt: to something that is no key.
const NEARLY_OPENED: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHrMFYGCSqGSIb3DQEFDTBJMCgGCSqGSIb3DQEFDDAbBAiI+/ZyBFaC7QIBATAM
BggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQz5LBhROcBJQnPmpfgStRsQSBkF83
kgxFDJp23yjIMstrxGVFpgkrED2lUxFOnjxrNdJNA8A3ykBhN7CgQkKNHXH0ZmZ/
qaHQpQ1JkKVly+v+3E1+f3sbmQ7u7HzxbQcgAvPixC9IO1zYUHgzcFMfBgRF87kJ
xkBao6eEuZ7SSuFGKP1ixUoSkcfkegICVjJUlAb+yG91OSjhMtAKaiH4BwZwkQ==
-----END ENCRYPTED PRIVATE KEY-----
";

#[test]
fn wrong_passphrase_that_seems_to_decrypt_the_key_is_told_as_such() {
    let place = Place::new();
    place.pair("ours", &RSA);
    std::fs::write(place.file("locked.key"), NEARLY_OPENED).expect("own file");
    std::fs::write(place.file("wrong"), "guess84\n").expect("own file");
    let signer = with_passphrase(place.signer("locked.key", "ours.crt"), place.file("wrong"));
    let failure = signer.try_it().expect_err("it cannot sign");
    assert!(failure.message.contains("does not open with this passphrase"), "{failure:?}");
    assert!(failure.details.concat().contains("No supported data"), "{failure:?}");
}

/// A key that nobody can take out of its token. Its library reads the environment, so that this is a process of its
/// own: [`key_in_a_token_signs_as_the_same_key_in_a_file`] starts it.
#[test]
#[ignore = "is started by another test"]
fn inside_of_the_test_of_the_token() {
    let Ok(place) = std::env::var(TOKEN_PLACE) else { return };
    let path = Utf8PathBuf::from(place);
    let directory = tempfile::tempdir().expect("a directory");
    let place = Place { path, _directory: directory };
    let uri = "pkcs11:token=elivepatch;object=modules;type=private";
    let in_token = with_passphrase(place.signer(uri, "ours.crt"), place.file("pin"));
    let in_file = place.signer("ours.key", "ours.crt");
    let (signed, by) = in_token.sign(MODULE, &kernel("sha512")).expect("the token signs");
    assert_eq!((signed, by), in_file.sign(MODULE, &kernel("sha512")).expect("signed"));
    for (signer, part) in [
        (place.signer(uri, "ours.crt"), "does not open with this passphrase or PIN"),
        (
            with_passphrase(place.signer(uri, "ours.crt"), place.file("wrong-pin")),
            "does not open with this passphrase or PIN",
        ),
        (
            with_passphrase(place.signer(uri, "other.crt"), place.file("pin")),
            "do not belong together",
        ),
        (
            with_passphrase(
                place.signer("pkcs11:token=elivepatch;object=none", "ours.crt"),
                place.file("pin"),
            ),
            "object=none cannot be used",
        ),
    ] {
        let failure = signer.try_it().expect_err("it cannot sign");
        assert!(failure.message.contains(part), "{part:?}: {failure:?}");
    }
}

#[test]
fn key_in_a_token_signs_as_the_same_key_in_a_file() {
    let place = Place::new();
    place.pair("ours", &RSA);
    place.pair("other", &RSA);
    std::fs::create_dir(place.file("tokens")).expect("own directory");
    let config = format!("directories.tokendir = {}\n", place.file("tokens"));
    std::fs::write(place.file("softhsm.conf"), config).expect("own file");
    std::fs::write(place.file("pin"), "1234\n").expect("own file");
    std::fs::write(place.file("wrong-pin"), "4321\n").expect("own file");
    let softhsm = |arguments: &[&str]| {
        let mut program = Command::new("softhsm2-util");
        program.args(arguments).env("SOFTHSM2_CONF", place.file("softhsm.conf"));
        let ran = program.current_dir(&place.path).output();
        let ran = ran.expect("softhsm2 is installed (make installs it)");
        assert!(ran.status.success(), "{ran:?}");
    };
    let token = ["--label", "elivepatch", "--pin", "1234", "--so-pin", "1234"];
    softhsm(&[&["--init-token", "--free"][..], &token].concat());
    let key = ["--import", "ours.key", "--token", "elivepatch", "--label", "modules", "--id", "01"];
    softhsm(&[&key[..], &["--pin", "1234"]].concat());
    let mut inside = Command::new(std::env::current_exe().expect("this program"));
    inside.args(["--exact", "signing::tests::inside_of_the_test_of_the_token", "--ignored"]);
    inside.env(TOKEN_PLACE, &place.path).env("SOFTHSM2_CONF", place.file("softhsm.conf"));
    let ran = inside.output().expect("this program");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

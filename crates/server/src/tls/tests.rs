use std::{net::Ipv4Addr, os::unix::fs::PermissionsExt as _};

use camino::Utf8PathBuf;

use super::*;

/// A certificate, and the directory that it is in.
pub(crate) fn made() -> (tempfile::TempDir, MadeCertificate) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = Utf8PathBuf::try_from(directory.path().to_owned()).expect("UTF-8");
    let place = MadeCertificate::of(&path);
    assert!(!place.exists());
    make_certificate(&place, Ipv4Addr::LOCALHOST.into()).expect("made");
    assert!(place.exists());
    (directory, place)
}

#[test]
fn key_is_for_its_owner_only_and_belongs_to_the_certificate() {
    let (_directory, place) = made();
    let mode = |path: &Utf8PathBuf| std::fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(&place.key) & 0o777, 0o600);
    assert_eq!(mode(&place.key.parent().expect("it has one").to_owned()) & 0o777, 0o700);
    let (_other, other) = made();
    let error = ServerCertificate::read(&place.certificate, &other.key).expect_err("another's");
    assert!(matches!(error, TlsError::Unusable { .. }), "{error:?}");
    let error = ServerCertificate::read(&place.key, &place.key).expect_err("no certificate");
    assert!(error.to_string().starts_with("cannot read a certificate in "), "{error}");
    let error = ServerCertificate::read(&place.certificate, &place.certificate);
    assert!(error.expect_err("no key").to_string().starts_with("cannot read a private key in "));
    let missing = place.key.with_extension("missing");
    ServerCertificate::read(&missing, &place.key).expect_err("it is not there");
}

#[test]
fn certificate_is_made_once_also_by_several_at_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = Utf8PathBuf::try_from(directory.path().to_owned()).expect("UTF-8");
    let place = MadeCertificate::of(&path);
    let fingerprint = || {
        make_certificate(&place, Ipv4Addr::LOCALHOST.into()).expect("made");
        let certificate = ServerCertificate::read(&place.certificate, &place.key);
        certificate.expect("it belongs to its key").fingerprint()
    };
    std::thread::scope(|scope| {
        let made: Vec<_> = (0..8).map(|_| scope.spawn(fingerprint)).collect();
        for made in made {
            assert_eq!(made.join().expect("no panic"), fingerprint());
        }
    });
}

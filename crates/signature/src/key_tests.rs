use std::os::unix::fs::PermissionsExt;

use camino::Utf8PathBuf;

use super::*;

/// What `minisign -G -W` of version 0.11 wrote: it says that it is encrypted, and is not.
const SECRET: &str = "untrusted comment: minisign encrypted secret key\n\
    RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI6PtPj5yy1ZBK/zgZKW7e8MqpDHr4v2P\
    qUoXWFhkr8Io1tWeOZ+zJhKumcnEoZZaVym+AjZp0tr3qH3w1ma+gS8HZU2mYmzPAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";

/// The public key beside it.
const PUBLIC: &str = "untrusted comment: minisign public key 56CB723E3EEDA323\n\
    RWQjo+0+PnLLVhKumcnEoZZaVym+AjZp0tr3qH3w1ma+gS8HZU2mYmzP\n";

/// What `minisign -G` wrote for the password "x".
const WITH_PASSWORD: &str = "untrusted comment: minisign encrypted secret key\n\
    RWRTY0Iyv+Gu2IdThGB8REz9b09xHZTZqIcD4avVYbgFxi7iL+QAAAACAAAAAAAAAEAAAAAAABQ2xkzBpPLHaI22pN4TOglswz7oBHf88y4w\
    wJwn/wxrLH+2/tE4QcMFWDCnOuo3sKIxR0bRj/jHI6KFDqpHq+yZEUyeWdrw9A1ifo1g1Wc/BOIRWYE0wRQENFfUvNyufSGMxfYbwdI=\n";

fn place() -> (tempfile::TempDir, Utf8PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).expect("UTF-8");
    (directory, path)
}

#[test]
fn keys_are_written_for_their_owner_and_never_over_others() {
    let (_directory, place) = place();
    let (secret, public) = (place.join("s"), place.join("p"));
    let (id, text) = generate_keys(&secret, &public).expect("keys");
    let mode = std::fs::metadata(&secret).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let key = SecretKey::read(&secret).expect("a key");
    assert_eq!((key.id(), key.is_open_to_others()), (id, false));
    assert_eq!(key.public().expect("its other half"), text);
    for known in [text.as_str(), public.as_str()] {
        assert_eq!(PublicKey::parse_or_read(known).expect("a key").id(), id, "{known}");
    }
    let before = std::fs::read(&secret).expect("it is there");
    for (other_secret, other_public) in [(&secret, &place.join("q")), (&place.join("t"), &public)] {
        let error = generate_keys(other_secret, other_public).expect_err("it is there");
        assert!(matches!(error, KeyError::Write { .. }), "{error}");
    }
    assert_eq!(std::fs::read(&secret).expect("it is there"), before);
    assert!(!place.join("t").exists() && !place.join("q").exists(), "no half of a pair is left");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o640)).expect("own file");
    assert!(SecretKey::read(&secret).expect("a key").is_open_to_others());
}

#[test]
fn keys_of_the_program_minisign_are_taken_unless_they_have_a_password() {
    let (_directory, place) = place();
    let write = |name: &str, text: &str| {
        std::fs::write(place.join(name), text).expect("own file");
        place.join(name)
    };
    let secret = SecretKey::read(&write("secret", SECRET)).expect("a key");
    let public = PublicKey::parse_or_read(write("public", PUBLIC).as_str()).expect("a key");
    assert_eq!(secret.id(), public.id());
    assert_eq!(public.id().to_string(), "56CB723E3EEDA323");
    let error = SecretKey::read(&write("password", WITH_PASSWORD)).expect_err("it has one");
    assert!(matches!(error, KeyError::Password { .. }), "{error}");
    for (text, expected) in [
        ("", "no second line"),
        ("a\nnot base64", "not base64"),
        (PUBLIC, "another length"),
        // The last digit of the key itself.
        (&SECRET.replace("YmzPAAAA", "YmzQAAAA"), "halves do not fit"),
    ] {
        let error = SecretKey::read(&write("wrong", text)).expect_err("no key").to_string();
        assert!(error.contains(expected), "{error}");
    }
    write("long", &"x".repeat(5000));
    for text in ["RWQ", "none", "secret", "long", &PUBLIC.lines().nth(1).expect("it has")[..54]] {
        let path = place.join(text);
        assert!(PublicKey::parse_or_read(path.as_str()).is_err(), "{text}");
    }
    assert!(PublicKey::parse("RWQjo+0+PnLLVhKumcnEoZZaVym+AjZp0tr3qH3w1ma+gS8HZU2mYmz?").is_err());
}

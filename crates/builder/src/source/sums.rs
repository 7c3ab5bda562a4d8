//! Lists of digests as `sha256sum` writes them.

use elivepatch_model::{Failure, FailureClass, Sha256Digest};

use super::not_served::not_here;

/// The digest of a file in a list. `at` is where the list lies. Lines that are no digests, such as those of
/// a signature, are passed over.
///
/// # Errors
/// `release-unknown` when the list does not have the file; `source-unusable` when it has it twice
/// with different digests.
pub(super) fn digest_in(list: &[u8], name: &str, at: &str) -> Result<Sha256Digest, Failure> {
    let text = String::from_utf8_lossy(list);
    let mut found: Option<Sha256Digest> = None;
    for line in text.lines() {
        let Some((digest, file)) = line.trim_end().split_once(' ') else { continue };
        let file = file.trim_start_matches([' ', '*']);
        if file.strip_prefix("./").unwrap_or(file) != name {
            continue;
        }
        let Ok(digest) = digest.parse::<Sha256Digest>() else { continue };
        if found.is_some_and(|before| before != digest) {
            return Err(Failure::new(
                FailureClass::SourceUnusable,
                format!("{at} has two digests for {name}"),
                "correct the list, or name another one in the [[source]] of the server's config",
            ));
        }
        found = Some(digest);
    }
    found.ok_or_else(|| not_here(format!("{at} has no digest of {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_that_of_the_name_and_of_no_other() {
        let (a, b) = (Sha256Digest::of(b"a"), Sha256Digest::of(b"b"));
        let list = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{a}  linux-6.12.tar.xz\n\
             {b} *./linux-6.12.1.tar.xz\nshort  linux-6.1.tar.xz\n{b}  x/linux-6.2.tar.xz\n"
        );
        let digest = |name| digest_in(list.as_bytes(), name, "sums");
        assert_eq!(digest("linux-6.12.tar.xz"), Ok(a));
        assert_eq!(digest("linux-6.12.1.tar.xz"), Ok(b));
        for name in ["linux-6.1.tar.xz", "linux-6.2.tar.xz", "6.12.tar.xz", ""] {
            let failure = digest(name).expect_err(name);
            assert_eq!(failure.class, FailureClass::ReleaseUnknown, "{name}");
        }
        let twice = format!("{a}  x\n{b}  x\n");
        let failure = digest_in(twice.as_bytes(), "x", "sums").expect_err("which one?");
        assert_eq!(failure.class, FailureClass::SourceUnusable);
    }
}

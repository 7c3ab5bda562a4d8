//! Signatures, checked by gpgv in the sandbox: what is signed comes from strangers, and so does the
//! signature.

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass, StepName};

use crate::{
    Observer,
    base::WORK,
    failures::io_failure,
    sandbox::{Sandbox, SandboxCommand},
    untrusted_file::read_untrusted,
};

/// The largest text that is signed in clear, and what gpgv says of it, in bytes.
const TEXT_BYTES: u64 = 16 << 20;

/// What gpgv says at the beginning of its status lines.
const STATUS: &str = "[GNUPG:] ";

/// What checks signatures.
pub(super) struct Signatures<'a> {
    /// The keys one of which must have signed.
    pub keyring: &'a Utf8Path,
    /// Where gpgv runs.
    pub sandbox: &'a Sandbox,
    /// Who hears of it.
    pub observer: &'a dyn Observer,
}

impl Signatures<'_> {
    /// Checks the detached signature of what the pipeline `program` makes of the file at `path`, which
    /// is `/inputs/data` in the sandbox. `name` is that of the file for people.
    ///
    /// # Errors
    /// `fetch-failed` when it is not signed by a key of the keyring, or signature or key have
    /// expired; `source-unusable` when the keyring cannot be used.
    pub(super) fn check_file(
        &self,
        path: &Utf8Path,
        program: &str,
        signature: &[u8],
        name: &str,
    ) -> Result<(), Failure> {
        let script = format!(
            "{program} | gpgv --status-fd 3 --keyring {WORK}/keyring \
             {WORK}/signature - 3> {WORK}/status"
        );
        self.run(&script, signature, Some(path), name).map(drop)
    }

    /// Gives the text that is signed in clear.
    ///
    /// # Errors
    /// As [`Signatures::check_file`].
    pub(super) fn clear_text(&self, signed: &[u8], name: &str) -> Result<Vec<u8>, Failure> {
        let script = format!(
            "gpgv --status-fd 3 --output {WORK}/text --keyring {WORK}/keyring {WORK}/signature \
             3> {WORK}/status"
        );
        self.run(&script, signed, None, name)
    }

    /// Runs gpgv, and gives the text that it wrote.
    fn run(
        &self,
        script: &str,
        signature: &[u8],
        data: Option<&Utf8Path>,
        name: &str,
    ) -> Result<Vec<u8>, Failure> {
        let scratch = tempfile::tempdir().map_err(|error| {
            io_failure(FailureClass::Internal, "make", Utf8Path::new("a directory"), &error)
        })?;
        let scratch = Utf8Path::from_path(scratch.path()).unwrap_or(Utf8Path::new("/tmp"));
        self.sandbox.make_directory(scratch)?;
        let keyring = read_keyring(self.keyring)?;
        for (file, content) in [("keyring", keyring.as_slice()), ("signature", signature)] {
            let path = scratch.join(file);
            fs_err::write(&path, content)
                .map_err(|error| io_failure(FailureClass::Internal, "write", &path, &error))?;
        }
        let command = SandboxCommand::new(Utf8Path::new("/"), ["sh", "-c", script])
            .writable(scratch, WORK)
            .directory(WORK);
        let command = match data {
            Some(data) => command.read_only(data, "/inputs/data"),
            None => command,
        };
        let finished = self.sandbox.run(&command, StepName::Source, self.observer)?;
        let status = read_untrusted(&scratch.join("status"), TEXT_BYTES).unwrap_or_default();
        let status = String::from_utf8_lossy(&status).into_owned();
        if let Some(fault) = fault(&status, finished.succeeded()) {
            return Err(Failure::new(
                FailureClass::FetchFailed,
                format!("{name} {fault}"),
                format!(
                    "look whether {} has the key that signs it, in its newest form; if it has, somebody \
                     tampers with the file or its mirror is faulty",
                    self.keyring
                ),
            )
            .with_details(finished.last_lines(6)));
        }
        match data {
            Some(_) => Ok(Vec::new()),
            None => read_untrusted(&scratch.join("text"), TEXT_BYTES).map_err(|error| {
                io_failure(
                    FailureClass::FetchFailed,
                    "read what is signed of",
                    Utf8Path::new(name),
                    &error,
                )
            }),
        }
    }
}

/// What is wrong with a signature, by gpgv's status lines; `None` when nothing is. gpgv ends with 0
/// for the good signature of an expired key.
fn fault(status: &str, succeeded: bool) -> Option<&'static str> {
    let words: Vec<&str> = status
        .lines()
        .filter_map(|line| line.strip_prefix(STATUS)?.split_whitespace().next())
        .collect();
    let faults = [
        ("BADSIG", "does not have the content that was signed"),
        ("EXPSIG", "has a signature that has expired"),
        ("EXPKEYSIG", "is signed by a key that has expired"),
        ("REVKEYSIG", "is signed by a key that was revoked"),
        ("ERRSIG", "is not signed by a key of the keyring"),
        ("NODATA", "has no signature"),
    ];
    let found = faults.iter().find(|(word, _)| words.contains(word));
    if let Some((_, fault)) = found {
        return Some(fault);
    }
    let is_good = words.contains(&"GOODSIG") && words.contains(&"VALIDSIG");
    (!is_good || !succeeded).then_some("has a signature that cannot be checked")
}

fn read_keyring(path: &Utf8Path) -> Result<Vec<u8>, Failure> {
    let unusable = |what: &str| {
        Failure::new(
            FailureClass::SourceUnusable,
            format!("the keyring {path} {what}"),
            "put the keys there: gpg --export KEY > KEYRING",
        )
    };
    let keys = fs_err::read(path)
        .map_err(|error| unusable(&format!("cannot be read: {}", error.kind())))?;
    if keys.starts_with(b"-----BEGIN") {
        return Err(unusable("is armoured, which gpgv cannot read: gpg --dearmor makes it binary"));
    }
    if keys.is_empty() {
        return Err(unusable("is empty"));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_good_signature_of_a_valid_key_is_none_at_fault() {
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 1 x\n[GNUPG:] VALIDSIG 2 x\n";
        assert_eq!(fault(good, true), None);
        assert!(fault(good, false).is_some());
        assert!(fault("", true).is_some());
        // The user id is whatever the signer likes.
        let forged = "[GNUPG:] ERRSIG 1 x\n[GNUPG:] NO_PUBKEY x\nGOODSIG VALIDSIG\n";
        assert_eq!(fault(forged, true), Some("is not signed by a key of the keyring"));
        for word in ["BADSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG"] {
            assert!(fault(&format!("{good}[GNUPG:] {word} 1 x\n"), true).is_some(), "{word}");
        }
    }
}

//! Tarballs as kernel.org has them, on the server or behind an address, and the patches of the stable
//! branch.

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_model::{Failure, FailureClass, KernelRelease, Sha256Digest};
use serde::{Deserialize, Serialize};

use super::{
    Place, TarballCheck, TarballOptions, Tools, TreeFacts,
    fetch::{Download, FetchTimes, TARBALL_BYTES, fetch_text},
    local::LocalFiles,
    not_served::not_here,
    signature::Signatures,
    sums::digest_in,
    tree::FileFacts,
    unpack::{UNPACKED_BYTES, decompressor},
};
use crate::{
    digest_file::digest_file,
    failures::io_failure,
    shared_file::{Flush, write_shared},
};

/// A tarball and its patches, for one kernel.
pub(super) struct Tarballs<'a> {
    /// What the config says.
    pub options: &'a TarballOptions,
    /// What of it is on the server.
    pub local: &'a LocalFiles,
    /// The kernel.
    pub release: &'a KernelRelease,
    /// What it is done with.
    pub tools: Tools<'a>,
    /// How long a server is waited for.
    pub times: FetchTimes,
}

/// What was found out of a file that was fetched.
#[derive(Serialize, Deserialize)]
struct Kept {
    digest: Sha256Digest,
    /// The digest of how it was checked.
    check: Sha256Digest,
}

impl<'a> Tarballs<'a> {
    /// For the usual network.
    pub(super) fn new(
        options: &'a TarballOptions,
        local: &'a LocalFiles,
        release: &'a KernelRelease,
        tools: Tools<'a>,
    ) -> Self {
        Self { options, local, release, tools, times: FetchTimes::default() }
    }

    /// The checked files for the kernel.
    ///
    /// # Errors
    /// `release-unknown` when there are none; `fetch-failed`, `source-unusable`.
    pub(super) fn find(&self) -> Result<TreeFacts, Failure> {
        let release = self.release;
        let FileFacts { path, digest } = self.file(&self.options.place, true)?;
        let mut facts = TreeFacts::of(&path, digest);
        // `X.Y.0` is the tarball of the series as it is.
        if let Some(patches) = &self.options.patches
            && release.version().2 > 0
        {
            facts.increments.push(self.file(patches, false)?);
        }
        let facts = facts.with_origin("tarball", release.upstream_version(), None);
        Ok(facts.with_route(self.route()?))
    }

    /// A digest of where it is fetched from and how it is checked; `None` when some of it lies on the
    /// server.
    ///
    /// # Errors
    /// `source-unusable` when the keyring cannot be read.
    pub(super) fn route(&self) -> Result<Option<Sha256Digest>, Failure> {
        let places = || std::iter::once(&self.options.place).chain(&self.options.patches);
        if places().any(|place| matches!(place, Place::Path(_))) {
            return Ok(None);
        }
        let addresses: Vec<String> = places().map(|place| place.fill(self.release)).collect();
        let text = format!("{addresses:?} {}", self.check_digest()?);
        Ok(Some(Sha256Digest::of(text.as_bytes())))
    }

    fn file(&self, place: &Place, is_tarball: bool) -> Result<FileFacts, Failure> {
        let address = place.fill(self.release);
        match place {
            Place::Url(_) => self.fetched(&address, is_tarball),
            Place::Path(_) => {
                let Some(facts) = self.local.facts(&address, self.tools.cache)? else {
                    return Err(not_here(format!("{address} is not there")));
                };
                let file = FileFacts { path: facts.path, digest: facts.digest };
                self.check(&file, &address, is_tarball).map_err(|failure| match failure.class {
                    // The file is there, so it is the list that lacks something.
                    FailureClass::ReleaseUnknown | FailureClass::FetchFailed => {
                        Failure { class: FailureClass::SourceUnusable, ..failure }
                    }
                    _ => failure,
                })?;
                Ok(file)
            }
        }
    }

    /// A file behind an address: from the cache, or fetched and checked.
    fn fetched(&self, url: &str, is_tarball: bool) -> Result<FileFacts, Failure> {
        let Tools { cache, observer, .. } = self.tools;
        let place = cache.sources().join(format!(
            "tarball-{}-{}",
            Sha256Digest::of(url.as_bytes()).short(),
            file_name(url)
        ));
        let check = self.check_digest()?;
        let note = Utf8PathBuf::from(format!("{place}.json"));
        // Bases that are being made of it share its lock for long: who finds it as it should be does not
        // wait for them.
        let shared = cache.share(&place, observer)?;
        if let Some(file) = kept(&place, &note, check)? {
            return Ok(file);
        }
        drop(shared);
        let _lock = cache.lock(&place, observer)?;
        if let Some(file) = kept(&place, &note, check)? {
            return Ok(file);
        }
        let partial = Utf8PathBuf::from(format!("{place}.partial"));
        let (limit_bytes, times) = (TARBALL_BYTES, self.times);
        let download = Download { url, partial: &partial, limit_bytes, times };
        let mut was_resumed = partial.exists();
        let digest = loop {
            download.run(observer)?;
            let digest = digest_file(&partial).map_err(|error| failed("read", &partial, &error))?;
            let file = FileFacts { path: partial.clone(), digest };
            match self.check(&file, url, is_tarball) {
                Ok(()) => break digest,
                Err(failure) => {
                    download.remove()?;
                    // A first file that was gone on with may be damaged; a second one comes whole.
                    if failure.class != FailureClass::FetchFailed || !was_resumed {
                        return Err(failure);
                    }
                    was_resumed = false;
                }
            }
        };
        fs_err::rename(&partial, &place).map_err(|error| failed("move", &partial, &error))?;
        let text = serde_json::to_vec(&Kept { digest, check }).expect("plain data has a JSON form");
        write_shared(&note, &text, Flush::Unneeded)
            .map_err(|error| failed("write", &note, &error))?;
        Ok(FileFacts { path: place, digest })
    }

    /// Looks whether a file that is there is what it is said to be. What says so must be there, too: else
    /// the search would go on to a source that perhaps checks nothing.
    ///
    /// # Errors
    /// `fetch-failed`, `source-unusable`; never `release-unknown`.
    fn check(&self, file: &FileFacts, address: &str, is_tarball: bool) -> Result<(), Failure> {
        let name = file_name(address);
        match &self.options.check {
            TarballCheck::None => Ok(()),
            TarballCheck::Sums { list, keyring } => {
                let at = list.fill(self.release);
                let mut text = self.read(list, &at)?;
                if let Some(keyring) = keyring {
                    text = self.signatures(keyring).clear_text(&text, &at)?;
                }
                let expected = digest_in(&text, name, &at).map_err(|failure| {
                    let class = FailureClass::SourceUnusable;
                    match failure.class {
                        FailureClass::ReleaseUnknown => cannot_check(
                            class,
                            &format!("{address} is there, but {}", failure.message),
                        ),
                        _ => failure,
                    }
                })?;
                if expected == file.digest {
                    return Ok(());
                }
                Err(Failure::new(
                    FailureClass::FetchFailed,
                    format!("{address} does not have the digest that {at} says"),
                    "the mirror is faulty or someone tampers with it: try another one",
                )
                .with_details([format!("expected {expected}"), format!("found {}", file.digest)]))
            }
            TarballCheck::Signature { signature, keyring } => {
                let own = signature.as_ref().filter(|_| is_tarball);
                let at = match own {
                    Some(place) => place.fill(self.release),
                    None => signature_of(address),
                };
                let place = own.unwrap_or(match is_tarball {
                    true => &self.options.place,
                    false => self.options.patches.as_ref().unwrap_or(&self.options.place),
                });
                let signature = self.read(place, &at)?;
                let program = decompressor(name).unwrap_or("cat");
                // What does not end is not what was signed.
                let program = format!("{program} < /inputs/data | head --bytes={UNPACKED_BYTES}");
                self.signatures(keyring).check_file(&file.path, &program, &signature, address)
            }
        }
    }

    fn signatures(&self, keyring: &'a Utf8Path) -> Signatures<'_> {
        Signatures { keyring, sandbox: self.tools.sandbox, observer: self.tools.observer }
    }

    /// Reads a list or a signature; `place` says whether it lies on the server.
    fn read(&self, place: &Place, at: &str) -> Result<Vec<u8>, Failure> {
        match place {
            Place::Url(_) => {
                let text = fetch_text(at, &self.tools.cache.sources(), self.tools.observer);
                text.map_err(|failure| match failure.class {
                    FailureClass::ReleaseUnknown => {
                        let message = format!("{}, and what it is to check is", failure.message);
                        cannot_check(FailureClass::FetchFailed, &message)
                    }
                    _ => failure,
                })
            }
            Place::Path(_) => {
                let path = Utf8Path::new(at);
                fs_err::read(path)
                    .map_err(|error| io_failure(FailureClass::SourceUnusable, "read", path, &error))
            }
        }
    }

    /// A digest of how files are checked: with another keyring they are checked again.
    fn check_digest(&self) -> Result<Sha256Digest, Failure> {
        let keyring = match &self.options.check {
            TarballCheck::Sums { keyring, .. } => keyring.as_deref(),
            TarballCheck::Signature { keyring, .. } => Some(keyring.as_path()),
            TarballCheck::None => None,
        };
        let keys = match keyring {
            Some(path) => fs_err::read(path)
                .map_err(|error| io_failure(FailureClass::SourceUnusable, "read", path, &error))?,
            None => Vec::new(),
        };
        let text = format!("{:?} {}", self.options.check, Sha256Digest::of(&keys));
        Ok(Sha256Digest::of(text.as_bytes()))
    }
}

/// What was fetched and checked before, when it is there and unchanged. The caller has its lock.
fn kept(
    place: &Utf8Path,
    note: &Utf8Path,
    check: Sha256Digest,
) -> Result<Option<FileFacts>, Failure> {
    let kept: Option<Kept> =
        fs_err::read(note).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let Some(kept) = kept.filter(|kept| kept.check == check && place.exists()) else {
        return Ok(None);
    };
    let digest = digest_file(place).map_err(|error| failed("read", place, &error))?;
    Ok((digest == kept.digest).then(|| FileFacts { path: place.to_owned(), digest }))
}

/// The name of a file in a path or URL.
fn file_name(address: &str) -> &str {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    path.rsplit('/').next().unwrap_or(path)
}

/// Where kernel.org has the signature of a file: it is that of the uncompressed one.
fn signature_of(address: &str) -> String {
    let endings = [".xz", ".gz", ".zst", ".zstd", ".bz2"];
    let plain = endings.iter().find_map(|ending| address.strip_suffix(ending));
    format!("{}.sign", plain.unwrap_or(address))
}

/// The failure of a file that is there without what it is to be checked by.
fn cannot_check(class: FailureClass, message: &str) -> Failure {
    Failure::new(
        class,
        message,
        "look at sha256sums or signature of the [[source]] in the server's config; a mirror that is being \
         filled has it soon",
    )
}

fn failed(action: &str, path: &Utf8Path, error: &std::io::Error) -> Failure {
    io_failure(FailureClass::FetchFailed, action, path, error)
}

#[cfg(test)]
#[path = "tarball_tests.rs"]
mod tests;

//! Fetches the source of a Debian kernel as a tarball: `source_tarball CACHE PACKAGE VERSION FILE`.
//! The tests of built bases are given it as an administrator would give a server his own.

use camino::Utf8PathBuf;
use elivepatch_builder::{Apt, Cache, DebianOptions, SilentObserver, unpack_source_tarball};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [cache, package, version, file] = arguments.as_slice() else {
        return Err("usage: source_tarball CACHE PACKAGE VERSION FILE".into());
    };
    let cache = Cache::open(&Utf8PathBuf::from(cache))?;
    let apt = Apt::open(&cache, &DebianOptions::default())?;
    let versions = apt.versions(package, &SilentObserver)?;
    let found = versions.iter().find(|found| found.version == *version);
    let found = found.ok_or_else(|| format!("the archive has no {package} {version}"))?;
    let package = apt.fetch(found, &SilentObserver)?;
    let partial = Utf8PathBuf::from(format!("{file}.partial"));
    unpack_source_tarball(&package, &partial)?;
    fs_err::rename(&partial, file)?;
    Ok(())
}

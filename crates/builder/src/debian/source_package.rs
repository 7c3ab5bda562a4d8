//! Debian's source packages, of which one part is needed: the patches for kernels of the flavour `rt`
//! until Linux 6.12, which `linux-source` does not hold.

use std::io::Read;

use camino::Utf8Path;
use elivepatch_model::{Failure, FailureClass};
use liblzma::read::XzDecoder;

use super::{
    apt::{Apt, PackageFile},
    faults::not_installed,
};
use crate::{Observer, failures::io_failure};

/// How the name of the part ends that holds what Debian adds to the upstream source.
const ENDING: &str = ".debian.tar.xz";

/// The directory of the patches for the flavour.
const PATCHES: &str = "debian/patches-rt/";

/// The largest part that is read, unpacked, in bytes: that of Linux 6.1 has 12 MB.
const UNPACKED_BYTES: u64 = 256 << 20;

/// The most patches that a series may have: that of Linux 6.1 has 72.
const MOST_PATCHES: usize = 2000;

impl PackageFile {
    /// Whether it is a part of a source package.
    pub(super) fn is_source_part(&self) -> bool {
        self.file_name.ends_with(ENDING)
    }
}

impl Apt {
    /// The part of a source package that holds what Debian adds; `None` when the archive does not have the
    /// version.
    ///
    /// # Errors
    /// `fetch-failed` when the index of the sources cannot be fetched.
    pub(super) fn debian_part(
        &self,
        source: &str,
        version: &str,
        observer: &dyn Observer,
    ) -> Result<Option<PackageFile>, Failure> {
        let sources = self.of_sources()?;
        if let Some(found) = sources.print_uris(source, version, observer)? {
            return Ok(Some(found.0));
        }
        sources.update(observer)?;
        Ok(sources.print_uris(source, version, observer)?.map(|(package, _)| package))
    }

    /// Where a part of a source package lies.
    pub(super) fn address_of_source_part(
        &self,
        package: &PackageFile,
        observer: &dyn Observer,
    ) -> Result<Option<String>, Failure> {
        let sources = self.of_sources()?;
        let found = sources.print_uris(&package.name, &package.version, observer)?;
        Ok(found.map(|(_, address)| address))
    }

    /// The part of a source package, and its address, as the signed index has it.
    fn print_uris(
        &self,
        source: &str,
        version: &str,
        observer: &dyn Observer,
    ) -> Result<Option<(PackageFile, String)>, Failure> {
        let mut command = self.command("apt-get");
        command.args(["source", "--print-uris", "--only-source", "--"]);
        command.arg(format!("{source}={version}"));
        // apt finds nothing in an index that somebody else is writing.
        let _lock = self.lock_index(observer)?;
        let output = command.output().map_err(|error| not_installed(&error))?;
        // A version that is not there is an error to apt, and nothing is printed.
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().find_map(|line| part_of(line, source, version)))
    }
}

/// Reads `'ADDRESS' NAME SIZE SHA256:DIGEST`, when it is the part that is wanted.
fn part_of(line: &str, source: &str, version: &str) -> Option<(PackageFile, String)> {
    let (address, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [name, size, digest] = words[..] else { return None };
    let is_plain =
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+~-".contains(&byte));
    if !name.ends_with(ENDING) || !is_plain || name.starts_with('.') {
        return None;
    }
    let package = PackageFile {
        name: source.to_owned(),
        version: version.to_owned(),
        digest: digest.strip_prefix("SHA256:")?.parse().ok()?,
        size_bytes: size.parse().ok()?,
        file_name: name.to_owned(),
    };
    Some((package, address.to_owned()))
}

/// The patches of the flavour `rt` in a source package's part, with their names, in the order of their
/// series; none where there is no series.
///
/// # Errors
/// `base-failed` when it cannot be read, or the series names what is not there.
pub(crate) fn rt_patches(part: &Utf8Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let failed = |error: &std::io::Error| io_failure(FailureClass::BaseFailed, "read", part, error);
    let mut files = read_patches(part).map_err(|error| failed(&error))?;
    let Some(series) = files.remove("series") else { return Ok(Vec::new()) };
    let series = String::from_utf8_lossy(&series).into_owned();
    let lines = series.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<&str> = lines.filter(|line| !line.starts_with('#')).collect();
    if names.len() > MOST_PATCHES {
        return Err(failed(&std::io::Error::other("its series is longer than any that is known")));
    }
    let patch = |name: &&str| {
        let text = files.remove(*name).ok_or_else(|| {
            failed(&std::io::Error::other(format!("its series names {name:?}, which is not there")))
        })?;
        Ok(((*name).to_owned(), text))
    };
    names.iter().map(patch).collect()
}

/// The files below the directory of the patches, by their names.
fn read_patches(part: &Utf8Path) -> std::io::Result<std::collections::HashMap<String, Vec<u8>>> {
    let unpacked = XzDecoder::new(fs_err::File::open(part)?).take(UNPACKED_BYTES);
    let mut archive = tar::Archive::new(unpacked);
    let mut files = std::collections::HashMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.to_string_lossy().into_owned();
        let name = path.trim_start_matches("./").strip_prefix(PATCHES);
        let Some(name) = name.map(str::to_owned) else { continue };
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.insert(name, content);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "10477b04dc15f7c1c52d8c812c889be5fd37aa178163e352755cd137c73ade6b";

    #[test]
    fn part_is_read_out_of_what_apt_prints() {
        let line = |name: &str| {
            format!(
                "'http://mirror.example.org/pool/l/linux/{name}' {name} 1873136 SHA256:{DIGEST}"
            )
        };
        let name = "linux_6.1.176-1.debian.tar.xz";
        let (package, address) = part_of(&line(name), "linux", "6.1.176-1").expect("the part");
        assert_eq!(package.file_name, name);
        assert_eq!((package.size_bytes, package.digest.to_string().as_str()), (1_873_136, DIGEST));
        assert!(address.ends_with("/pool/l/linux/linux_6.1.176-1.debian.tar.xz"));
        assert!(package.is_source_part());
        for other in ["linux_6.1.176.orig.tar.xz", "linux_6.1.176-1.dsc", "../x.debian.tar.xz"] {
            assert_eq!(part_of(&line(other), "linux", "6.1.176-1"), None, "{other}");
        }
        for other in ["Need to get 140 MB of source archives.", "", "'x' y"] {
            assert_eq!(part_of(other, "linux", "6.1.176-1"), None, "{other}");
        }
    }

    /// A part with these files.
    fn part(directory: &Utf8Path, files: &[(&str, &str)]) -> camino::Utf8PathBuf {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, text.as_bytes()).expect("in memory");
        }
        let plain = directory.join("part.tar");
        fs_err::write(&plain, builder.into_inner().expect("in memory")).expect("own file");
        let packed = std::process::Command::new("xz").args(["-0", "--force"]).arg(&plain).status();
        assert!(packed.expect("xz is installed").success());
        directory.join("part.tar.xz")
    }

    #[test]
    fn patches_come_in_the_order_of_their_series() {
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let path = part(
            directory,
            &[
                ("debian/patches-rt/a.patch", "A"),
                ("debian/patches-rt/b.patch", "B"),
                ("debian/patches-rt/unused.patch", "-"),
                ("debian/patches-rt/series", "# the newest\nb.patch\n\na.patch\n"),
                ("debian/patches/c.patch", "C"),
            ],
        );
        let patches = rt_patches(&path).expect("it can be read");
        let expected = [("b.patch", "B"), ("a.patch", "A")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
        assert_eq!(patches, expected);
        let none = part(directory, &[("debian/patches/c.patch", "C")]);
        assert_eq!(rt_patches(&none).expect("it can be read"), []);
        let missing = part(directory, &[("debian/patches-rt/series", "gone.patch\n")]);
        let failure = rt_patches(&missing).expect_err("one is not there");
        assert!(failure.message.contains("gone.patch"), "{failure}");
        fs_err::write(directory.join("cut.xz"), "no xz").expect("own file");
        rt_patches(&directory.join("cut.xz")).expect_err("it is damaged");
    }
}

use std::collections::HashSet;

use elivepatch_model::{Failure, KernelRelease};

use super::{Apt, apt::PackageFile, kernel_packages::served_releases};
use crate::Observer;

/// The stock kernels in the archive whose source has the version of a release without a suffix, such as
/// `6.1.176`: one for each flavour, sorted. Empty when there is none.
///
/// # Errors
/// `fetch-failed` when the index cannot be fetched or read.
pub fn stock_releases(
    apt: &Apt,
    version: &KernelRelease,
    observer: &dyn Observer,
) -> Result<Vec<KernelRelease>, Failure> {
    let known = look_up(apt, version, observer)?;
    if !known.is_empty() {
        return Ok(known);
    }
    // The index may be older than the kernel; a fresh one is not fetched again.
    apt.update(observer)?;
    look_up(apt, version, observer)
}

fn look_up(
    apt: &Apt,
    version: &KernelRelease,
    observer: &dyn Observer,
) -> Result<Vec<KernelRelease>, Failure> {
    let served: Vec<KernelRelease> = served_releases(apt, observer)?
        .iter()
        .filter_map(|release| release.parse().ok())
        .filter(|release: &KernelRelease| release.series() == version.series())
        .collect();
    if served.is_empty() {
        return Ok(served);
    }
    let names: Vec<String> =
        served.iter().map(|release| format!("linux-image-{release}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let images = apt.versions_of_each(&names, &[], observer)?;
    Ok(of_version(served, &images, &version.upstream_version()))
}

/// The releases of which the newest package has a version of Linux. That package is the one which is taken
/// when nothing but the release is known.
fn of_version(
    releases: Vec<KernelRelease>,
    images: &[PackageFile],
    version: &str,
) -> Vec<KernelRelease> {
    let mut seen = HashSet::new();
    let newest: HashSet<&str> = images
        .iter()
        .filter(|image| seen.insert(image.name.as_str()))
        .filter(|image| upstream(&image.version) == Some(version))
        .map(|image| image.name.as_str())
        .collect();
    let mut found = releases;
    found.retain(|release| newest.contains(format!("linux-image-{release}").as_str()));
    found.sort();
    found
}

/// The version of Linux in that of a package: 6.1.176 in `6.1.176-1`; `None` of a release candidate's
/// (`6.13~rc3-1~exp1`).
fn upstream(version: &str) -> Option<&str> {
    let end = version.find(['-', '~', '+']).unwrap_or(version.len());
    let (upstream, rest) = version.split_at(end);
    (!rest.starts_with("~rc")).then_some(upstream)
}

#[cfg(test)]
mod tests {
    use elivepatch_model::Sha256Digest;

    use super::*;

    fn image(release: &str, version: &str) -> PackageFile {
        PackageFile {
            name: format!("linux-image-{release}"),
            version: version.to_owned(),
            digest: Sha256Digest::of(release.as_bytes()),
            size_bytes: 1,
            file_name: format!("{release}_{version}_amd64.deb"),
        }
    }

    /// The releases of a version among these packages, which come newest first.
    fn found(version: &str, packages: &[(&str, &str)]) -> Vec<String> {
        let images: Vec<PackageFile> =
            packages.iter().map(|(release, version)| image(release, version)).collect();
        let mut releases: Vec<KernelRelease> =
            packages.iter().map(|(release, _)| release.parse().expect("a release")).collect();
        releases.dedup();
        of_version(releases, &images, version).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_flavours_of_a_version_are_found_and_no_other_kernel() {
        let packages = [
            ("6.1.0-50-cloud-amd64", "6.1.176-1"),
            ("6.1.0-50-amd64", "6.1.176-1"),
            ("6.1.0-49-amd64", "6.1.170-3"),
            ("6.1.17-1-amd64", "6.1.17-1"),
        ];
        assert_eq!(found("6.1.176", &packages), ["6.1.0-50-amd64", "6.1.0-50-cloud-amd64"]);
        assert_eq!(found("6.1.17", &packages), ["6.1.17-1-amd64"]);
        assert!(found("6.1.175", &packages).is_empty());
    }

    #[test]
    fn version_is_that_of_linux_whatever_the_package_adds() {
        let packages = [
            ("7.3.4+deb13-amd64", "7.3.4-1~bpo13+1"),
            ("7.0+deb13-amd64", "7.0~rc3-1~exp1"),
            ("6.12.9-amd64", "6.12.9+really-1"),
        ];
        assert_eq!(found("7.3.4", &packages), ["7.3.4+deb13-amd64"]);
        assert_eq!(found("6.12.9", &packages), ["6.12.9-amd64"]);
        assert!(found("7.0", &packages).is_empty(), "a release candidate is another version");
    }

    /// Without more than the release the newest package is taken: an older one of the name counts for nothing.
    #[test]
    fn release_that_was_built_again_has_the_version_of_the_newest_package() {
        let packages = [("6.1.0-50-amd64", "6.1.177-1"), ("6.1.0-50-amd64", "6.1.176-1")];
        assert_eq!(found("6.1.177", &packages), ["6.1.0-50-amd64"]);
        assert!(found("6.1.176", &packages).is_empty());
    }

    /// With `--ignored --nocapture`: needs the archive that this machine's apt is configured with.
    #[test]
    #[ignore = "fetches the archive's indexes, 230 MB"]
    fn version_of_every_stock_kernel_of_the_archive_leads_to_it() {
        use crate::{
            SilentObserver,
            debian::{apt_of_this_machine, find_kernel},
        };
        let temporary = tempfile::tempdir().expect("a directory");
        let apt = apt_of_this_machine(temporary.path());
        let releases = served_releases(&apt, &SilentObserver).expect("an index");
        assert!(!releases.is_empty());
        for release in releases {
            let release: KernelRelease = release.parse().expect("a release");
            let kernel = find_kernel(&apt, &release, None, &SilentObserver).expect("it is served");
            let Some(version) = upstream(&kernel.version) else { continue };
            let version: KernelRelease = version.parse().expect("a version");
            let found = stock_releases(&apt, &version, &SilentObserver).expect("an index");
            println!("{version}: {found:?}");
            assert!(found.contains(&release), "{release} is not found by {version}");
        }
    }
}

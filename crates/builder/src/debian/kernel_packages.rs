use elivepatch_model::{BuildEvent, Failure, FailureClass, KernelRelease, SourceRecord, StepName};

use serde::{Deserialize, Serialize};

use super::apt::{Apt, PackageFile};
use crate::Observer;

/// The packages of one stock kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelPackages {
    /// The version that all of them have, such as `6.1.176-1`.
    pub version: String,
    /// vmlinuz, config and modules.
    pub image: PackageFile,
    /// vmlinux with symbols and DWARF.
    pub debug: PackageFile,
    /// Module.symvers.
    pub headers: PackageFile,
    /// The source as Debian builds it.
    pub source: PackageFile,
}

impl KernelPackages {
    /// All packages.
    pub fn all(&self) -> [&PackageFile; 4] {
        [&self.image, &self.debug, &self.headers, &self.source]
    }

    /// The record for the manifest.
    pub fn record(&self) -> SourceRecord {
        let mut packages: Vec<_> = self
            .all()
            .into_iter()
            .map(|package| elivepatch_model::PackageRecord {
                name: package.name.clone(),
                version: package.version.clone(),
                digest: package.digest,
            })
            .collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        SourceRecord { kind: "debian".to_owned(), version: self.version.clone(), packages }
    }
}

/// Finds the packages of the stock kernel with this release.
///
/// A release can have been built more than once. `kernel_version` is `uname -v` of the target,
/// which names the version; without it the newest version is taken.
///
/// # Errors
/// `release-unknown` when there is no such kernel in the archive, or a package of it is missing;
/// the details list the releases that could be served. `fetch-failed` as [`Apt::versions`].
pub fn find_kernel(
    apt: &Apt,
    release: &KernelRelease,
    kernel_version: Option<&str>,
    observer: &dyn Observer,
) -> Result<KernelPackages, Failure> {
    match look_up(apt, release, kernel_version, observer) {
        // The index may be older than the kernel; a fresh one is not fetched again.
        Err(failure) if failure.class == FailureClass::ReleaseUnknown => {
            apt.update(observer)?;
            look_up(apt, release, kernel_version, observer)
        }
        result => result,
    }
}

fn look_up(
    apt: &Apt,
    release: &KernelRelease,
    kernel_version: Option<&str>,
    observer: &dyn Observer,
) -> Result<KernelPackages, Failure> {
    let name = format!("linux-image-{release}");
    let debug = format!("linux-image-{release}-dbg");
    let headers = format!("linux-headers-{release}");
    let source = format!("linux-source-{}", release.series());
    let found = apt.versions_of_each(&[&name, &debug, &headers, &source], observer)?;
    let (images, others): (Vec<PackageFile>, Vec<PackageFile>) =
        found.into_iter().partition(|package| package.name == name);
    let Some(image) = choose(&images, kernel_version) else {
        return Err(unknown_release(apt, release, &images, kernel_version, observer));
    };
    let version = image.version.clone();
    observer.event(BuildEvent::Log {
        step: StepName::Source,
        line: format!("{release} is Debian's {} {version}", image.name),
    });
    let same_version = |name: &str| -> Result<PackageFile, Failure> {
        let package =
            others.iter().find(|package| package.name == name && package.version == version);
        package.cloned().ok_or_else(|| {
            Failure::new(
                FailureClass::ReleaseUnknown,
                format!("the archive has no {name} {version}, which {release} needs"),
                "the kernel has left the archive: update the target to a kernel that is there",
            )
        })
    };
    Ok(KernelPackages {
        image: image.clone(),
        debug: same_version(&debug)?,
        headers: same_version(&headers)?,
        source: same_version(&source)?,
        version: version.clone(),
    })
}

fn choose<'a>(images: &'a [PackageFile], kernel_version: Option<&str>) -> Option<&'a PackageFile> {
    match kernel_version.and_then(debian_version) {
        Some(version) => images.iter().find(|image| image.version == version),
        None => images.first(),
    }
}

impl KernelPackages {
    /// Whether they may be those of the kernel whose `uname -v` is `kernel_version`.
    pub fn serve(&self, kernel_version: Option<&str>) -> bool {
        kernel_version.and_then(debian_version).is_none_or(|version| version == self.version)
    }
}

/// The package version in Debian's `uname -v`: `#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)`.
fn debian_version(kernel_version: &str) -> Option<&str> {
    let mut words = kernel_version.split_whitespace();
    words.find(|word| *word == "Debian")?;
    words.next()
}

fn unknown_release(
    apt: &Apt,
    release: &KernelRelease,
    images: &[PackageFile],
    kernel_version: Option<&str>,
    observer: &dyn Observer,
) -> Failure {
    if let Some(version) = kernel_version.and_then(debian_version).filter(|_| !images.is_empty()) {
        let known: Vec<&str> = images.iter().map(|image| image.version.as_str()).collect();
        return Failure::new(
            FailureClass::ReleaseUnknown,
            format!(
                "the target runs {release} in version {version}, and the archive has {}",
                known.join(", ")
            ),
            "the kernel has left the archive: update the target to a kernel that is there",
        );
    }
    let served = served_releases(apt, observer).unwrap_or_default();
    let same_version: Vec<&String> = served
        .iter()
        .filter(|other| other.starts_with(&format!("{}.", release.series())))
        .collect();
    let hint = match same_version.first() {
        Some(_) => format!(
            "if the target runs one of the {}.x kernels below, name it: --kernel RELEASE (`uname -r` \
             on the target tells)",
            release.series()
        ),
        None => {
            "name the release as `uname -r` on the target prints it: --kernel RELEASE".to_owned()
        }
    };
    let list = if same_version.is_empty() { served.iter().collect() } else { same_version };
    Failure::new(
        FailureClass::ReleaseUnknown,
        format!("{release} is not a stock kernel of the Debian suites that this server looks in"),
        hint,
    )
    .with_details(list.into_iter().map(|release| format!("the archive has {release}")))
}

/// The releases of stock kernels for which an image and its debug package are in the archive.
fn served_releases(apt: &Apt, observer: &dyn Observer) -> Result<Vec<String>, Failure> {
    let names = apt.names("linux-image-", observer)?;
    let sources = apt.names("linux-source-", observer)?;
    let mut releases: Vec<String> = names
        .iter()
        .filter_map(|name| name.strip_prefix("linux-image-")?.strip_suffix("-dbg"))
        .filter_map(|release| release.parse::<KernelRelease>().ok())
        .filter(|release| sources.contains(&format!("linux-source-{}", release.series())))
        .filter(|release| names.contains(&format!("linux-image-{release}")))
        .map(|release| release.to_string())
        .collect();
    releases.sort();
    Ok(releases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_version_is_read_from_uname() {
        let text = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)";
        assert_eq!(debian_version(text), Some("6.1.176-1"));
        assert_eq!(debian_version("#1 SMP PREEMPT_DYNAMIC @0"), None);
    }
}

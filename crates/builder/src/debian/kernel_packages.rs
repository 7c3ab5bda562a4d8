use elivepatch_model::{
    BuildEvent, Failure, FailureClass, KernelRelease, SourceRecord, StepName,
    debian_package_version,
};

use serde::{Deserialize, Serialize};

use super::apt::{Apt, PackageFile};
use crate::Observer;

/// The packages of one stock kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelPackages {
    /// The version that all of them have, such as `6.1.176-1`.
    pub version: String,
    /// vmlinuz; config and modules too, where they have no packages of their own.
    pub image: PackageFile,
    /// The config. Debian's kernels from 7.x on have it in `linux-base-RELEASE`.
    #[serde(default)]
    pub config: Option<PackageFile>,
    /// The modules. Debian's kernels from 7.x on have them in `linux-modules-RELEASE`.
    #[serde(default)]
    pub modules: Option<PackageFile>,
    /// vmlinux with symbols and DWARF.
    pub debug: PackageFile,
    /// Module.symvers.
    pub headers: PackageFile,
    /// The source as Debian builds it.
    pub source: PackageFile,
    /// Of the flavour `rt`: the part of the source package that may hold patches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<PackageFile>,
}

/// What the release of a kernel has in it that is built for real time.
const RT: &str = "-rt-";

impl KernelPackages {
    /// All packages.
    pub fn all(&self) -> Vec<&PackageFile> {
        let own = [self.config.as_ref(), self.modules.as_ref(), self.patches.as_ref()];
        let always = [&self.image, &self.debug, &self.headers, &self.source];
        always.into_iter().chain(own.into_iter().flatten()).collect()
    }

    /// The package that holds the config.
    pub fn with_config(&self) -> &PackageFile {
        self.config.as_ref().unwrap_or(&self.image)
    }

    /// The package that holds the modules.
    pub fn with_modules(&self) -> &PackageFile {
        self.modules.as_ref().unwrap_or(&self.image)
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
        let (kind, version) = ("debian".to_owned(), self.version.clone());
        SourceRecord { kind, version, packages, ..SourceRecord::default() }
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

/// What can be done about a kernel of which the archive has not all any more.
const LEFT_THE_ARCHIVE: &str = "the kernel has left the archive: update the target to a kernel that \
    is there, or have the server's administrator add a [[source]] of the kind debian with the archive as \
    it was (mirror = \"https://snapshot.debian.org/archive/debian/TIMESTAMP\", valid_until = false), or with \
    the directory in which its .deb files were kept (packages)";

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
    // From 7.x on, the image's package holds nothing and depends on these.
    let split = ["binary", "base", "modules"].map(|part| format!("linux-{part}-{release}"));
    let found = apt.versions_of_each(
        &[&name, &debug, &headers, &source],
        &split.each_ref().map(String::as_str),
        observer,
    )?;
    let (images, others): (Vec<PackageFile>, Vec<PackageFile>) =
        found.into_iter().partition(|package| package.name == name);
    let Some(image) = choose(&images, kernel_version) else {
        return Err(unknown_release(apt, release, &images, kernel_version, observer));
    };
    observer.event(BuildEvent::Log {
        step: StepName::Source,
        line: format!("{release} is Debian's {} {}", image.name, image.version),
    });
    let names = Names { debug: &debug, headers: &headers, source: &source, split: &split };
    let unknown = |missing: &str| {
        Failure::new(
            FailureClass::ReleaseUnknown,
            format!("the archive has no {missing} {}, which {release} needs", image.version),
            LEFT_THE_ARCHIVE,
        )
    };
    let packages = assemble(image, &others, &names).map_err(unknown)?;
    if !release.suffix().contains(RT) {
        return Ok(packages);
    }
    // Debian 12 calls its second kernel's source by the series.
    for source in ["linux".to_owned(), format!("linux-{}", release.series())] {
        if let Some(patches) = apt.debian_part(&source, &packages.version, observer)? {
            return Ok(KernelPackages { patches: Some(patches), ..packages });
        }
    }
    Err(unknown("source package linux"))
}

/// The names of a kernel's packages, beside its image.
struct Names<'a> {
    debug: &'a str,
    headers: &'a str,
    source: &'a str,
    /// Those of vmlinuz, config and modules, where the image's package is split.
    split: &'a [String; 3],
}

/// Puts the packages of one version together.
///
/// # Errors
/// With the name of one that is not there in this version.
fn assemble<'a>(
    image: &PackageFile,
    others: &[PackageFile],
    names: &Names<'a>,
) -> Result<KernelPackages, &'a str> {
    let of_this_version = |name: &'a str| {
        let package =
            others.iter().find(|package| package.name == name && package.version == image.version);
        package.cloned().ok_or(name)
    };
    let [binary, base, modules] = names.split;
    let (image, config, modules) = match of_this_version(binary) {
        Err(_) => (image.clone(), None, None),
        Ok(binary) => (binary, Some(of_this_version(base)?), Some(of_this_version(modules)?)),
    };
    Ok(KernelPackages {
        version: image.version.clone(),
        image,
        config,
        modules,
        debug: of_this_version(names.debug)?,
        headers: of_this_version(names.headers)?,
        source: of_this_version(names.source)?,
        patches: None,
    })
}

fn choose<'a>(images: &'a [PackageFile], kernel_version: Option<&str>) -> Option<&'a PackageFile> {
    match kernel_version.and_then(debian_package_version) {
        Some(version) => images.iter().find(|image| image.version == version),
        None => images.first(),
    }
}

impl KernelPackages {
    /// Whether they may be those of the kernel whose `uname -v` is `kernel_version`.
    pub fn serve(&self, kernel_version: Option<&str>) -> bool {
        kernel_version
            .and_then(debian_package_version)
            .is_none_or(|version| version == self.version)
    }
}

fn unknown_release(
    apt: &Apt,
    release: &KernelRelease,
    images: &[PackageFile],
    kernel_version: Option<&str>,
    observer: &dyn Observer,
) -> Failure {
    if let Some(version) =
        kernel_version.and_then(debian_package_version).filter(|_| !images.is_empty())
    {
        let known: Vec<&str> = images.iter().map(|image| image.version.as_str()).collect();
        return Failure::new(
            FailureClass::ReleaseUnknown,
            format!(
                "the target runs {release} in version {version}, and the archive has {}",
                known.join(", ")
            ),
            LEFT_THE_ARCHIVE,
        );
    }
    // A kernel that the archive has no package of any more still says whose it is.
    if let Some(version) = kernel_version.and_then(debian_package_version) {
        return Failure::new(
            FailureClass::ReleaseUnknown,
            format!(
                "the target runs {release}, Debian's {version}, and the archive does not have it"
            ),
            LEFT_THE_ARCHIVE,
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
            "name the release as `uname -r` on the target prints it: --kernel RELEASE; the source of \
             a kernel of your own belongs into a [[source]] of the server's config"
                .to_owned()
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
pub(super) fn served_releases(apt: &Apt, observer: &dyn Observer) -> Result<Vec<String>, Failure> {
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
    use elivepatch_model::Sha256Digest;

    use super::*;

    fn package(name: &str, version: &str) -> PackageFile {
        PackageFile {
            name: name.to_owned(),
            version: version.to_owned(),
            digest: Sha256Digest::of(name.as_bytes()),
            size_bytes: 1,
            file_name: format!("{name}_{version}_amd64.deb"),
        }
    }

    /// What is assembled of an image in version 2 and these packages.
    fn assembled(others: &[(&str, &str)]) -> Result<KernelPackages, String> {
        let others: Vec<PackageFile> =
            others.iter().map(|(name, version)| package(name, version)).collect();
        let split = ["binary", "base", "modules"].map(str::to_owned);
        let names = Names { debug: "debug", headers: "headers", source: "source", split: &split };
        assemble(&package("image", "2"), &others, &names).map_err(str::to_owned)
    }

    #[test]
    fn image_that_holds_all_is_taken_whole() {
        let packages =
            assembled(&[("debug", "2"), ("headers", "2"), ("source", "2")]).expect("all are there");
        assert_eq!(packages.with_config().name, "image");
        assert_eq!(packages.with_modules().name, "image");
        assert_eq!(packages.record().packages.len(), 4);
    }

    #[test]
    fn parts_of_a_split_image_are_all_found_and_recorded() {
        let parts = [("debug", "2"), ("headers", "2"), ("source", "2"), ("binary", "2")];
        let with = |more: &[(&'static str, &'static str)]| assembled(&[&parts[..], more].concat());
        let packages = with(&[("base", "2"), ("modules", "2")]).expect("all are there");
        assert_eq!(packages.image.name, "binary");
        assert_eq!(packages.with_config().name, "base");
        assert_eq!(packages.with_modules().name, "modules");
        let record = packages.record();
        let names: Vec<&str> = record.packages.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["base", "binary", "debug", "headers", "modules", "source"]);
        assert_eq!(with(&[("base", "2"), ("modules", "1")]), Err("modules".to_owned()));
    }

    #[test]
    fn packages_of_another_version_do_not_serve() {
        let missing = assembled(&[("debug", "1"), ("headers", "2"), ("source", "2")]);
        assert_eq!(missing, Err("debug".to_owned()));
    }

    #[test]
    fn packages_that_were_written_before_there_were_split_ones_are_read() {
        let packages =
            assembled(&[("debug", "2"), ("headers", "2"), ("source", "2")]).expect("all are there");
        let mut old = serde_json::to_value(&packages).expect("plain data");
        let fields = old.as_object_mut().expect("a structure");
        fields.remove("config");
        fields.remove("modules");
        assert_eq!(serde_json::from_value::<KernelPackages>(old).expect("old form"), packages);
    }

    #[test]
    fn kernel_that_left_the_archive_is_told_with_where_to_find_it() {
        use crate::{Cache, DebianOptions, SilentObserver};
        let temporary = tempfile::tempdir().expect("a directory");
        let directory = camino::Utf8Path::from_path(temporary.path()).expect("UTF-8");
        let cache = Cache::open(&directory.join("cache")).expect("own directory");
        let mirror = Some("http://127.0.0.1:9/debian".to_owned());
        let options =
            DebianOptions { mirror: mirror.clone(), security_mirror: mirror, ..Default::default() };
        let apt = Apt::open(&cache, &options).expect("own directory");
        let release: KernelRelease = "6.1.0-40-cloud-amd64".parse().expect("a release");
        let text = "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)";
        // Nothing of the release is listed any more, or another version of it is.
        let other = [package("linux-image-6.1.0-40-cloud-amd64", "6.1.152-1")];
        for images in [&[][..], &other] {
            let failure = unknown_release(&apt, &release, images, Some(text), &SilentObserver);
            assert_eq!(failure.class, FailureClass::ReleaseUnknown);
            assert!(failure.message.contains("6.1.153-1"), "{failure}");
            for part in ["snapshot.debian.org/archive/debian/TIMESTAMP", "(packages)"] {
                assert!(failure.hint.contains(part), "{part}: {}", failure.hint);
            }
        }
    }

    /// With `--ignored --nocapture`: needs the archive that this machine's apt is configured with.
    #[test]
    #[ignore = "fetches the archive's indexes, 230 MB"]
    fn every_stock_kernel_of_the_archive_is_found() {
        use crate::{SilentObserver, debian::apt_of_this_machine};
        let temporary = tempfile::tempdir().expect("a directory");
        let apt = apt_of_this_machine(temporary.path());
        let releases = served_releases(&apt, &SilentObserver).expect("an index");
        let mut lines = Vec::new();
        for release in &releases {
            let parsed: KernelRelease = release.parse().expect("a release");
            lines.push(match find_kernel(&apt, &parsed, None, &SilentObserver) {
                Ok(packages) => {
                    let bytes: u64 = packages.all().iter().map(|package| package.size_bytes).sum();
                    format!(
                        "{release}: {} packages, {}, {} MB",
                        packages.all().len(),
                        packages.version,
                        bytes / 1_000_000
                    )
                }
                Err(failure) => format!("{release}: FAILED: {failure}"),
            });
        }
        let text = lines.join("\n");
        println!("{text}");
        for flavour in ["-amd64", "-cloud-amd64", "-rt-amd64"] {
            assert!(
                releases.iter().any(|release| release.ends_with(flavour)),
                "no {flavour}: {text}"
            );
        }
        assert!(!text.contains("FAILED"), "{text}");
    }
}

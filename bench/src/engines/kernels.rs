//! The small kernels that are built from Debian's source packages.

use anyhow::{Context, bail};
use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_builder::{Apt, SilentObserver, unpack_source_tarball};
use elivepatch_model::{Architecture, KernelConfig, KernelRelease, TargetFacts};

/// A kernel that is built from source.
pub struct SourceKernel {
    /// What it calls itself.
    pub release: KernelRelease,
    /// Its config.
    pub config: Vec<u8>,
    /// The package with its source.
    source_package: String,
}

impl SourceKernel {
    /// Reads the config `NAME.config`.
    ///
    /// # Errors
    /// When it does not say which version it is for.
    pub fn read(directory: &Utf8Path, name: &str, source_package: &str) -> anyhow::Result<Self> {
        let path = directory.join(format!("{name}.config"));
        let text = fs_err::read_to_string(&path)?;
        let version = text.lines().find_map(|line| {
            line.strip_prefix("# Linux/x86 ")?.strip_suffix(" Kernel Configuration")
        });
        let version = version.with_context(|| format!("{path} names no version"))?;
        let config = KernelConfig::parse(text.as_bytes())?;
        let release = format!("{version}{}", config.text("LOCALVERSION").unwrap_or_default());
        let release = release.parse().with_context(|| format!("{path}: {release}"))?;
        Ok(Self { release, config: text.into_bytes(), source_package: source_package.to_owned() })
    }

    /// The kernel as a target.
    pub fn target(&self) -> TargetFacts {
        TargetFacts::new(self.release.clone(), Architecture::X86_64)
    }

    /// The directory of its base in the cache: of those of its release the one with its config, and
    /// the newest, if there are several. Kernels of one version may differ in nothing else.
    ///
    /// # Errors
    /// When there is none.
    pub fn base(&self, cache: &Utf8Path) -> anyhow::Result<Utf8PathBuf> {
        let begins = format!("{}-", self.release);
        let mut found = Vec::new();
        for entry in cache.join("bases").read_dir_utf8()? {
            let path = entry?.into_path();
            let is_ours = path.file_name().is_some_and(|name| name.starts_with(&begins));
            let is_ours =
                is_ours && fs_err::read(path.join("config")).is_ok_and(|c| c == self.config);
            if is_ours && let Ok(metadata) = fs_err::metadata(path.join("base.json")) {
                found.push((metadata.modified()?, path));
            }
        }
        let newest = found.into_iter().max();
        Ok(newest.with_context(|| format!("the cache has no base of {}", self.release))?.1)
    }
}

/// The tarball out of the kernel's source package, in the cache.
///
/// # Errors
/// When the archive has no package of that version.
pub fn source_tarball(
    kernel: &SourceKernel,
    cache_directory: &Utf8Path,
    apt: &Apt,
) -> anyhow::Result<Utf8PathBuf> {
    let (major, minor, patch) = kernel.release.version();
    let begins = format!("{major}.{minor}.{patch}-");
    let versions = apt.versions(&kernel.source_package, &SilentObserver)?;
    let Some(package) = versions.iter().find(|package| package.version.starts_with(&begins)) else {
        bail!("the archive has no {} {begins}…", kernel.source_package);
    };
    let directory = cache_directory.join("test/sources");
    fs_err::create_dir_all(&directory)?;
    let tarball = directory.join(format!("{}_{}.tar.xz", package.name, package.version));
    if !tarball.exists() {
        let file = apt.fetch(package, &SilentObserver)?;
        let partial = directory.join(format!("{}.partial-{}", package.name, std::process::id()));
        unpack_source_tarball(&file, &partial)?;
        fs_err::rename(&partial, &tarball)?;
    }
    Ok(tarball)
}

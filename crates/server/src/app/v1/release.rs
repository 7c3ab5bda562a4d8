use elivepatch_model::{KernelConfig, KernelRelease};

/// The release, as `uname -r` prints it, of the kernel with this config that an old client calls by `version`.
///
/// The first elivepatch knew kernels by the version of their source, such as `5.1.6`; a livepatch is for one
/// release. When the version is that of the config's header, or its beginning, the release is put together as
/// the kernel's own build does it, from the header and `CONFIG_LOCALVERSION`. Any other version is taken for the
/// release itself: Debian's have their own numbers.
pub(super) fn release_meant(version: &KernelRelease, config: &KernelConfig) -> KernelRelease {
    let of_source = config.header_version().filter(|_| config.is_of_source(version));
    let Some(of_source) = of_source else { return version.clone() };
    let local = config.text("LOCALVERSION").unwrap_or_default();
    format!("{of_source}{local}").parse().unwrap_or_else(|_| version.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(version: &str, config: &str) -> String {
        let config = format!("{config}\nCONFIG_X86_64=y\n");
        let config = KernelConfig::parse(config.as_bytes()).expect("a config");
        release_meant(&version.parse().expect("a version"), &config).to_string()
    }

    #[test]
    fn version_of_the_source_becomes_the_release_that_its_config_makes() {
        let gentoo = "# Linux/x86 5.1.6-gentoo Kernel Configuration";
        assert_eq!(meant("5.1.6", gentoo), "5.1.6-gentoo");
        assert_eq!(meant("5.1.6-gentoo", gentoo), "5.1.6-gentoo");
        let own = format!("{gentoo}\nCONFIG_LOCALVERSION=\"-mine\"");
        assert_eq!(meant("5.1.6", &own), "5.1.6-gentoo-mine");
        assert_eq!(meant("5.1.6-gentoo", &own), "5.1.6-gentoo-mine");
        assert_eq!(meant("5.1.6-gentoo-mine", &own), "5.1.6-gentoo-mine");
        assert_eq!(meant("5.1.6", "# no header"), "5.1.6");
    }

    #[test]
    fn other_version_than_the_configs_is_the_release_itself() {
        let header = "# Linux/x86 5.1.60-gentoo Kernel Configuration";
        assert_eq!(meant("5.1.6", header), "5.1.6");
        let debian = "# Linux/x86 6.1.176 Kernel Configuration";
        assert_eq!(meant("6.1.0-50-cloud-amd64", debian), "6.1.0-50-cloud-amd64");
    }
}

use elivepatch_model::{KernelConfig, KernelRelease};

/// The release, as `uname -r` prints it, of the kernel with this config that an old client calls by `version`.
///
/// The first elivepatch knew kernels by the version of their source, such as `5.1.6`; a livepatch is for one
/// release. When the version is that of the config's header, or its beginning, the release is put together as
/// the kernel's own build does it, from the header and `CONFIG_LOCALVERSION`; of a stock kernel of Debian it is
/// in `CONFIG_BUILD_SALT`. Any other version is taken for the release itself.
pub(super) fn release_meant(version: &KernelRelease, config: &KernelConfig) -> KernelRelease {
    let Some(of_source) = config.header_version() else { return version.clone() };
    let rest = of_source.as_str().strip_prefix(version.as_str());
    if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-')) {
        return version.clone();
    }
    let local = config.text("LOCALVERSION").unwrap_or_default();
    // Who takes Debian's config for a kernel of his own takes the salt with it, and names his kernel.
    let is_plain = of_source.suffix().is_empty() && local.is_empty();
    let stock = config.build_salt_release().filter(|stock| stock.series() == of_source.series());
    if let Some(stock) = stock.filter(|_| is_plain) {
        return stock;
    }
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
        let debian =
            "# Linux/x86 6.1.176 Kernel Configuration\nCONFIG_BUILD_SALT=\"6.1.0-50-cloud-amd64\"";
        assert_eq!(meant("6.1.0-50-cloud-amd64", debian), "6.1.0-50-cloud-amd64");
    }

    #[test]
    fn stock_kernel_of_debian_is_known_by_its_salt_and_a_kernel_made_of_its_config_is_not() {
        let salt = "CONFIG_BUILD_SALT=\"6.1.0-50-cloud-amd64\"";
        let of = |header: &str| format!("# Linux/x86 {header} Kernel Configuration\n{salt}");
        assert_eq!(meant("6.1.176", &of("6.1.176")), "6.1.0-50-cloud-amd64");
        assert_eq!(meant("6.6.5", &of("6.6.5")), "6.6.5");
        assert_eq!(meant("6.1.180", &of("6.1.180-gentoo")), "6.1.180-gentoo");
        let own = format!("{}\nCONFIG_LOCALVERSION=\"-mine\"", of("6.1.176"));
        assert_eq!(meant("6.1.176", &own), "6.1.176-mine");
    }
}

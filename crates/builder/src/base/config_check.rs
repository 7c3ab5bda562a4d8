use elivepatch_model::{ConfigDifference, Failure, FailureClass, KernelConfig, KernelRelease};

/// Options that say how a kernel was packaged and signed, not how its code was compiled: Debian's
/// packaged config lacks them, and `make olddefconfig` adds them with their defaults.
const PACKAGING_OPTIONS: [&str; 4] =
    ["BUILD_SALT", "MODULE_SIG_ALL", "MODULE_SIG_KEY", "SYSTEM_TRUSTED_KEYS"];

/// Differing options that an error lists; more help nobody.
const LISTED: usize = 20;

/// Refuses a config that is not the one the stock kernel was built with.
///
/// # Errors
/// `config-mismatch`, with the options that differ.
pub fn check_config(
    config: &KernelConfig,
    package_config: &KernelConfig,
    release: &KernelRelease,
) -> Result<(), Failure> {
    let differences = code_differences(config, package_config);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        FailureClass::ConfigMismatch,
        format!(
            "the config is not that of the stock kernel {release}: {} (yours / Debian's)",
            count(differences.len())
        ),
        "if the target runs the stock kernel, send its own config; of a kernel that was built with \
         another config, the server's administrator names the source in a [[source]] of the server's \
         config",
    )
    .with_details(list(&differences)))
}

/// Refuses a config that changed when it was normalised with the toolchain root.
pub(super) fn check_normalised(before: &KernelConfig, after: &KernelConfig) -> Result<(), Failure> {
    let differences = code_differences(before, after);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        FailureClass::BaseFailed,
        format!(
            "the config changes when it is normalised: {} (before / after)",
            count(differences.len())
        ),
        "the toolchain root lacks a tool that the kernel was built with: please report it",
    )
    .with_details(list(&differences)))
}

/// Refuses a config that changed when it was normalised with the source that the server has for it.
///
/// # Errors
/// `config-mismatch`, with the options that changed.
pub(super) fn check_normalised_by_source(
    before: &KernelConfig,
    after: &KernelConfig,
    source: &str,
) -> Result<(), Failure> {
    let mut differences = code_differences(before, after);
    differences.retain(|difference| !is_about_an_unused_tool(&difference.option, before, after));
    if differences.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        FailureClass::ConfigMismatch,
        format!(
            "the config changes when it is normalised with the server's source {source}: {} (yours \
             / normalised)",
            count(differences.len())
        ),
        "send the running kernel's own config (/proc/config.gz); if it is that, the source is not \
         the one that it was built from, or the toolchain root lacks a tool",
    )
    .with_details(list(&differences)))
}

/// Whether an option only says which version of a tool was at hand that this kernel does not use:
/// pahole makes BTF, rustc and bindgen the code in Rust, and keys concern no code.
fn is_about_an_unused_tool(option: &str, before: &KernelConfig, after: &KernelConfig) -> bool {
    let off = |name| !before.is_yes(name) && !after.is_yes(name);
    (option.starts_with("PAHOLE_") && off("DEBUG_INFO_BTF"))
        || ((option.starts_with("RUSTC_") || option.starts_with("BINDGEN_")) && off("RUST"))
        || ["RUST_IS_AVAILABLE", "HAVE_RUST"].contains(&option) && off("RUST")
        || ["SYSTEM_REVOCATION_KEYS", "SYSTEM_BLACKLIST_HASH_LIST"].contains(&option)
}

fn code_differences(left: &KernelConfig, right: &KernelConfig) -> Vec<ConfigDifference> {
    let mut differences = left.differences(right);
    differences.retain(|difference| !PACKAGING_OPTIONS.contains(&difference.option.as_str()));
    differences
}

fn count(options: usize) -> String {
    if options == 1 { "1 option differs".to_owned() } else { format!("{options} options differ") }
}

fn list(differences: &[ConfigDifference]) -> Vec<String> {
    let mut lines: Vec<String> = differences.iter().take(LISTED).map(ToString::to_string).collect();
    if differences.len() > LISTED {
        lines.push(format!("… and {} more", differences.len() - LISTED));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> KernelConfig {
        KernelConfig::parse(text.as_bytes()).expect("a valid config")
    }

    #[test]
    fn packaging_options_may_differ() {
        let release = "6.1.0-50-cloud-amd64".parse().expect("a real release");
        let own = config("CONFIG_HZ=250\nCONFIG_BUILD_SALT=\"x\"\n");
        assert_eq!(check_config(&own, &config("CONFIG_HZ=250\n"), &release), Ok(()));
    }

    #[test]
    fn config_that_changes_by_the_source_is_refused_with_its_options() {
        let before = config("CONFIG_HZ=250\nCONFIG_OLD=y\nCONFIG_PAHOLE_VERSION=0\n");
        let after = config("CONFIG_HZ=250\nCONFIG_NEW=m\nCONFIG_PAHOLE_VERSION=130\n");
        let failure = check_normalised_by_source(&before, &after, "linux.tar.xz")
            .expect_err("two options differ");
        assert_eq!(failure.class, FailureClass::ConfigMismatch);
        assert!(failure.message.contains("linux.tar.xz: 2 options differ"), "{}", failure.message);
        assert_eq!(failure.details, ["CONFIG_NEW: off / m", "CONFIG_OLD: y / off"]);
    }

    #[test]
    fn config_of_a_stock_kernel_that_changes_when_it_is_normalised_is_refused_with_its_options() {
        let before = config("CONFIG_HZ=250\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_PAHOLE_VERSION=124\n");
        // What olddefconfig adds of how the kernel is signed concerns no code.
        let signed = config(
            "CONFIG_HZ=250\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_PAHOLE_VERSION=124\n\
             CONFIG_MODULE_SIG_KEY=\"certs/signing_key.pem\"\nCONFIG_BUILD_SALT=\"\"\n",
        );
        assert_eq!(check_normalised(&before, &signed), Ok(()));
        // As without pahole. Here every option counts: the root must have all that Debian had.
        let after = config("CONFIG_HZ=250\nCONFIG_PAHOLE_VERSION=0\n");
        let failure = check_normalised(&before, &after).expect_err("two options differ");
        assert_eq!(failure.class, FailureClass::BaseFailed);
        let said = "the config changes when it is normalised: 2 options differ (before / after)";
        assert_eq!(failure.message, said);
        let details = ["CONFIG_DEBUG_INFO_BTF: y / off", "CONFIG_PAHOLE_VERSION: 124 / 0"];
        assert_eq!(failure.details, details);
        assert!(failure.hint.contains("lacks a tool"), "{}", failure.hint);
    }

    #[test]
    fn version_of_pahole_counts_only_where_it_is_used() {
        let text = "CONFIG_PAHOLE_VERSION=124\nCONFIG_DEBUG_INFO_BTF=y\n";
        let after = config(&text.replace("124", "130"));
        assert!(check_normalised_by_source(&config(text), &after, "linux").is_err());
        let (plain, other) = ("CONFIG_PAHOLE_VERSION=124\n", "CONFIG_PAHOLE_VERSION=130\n");
        assert_eq!(check_normalised_by_source(&config(plain), &config(other), "linux"), Ok(()));
    }

    #[test]
    fn differing_options_are_listed_up_to_a_limit() {
        let release = "6.1.0-50-cloud-amd64".parse().expect("a real release");
        let many: String = (0..30).map(|number| format!("CONFIG_X{number:02}=y\n")).collect();
        let failure = check_config(&config(&many), &config("CONFIG_X00=y\n"), &release)
            .expect_err("29 options differ");
        assert_eq!(failure.class, FailureClass::ConfigMismatch);
        assert_eq!(failure.details.len(), 21);
        assert_eq!(failure.details[0], "CONFIG_X01: y / off");
        assert_eq!(failure.details[20], "… and 9 more");
    }
}

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
        "if the target runs the stock kernel, send its own config; a kernel that was built with \
         another config cannot be served yet",
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

//! Whether a source tree is that of a target, by its version.

use elivepatch_model::{Failure, FailureClass, KernelConfig, KernelRelease};

/// Refuses a source tree that is not of the version that config and release say.
///
/// `version` is what `make kernelversion` prints, `suffix` what the files `localversion*` at the
/// top of the tree hold. A release may go on behind what tree and config give: with `+` or a commit
/// of git, or with what was said on make's command line.
///
/// # Errors
/// `config-mismatch` when the config was made by another version, `source-unusable` when the
/// release cannot come from this tree.
pub(super) fn check_version(
    version: &str,
    suffix: &str,
    config: &KernelConfig,
    release: &KernelRelease,
    source: &str,
) -> Result<(), Failure> {
    check_header(version, config, release, source)?;
    let own = config.text("LOCALVERSION").unwrap_or_default();
    let made = format!("{version}{suffix}{own}");
    let rest = release.as_str().strip_prefix(&made);
    if rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit() || next == '.'))
    {
        return Ok(());
    }
    Err(Failure::new(
        FailureClass::SourceUnusable,
        format!(
            "the target runs {release}, and the server's source for it, {source}, makes {made} with \
             this config"
        ),
        "the [[source]] of this release in the server's config must be the tree that the running \
         kernel was built from",
    ))
}

/// Refuses a config that another version of Linux made than the source tree is of.
///
/// # Errors
/// `config-mismatch`.
pub(in crate::base) fn check_header(
    version: &str,
    config: &KernelConfig,
    release: &KernelRelease,
    source: &str,
) -> Result<(), Failure> {
    if let Some(header) = config.header_version()
        && header.as_str() != version
    {
        return Err(Failure::new(
            FailureClass::ConfigMismatch,
            format!(
                "the config was made by Linux {header}, and the server's source for {release}, \
                 {source}, is Linux {version}"
            ),
            "send the running kernel's own config (/proc/config.gz); if it is that, the server's \
             config names another kernel's source in [[source]]",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, suffix: &str, release: &str) -> Result<(), Failure> {
        let text = "# Linux/x86 6.12.117 Kernel Configuration\nCONFIG_LOCALVERSION=\"-small\"\n";
        let config = KernelConfig::parse(text.as_bytes()).expect("a valid config");
        let release = release.parse().expect("a valid release");
        check_version(version, suffix, &config, &release, "linux.tar.xz")
    }

    #[test]
    fn release_is_what_tree_and_config_make_and_may_go_on() {
        for release in ["6.12.117-small", "6.12.117-small+", "6.12.117-small-00042-gdeadbeef"] {
            assert_eq!(check("6.12.117", "", release), Ok(()));
        }
        assert_eq!(check("6.12.117", "-rt2", "6.12.117-rt2-small"), Ok(()));
    }

    #[test]
    fn tree_of_another_version_is_refused_with_both_versions() {
        let failure = check("6.12.107", "", "6.12.117-small").expect_err("another version");
        assert_eq!(failure.class, FailureClass::ConfigMismatch);
        assert!(failure.message.contains("made by Linux 6.12.117"), "{}", failure.message);
        assert!(failure.message.contains("linux.tar.xz, is Linux 6.12.107"), "{}", failure.message);
    }

    #[test]
    fn release_that_cannot_come_from_the_tree_is_refused_with_both_names() {
        for release in ["6.12.117-other", "6.12.117", "6.12.117-small2", "6.12.1170-small"] {
            let failure = check("6.12.117", "", release).expect_err("another release");
            assert_eq!(failure.class, FailureClass::SourceUnusable);
            assert!(failure.message.contains(&format!("runs {release},")), "{}", failure.message);
            assert!(failure.message.contains("makes 6.12.117-small"), "{}", failure.message);
        }
        assert!(check("6.12.117", "-rt2", "6.12.117-small").is_err());
    }
}

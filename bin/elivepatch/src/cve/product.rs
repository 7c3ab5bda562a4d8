//! The name of a kernel as a package URL.

use elivepatch_model::{TargetFacts, debian_package_version};

/// The package URL of a kernel: Debian's package, where `uname -v` tells its version; else Linux in its version,
/// with the release.
pub fn package_url(target: &TargetFacts, linux_version: &str) -> String {
    let release = escaped(target.release.as_str());
    let debian = target.kernel_version.as_deref().and_then(debian_package_version);
    match debian {
        Some(version) => {
            let version = escaped(version);
            // Debian's name for the one architecture that there is.
            format!("pkg:deb/debian/linux-image-{release}@{version}?arch=amd64")
        }
        None => {
            let (version, architecture) =
                (escaped(linux_version), escaped(target.architecture.as_str()));
            format!("pkg:generic/linux@{version}?arch={architecture}&release={release}")
        }
    }
}

/// What a package URL takes as it is; all else by its bytes in hexadecimal.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use elivepatch_model::Architecture;

    use super::*;

    #[test]
    fn kernel_is_debians_package_or_linux() {
        let release = "6.1.0-50-cloud-amd64".parse().expect("a release");
        let mut target = TargetFacts::new(release, Architecture::X86_64);
        assert_eq!(
            package_url(&target, "6.1.176"),
            "pkg:generic/linux@6.1.176?arch=x86_64&release=6.1.0-50-cloud-amd64"
        );
        target.kernel_version = Some("#1 SMP Debian 6.1.176-1~deb12+1 (2026-07-02)".to_owned());
        assert_eq!(
            package_url(&target, "6.1.176"),
            "pkg:deb/debian/linux-image-6.1.0-50-cloud-amd64@6.1.176-1~deb12%2B1?arch=amd64"
        );
        target.kernel_version = Some("#1 SMP Debian a/b?c=\u{e9}".to_owned());
        let url = package_url(&target, "6.1.176");
        assert!(url.ends_with("@a%2Fb%3Fc%3D%C3%A9?arch=amd64"), "{url}");
    }
}

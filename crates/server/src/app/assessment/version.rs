//! Which version of Linux a kernel is, and whether that tells its fixes.

use elivepatch_api::AssessmentRequest;
use elivepatch_cve::LinuxVersion;
use elivepatch_model::{TargetFacts, debian_package_version};

use super::Inventory;
use crate::app::AppError;

/// Distributions (`ID` of os-release) whose kernels have the fixes of their version and no others: Debian
/// takes whole versions of the stable branch, and on Gentoo people build upstream's. Of any other the version
/// is an upper bound.
const BY_VERSION: [&str; 2] = ["debian", "gentoo"];

/// What the releases of vendors have in their suffix who put fixes into kernels without another version, with
/// who they are. Such a kernel may run on another distribution than it was made for.
const VENDORS: [&str; 30] = [
    // Red Hat and its rebuilds, Oracle's UEK, Fedora, Amazon, Azure Linux, openEuler, Alibaba, Anolis, Tencent.
    ".el",
    "uek",
    ".fc",
    ".amzn",
    ".cm",
    ".azl",
    ".oe",
    ".al",
    ".an",
    ".tl",
    // Ubuntu and those that are made from it.
    "-generic",
    "-lowlatency",
    "-aws",
    "-azure",
    "-gcp",
    "-gke",
    "-oracle",
    "-ibm",
    "-kvm",
    "-oem",
    "-raspi",
    "-nvidia",
    "-tegra",
    "-pve",
    // SUSE, Microsoft, Android, ChromeOS and Google's.
    "-default",
    "-preempt",
    "-microsoft",
    "-android",
    "-chromeos",
    "-cos",
];

/// The version of a kernel, with where it is known from.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// The version.
    pub linux: LinuxVersion,
    /// Where it is known from, for people.
    pub origin: &'static str,
}

/// The kernel's version of Linux: what the request says, or the base's source, or Debian's `uname -v`, or
/// the release.
pub(super) fn version(
    request: &AssessmentRequest,
    inventory: Option<&Inventory>,
    base_doubt: Option<&str>,
) -> Result<Version, AppError> {
    let target = &request.target;
    if let Some(text) = &request.linux_version {
        let linux = text.parse::<LinuxVersion>().map_err(|error| {
            AppError::bad_request(
                error.to_string(),
                "give it as MAJOR.MINOR.PATCH, such as 6.1.176, or 6.13-rc3",
            )
        })?;
        return Ok(Version { linux, origin: "as asked for" });
    }
    let base = inventory.and_then(|inventory| upstream(inventory.version.as_deref()?));
    let debian =
        target.kernel_version.as_deref().and_then(debian_package_version).and_then(upstream);
    let known = [(debian, "from uname -v"), (base, "from the source of its base")];
    if let Some((linux, origin)) =
        known.into_iter().find_map(|(linux, origin)| Some((linux?, origin)))
    {
        return Ok(Version { linux, origin });
    }
    let (_, _, patch) = target.release.version();
    let suffix = target.release.suffix();
    // `5.15.0-91-generic`, `6.1.0-50-cloud-amd64` and `6.12.0-custom` name an ABI or a flavour of what may be
    // any version of the branch; `6.13.0-rc3` is what it says.
    let flavour = suffix.strip_prefix('-').map(|rest| rest.split('-').next().unwrap_or_default());
    let is_any = patch == 0 && flavour.is_some_and(|flavour| !is_candidate(flavour));
    let linux = target.release.upstream_version().parse().ok().filter(|_| !is_any);
    linux.map(|linux| Version { linux, origin: "from the release" }).ok_or_else(|| {
        let doubt = base_doubt.map(|doubt| format!("; {doubt}")).unwrap_or_default();
        AppError::bad_request(
            format!(
                "the release {} does not tell which version of Linux it is{doubt}",
                target.release
            ),
            "say it with --linux-version, or send the facts of the machine (its uname -v)",
        )
    })
}

/// The version of Linux in that of a package or source: 6.1.176 in `6.1.176-1`, 7.3.4 in
/// `7.3.4-1~bpo13+1`, 6.13-rc3 in `6.13~rc3-1~exp1` and `6.13-rc3`.
pub(super) fn upstream(version: &str) -> Option<LinuxVersion> {
    let mut parts = version.split(['-', '~', '+']);
    let numbers = parts.next()?;
    match parts.next().filter(|part| is_candidate(part)) {
        Some(candidate) => format!("{numbers}-{candidate}").parse().ok(),
        None => numbers.parse().ok(),
    }
}

/// Whether a text is `rc` with a number.
fn is_candidate(text: &str) -> bool {
    let number = text.strip_prefix("rc").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a kernel may have fewer flaws than its version says.
pub(super) fn is_upper_bound(target: &TargetFacts) -> bool {
    let distribution = target.machine.as_ref().and_then(|machine| machine.distribution.as_ref());
    let is_unknown = distribution.is_some_and(|found| !BY_VERSION.contains(&found.id.as_str()));
    is_unknown || VENDORS.iter().any(|vendor| has_part(target.release.suffix(), vendor))
}

/// Whether a suffix has a part, with a number or nothing of its own behind it: `.el` as in `.el9`, `-aws` as in
/// `-aws-64k`, and not as in `-awsome`.
fn has_part(suffix: &str, part: &str) -> bool {
    suffix.match_indices(part).any(|(at, _)| {
        let next = suffix[at + part.len()..].chars().next();
        next.is_none_or(|next| !next.is_ascii_alphabetic())
    })
}

use elivepatch_model::{Failure, KernelRelease};

use super::{Apt, find_kernel, read_first_file};
use crate::Observer;

/// The config of a stock kernel, out of its package; fetches that when it is not in the cache.
///
/// # Errors
/// `release-unknown` when the archive has no such kernel; those of fetching.
pub fn stock_config(
    apt: &Apt,
    release: &KernelRelease,
    observer: &dyn Observer,
) -> Result<Vec<u8>, Failure> {
    let packages = find_kernel(apt, release, None, observer)?;
    let package = apt.hold(packages.with_config(), observer)?;
    let places = [format!("boot/config-{release}"), format!("usr/lib/modules/{release}/config")];
    let mut config = Vec::new();
    read_first_file(&package, &|path| places.iter().any(|place| path == place), &mut |content| {
        content.read_to_end(&mut config).map(drop)
    })?;
    Ok(config)
}

//! The source of stock kernels: Debian's archive.
//!
//! apt itself fetches and verifies: it checks the archive's signatures, then every package against
//! the signed index, and resumes what was interrupted. It runs with a state directory of its own
//! in the cache, so the machine's own apt is neither used nor changed; only the mirror and the
//! proxy are taken from the machine's configuration.

mod apt;
mod download;
mod faults;
mod indexes;
mod kept_packages;
mod kernel_packages;
mod mirror;
mod options;
mod proxy;
mod source_package;
mod stanza;
mod stock_config;
mod stock_releases;
mod suites;
mod unpack;

pub use apt::Apt;
pub use download::HeldPackage;
pub(crate) use faults::fault_in;
pub(crate) use indexes::names_of_indexes;
pub use kernel_packages::{KernelPackages, find_kernel};
pub use options::{DebianOptions, MirrorTimes, PackageDirectory};
pub(crate) use source_package::rt_patches;
pub use stock_config::stock_config;
pub use stock_releases::stock_releases;
pub use unpack::{for_each_file, read_first_file, unpack_package, unpack_source_tarball};

/// The archive that this machine's apt is configured with, its indexes fetched below a directory.
#[cfg(test)]
fn apt_of_this_machine(place: &std::path::Path) -> Apt {
    let directory = camino::Utf8Path::from_path(place).expect("UTF-8");
    let cache = crate::Cache::open(&directory.join("cache")).expect("own directory");
    let apt = Apt::open(&cache, &crate::DebianOptions::default()).expect("a mirror");
    apt.update(&crate::SilentObserver).expect("the archive answers");
    apt
}

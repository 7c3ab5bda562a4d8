//! What is taken out of a kernel's own packages: config, bootable image, and the vermagic.

use std::io;

use camino::Utf8Path;
use elivepatch_elf::Module;
use elivepatch_model::{Failure, FailureClass, KernelRelease};

use super::facts::{KERNEL_IMAGE, PACKAGE_CONFIG};
use crate::{
    debian::{for_each_file, read_first_file},
    module_file::{module_of_file, read_module_file},
};

/// The largest module that is read for its vermagic, in bytes.
const MODULE_BYTES: u64 = 64 * 1024 * 1024;

/// Takes config and bootable image out of their packages; gives the vermagic of the modules.
///
/// Debian's kernels before 7.x have the first two below `/boot`; from then on, all lies below
/// `/usr/lib/modules/RELEASE`.
///
/// # Errors
/// `base-failed` when a package cannot be read or lacks its file.
pub(super) fn take_image_files(
    image: &Utf8Path,
    config: &Utf8Path,
    modules: &Utf8Path,
    release: &KernelRelease,
    staging: &Utf8Path,
) -> Result<String, Failure> {
    for (package, name, to) in
        [(config, "config", PACKAGE_CONFIG), (image, "vmlinuz", KERNEL_IMAGE)]
    {
        let places =
            [format!("boot/{name}-{release}"), format!("usr/lib/modules/{release}/{name}")];
        read_first_file(
            package,
            &|path| places.iter().any(|place| path == place),
            &mut |content| {
                io::copy(content, &mut fs_err::File::create(staging.join(to))?)?;
                Ok(())
            },
        )?;
    }
    vermagic(modules)
}

/// The vermagic of the first module in the package.
fn vermagic(package: &Utf8Path) -> Result<String, Failure> {
    let mut module = Vec::new();
    for_each_file(package, &mut |path, content| {
        let is_module = path.contains("lib/modules/") && module_of_file(path).is_some();
        if is_module {
            module = read_module_file(path, content, MODULE_BYTES)?;
        }
        Ok(!is_module)
    })?;
    let vermagic =
        Module::read(&module).ok().and_then(|module| module.modinfo.vermagic().map(str::to_owned));
    vermagic.ok_or_else(|| {
        Failure::new(
            FailureClass::BaseFailed,
            format!("the modules in {package} have no vermagic"),
            "this kernel's packages are laid out differently: please report it",
        )
    })
}

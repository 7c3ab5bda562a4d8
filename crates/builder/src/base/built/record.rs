//! What is noted of a kernel that was built: everything that a later build asks its base.

use std::{collections::BTreeMap, io::Read as _};

use camino::Utf8Path;
use elivepatch_elf::{Module, Vmlinux};
use elivepatch_model::{Failure, FailureClass};

use super::{
    super::{
        facts::{
            BaseFacts, FileDigests, KERNEL_IMAGE, MODULE_TABLE, PACKAGE_CONFIG, SOURCES,
            SYMBOL_TABLE, base_io,
        },
        module_facts::{LoadableModules, MODULE_BYTES, ModuleFacts},
        vmlinux_facts::{VmlinuxFacts, unreadable},
    },
    Building, SMALL_FILE_BYTES, kbuild,
    staging::Staging,
};
use crate::{
    base::{WORK, workspace::INPUTS},
    disk_need::bytes_below,
    source::KernelSource,
    untrusted_file::{open_untrusted_below, read_untrusted_below},
};

/// Where Kbuild leaves the bootable image on x86-64.
const BOOTABLE_IMAGE: &str = "arch/x86/boot/bzImage";

/// The archives that vmlinux is linked from: the objects that were selected, and those that are
/// taken when something needs them.
const ARCHIVES: [&str; 3] = ["vmlinux.a", "lib/lib.a", "arch/x86/lib/lib.a"];

/// What linking leaves and nothing needs any more: half of what the build adds to the tree.
fn is_left_over(name: &str) -> bool {
    ["vmlinux.o", "vmlinux.unstripped"].contains(&name) || name.starts_with(".tmp_vmlinux")
}

/// A module of no code. What Kbuild writes into it about the kernel is written into livepatches.
const EMPTY_MODULE: &str = r#"
mkdir -p /scratch/empty && cd /scratch/empty &&
echo 'obj-m := elivepatch_empty.o' > Kbuild &&
printf '#include <linux/module.h>\nMODULE_LICENSE("GPL");\n' > elivepatch_empty.c
"#;

/// Strips the modules of a list: a path in the tree and a name in each line.
const STRIP_MODULES: &str = r#"
mkdir -p /scratch/modules &&
while read -r path name; do
    strip --strip-debug -o "/scratch/modules/$name" "$path" || exit
done < /inputs/modules.list
"#;

/// Reads what the builds need from the tree, and puts it into the base's files.
pub(super) fn record(building: &Building, staging: &Staging) -> Result<BaseFacts, Failure> {
    let tree = staging.tree();
    let release = building.input.release;
    let vmlinux_path = tree.join("vmlinux");
    let is_plain = vmlinux_path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    if !is_plain {
        return Err(missing("vmlinux"));
    }
    let vmlinux = Vmlinux::open(vmlinux_path.as_std_path()).map_err(unreadable)?;
    let vmlinux_facts =
        VmlinuxFacts::read(&vmlinux, building.input.config, release, staging.path())?;
    drop(vmlinux);
    write_symbol_table(building, staging)?;
    copy_out(&tree, BOOTABLE_IMAGE, staging, KERNEL_IMAGE)?;
    copy_out(&tree, ".config", staging, PACKAGE_CONFIG)?;
    write_ownership(building, staging)?;
    let vermagic = vermagic(building, staging)?;
    for entry in tree.read_dir_utf8().into_iter().flatten().flatten() {
        if is_left_over(entry.file_name()) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
    building.prepare_for_builds(staging)?;

    let FileDigests { kernel_image, files } = FileDigests::of(staging.path())?;
    building.size_summary(bytes_below(staging.path()));
    Ok(BaseFacts {
        release: release.clone(),
        source: KernelSource::Tree(building.source.clone()),
        build_id: vmlinux_facts.build_id,
        vermagic,
        struct_sizes: vmlinux_facts.struct_sizes,
        kernel_image,
        files,
    })
}

/// create-diff-object reads the symbols of vmlinux as `readelf` prints them.
fn write_symbol_table(building: &Building, staging: &Staging) -> Result<(), Failure> {
    let script = format!("readelf --symbols --wide vmlinux > {WORK}/symtab");
    building.checked(building.in_tree(staging, ["sh", "-c", &script]))?;
    copy_out(&staging.scratch(), "symtab", staging, SYMBOL_TABLE)
}

/// Finds out which C files are in vmlinux and in each module.
fn write_ownership(building: &Building, staging: &Staging) -> Result<(), Failure> {
    let tree = staging.tree();
    let release = building.input.release;
    let order = small_file(&tree, "modules.order").unwrap_or_default();
    let paths = kbuild::modules_in_order(&order);
    let new = |error: std::io::Error| base_io("write to", staging.path(), &error);
    let mut table = ModuleFacts::new(staging.path(), building.input.config).map_err(new)?;
    let mut loadable = LoadableModules::new(staging.path()).map_err(new)?;
    let mut modules = BTreeMap::new();
    strip_modules(building, staging, &paths)?;
    for path in &paths {
        let file = format!("{path}.ko");
        let failed = |error: std::io::Error| base_io("read", &tree.join(&file), &error);
        let content = open_untrusted_below(&tree, &file).map_err(failed)?;
        let name = path.rsplit('/').next().unwrap_or(path).replace('-', "_");
        let mut bytes = Vec::new();
        content.take(MODULE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
        // Its debug information would say less than Kbuild does: only symbols and needs are taken.
        table
            .add(name.clone(), &format!("lib/modules/{release}/kernel/{file}"), &bytes)
            .map_err(failed)?;
        let stripped = format!("modules/{name}.ko");
        let stripped = read_untrusted_below(&staging.scratch(), &stripped, SMALL_FILE_BYTES);
        loadable.add(name.clone(), &stripped.map_err(failed)?).map_err(failed)?;
        let list = small_file(&tree, &format!("{path}.mod"))?;
        modules.insert(name, kbuild::objects_of_module(&list));
    }
    let vmlinux = objects_of_vmlinux(building, staging)?;
    let index = kbuild::index(&tree, &vmlinux, &modules)?;
    write(staging, SOURCES, &index.to_text())?;
    write(staging, MODULE_TABLE, &table.into_table(&loadable).map_err(new)?.to_text())
}

/// Makes modules of them as they are loaded: most of what Kbuild leaves is debug information.
fn strip_modules(building: &Building, staging: &Staging, paths: &[String]) -> Result<(), Failure> {
    let list: String = paths
        .iter()
        .map(|path| {
            let name = path.rsplit('/').next().unwrap_or(path).replace('-', "_");
            format!("{path}.ko {name}.ko\n")
        })
        .collect();
    let inputs = staging.write_input("modules.list", list.as_bytes())?;
    let command = building.in_tree(staging, ["sh", "-c", STRIP_MODULES]);
    building.checked(command.read_only(&inputs, INPUTS))
}

fn objects_of_vmlinux(building: &Building, staging: &Staging) -> Result<Vec<String>, Failure> {
    // Without it the other archives alone would pass for all of vmlinux.
    if open_untrusted_below(&staging.tree(), ARCHIVES[0]).is_err() {
        return Err(missing(ARCHIVES[0]));
    }
    // Kbuild's archives are thin: they hold the names of their objects.
    let script = format!(
        "for archive in {}; do [ ! -e $archive ] || ar t $archive || exit; done > {WORK}/objects",
        ARCHIVES.join(" ")
    );
    building.checked(building.in_tree(staging, ["sh", "-c", &script]))?;
    let text = small_file(&staging.scratch(), "objects")?;
    let objects: Vec<String> = text
        .lines()
        .filter(|line| line.ends_with(".o"))
        .map(|line| line.strip_prefix("./").unwrap_or(line).to_owned())
        .collect();
    if objects.is_empty() {
        return Err(missing("vmlinux.a"));
    }
    Ok(objects)
}

/// What modules for this kernel must say of themselves, from a module that is built for it.
fn vermagic(building: &Building, staging: &Staging) -> Result<String, Failure> {
    building.checked(building.in_tree(staging, ["sh", "-c", EMPTY_MODULE]))?;
    building.run_make(staging, &[&format!("M={WORK}/empty"), "CONFIG_DEBUG_INFO_BTF_MODULES="])?;
    let path = "empty/elivepatch_empty.ko";
    let bytes = read_untrusted_below(&staging.scratch(), path, SMALL_FILE_BYTES)
        .map_err(|error| base_io("read", &staging.scratch().join(path), &error))?;
    let module = Module::read(&bytes).ok();
    let vermagic = module.and_then(|module| module.modinfo.vermagic().map(str::to_owned));
    vermagic.ok_or_else(|| missing("vermagic in a module"))
}

/// Copies a file that tools left in `directory` to where no tool can change it.
fn copy_out(directory: &Utf8Path, from: &str, staging: &Staging, to: &str) -> Result<(), Failure> {
    let mut source = open_untrusted_below(directory, from)
        .map_err(|error| base_io("read", &directory.join(from), &error))?;
    let target = staging.path().join(to);
    let failed = |error: std::io::Error| base_io("write", &target, &error);
    let mut file = fs_err::File::create(&target).map_err(failed)?;
    std::io::copy(&mut source, &mut file).map(drop).map_err(failed)
}

fn small_file(directory: &Utf8Path, path: &str) -> Result<String, Failure> {
    let bytes = read_untrusted_below(directory, path, SMALL_FILE_BYTES)
        .map_err(|error| base_io("read", &directory.join(path), &error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write(staging: &Staging, name: &str, text: &str) -> Result<(), Failure> {
    let path = staging.path().join(name);
    fs_err::write(&path, text).map_err(|error| base_io("write", &path, &error))
}

fn missing(what: &str) -> Failure {
    Failure::new(
        FailureClass::BaseFailed,
        format!("the kernel was built, and there is no {what}"),
        "this kernel's build differs from what elivepatch knows: please report it",
    )
}

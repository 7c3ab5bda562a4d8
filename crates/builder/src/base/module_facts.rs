//! What is read from the modules of a debug package: their compiled files, and what they need.

use std::{
    collections::BTreeMap,
    io::{self, Read},
};

use elivepatch_elf::{Modinfo, Module, module_units};

use super::{
    SourceIndex,
    module_table::{KernelModule, ModuleTable},
};
use crate::{
    module_file::{module_of_file, read_module_file},
    unit::Parent,
};

/// The largest module with debug information that is read, in bytes. amdgpu has some 250 MB.
const MODULE_BYTES: u64 = 1 << 30;

/// The modules of a kernel, while they are read one after the other.
#[derive(Debug, Default)]
pub(super) struct ModuleFacts {
    table: ModuleTable,
    /// Which modules go by another name that `softdep` may use.
    aliases: BTreeMap<String, String>,
    /// What each module names in its `softdep`.
    wants: BTreeMap<String, Vec<String>>,
}

impl ModuleFacts {
    /// Adds a file of the debug package, when it is a module: its compiled files to `sources`.
    pub(super) fn add(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        sources: &mut SourceIndex,
    ) -> io::Result<()> {
        let Some(name) = module_of_file(path) else { return Ok(()) };
        let failed = |error| io::Error::other(format!("{path}: {error}"));
        let bytes = read_module_file(path, content, MODULE_BYTES)?;
        let units = module_units(&bytes).map_err(failed)?;
        sources.add_parent(&Parent::Module(name.clone()), units);

        let modinfo = Module::read(&bytes).map_err(failed)?.modinfo;
        for alias in modinfo.all("alias").filter(|alias| !alias.contains('*')) {
            self.aliases.entry(alias.to_owned()).or_insert_with(|| name.clone());
        }
        self.wants.insert(name.clone(), wanted(&modinfo));
        let depends = modinfo.depends().map(|name| name.replace('-', "_")).collect();
        let file = below_release(path).to_owned();
        self.table.add(name, KernelModule { file, depends, wants: Vec::new() });
        Ok(())
    }

    /// The table of all that were added.
    pub(super) fn into_table(self) -> ModuleTable {
        let mut table = self.table;
        for (name, wants) in self.wants {
            let known: Vec<String> = wants
                .iter()
                .filter_map(|wanted| {
                    let name = wanted.replace('-', "_");
                    // The crypto layer asks for algorithms under this prefix.
                    let alias = self.aliases.get(&format!("crypto-{wanted}"));
                    let alias = alias.or_else(|| self.aliases.get(wanted));
                    if table.get(&name).is_some() { Some(name) } else { alias.cloned() }
                })
                .filter(|wanted| *wanted != name)
                .collect();
            if let Some(module) = table.get(&name) {
                let module = KernelModule { wants: known, ..module.clone() };
                table.add(name, module);
            }
        }
        table
    }
}

/// The names before which a module wants others: `softdep=pre: a b post: c`.
fn wanted(modinfo: &Modinfo) -> Vec<String> {
    let mut wanted = Vec::new();
    for line in modinfo.all("softdep") {
        let mut before = false;
        for word in line.split([' ', ',']).filter(|word| !word.is_empty()) {
            match word {
                "pre:" => before = true,
                "post:" => before = false,
                name if before => wanted.push(name.to_owned()),
                _ => {}
            }
        }
    }
    wanted
}

/// The part of a path below `lib/modules/RELEASE`.
fn below_release(path: &str) -> &str {
    let file = path.trim_end_matches(".xz");
    match file.split_once("/lib/modules/").or_else(|| file.split_once("/modules/")) {
        Some((_, rest)) => rest.split_once('/').map_or(rest, |(_, below)| below),
        None => file.rsplit('/').next().unwrap_or(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_of_a_module_is_that_below_the_release() {
        let debug = "usr/lib/debug/lib/modules/6.1.0-50-cloud-amd64/kernel/fs/nfs/nfs.ko";
        assert_eq!(below_release(debug), "kernel/fs/nfs/nfs.ko");
        let debug = "usr/lib/debug/usr/lib/modules/7.3/kernel/fs/nfs/nfs.ko.xz";
        assert_eq!(below_release(debug), "kernel/fs/nfs/nfs.ko");
        assert_eq!(below_release("nfs.ko"), "nfs.ko");
    }
}

//! What is taken from the modules of a kernel's packages when a base is prepared: their compiled
//! files, their symbols and needs from those with debug information, and the modules themselves.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write as _},
};

use camino::{Utf8Path, Utf8PathBuf};
use elivepatch_elf::{
    Modinfo, Module, module_functions_without_endbr, module_units, symbol_listing,
};
use elivepatch_model::{KernelConfig, Sha256Digest};

use super::{
    UnitsOfParent,
    facts::MODULES_NO_ENDBR,
    module_table::{KernelModule, ModuleTable},
    modules::{LOADABLE, SYMBOLS},
};
use crate::{
    module_file::{module_of_file, read_module_file},
    unit::Parent,
};

/// The largest module with debug information that is read, in bytes. amdgpu has some 250 MB.
pub(super) const MODULE_BYTES: u64 = 1 << 30;

/// The largest module without debug information that is read, in bytes. amdgpu has some 20 MB.
const LOADABLE_BYTES: u64 = 128 * 1024 * 1024;

/// The modules of a kernel, while those with all symbols are read one after the other.
#[derive(Debug)]
pub(super) struct ModuleFacts {
    symbols: Utf8PathBuf,
    /// The list of functions that must not be branched to indirectly, where branches are tracked.
    no_endbr: Option<io::BufWriter<fs_err::File>>,
    table: ModuleTable,
    /// Which modules go by another name that `softdep` may use.
    aliases: BTreeMap<String, String>,
    /// What each module names in its `softdep`.
    wants: BTreeMap<String, Vec<String>>,
}

impl ModuleFacts {
    /// For the base that is made at `place`: the lists of symbols go there, and that of the
    /// functions that must not be branched to indirectly.
    pub(super) fn new(place: &Utf8Path, config: &KernelConfig) -> io::Result<Self> {
        let symbols = place.join(SYMBOLS);
        fs_err::create_dir_all(&symbols)?;
        let list = fs_err::File::create(place.join(MODULES_NO_ENDBR))?;
        let no_endbr = config.is_yes("X86_KERNEL_IBT").then(|| io::BufWriter::new(list));
        let (table, aliases, wants) = Default::default();
        Ok(Self { symbols, no_endbr, table, aliases, wants })
    }

    /// Adds a file of the debug package, when it is a module: its compiled files to `units`.
    pub(super) fn add_file(
        &mut self,
        path: &str,
        content: &mut dyn Read,
        units: &mut Vec<UnitsOfParent>,
    ) -> io::Result<()> {
        let Some(name) = module_of_file(path) else { return Ok(()) };
        let bytes = read_module_file(path, content, MODULE_BYTES)?;
        let of_module =
            module_units(&bytes).map_err(|error| io::Error::other(format!("{path}: {error}")))?;
        units.push((Parent::Module(name.clone()), of_module));
        self.add(name, path, &bytes)
    }

    /// Adds a module with all its symbols.
    pub(super) fn add(&mut self, name: String, path: &str, bytes: &[u8]) -> io::Result<()> {
        let failed = |error| io::Error::other(format!("{path}: {error}"));
        let listing = symbol_listing(bytes).map_err(failed)?;
        fs_err::write(self.symbols.join(&name), &listing)?;
        let symbols = Sha256Digest::of(listing.as_bytes());
        if let Some(list) = &mut self.no_endbr {
            for (function, position) in module_functions_without_endbr(bytes).map_err(failed)? {
                writeln!(list, "{name}\t{function}\t{position}")?;
            }
        }

        let modinfo = Module::read(bytes).map_err(failed)?.modinfo;
        for alias in modinfo.all("alias").filter(|alias| !alias.contains('*')) {
            self.aliases.entry(alias.to_owned()).or_insert_with(|| name.clone());
        }
        self.wants.insert(name.clone(), wanted(&modinfo));
        let depends = modinfo.depends().map(|name| name.replace('-', "_")).collect();
        let file = below_release(path).to_owned();
        let wants = Vec::new();
        self.table.add(name, KernelModule { file, depends, wants, symbols, loadable: None });
        Ok(())
    }

    /// The table of all that were added; `loadable` are the modules as they are loaded.
    pub(super) fn into_table(mut self, loadable: &LoadableModules) -> io::Result<ModuleTable> {
        if let Some(list) = &mut self.no_endbr {
            list.flush()?;
        }
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
                let module = KernelModule {
                    wants: known,
                    loadable: loadable.digests.get(&name).copied(),
                    ..module.clone()
                };
                table.add(name, module);
            }
        }
        Ok(table)
    }
}

/// The modules of a kernel as they are loaded, while they are copied to the base.
#[derive(Debug)]
pub(super) struct LoadableModules {
    directory: Utf8PathBuf,
    digests: BTreeMap<String, Sha256Digest>,
}

impl LoadableModules {
    /// For the base that is made at `place`.
    pub(super) fn new(place: &Utf8Path) -> io::Result<Self> {
        let directory = place.join(LOADABLE);
        fs_err::create_dir_all(&directory)?;
        Ok(Self { directory, digests: BTreeMap::new() })
    }

    /// Adds a file of a package, when it is a module.
    pub(super) fn add_file(&mut self, path: &str, content: &mut dyn Read) -> io::Result<()> {
        let Some(name) = module_of_file(path) else { return Ok(()) };
        self.add(name, &read_module_file(path, content, LOADABLE_BYTES)?)
    }

    /// Adds a module.
    pub(super) fn add(&mut self, name: String, bytes: &[u8]) -> io::Result<()> {
        fs_err::write(self.directory.join(format!("{name}.ko")), bytes)?;
        self.digests.insert(name, Sha256Digest::of(bytes));
        Ok(())
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

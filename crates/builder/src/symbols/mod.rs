//! What a livepatch replaces and uses is found once more, as the kernel will find it, and compared
//! with the files that the fixes change.
//!
//! Engines name a function by its name and a position among those of that name. kpatch takes a weak
//! default for the function that overrides it, and counts otherwise than the kernel does: static
//! symbols only, and in modules by their place in the section. A livepatch with a wrong position
//! loads, and puts its code in the place of another function.

mod listing;
mod lookup;
mod origin;
mod refusal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use elivepatch_elf::{LivepatchSymbol, Module, ReplacedFunction, SymbolKind, object_symbols};
use elivepatch_model::{Failure, FailureClass, KernelConfig};

pub(crate) use self::{
    listing::{ListedSymbol, SymbolListing},
    origin::{CompiledFile, is_prefix},
};
use self::{
    lookup::KernelTable,
    origin::NotOurs,
    refusal::{Case, Wrong},
};
use crate::{
    base::Base,
    failures::{internal, io_failure},
    unit::Parent,
    untrusted_file::read_untrusted,
};

/// The largest module that is read, in bytes. amdgpu has some 20 MB without debug information.
const MODULE_BYTES: u64 = 128 * 1024 * 1024;

/// What a livepatch takes from the kernel for some changed files: the engine's word.
#[derive(Debug, Clone)]
pub(crate) struct References {
    /// What the files are linked into.
    pub parent: Parent,
    /// The files. kpatch says of each file what it needs; objtool, of all of a parent together.
    pub files: Vec<CompiledFile>,
    /// The functions that are replaced.
    pub functions: BTreeSet<ReplacedFunction>,
    /// What the changed code uses.
    pub symbols: BTreeSet<LivepatchSymbol>,
}

/// The tables of those objects that a livepatch refers to.
pub(crate) type KernelTables = BTreeMap<String, KernelTable>;

/// Finds all that the module takes from the kernel as the kernel will, and looks whether it is what
/// the changed files mean.
///
/// # Errors
/// `symbol-ambiguous` when something else would be replaced or used; `internal` when the module has
/// what no changed object has.
pub(crate) fn check_references(
    references: &[References],
    module: &Module,
    base: &Base,
    config: &KernelConfig,
) -> Result<(), Failure> {
    all_are_accounted_for(references, module)?;
    check_all(references, &tables(references, base, config)?)
}

fn check_all(references: &[References], tables: &KernelTables) -> Result<(), Failure> {
    for references in references {
        for function in &references.functions {
            check_function(references, function, tables)?;
        }
        for symbol in &references.symbols {
            check_symbol(references, symbol, tables)?;
        }
    }
    Ok(())
}

/// Everything in the finished module must have been in one of its parts.
fn all_are_accounted_for(references: &[References], module: &Module) -> Result<(), Failure> {
    let functions: BTreeSet<_> = references.iter().flat_map(|part| &part.functions).collect();
    let symbols: BTreeSet<_> = references.iter().flat_map(|part| &part.symbols).collect();
    let mut used = module.livepatch_relocations.iter().flat_map(|section| &section.symbols);
    let new_function = module.replaced_functions.iter().find(|one| !functions.contains(one));
    let new_symbol = used.find(|one| !symbols.contains(one));
    let name = new_function.map(|one| &one.name).or(new_symbol.map(|one| &one.name));
    match name {
        None => Ok(()),
        Some(name) => Err(internal(format!(
            "the module takes {name} from the kernel, and no changed object does"
        ))),
    }
}

fn check_function(
    references: &References,
    function: &ReplacedFunction,
    tables: &KernelTables,
) -> Result<(), Failure> {
    let ReplacedFunction { object, name, position } = function;
    let case = Case { object, name, is_replaced: true };
    let ours: Vec<_> = references
        .files
        .iter()
        .filter_map(|file| Some((file, file.get(name)?)))
        .filter(|(_, symbol)| symbol.kind == SymbolKind::Function)
        .collect();
    let (file, ours) = match ours[..] {
        [one] if *object == references.parent.name() => one,
        [] | [_] => {
            return Err(internal(format!(
                "the module replaces {name} of {object}, and no changed file of it has that"
            )));
        }
        ref several => {
            let files = several.iter().map(|(file, _)| file.source.as_str()).collect::<Vec<_>>();
            return Err(case.refuse(&files.join(" and "), Wrong::InSeveralFiles));
        }
    };
    let table = table_of(tables, object)?;
    let found = table
        .find(name, *position)
        .map_err(|error| case.refuse(&file.source, Wrong::NotFound(error, &table.listing)))?;
    file.owns(ours, &table.listing.symbols()[found], &table.listing)
        .map_err(|error| case.refuse(&file.source, Wrong::NotOurs(error, &table.listing, found)))
}

fn check_symbol(
    references: &References,
    symbol: &LivepatchSymbol,
    tables: &KernelTables,
) -> Result<(), Failure> {
    let LivepatchSymbol { object, name, position } = symbol;
    let case = Case { object, name, is_replaced: false };
    let sources: Vec<&str> = references.files.iter().map(|file| file.source.as_str()).collect();
    let sources = sources.join(", ");
    let table = table_of(tables, object)?;
    let found = table
        .find(name, *position)
        .map_err(|error| case.refuse(&sources, Wrong::NotFound(error, &table.listing)))?;
    let symbol = &table.listing.symbols()[found];
    let nothing = CompiledFile::default();
    let mut why = NotOurs::Static;
    for file in &references.files {
        // What is static in the file is of its own parent.
        let file = if *object == references.parent.name() { file } else { &nothing };
        match file.means(symbol, &table.listing) {
            Ok(()) => return Ok(()),
            Err(error) => why = error,
        }
    }
    Err(case.refuse(&sources, Wrong::NotOurs(why, &table.listing, found)))
}

fn table_of<'a>(tables: &'a KernelTables, object: &str) -> Result<&'a KernelTable, Failure> {
    let table = tables.get(object);
    table.ok_or_else(|| internal(format!("the symbols of {object} were not read")))
}

/// The tables of all objects that are referred to.
fn tables(
    references: &[References],
    base: &Base,
    config: &KernelConfig,
) -> Result<KernelTables, Failure> {
    let functions = references.iter().flat_map(|part| &part.functions).map(|one| &one.object);
    let symbols = references.iter().flat_map(|part| &part.symbols).map(|one| &one.object);
    let objects: BTreeSet<&String> = functions.chain(symbols).collect();
    objects.into_iter().map(|object| Ok((object.clone(), table(object, base, config)?))).collect()
}

fn table(object: &str, base: &Base, config: &KernelConfig) -> Result<KernelTable, Failure> {
    let parent = match object {
        "vmlinux" => Parent::Vmlinux,
        module => Parent::Module(module.to_owned()),
    };
    let listing = read_listing(base, &parent)?;
    if parent == Parent::Vmlinux {
        return Ok(KernelTable::of_vmlinux(listing));
    }
    let loaded = match base.loadable_module(&base.modules()?, object)? {
        None => None,
        Some(path) => {
            let bytes = read_untrusted(&path, MODULE_BYTES)
                .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
            let symbols = object_symbols(&bytes);
            Some(symbols.map_err(|error| internal(format!("the module {path}: {error}")))?)
        }
    };
    Ok(KernelTable::of_module(listing, loaded, config.is_yes("MODULE_UNLOAD")))
}

/// Reads the list of a parent's symbols.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_listing(base: &Base, parent: &Parent) -> Result<SymbolListing, Failure> {
    let path = match parent {
        Parent::Vmlinux => base.symbol_table(),
        Parent::Module(name) => base.module_symbols(name)?,
    };
    let text = fs_err::read(&path)
        .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
    Ok(SymbolListing::parse(&String::from_utf8_lossy(&text)))
}

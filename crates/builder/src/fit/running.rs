//! Comparing a running kernel's symbols with those of a base: the names of its functions, their order,
//! and where addresses are given, the distances between them, which are their sizes. Both within a
//! section: what lies between two of them is no code.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use elivepatch_elf::{SymbolKind, object_symbols};
use elivepatch_model::{Failure, FailureClass, SymbolFitRecord};

use super::kallsyms::{Kallsyms, RunningSymbol};
use crate::{
    base::Base,
    failures::io_failure,
    symbols::{ListedSymbol, SymbolListing, is_prefix, read_listing},
    unit::Parent,
    untrusted_file::read_untrusted,
};

/// The largest module that is read, in bytes.
const MODULE_BYTES: u64 = 128 * 1024 * 1024;

/// At most so many places differ by a patch. Most config options change many more; that of indirect branch
/// tracking changes names of a few functions only.
const FEW: usize = 20;

/// Differences that a failure lists.
const LISTED: usize = 20;

/// The longest names that every kernel keeps (`KSYM_NAME_LEN` before 6.1), in bytes.
const SURE_NAME_BYTES: usize = 127;

/// Beginnings of names that some kernels leave out of their table (scripts/kallsyms.c and
/// scripts/mksysmap, from 6.1 to 7.3).
const LEFT_OUT: [&str; 6] = ["$", ".L", "L0", "__efistub_", "__pi_", "__kvm_nvhe_"];

/// What comparing with the running kernel gave.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct RunningFit {
    /// What is equal; absent when vmlinux itself differs.
    pub symbols: Option<SymbolFitRecord>,
    /// What differs or cannot be compared: one failure for vmlinux, one for each module.
    pub failures: Vec<Failure>,
    /// The modules that the running kernel has not loaded.
    pub not_loaded: Vec<String>,
}

/// Compares the text of the target's `/proc/kallsyms` with the base: vmlinux, and of the modules those
/// that are named and loaded.
///
/// # Errors
/// `fit-unproven` when the text is none; those of reading the base. What differs is no error.
pub(crate) fn compare_running(
    text: &[u8],
    base: &Base,
    modules: &BTreeSet<&str>,
) -> Result<RunningFit, Failure> {
    let running = Kallsyms::parse(text).map_err(|error| {
        Failure::new(
            FailureClass::FitUnproven,
            format!("the text of the target's /proc/kallsyms cannot be used: {error}"),
            "send it as the running kernel gives it: sudo cat /proc/kallsyms",
        )
    })?;
    let listing = read_listing(base, &Parent::Vmlinux)?;
    compare_all(&running, &listing, modules, &|module| functions_of_module(base, module))
}

fn compare_all(
    running: &Kallsyms<'_>,
    listing: &SymbolListing,
    modules: &BTreeSet<&str>,
    functions_of: &dyn Fn(&str) -> Result<ModuleFunctions, Failure>,
) -> Result<RunningFit, Failure> {
    let mut fit = RunningFit::default();
    match compare_vmlinux(running, listing) {
        Ok(record) => fit.symbols = Some(record),
        Err(lines) => fit.failures.push(differs(lines)),
    }
    for module in modules {
        let Some(symbols) = running.modules.get(module) else {
            fit.not_loaded.push((*module).to_owned());
            continue;
        };
        let compared = match functions_of(module) {
            Ok(expected) => compare_module(module, symbols, &expected).map_err(differs),
            Err(failure) if failure.class == FailureClass::FitUnproven => Err(failure),
            Err(failure) => return Err(failure),
        };
        match (compared, &mut fit.symbols) {
            (Ok(()), Some(record)) => record.modules.push((*module).to_owned()),
            (Ok(()), None) => {}
            (Err(failure), _) => fit.failures.push(failure),
        }
    }
    Ok(fit)
}

fn differs(lines: Vec<String>) -> Failure {
    let (number, first) = (lines.len(), lines.first().cloned().unwrap_or_default());
    let more = number.saturating_sub(LISTED);
    let mut listed: Vec<String> = lines.into_iter().take(LISTED).collect();
    if more > 0 {
        listed.push(format!("… and {more} more"));
    }
    Failure::new(
        FailureClass::BaseDoesNotFit,
        format!("the base does not fit the target: its functions are others than those of the running kernel's /proc/kallsyms; {first}"),
        format!("likely cause: {}", cause(number)),
    )
    .with_details(listed)
}

/// Why so many places may differ. The compiler was compared before, by the config's text of it.
fn cause(number: usize) -> &'static str {
    match number {
        ..=FEW => {
            "a patch that the running kernel was built with and the server's source lacks (a baseline \
             patch), one that it has in excess, or a config option that changes little"
        }
        _ => {
            "another config option, another compiler or patch level of it, or the source of another \
             version: much of the code differs"
        }
    }
}

/// Compares the kernel's own functions; what differs, a line for each.
fn compare_vmlinux(
    running: &Kallsyms<'_>,
    listing: &SymbolListing,
) -> Result<SymbolFitRecord, Vec<String>> {
    let mut places = code_symbols(listing);
    let kept = |symbol: &&RunningSymbol<'_>| !is_left_out(symbol.name);
    let running_symbols: Vec<&RunningSymbol<'_>> = running.vmlinux.iter().filter(kept).collect();
    let mut lines = Vec::new();

    // The places of those that the base has, in the running kernel's order.
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut found: Vec<(&RunningSymbol<'_>, Spot)> = Vec::new();
    for symbol in &running_symbols {
        // The kernel calls all code that lies in a section which can be run, and data may lie there,
        // too: of a name that data has, nothing can be said.
        let known = listing.named(symbol.name).len();
        if known > places.get(symbol.name).map_or(0, |places| places.all.len()) {
            continue;
        }
        let nth = seen.entry(symbol.name).or_default();
        match places.get(symbol.name).and_then(|places| places.all.get(*nth)) {
            Some(spot) => found.push((symbol, *spot)),
            None => {
                lines.push(format!("the running kernel has {}, and the base has not", symbol.name))
            }
        }
        *nth += 1;
    }
    places.retain(|name, places| places.is_sure && !is_left_out(name));
    let mut missing: Vec<&str> = (places.iter())
        .filter(|(name, places)| {
            let known = listing.named(name).len();
            known == places.all.len() && seen.get(**name).copied().unwrap_or_default() < known
        })
        .map(|(name, _)| *name)
        .collect();
    missing.sort_unstable();
    lines.extend(
        missing.iter().map(|name| format!("the base has {name}, and the running kernel has not")),
    );
    if !lines.is_empty() {
        return Err(lines);
    }

    // What lies between two sections is data as well, of a size of its own: keys, an initramfs.
    let mut sections: BTreeMap<u32, Vec<(&RunningSymbol<'_>, u64)>> = BTreeMap::new();
    for (symbol, spot) in &found {
        sections.entry(spot.section).or_default().push((symbol, spot.value));
    }
    let neighbours = || sections.values().flat_map(|symbols| symbols.iter().zip(&symbols[1..]));
    for ((before, low), (after, high)) in neighbours() {
        if low > high {
            lines.push(format!(
                "in the running kernel {} comes before {}, and in the base behind it",
                before.name, after.name
            ));
        }
    }
    if !lines.is_empty() {
        return Err(lines);
    }
    let sizes = running.has_addresses();
    if sizes {
        // The kernel may be moved as a whole when it boots.
        for ((before, low), (after, high)) in neighbours() {
            let (theirs, ours) = (after.address.wrapping_sub(before.address), high - low);
            if theirs != ours {
                lines.push(format!(
                    "from {} to {} are {theirs} bytes in the running kernel, and {ours} in the base",
                    before.name, after.name
                ));
            }
        }
        if !lines.is_empty() {
            return Err(lines);
        }
    }
    Ok(SymbolFitRecord { names: found.len() as u64, sizes, modules: Vec::new() })
}

/// Where a symbol of the base is: its address, and the number of its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    value: u64,
    section: u32,
}

/// The places of the symbols of a name in code, by address.
#[derive(Debug, Default)]
struct Places {
    all: Vec<Spot>,
    /// Whether all of them are functions, which every kernel's table has.
    is_sure: bool,
}

/// The symbols in those sections that hold functions.
fn code_symbols(listing: &SymbolListing) -> HashMap<&str, Places> {
    let is_function = |symbol: &&ListedSymbol| symbol.kind == SymbolKind::Function;
    let code: BTreeSet<u32> =
        listing.symbols().iter().filter(is_function).filter_map(|symbol| symbol.section).collect();
    let mut places: HashMap<&str, Places> = HashMap::new();
    for symbol in listing.symbols() {
        let Some(section) = symbol.section.filter(|section| code.contains(section)) else {
            continue;
        };
        let entry = places.entry(symbol.name.as_str());
        let places = entry.or_insert(Places { all: Vec::new(), is_sure: true });
        places.all.push(Spot { value: symbol.value, section });
        places.is_sure &= symbol.kind == SymbolKind::Function;
    }
    for places in places.values_mut() {
        places.all.sort_unstable();
    }
    places
}

fn is_left_out(name: &str) -> bool {
    name.len() > SURE_NAME_BYTES
        || is_prefix(name)
        || LEFT_OUT.iter().any(|part| name.starts_with(part))
}

/// A function of a module: its section and its offset there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ModuleFunction {
    section: String,
    value: u64,
}

/// All functions and labels of a module's code, by name.
type ModuleFunctions = BTreeMap<String, Vec<ModuleFunction>>;

fn functions_of_module(base: &Base, name: &str) -> Result<ModuleFunctions, Failure> {
    let Some(path) = base.loadable_module(&base.modules()?, name)? else {
        return Err(Failure::new(
            FailureClass::FitUnproven,
            format!("the base has no module {name}, and the running kernel has loaded one"),
            "look whether the module is of the kernel itself",
        ));
    };
    let bytes = read_untrusted(&path, MODULE_BYTES)
        .map_err(|error| io_failure(FailureClass::BaseFailed, "read", &path, &error))?;
    let symbols = object_symbols(&bytes)
        .map_err(|error| crate::failures::internal(format!("the module {path}: {error}")))?;
    let mut functions = ModuleFunctions::new();
    for symbol in symbols {
        let is_code = matches!(symbol.kind, SymbolKind::Function | SymbolKind::Unknown);
        if let (true, Some((_, section))) = (is_code && symbol.is_allocated, symbol.section) {
            let function = ModuleFunction { section, value: symbol.value };
            functions.entry(symbol.name).or_default().push(function);
        }
    }
    Ok(functions)
}

/// Compares a module's functions; what differs, a line for each. Code that is needed only while it is
/// loaded is gone in the running kernel.
fn compare_module(
    module: &str,
    running: &[RunningSymbol<'_>],
    expected: &ModuleFunctions,
) -> Result<(), Vec<String>> {
    let mut lines = Vec::new();
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut distances: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    // In the normal form a module's first function is at 0: only when all are, nothing was shown.
    let are_shown = running.iter().any(|symbol| symbol.address != 0);
    for symbol in running.iter().filter(|symbol| !is_left_out(symbol.name)) {
        *seen.entry(symbol.name).or_default() += 1;
        let Some(ours) = expected.get(symbol.name) else {
            lines.push(format!("the running {module} has {}, and the base's has not", symbol.name));
            continue;
        };
        let ([ours], true) = (ours.as_slice(), are_shown) else { continue };
        let start = symbol.address.wrapping_sub(ours.value);
        match distances.get(ours.section.as_str()) {
            None => drop(distances.insert(&ours.section, (start, symbol.name))),
            Some((known, _)) if *known == start => {}
            Some((_, first)) => lines.push(format!(
                "in the running {module} {} lies elsewhere, seen from {first}, than in the base's",
                symbol.name
            )),
        }
    }
    let stays = |section: &str| section.starts_with(".text");
    for (name, ours) in expected {
        let staying = ours.iter().filter(|function| stays(&function.section)).count();
        if !is_left_out(name) && seen.get(name.as_str()).copied().unwrap_or_default() < staying {
            lines.push(format!("the base's {module} has {name}, and the running one has not"));
        }
    }
    if lines.is_empty() { Ok(()) } else { Err(lines) }
}

#[cfg(test)]
#[path = "running_tests.rs"]
mod tests;

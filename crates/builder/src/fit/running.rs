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

/// Differences that a failure lists.
const LISTED: usize = 20;

/// The longest names that every kernel keeps (`KSYM_NAME_LEN` before 6.1), in bytes.
const SURE_NAME_BYTES: usize = 127;

/// Beginnings of names that some kernels leave out of their table (scripts/kallsyms.c and
/// scripts/mksysmap, from 6.1 to 7.3).
const LEFT_OUT: [&str; 6] = ["$", ".L", "L0", "__efistub_", "__pi_", "__kvm_nvhe_"];

/// Compares the text of the target's `/proc/kallsyms` with the base: vmlinux, and of the modules those
/// that are named and loaded.
///
/// # Errors
/// `base-does-not-fit` with what differs; `fit-unproven` when the text is none; those of reading the
/// base.
pub(crate) fn compare_running(
    text: &[u8],
    base: &Base,
    modules: &BTreeSet<&str>,
) -> Result<SymbolFitRecord, Failure> {
    let running = Kallsyms::parse(text).map_err(|error| {
        Failure::new(
            FailureClass::FitUnproven,
            format!("the text of the target's /proc/kallsyms cannot be used: {error}"),
            "send it as the running kernel gives it: sudo cat /proc/kallsyms",
        )
    })?;
    let listing = read_listing(base, &Parent::Vmlinux)?;
    let mut record = compare_vmlinux(&running, &listing).map_err(differs)?;
    for module in modules {
        let Some(symbols) = running.modules.get(module) else { continue };
        let expected = functions_of_module(base, module)?;
        compare_module(module, symbols, &expected).map_err(differs)?;
        record.modules.push((*module).to_owned());
    }
    Ok(record)
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
        "likely cause: another config option, another compiler or patch level of it, or a patch that \
         the running kernel was built with and the server's source lacks (a baseline patch)",
    )
    .with_details(listed)
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
mod tests {
    use super::*;

    const LISTING: &str = "
     1: 0000000000000000     0 FILE    LOCAL  DEFAULT  ABS a.c
     2: ffffffff81000000    16 FUNC    LOCAL  DEFAULT    1 first
     3: ffffffff81000010    32 FUNC    LOCAL  DEFAULT    1 twin
     4: ffffffff81000030    16 FUNC    LOCAL  DEFAULT    1 twin
     5: ffffffff81000040     0 NOTYPE  LOCAL  DEFAULT    1 label
     6: ffffffff81000040    16 FUNC    GLOBAL DEFAULT    1 last
     7: ffffffff81000030    16 FUNC    LOCAL  DEFAULT    1 __pfx_last
     8: ffffffff82000000    16 OBJECT  GLOBAL DEFAULT    2 data
";

    const RUNNING: [(u64, &str); 5] = [
        (0xffff_ffff_9100_0000, "first"),
        (0xffff_ffff_9100_0010, "twin"),
        (0xffff_ffff_9100_0030, "twin"),
        (0xffff_ffff_9100_0040, "last"),
        (0xffff_ffff_9100_0040, "label"),
    ];

    fn compare(running: &[(u64, &str)]) -> Result<SymbolFitRecord, Vec<String>> {
        let lines = running.iter().map(|(address, name)| format!("{address:016x} t {name}\n"));
        let text: String = lines.collect();
        let parsed = Kallsyms::parse(text.as_bytes()).expect("a text of the kernel");
        compare_vmlinux(&parsed, &SymbolListing::parse(LISTING))
    }

    #[test]
    fn same_kernel_at_another_address_fits_with_its_sizes() {
        let record = compare(&RUNNING).expect("the same kernel");
        assert_eq!(record, SymbolFitRecord { names: 5, sizes: true, modules: Vec::new() });
    }

    #[test]
    fn without_addresses_names_and_order_are_compared() {
        let hidden = RUNNING.map(|(_, name)| (0, name));
        let record = compare(&hidden).expect("the same kernel");
        assert_eq!((record.names, record.sizes), (5, false));
        let mut swapped = hidden;
        swapped.swap(0, 1);
        let lines = compare(&swapped).expect_err("another order");
        assert!(lines[0].contains("twin comes before first"), "{lines:?}");
    }

    #[test]
    fn function_that_one_side_lacks_is_named() {
        let lines = compare(&RUNNING[1..]).expect_err("one is missing");
        assert_eq!(lines, ["the base has first, and the running kernel has not"]);
        let more = [&RUNNING[..], &[(0xffff_ffff_9100_0050, "more")]].concat();
        let lines = compare(&more).expect_err("one is there in excess");
        assert_eq!(lines, ["the running kernel has more, and the base has not"]);
        let lines = compare(&[&RUNNING[..2], &RUNNING[3..]].concat()).expect_err("one of two");
        assert_eq!(lines, ["the base has twin, and the running kernel has not"]);
    }

    #[test]
    fn other_size_of_a_function_is_found_by_the_next_one() {
        let mut longer = RUNNING;
        for (address, _) in &mut longer[2..] {
            *address += 16;
        }
        let lines = compare(&longer).expect_err("another size");
        assert_eq!(
            lines,
            ["from twin to twin are 48 bytes in the running kernel, and 32 in the base"]
        );
    }

    #[test]
    fn data_between_sections_may_have_another_size() {
        let listing = format!(
            "{LISTING}     9: ffffffff83000000    16 FUNC    LOCAL  DEFAULT    3 init_first\n\
             10: ffffffff83000010    16 FUNC    LOCAL  DEFAULT    3 init_second\n\
             11: ffffffff83002000    16 FUNC    LOCAL  DEFAULT    5 exit_first\n\
             12: ffffffff83002010    16 FUNC    LOCAL  DEFAULT    5 exit_second\n"
        );
        // The certificates between .init.text and .exit.text are larger by a page.
        let with = |second: u64, exit_second: u64| {
            let init = 0xffff_ffff_9300_0000_u64;
            let more = [
                (init, "init_first"),
                (init + second, "init_second"),
                (init + 0x3000, "exit_first"),
                (init + 0x3000 + exit_second, "exit_second"),
            ];
            let running = [&RUNNING[..], &more].concat();
            let lines = running.iter().map(|(address, name)| format!("{address:x} t {name}\n"));
            let text: String = lines.collect();
            let parsed = Kallsyms::parse(text.as_bytes()).expect("a text of the kernel");
            compare_vmlinux(&parsed, &SymbolListing::parse(&listing))
        };
        assert_eq!(with(0x10, 0x10).expect("the same code").names, 9);
        let lines = with(0x10, 0x20).expect_err("another size in .exit.text");
        assert_eq!(
            lines,
            [
                "from exit_first to exit_second are 32 bytes in the running kernel, and 16 in the base"
            ]
        );
        assert_eq!(with(0x18, 0x10).expect_err("another size in .init.text").len(), 1);
    }

    #[test]
    fn module_is_compared_by_names_and_places_and_without_its_init_code() {
        let function = |section: &str, value| ModuleFunction { section: section.to_owned(), value };
        let expected = ModuleFunctions::from([
            ("read".to_owned(), vec![function(".text", 0)]),
            ("write".to_owned(), vec![function(".text", 64)]),
            ("start".to_owned(), vec![function(".init.text", 0)]),
        ]);
        let symbol = |address, name| RunningSymbol { address, name };
        let base = 0xffff_ffff_c000_0000_u64;
        let same = [symbol(base, "read"), symbol(base + 64, "write")];
        assert_eq!(compare_module("ext4", &same, &expected), Ok(()));
        let moved = [symbol(base, "read"), symbol(base + 80, "write")];
        let lines = compare_module("ext4", &moved, &expected).expect_err("another size");
        assert!(lines[0].contains("write lies elsewhere, seen from read"), "{lines:?}");
        let other = [symbol(0, "read"), symbol(0, "append")];
        let lines = compare_module("ext4", &other, &expected).expect_err("other functions");
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
    #[test]
    fn first_function_of_a_module_counts_in_the_normal_form() {
        let function = |value| vec![ModuleFunction { section: ".text".to_owned(), value }];
        let expected = ModuleFunctions::from([
            ("read".to_owned(), function(0)),
            ("write".to_owned(), function(64)),
        ]);
        let found = |distance: u64| {
            let first = 0xffff_ffff_c000_0000_u64;
            let raw = format!(
                "ffffffff81000000 T _text\n{first:x} t read\t[ext4]\n{:x} t write\t[ext4]\n",
                first + distance
            );
            let normal = elivepatch_model::Kallsyms::read(raw.as_bytes(), |_| true);
            let normal = normal.expect("a text of the kernel");
            assert!(normal.text().contains("\n0 t read\t[ext4]\n"), "{normal:?}");
            let running = Kallsyms::parse(normal.text().as_bytes()).expect("the normal form");
            compare_module("ext4", &running.modules["ext4"], &expected)
        };
        assert_eq!(found(64), Ok(()));
        let lines = found(80).expect_err("read has another size");
        assert!(lines[0].contains("write lies elsewhere, seen from read"), "{lines:?}");
    }
}

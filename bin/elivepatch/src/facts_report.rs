//! What is known of a kernel, on standard output.

use elivepatch_model::{Distribution, LoadedLivepatch, TargetFacts};

use crate::{
    output::data,
    problem::Problem,
    report::{row, table},
    target::{Collected, kallsyms::Symbols},
    text::printable,
};

/// Prints the facts, and what is not known with the reason.
pub fn print(collected: &Collected) -> Result<(), Problem> {
    let mut table = table();
    for (name, text) in known(collected) {
        row(&mut table, name, &printable(&text));
    }
    for missing in &collected.missing {
        let (what, why) = (printable(&missing.what), printable(&missing.why));
        row(&mut table, &what, &format!("not known: {why}"));
    }
    data(&table.to_string())
}

fn known(collected: &Collected) -> Vec<(&'static str, String)> {
    let facts: &TargetFacts = &collected.facts;
    let machine = facts.machine.clone().unwrap_or_default();
    let mut rows = vec![("kernel", facts.release.to_string())];
    let mut add = |name, text: Option<String>| rows.extend(text.map(|text| (name, text)));
    add("version", facts.kernel_version.clone());
    add("architecture", Some(facts.architecture.to_string()));
    add("build-id", facts.build_id.as_ref().map(ToString::to_string));
    add("compiler", facts.compiler.clone());
    add("linker", facts.linker.clone());
    add(
        "config",
        collected.config.as_ref().map(|config| {
            format!("{} options, {}", config.config.options().count(), config.path.display())
        }),
    );
    add("distribution", machine.distribution.as_ref().map(distribution));
    add(
        "livepatching",
        machine.livepatch_possible.map(|possible| match possible {
            true => "possible".to_owned(),
            false => "not possible: this kernel has no /sys/kernel/livepatch".to_owned(),
        }),
    );
    add("livepatches", machine.livepatches.as_deref().map(livepatches));
    add("modules", machine.loaded_modules.map(|names| format!("{} loaded", names.len())));
    add(
        "module signatures",
        machine.module_signatures_enforced.map(|enforced| match enforced {
            true => {
                "enforced: the kernel loads no module without a signature that it trusts".into()
            }
            false => "not enforced".to_owned(),
        }),
    );
    add("lockdown", machine.lockdown.map(|state| state.to_string()));
    add("symbols", collected.symbols.as_ref().map(symbols));
    let baseline = &collected.baseline;
    let patches = (!baseline.patches.is_empty()).then(|| baseline.names());
    add("baseline patches", patches.map(|names| format!("{names} ({})", baseline.origin)));
    rows
}

fn distribution(distribution: &Distribution) -> String {
    let Distribution { id, version, name } = distribution;
    name.clone().unwrap_or_else(|| match version {
        Some(version) => format!("{id} {version}"),
        None => id.clone(),
    })
}

fn livepatches(loaded: &[LoadedLivepatch]) -> String {
    let shown = loaded.iter().map(|livepatch| {
        let state = if livepatch.active { "active" } else { "not active" };
        match &livepatch.build_id {
            Some(build_id) => format!("{} ({state}, build-id {build_id})", livepatch.name),
            None => format!("{} ({state}, no build-id)", livepatch.name),
        }
    });
    match loaded.is_empty() {
        true => "none loaded".to_owned(),
        false => shown.collect::<Vec<_>>().join(", "),
    }
}

fn symbols(symbols: &Symbols) -> String {
    let (list, kib) = (&symbols.list, symbols.packed.len().div_ceil(1024));
    let modules = match list.modules() {
        0 => String::new(),
        1 => " and 1 module".to_owned(),
        modules => format!(" and {modules} modules"),
    };
    let sizes = if list.has_offsets() { "with sizes" } else { "names only" };
    format!("{}, of vmlinux{modules}, {sizes}, no addresses; {kib} KiB compressed", list.symbols())
}

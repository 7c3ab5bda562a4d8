//! `compare`: kpatch-build and elivepatch's kpatch engine make modules of the same patches.

use camino::Utf8PathBuf;
use clap::Args;
use comfy_table::{Table, presets};
use elivepatch_model::Engine;

use super::{Inputs, Setting};
use crate::{compare::Comparable, note, reference::KpatchBuild, say};

/// What the comparison is made with.
#[derive(Debug, Args)]
pub struct CompareInputs {
    #[command(flatten)]
    inputs: Inputs,
    /// The directory with the patches that both are given.
    #[arg(long, value_name = "DIRECTORY")]
    patches: Utf8PathBuf,
}

/// Builds every patch by both and compares the modules.
///
/// # Errors
/// When they differ, or when one of the two fails where the other does not.
pub fn compare(inputs: &CompareInputs) -> anyhow::Result<()> {
    let setting = Setting::open(&inputs.inputs)?;
    let source = &setting.plain;
    let kernel = setting.kernel(source);
    let patches = patches(&inputs.patches)?;
    say(format!("{} patches by elivepatch, on {}", patches.len(), source.release));
    let mut ours = Vec::new();
    for (name, text) in &patches {
        // Built as sent: what elivepatch adapts is not kpatch-build's.
        let order = [(format!("{name}.patch"), text.clone())];
        let built = kernel.build_as_sent(&format!("compare-{name}"), &order, Engine::Kpatch)?;
        note(format!("{name}: {:.2} s", built.to_module));
        ours.push((Comparable::read(&built.module)?, built.to_module));
    }
    say("the same patches by kpatch-build; the first compiles the kernel, some minutes");
    note(
        "kpatch-build passes --klp-arch whatever the kernel, with which create-diff-object crashes",
    );
    note("here; the reference runs leave that flag out");
    let base = source.base(&setting.cache_directory)?;
    let reference = KpatchBuild::open(
        &setting.cache,
        &setting.apt,
        &setting.scratch.join("reference"),
        &setting.tarball(source)?,
        &source.config,
        &base.join("tree/vmlinux"),
    )?;
    let mut table = Table::new();
    table.load_style(presets::ASCII_FULL_CONDENSED);
    table.set_header([
        "patch",
        "functions",
        "symbols",
        "relocations",
        "ours",
        "kpatch-build",
        "same",
    ]);
    let mut different = Vec::new();
    for ((name, text), (ours, seconds)) in patches.iter().zip(&ours) {
        let built = reference.build(name, text.as_bytes())?;
        note(format!("{name}: {:.0} s", built.seconds));
        let theirs = Comparable::read(&built.module)?;
        let differences = ours.differences(&theirs);
        table.add_row([
            name.clone(),
            ours.functions.len().to_string(),
            ours.symbols.len().to_string(),
            ours.relocation_count().to_string(),
            format!("{seconds:.1} s"),
            format!("{:.0} s", built.seconds),
            if differences.is_empty() { "yes" } else { "NO" }.to_owned(),
        ]);
        if !differences.is_empty() {
            different.push(format!("{name}:\n  {}", differences.join("\n  ")));
        }
    }
    println!("{table}");
    fs_err::remove_dir_all(&setting.scratch)?;
    anyhow::ensure!(different.is_empty(), "modules differ\n{}", different.join("\n"));
    println!("compare: {} modules are the same", patches.len());
    Ok(())
}

/// The patches of a directory by name, without those that must fail.
fn patches(directory: &camino::Utf8Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in directory.read_dir_utf8()? {
        let path: Utf8PathBuf = entry?.into_path();
        let name = path.file_stem().unwrap_or_default().to_owned();
        if path.extension() == Some("patch") && !name.ends_with("-FAIL") {
            found.push((name, fs_err::read_to_string(&path)?));
        }
    }
    found.sort();
    anyhow::ensure!(!found.is_empty(), "{directory} has no patches");
    Ok(found)
}

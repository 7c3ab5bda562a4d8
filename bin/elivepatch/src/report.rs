//! What a build came to, on standard output.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stdout},
};

use comfy_table::{Cell, ContentArrangement, Table, presets};
use elivepatch_api::{BuildList, BuildResource};
use elivepatch_model::{
    Adaptation, BaseKind, CheckEvidence, Failure, FitRecord, Fix, Manifest, PatchedFunction,
    ReplacedLivepatch, Step, StepState, TrialEvidence,
};
use serde::Serialize;

use crate::{
    download::Stored,
    output::{data, say},
    problem::Problem,
    target::running::RunningKernel,
    text::{duration, printable, printable_lines, shell_word},
};

/// How many functions are listed by name.
const FUNCTIONS_SHOWN: usize = 12;

/// How many lines of a check's output are shown.
const OUTPUT_LINES_SHOWN: usize = 8;

/// The narrowest table, in columns: below that nothing would be readable in it.
const NARROWEST_TABLE: u16 = 40;

/// Prints a value as JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Problem> {
    let text = serde_json::to_string_pretty(value).expect("the API's types have a JSON form");
    data(&text)
}

/// Prints what was stored and, unless it is loaded at once, what to do with it.
pub fn print_stored(stored: &Stored, is_applied: bool) -> Result<(), Problem> {
    let Stored { manifest, module_path, manifest_path } = stored;
    let module = module_path.display().to_string();
    let mut table = table();
    manifest_rows(&mut table, manifest);
    row(&mut table, "module", &module);
    row(&mut table, "manifest", &manifest_path.display().to_string());
    data(&table.to_string())?;
    // What is loaded now says that itself.
    if is_applied { Ok(()) } else { print_loading(stored) }
}

/// Prints how a stored livepatch is loaded and reverted.
pub fn print_loading(stored: &Stored) -> Result<(), Problem> {
    let Stored { manifest, module_path, .. } = stored;
    let module = shell_word(&module_path.display().to_string());
    let running = RunningKernel::inspect().release;
    if running.as_ref() != Some(&manifest.release) {
        let running = running.map(|release| format!(" (this one runs {release})"));
        data(&format!(
            "The livepatch is for a machine that runs {}{}. Copy module and manifest there.",
            manifest.release,
            running.unwrap_or_default()
        ))?;
    }
    data(&format!("  load it:    sudo elivepatch apply {module}"))?;
    data("  revert it:  sudo elivepatch revert")
}

/// Prints a build as it is now.
pub fn print_build(build: &BuildResource) -> Result<(), Problem> {
    let mut table = table();
    row(&mut table, "build", &build.number.to_string());
    row(&mut table, "state", build.state.as_str());
    row(&mut table, "submitted", &build.submitted_at.to_string());
    if !build.options.without.is_empty() {
        let kinds: Vec<&str> = build.options.without.iter().map(|kind| kind.as_str()).collect();
        row(&mut table, "without", &kinds.join(", "));
    }
    if let Some(engine) = build.options.engine {
        row(&mut table, "engine asked for", engine.as_str());
    }
    if build.options.accept_unproven {
        row(&mut table, "proof", "not demanded: --accept-unproven");
    }
    if !build.baseline.is_empty() {
        let names = build.baseline.iter().map(|patch| printable(&patch.name));
        row(&mut table, "baseline patches", &names.collect::<Vec<_>>().join("\n"));
    }
    if let Some(rebuild) = &build.rebuild {
        row(&mut table, "rebuild of", &rebuild.module.to_string());
    }
    match &build.manifest {
        Some(manifest) => {
            manifest_rows(&mut table, manifest);
            row(&mut table, "module", &printable(&manifest.module.file_name));
            row(&mut table, "module digest", &manifest.module.digest.to_string());
        }
        None => {
            row(&mut table, "kernel", build.target.release.as_str());
            row(&mut table, "patch", &fixes_text(&build.fixes));
            row(&mut table, "steps", &steps_text(&build.steps));
        }
    }
    if let Some(failure) = &build.failure {
        row(&mut table, "failure", &failure_text(failure));
    }
    data(&table.to_string())
}

/// Prints a list of builds.
pub fn print_list(list: &BuildList) -> Result<(), Problem> {
    let mut table = table();
    table.set_header(["BUILD", "STATE", "KERNEL", "PATCH", "SUBMITTED", "TIME", "FAILURE"]);
    for build in &list.builds {
        let time = match (build.started_at, build.finished_at) {
            (Some(begin), Some(end)) => duration(end.duration_since(begin).as_secs_f64()),
            _ => String::new(),
        };
        let failure = build.failure.as_ref().map(|failure| failure.class.as_str());
        table.add_row([
            build.number.to_string(),
            build.state.to_string(),
            build.release.to_string(),
            build.fixes.iter().map(|name| printable(name)).collect::<Vec<_>>().join("\n"),
            build.submitted_at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
            time,
            failure.unwrap_or_default().to_owned(),
        ]);
    }
    data(&table.to_string())?;
    if list.next.is_some() {
        say("there are more: --limit NUMBER shows them");
    }
    Ok(())
}

/// An empty table in the form that suits standard output.
pub fn table() -> Table {
    let mut table = Table::new();
    if stdout().is_terminal() {
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if let Ok(size) = rustix::termios::tcgetwinsize(stdout()) {
            table.set_width(size.ws_col.max(NARROWEST_TABLE));
        }
    } else {
        table.load_style(presets::ASCII_FULL_CONDENSED);
    }
    table
}

/// Adds a row to a table of names and texts.
pub fn row(table: &mut Table, name: &str, text: &str) {
    table.add_row([Cell::new(name), Cell::new(text.replace('\t', "    "))]);
}

fn manifest_rows(table: &mut Table, manifest: &Manifest) {
    row(table, "kernel", manifest.release.as_str());
    row(table, "patch", &fixes_text(&manifest.fixes));
    if manifest.base == BaseKind::Built {
        row(table, "base", &built_base_text(manifest));
    }
    for adaptation in &manifest.adaptations {
        row(table, "adapted", &adaptation_text(adaptation));
    }
    if let Some(fit) = &manifest.fit {
        row(table, "fit", &fit_text(fit));
    }
    row(table, "engine", manifest.engine.as_str());
    row(table, "functions replaced", &functions_text(&manifest.functions));
    row(table, "steps", &steps_text(&manifest.steps));
    trial_rows(table, &manifest.trial);
}

/// Adds what a trial showed.
pub fn trial_rows(table: &mut Table, trial: &TrialEvidence) {
    let summary = format!(
        "passed on {} in {} ({}): loaded, transition {}, reverted, unloaded",
        trial.guest_release,
        duration(trial.duration_seconds),
        match trial.accelerator.as_str() {
            "tcg" => "software emulation".to_owned(),
            other => printable(other).to_string(),
        },
        duration(trial.transition_seconds)
    );
    row(table, "trial", &summary);
    if !trial.modules_loaded.is_empty() {
        row(table, "with modules", &printable(&trial.modules_loaded.join(", ")));
    }
    for absent in &trial.modules_absent {
        row(table, "not tried", &format!("the changes to {}", printable(absent)));
    }
    if let Some(earlier) = &trial.replaced {
        row(table, "replaces", &replaced_text(earlier));
    }
    for evidence in &trial.checks {
        row(table, "check", &check_text(evidence));
    }
}

/// An earlier livepatch that the new one replaced in the trial; its name is of a server.
fn replaced_text(earlier: &ReplacedLivepatch) -> String {
    format!(
        "{}\nin the trial: transition {}, never without one of the two, the earlier one unloaded",
        printable(&earlier.name),
        duration(earlier.transition_seconds)
    )
}

/// What proves that the livepatch was compiled as the kernel was; names in it are of a server.
pub fn fit_text(fit: &FitRecord) -> String {
    printable_lines(&fit.to_string())
}

/// What a livepatch is made of for a kernel that the server has built itself.
pub fn built_base_text(manifest: &Manifest) -> String {
    let sources =
        manifest.source.packages.iter().map(|package| printable(&package.name).to_string());
    // Manifests from before the proof say nothing of it.
    let unproven = match &manifest.fit {
        Some(_) => "",
        None => "\nnot proven: that it equals the kernel that you run",
    };
    format!(
        "the server built this kernel itself, from {} and your config{unproven}\nthe trial ran on the \
         server's build",
        sources.collect::<Vec<_>>().join(", ")
    )
}

fn fixes_text(fixes: &[Fix]) -> String {
    fixes.iter().map(|fix| printable(&fix.name)).collect::<Vec<_>>().join("\n")
}

/// How a patch was adapted, with what switches that off.
pub fn adaptation_text(adaptation: &Adaptation) -> String {
    printable(&format!("{adaptation} ({}; --without {0} switches it off)", adaptation.kind))
}

/// The functions by the object that they are in, one line for each.
fn functions_text(functions: &[PatchedFunction]) -> String {
    let mut objects: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for function in functions.iter().take(FUNCTIONS_SHOWN) {
        objects.entry(&function.object).or_default().push(&function.name);
    }
    let mut lines: Vec<String> = objects
        .into_iter()
        .map(|(object, names)| printable(&format!("{} ({object})", names.join(", "))))
        .collect();
    if functions.len() > FUNCTIONS_SHOWN {
        lines.push(format!("and {} more, see the manifest", functions.len() - FUNCTIONS_SHOWN));
    }
    lines.join("\n")
}

fn steps_text(steps: &[Step]) -> String {
    let line = |step: &Step| {
        let time = match step.state {
            StepState::Running => "running".to_owned(),
            StepState::Failed => "failed".to_owned(),
            StepState::Done => step.duration_seconds.map(duration).unwrap_or_default(),
        };
        let summary = step.summary.as_deref().map(printable).unwrap_or_default();
        format!("{:<10}{time:>10}  {summary}", step.name.as_str()).trim_end().to_owned()
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn failure_text(failure: &Failure) -> String {
    let mut lines = vec![printable(&failure.message), format!("class: {}", failure.class)];
    lines.extend(failure.step.map(|step| format!("step: {step}")));
    lines.extend(failure.details.iter().map(|line| printable(line)));
    lines.push(format!("hint: {}", printable(&failure.hint)));
    lines.join("\n")
}

fn check_text(evidence: &CheckEvidence) -> String {
    let mut lines = vec![format!("$ {}", printable_lines(&evidence.check.command))];
    for (when, output) in [
        ("before", &evidence.output_before),
        ("after", &evidence.output_after),
        ("reverted", &evidence.output_reverted),
    ] {
        let mut output_lines = output.lines();
        let shown = output_lines.by_ref().take(OUTPUT_LINES_SHOWN);
        lines.extend(shown.map(|line| format!("{when:>8}: {}", printable(line))));
        if output_lines.next().is_some() {
            lines.push(format!("{when:>8}: … (all of it is in the manifest)"));
        }
    }
    lines.join("\n")
}

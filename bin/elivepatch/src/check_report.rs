//! What `elivepatch check` found, on standard output.

use std::{collections::HashSet, fmt::Write};

use anstyle::{AnsiColor, Style};
use elivepatch_patch::patchability::{
    FileReport, FileRole, Finding, FunctionChange, Level, Report, Rule, TouchedFunction, Verdict,
};

use crate::{output::data, problem::Problem, text::printable};

/// What a text does not show of a patch that looks fine.
const NOT_LOOKED_AT: &str = "(not looked at without --source TREE: exports, callers, users of \
                             macros, and static variables and tables of functions beyond the \
                             lines shown)\n";

/// How many functions of a file are listed.
const FUNCTIONS_SHOWN: usize = 40;

/// Prints the findings, and the verdict as the last line.
pub fn print(report: &Report, has_tree: bool) -> Result<(), Problem> {
    let mut text = String::new();
    let mut explained = HashSet::new();
    for finding in &report.config {
        write_finding(&mut text, finding, &mut explained);
    }
    for file in &report.files {
        write_file(&mut text, file, &mut explained);
    }
    let (style, words) = match report.verdict {
        Verdict::NothingToDo => (AnsiColor::Green, "nothing to do here"),
        Verdict::Patchable => (AnsiColor::Green, "patchable as far as can be seen offline"),
        Verdict::Unsure => (AnsiColor::Yellow, "cannot be sure"),
        Verdict::Refused => (AnsiColor::Red, "refused"),
    };
    let mut findings = report.files.iter().flat_map(|file| &file.findings);
    if !has_tree && findings.any(|finding| finding.rule == Rule::FunctionUnknown) {
        text.push_str("(with --source TREE, whole functions are judged)\n");
    }
    if !has_tree && report.verdict == Verdict::Patchable {
        text.push_str(NOT_LOOKED_AT);
    }
    let style = style.on_default().bold();
    let _ = write!(text, "{style}verdict{style:#}: {words}{}", reasons(report));
    data(&text)
}

fn reasons(report: &Report) -> String {
    let level = match report.verdict {
        Verdict::NothingToDo | Verdict::Patchable => return String::new(),
        Verdict::Unsure => Level::Unsure,
        Verdict::Refused => Level::Refused,
    };
    let findings = report.config.iter().chain(report.files.iter().flat_map(|file| &file.findings));
    let mut rules = Vec::new();
    for finding in findings.filter(|finding| finding.level == level) {
        if !rules.contains(&finding.rule.as_str()) {
            rules.push(finding.rule.as_str());
        }
    }
    format!(" ({})", rules.join(", "))
}

fn write_file(text: &mut String, file: &FileReport, explained: &mut HashSet<Rule>) {
    let bold = Style::new().bold();
    let what = match file.role {
        FileRole::Code => "C code",
        FileRole::Header => "a header",
        FileRole::LeftOut => "left out of the build",
        FileRole::Kept => "stays as it is in the running kernel",
        FileRole::Refused => "cannot be live-patched",
        FileRole::Undecided => "cannot be live-patched if this kernel is built with it",
    };
    let path = printable(&file.path);
    let place = format!("{} line {}", printable(&file.patch), file.patch_line);
    let _ = writeln!(text, "{bold}{path}{bold:#} ({place}): {what}");
    if matches!(file.role, FileRole::LeftOut | FileRole::Kept) {
        let _ = writeln!(text, "  it {}", printable(&file.role_text));
    }
    for change in [FunctionChange::Changed, FunctionChange::Added, FunctionChange::Removed] {
        write_functions(text, file, change);
    }
    for finding in &file.findings {
        write_finding(text, finding, explained);
    }
    text.push('\n');
}

fn write_functions(text: &mut String, file: &FileReport, change: FunctionChange) {
    let functions = file.functions.iter().filter(|function| function.change == change);
    let functions: Vec<String> = functions.map(function_text).collect();
    if functions.is_empty() {
        return;
    }
    let label = match change {
        FunctionChange::Changed => "changes",
        FunctionChange::Added => "adds",
        FunctionChange::Removed => "removes",
    };
    let mut shown = functions[..functions.len().min(FUNCTIONS_SHOWN)].join(", ");
    if functions.len() > FUNCTIONS_SHOWN {
        let _ = write!(shown, " and {} more", functions.len() - FUNCTIONS_SHOWN);
    }
    let _ = writeln!(text, "  {label}: {shown}");
}

fn function_text(function: &TouchedFunction) -> String {
    match &function.name {
        Some(name) if function.name_is_cut => format!("{}…", printable(name)),
        Some(name) => printable(name),
        None => format!("(not named, line {})", function.patch_line),
    }
}

/// Explains a rule where it first occurs; later only names it.
fn write_finding(text: &mut String, finding: &Finding, explained: &mut HashSet<Rule>) {
    let (style, label) = match finding.level {
        Level::Note => (AnsiColor::Cyan.on_default(), "note"),
        Level::Unsure => (AnsiColor::Yellow.on_default().bold(), "unsure"),
        Level::Refused => (AnsiColor::Red.on_default().bold(), "refused"),
    };
    let line = finding.patch_line.map(|line| format!(" (line {line})")).unwrap_or_default();
    let subject = printable(&finding.subject);
    let _ = writeln!(text, "  {style}{label}{style:#} {}: {subject}{line}", finding.rule.as_str());
    if finding.level == Level::Refused && !finding.noticed_by_build {
        text.push_str("    the build would not notice this\n");
    }
    if explained.insert(finding.rule) {
        let _ = writeln!(text, "    why: {}", finding.why);
        let _ = writeln!(text, "    do:  {}", finding.advice);
        let _ = writeln!(text, "    see: {}", finding.document);
    }
}

//! Changed `__init` code beside other changes.

use std::collections::HashSet;

use super::{
    judge,
    report::{FileReport, FileRole, Finding, FunctionChange, Report, TouchedFunction},
    rule::{Level, Rule},
};

/// Softens what is said of changed `__init` functions beside other changes: the build leaves them out
/// (`init-only`) where the others do not hang on them, which only it can tell.
pub(super) fn soften(report: &mut Report) {
    let is_init = |file: &FileReport, function: &TouchedFunction| {
        let Some(name) = &function.name else { return false };
        let subject = format!("{name}() is __");
        let of_function = |found: &&Finding| found.subject.starts_with(&subject);
        file.findings.iter().filter(of_function).any(|found| found.rule == Rule::InitCode)
    };
    let changes_others = report
        .files
        .iter()
        .any(|file| file.functions.iter().any(|function| !is_init(file, function)));
    if !changes_others {
        return;
    }
    for file in report.files.iter_mut().filter(|file| file.role == FileRole::Code) {
        let changed = file.functions.iter().filter(|one| one.change == FunctionChange::Changed);
        let subjects: HashSet<String> = changed
            .filter_map(|function| Some(format!("{}() is __init", function.name.as_deref()?)))
            .collect();
        for finding in &mut file.findings {
            let is_data = finding.subject.ends_with(judge::INIT_DATA_CHANGES);
            if finding.rule == Rule::InitCode && (is_data || subjects.contains(&finding.subject)) {
                finding.level = Level::Unsure;
                finding.subject += ": left out (init-only) if nothing else hangs on it";
            }
        }
        file.findings.sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.patch_line));
    }
}

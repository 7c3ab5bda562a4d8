//! What can be said about a patch before it is built: which functions it touches, and what stands
//! in the way of a livepatch.
//!
//! It works on the text alone, or with the source's files at hand on whole functions. It is made to
//! err on one side: what it does not understand it calls unsure, and never fine. It decides nothing
//! in a build: that is for kpatch's tools, which see the compiled code.
//!
//! [`lexer`](self) splits text into tokens, the outline into items (functions, data, types), a view
//! pairs the items of both sides, and the judge applies the rules of `docs/patchability.md`.

mod body;
mod header;
mod heading;
pub(crate) mod init_items;
mod item;
mod judge;
mod lexer;
mod moved;
mod outline;
mod report;
mod rule;
mod side;
mod statement;
mod traceable;
mod view;
mod whole_file;
mod words;

use std::collections::{HashMap, HashSet};

use elivepatch_model::{
    ConfigValue, Engine, FailureClass, KernelConfig, config_refusals, engine_refusals,
};

use crate::{
    ChangeKind, FilePart, FilePatch, NewObject, PatchError, Refusal, SourcePatch, TreePath,
};
use judge::{Judged, Known, Lonely};
pub use report::{FileReport, FileRole, Finding, FunctionChange, Report, TouchedFunction, Verdict};
pub use rule::{Level, Rule};
use side::{Line, Side};
use view::View;

/// Reads the files of a source tree for [`check`].
pub trait SourceTree {
    /// The text of a file; `None` when it cannot be read.
    fn read(&self, path: &TreePath) -> Option<Vec<u8>>;
    /// How many files include a header directly, as far as it was looked for.
    fn includers(&self, header: &TreePath) -> Option<Includers>;
}

/// How far a header reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Includers {
    /// Files that name it in an `#include`.
    pub files: usize,
    /// Whether the search ended before the whole tree was seen.
    pub is_incomplete: bool,
}

/// What is known beside the patches.
#[derive(Default)]
pub struct Surroundings<'a> {
    /// The target's config.
    pub config: Option<&'a KernelConfig>,
    /// The target's source.
    pub tree: Option<&'a dyn SourceTree>,
}

/// Judges patches that are applied in this order, each with its name.
pub fn check(patches: &[(String, SourcePatch)], surroundings: &Surroundings<'_>) -> Report {
    let mut check = Check { surroundings, texts: HashMap::new(), changes: 0, alone: Vec::new() };
    let mut files = Vec::new();
    for (name, patch) in patches {
        let begin = files.len();
        let parts = patch.parts();
        for (file, part) in patch.files.iter().zip(&parts) {
            let report = check.file(name, file, part, files.len());
            files.push(report);
        }
        check.plan(patch, &mut files[begin..]);
    }
    let config = surroundings.config.map(findings_of_config).unwrap_or_default();
    let mut report = Report { verdict: Verdict::Patchable, config, files };
    check.whole(&mut report);
    moved::judge(&check.alone, &mut report.files);
    init_beside_others(&mut report);
    let levels = report.config.iter().chain(report.files.iter().flat_map(|file| &file.findings));
    report.verdict = levels.map(|finding| finding.level.into()).max().unwrap_or(Verdict::Patchable);
    report
}

/// What kpatch refuses a config for. Where klp-build can serve it, that hangs on the kernel's source,
/// and on who builds it.
fn findings_of_config(config: &KernelConfig) -> Vec<Finding> {
    let served_by_other = config_refusals(config, None).is_empty();
    let refusals = engine_refusals(config, Engine::Kpatch).into_iter();
    refusals
        .map(|refusal| match served_by_other {
            false => Finding::new(Rule::Config, Level::Refused, 0, refusal.to_string()),
            true => Finding::new(
                Rule::Config,
                Level::Unsure,
                0,
                format!(
                    "{refusal}: only the engine {} can serve this kernel, if the server builds it \
                     from its source",
                    Engine::KlpBuild
                ),
            ),
        })
        .collect()
}

struct Check<'a> {
    surroundings: &'a Surroundings<'a>,
    /// The texts of the tree's files as the patches before left them; `None` when unreadable.
    texts: HashMap<TreePath, Option<Vec<u8>>>,
    changes: usize,
    /// What comes or goes in one place, by the index of its file.
    alone: Vec<(usize, Lonely)>,
}

impl Check<'_> {
    /// Judges the file that is number `index` in the report.
    fn file(&mut self, patch: &str, file: &FilePatch, part: &FilePart, index: usize) -> FileReport {
        let (role, role_text, refusal) = role(file, part);
        let mut report = FileReport {
            patch: patch.to_owned(),
            path: file.path.to_string(),
            patch_line: file.patch_line,
            role,
            role_text,
            whole_file_read: false,
            functions: Vec::new(),
            findings: refusal.into_iter().collect(),
        };
        if matches!(role, FileRole::LeftOut | FileRole::Undecided) {
            return report;
        }
        let mut judged = self.judge(file, &mut report);
        self.changes += judged.changes;
        self.alone.extend(judged.lonely.drain(..).map(|lonely| (index, lonely)));
        // Nothing but the patch includes a new header.
        if role == FileRole::Header && file.kind != ChangeKind::Added {
            self.header(file, &mut report);
        }
        if role == FileRole::Code {
            let tree = self.surroundings.tree;
            report.findings.extend(traceable::findings(file, tree, self.surroundings.config));
        }
        report.functions = merged(judged.functions);
        let moved: HashSet<String> = report
            .functions
            .iter()
            .filter(|function| function.change == FunctionChange::Changed)
            .filter_map(|function| Some(format!("{}() goes away", function.name.as_ref()?)))
            .collect();
        let is_moved = |finding: &Finding| {
            finding.rule == Rule::RemovedFunction && moved.contains(&finding.subject)
        };
        report.findings.extend(judged.findings.into_iter().filter(|finding| !is_moved(finding)));
        let mut seen = HashSet::new();
        report.findings.retain(|finding| seen.insert((finding.rule, finding.subject.clone())));
        report
    }

    fn judge(&mut self, file: &FilePatch, report: &mut FileReport) -> Judged {
        let is_set = |option: &str| {
            let config = self.surroundings.config?;
            Some(matches!(config.value(option), Some(ConfigValue::Yes)))
        };
        let known = Known { namespaces: is_set("NET_NS"), kprobes: is_set("KPROBES") };
        let mut judged = Judged::new(known);
        if !matches!(file.path.extension(), "c" | "h" | "inc") {
            return judged;
        }
        match self.view(file, report) {
            Some(view) => judged.judge(&view),
            None => {
                for hunk in &file.hunks {
                    let container = heading::container(&hunk.heading);
                    judged.judge(&View::of_hunk(hunk, &container));
                }
            }
        }
        judged
    }

    /// The whole file on both sides, when it is at hand.
    fn view(&mut self, file: &FilePatch, report: &mut FileReport) -> Option<View> {
        let none = || Side::of_file(std::iter::empty());
        match file.kind {
            ChangeKind::Added => {
                let lines = file.hunks.iter().flat_map(|hunk| &hunk.lines);
                let text = lines.flat_map(|line| line.content.iter().copied().chain([b'\n']));
                self.texts.insert(file.path.clone(), Some(text.collect()));
                let after = all_lines(file);
                return Some(View::of_file(none(), after));
            }
            ChangeKind::Removed => return Some(View::of_file(all_lines(file), none())),
            _ => {}
        }
        let tree = self.surroundings.tree?;
        let path = match &file.kind {
            ChangeKind::Renamed { from } | ChangeKind::Copied { from } => from,
            _ => &file.path,
        };
        let text = self.texts.entry(path.clone()).or_insert_with(|| tree.read(path));
        let Some(old) = text.clone() else {
            let subject = format!("there is no file {path} that can be read in the source");
            let finding =
                Finding::new(Rule::DoesNotApply, Level::Refused, file.patch_line, subject);
            report.findings.push(finding);
            return None;
        };
        match whole_file::apply(file, &old) {
            Ok(whole) => {
                self.texts.insert(file.path.clone(), Some(whole.text));
                report.whole_file_read = true;
                Some(View::of_file(whole.before, whole.after))
            }
            Err(line) => {
                let subject = "the hunk's old lines are not in the source";
                let finding = Finding::new(Rule::DoesNotApply, Level::Refused, line, subject);
                report.findings.push(finding);
                None
            }
        }
    }

    fn header(&self, file: &FilePatch, report: &mut FileReport) {
        let includers = self.surroundings.tree.and_then(|tree| tree.includers(&file.path));
        let subject = match includers {
            None => "how many objects include it is not known here".to_owned(),
            Some(Includers { files, is_incomplete: true }) => {
                format!("at least {files} files include it directly, more by way of other headers")
            }
            Some(Includers { files, .. }) => {
                format!("{files} files include it directly, more by way of other headers")
            }
        };
        report.findings.push(Finding::new(Rule::Header, Level::Unsure, file.patch_line, subject));
    }

    /// What only the files of one patch together tell: whether anything compiles what is new, and
    /// what it becomes a part of.
    fn plan(&self, patch: &SourcePatch, files: &mut [FileReport]) {
        match patch.plan() {
            Ok(plan) => {
                let index = by_path(files);
                for object in &plan.new_objects {
                    if let Some(index) = index.get(object.source.as_str()) {
                        let file = &mut files[*index];
                        file.findings.extend(self.new_object(object, file.patch_line));
                    }
                }
            }
            Err(PatchError::Refused(refusals)) => {
                let index = by_path(files);
                for refusal in &refusals {
                    let file = index.get(refusal.path.as_str()).map(|index| &mut files[*index]);
                    // What is refused by itself has been told.
                    if let Some(file) = file.filter(|file| file.role != FileRole::Refused) {
                        file.findings.push(refused(refusal));
                    }
                }
            }
            // The build refuses it whatever the other patches hold.
            Err(PatchError::NoCode(_)) => {
                if let Some(file) = files.first_mut() {
                    file.findings.push(nothing_of_the_kernel(file.patch_line));
                }
            }
            // Those of reading: this one has been read.
            Err(_) => {}
        }
        for file in files {
            file.findings
                .sort_by_key(|finding| (std::cmp::Reverse(finding.level), finding.patch_line));
        }
    }

    /// What stands in the way of a new object, by the list that its Makefile adds it to.
    fn new_object(&self, object: &NewObject, patch_line: usize) -> Option<Finding> {
        let NewObject { source, list } = object;
        let finding = |rule, level, text: &str| {
            Some(Finding::new(rule, level, patch_line, format!("{source} {text} ({list})")))
        };
        let a_module = "becomes a loadable module of its own";
        let Some((name, option)) = list.split_once("-$(CONFIG_") else {
            return match list.as_str() {
                "obj-m" => finding(Rule::FileSet, Level::Refused, a_module),
                _ => None,
            };
        };
        let Some(config) = self.surroundings.config else {
            return match name {
                "obj" => finding(
                    Rule::FileSet,
                    Level::Unsure,
                    "may become a loadable module of its own, which the config tells",
                ),
                _ => None,
            };
        };
        match config.value(option.trim_end_matches(')')) {
            Some(ConfigValue::Yes) => None,
            Some(ConfigValue::Module) if name != "obj" => None,
            Some(ConfigValue::Module) => finding(Rule::FileSet, Level::Refused, a_module),
            _ => finding(Rule::NotBuilt, Level::Unsure, "is left out by the config"),
        }
    }

    /// What only all files together tell.
    fn whole(&self, report: &mut Report) {
        // See [`Self::plan`].
        if report.files.iter().all(|file| file.role == FileRole::LeftOut) {
            return;
        }
        let judged = report.files.iter_mut().filter(|file| file.role != FileRole::LeftOut);
        let unpatched = [FileRole::Refused, FileRole::Undecided];
        let mut judged = judged.filter(|file| !unpatched.contains(&file.role));
        if self.changes == 0
            && let Some(file) = judged.next()
        {
            let subject = "only comments and blanks change";
            let finding =
                Finding::new(Rule::NoCodeChange, Level::Refused, file.patch_line, subject);
            file.findings.push(finding);
        }
    }
}

/// Softens what is said of changed `__init` functions beside other changes: the build leaves them out
/// (`init-only`) where the others do not hang on them, which only it can tell.
fn init_beside_others(report: &mut Report) {
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

/// The reports of one patch's files by their paths; it names each once.
fn by_path(files: &[FileReport]) -> HashMap<String, usize> {
    files.iter().enumerate().map(|(index, file)| (file.path.clone(), index)).collect()
}

fn nothing_of_the_kernel(patch_line: usize) -> Finding {
    let subject = "nothing in the patch is part of the kernel";
    Finding::new(Rule::LeftOut, Level::Refused, patch_line, subject)
}

/// The single hunk of an added or removed file holds all of it.
fn all_lines(file: &FilePatch) -> Side {
    let lines = file.hunks.iter().flat_map(|hunk| &hunk.lines);
    Side::of_file(
        lines.map(|line| {
            (line.content.as_slice(), Line { changed: true, patch_line: line.patch_line })
        }),
    )
}

/// What a file is, by the same judgement that the build begins with.
fn role(file: &FilePatch, part: &FilePart) -> (FileRole, String, Option<Finding>) {
    match part {
        FilePart::Built if matches!(file.path.extension(), "h" | "inc") => {
            (FileRole::Header, "is a header".to_owned(), None)
        }
        FilePart::Built if file.path.extension() == "c" => {
            (FileRole::Code, "is C code; whether it is built is seen by the build".to_owned(), None)
        }
        FilePart::Built => {
            (FileRole::LeftOut, "only names the objects of new files".to_owned(), None)
        }
        FilePart::LeftOut(reason) => (FileRole::LeftOut, (*reason).to_owned(), None),
        FilePart::Refused(refusal) => {
            (FileRole::Refused, refusal.reason.to_owned(), Some(refused(refusal)))
        }
        FilePart::Undecided(refusal) => {
            (FileRole::Undecided, refusal.reason.to_owned(), Some(undecided(refusal)))
        }
    }
}

fn refused(refusal: &Refusal) -> Finding {
    let rule = match refusal.class {
        FailureClass::PatchAssembly => Rule::Assembly,
        FailureClass::PatchFileSet => Rule::FileSet,
        FailureClass::PatchBuildSystem => Rule::BuildSystem,
        _ => Rule::UnpatchableCode,
    };
    let subject = format!("{} {}", refusal.path, refusal.reason);
    Finding::new(rule, Level::Refused, refusal.patch_line, subject)
}

/// What is refused if the base builds it.
fn undecided(refusal: &Refusal) -> Finding {
    let mut finding = refused(refusal);
    finding.level = Level::Unsure;
    finding.subject += ": refused if this kernel is built with it, left out if not";
    finding
}

/// One entry for each function, in the order of the patch: several hunks may touch one, and one that
/// is taken away here and added there is only moved.
fn merged(functions: Vec<TouchedFunction>) -> Vec<TouchedFunction> {
    let mut merged: Vec<TouchedFunction> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for function in functions {
        let Some(name) = function.name.clone() else {
            merged.push(function);
            continue;
        };
        match places.get(&name) {
            Some(place) => {
                let known = &mut merged[*place];
                if known.change != function.change {
                    known.change = FunctionChange::Changed;
                }
            }
            None => {
                places.insert(name, merged.len());
                merged.push(function);
            }
        }
    }
    merged
}

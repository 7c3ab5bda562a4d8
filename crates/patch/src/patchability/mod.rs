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
mod file_role;
mod header;
mod heading;
mod init_beside_others;
pub(crate) mod init_items;
mod item;
mod judge;
mod lexer;
mod moved;
mod outline;
mod report;
mod rule;
mod series;
mod side;
mod statement;
mod traceable;
mod view;
mod whole_file;
mod words;

use std::collections::{HashMap, HashSet};

use elivepatch_model::{ConfigValue, Engine, KernelConfig, config_refusals, engine_refusals};

use crate::{ChangeKind, FilePart, FilePatch, NewObject, PatchError, SourcePatch, TreePath};
use file_role::{is_left_out, nothing_of_the_kernel, refused, role};
use judge::{Judged, Known, Lonely};
pub use report::{FileReport, FileRole, Finding, FunctionChange, Report, TouchedFunction, Verdict};
pub use rule::{Level, Rule};
use side::{Line, Side};
use view::View;
use whole_file::Tracked;

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
    let mut check = Check::new(patches, surroundings);
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
    series::soften(&check.touched, &mut report.files);
    moved::judge(&check.alone, &mut report.files);
    moved::judge_renamed(&check.alone, &mut report.files);
    init_beside_others::soften(&mut report);
    if surroundings.config.is_some_and(is_older_than_runtime_constants) {
        for file in &mut report.files {
            file.findings.retain(|finding| finding.rule != Rule::RuntimeConstant);
        }
    }
    let levels = report.config.iter().chain(report.files.iter().flat_map(|file| &file.findings));
    report.verdict = levels.map(|finding| finding.level.into()).max().unwrap_or(Verdict::Patchable);
    if !report.files.is_empty() && report.files.iter().all(|file| file.role == FileRole::LeftOut) {
        report.verdict = Verdict::NothingToDo;
        let findings = report.files.iter_mut().flat_map(|file| &mut file.findings);
        findings.for_each(|finding| finding.level = Level::Note);
    }
    report
}

/// Whether the config is that of a kernel before 6.11, which has no `asm/runtime-const.h`: the
/// constants that it stands for are variables there.
fn is_older_than_runtime_constants(config: &KernelConfig) -> bool {
    config.header_version().is_some_and(|release| release.version() < (6, 11, 0))
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
    texts: HashMap<TreePath, Option<Tracked>>,
    /// The files that several patches change.
    series: HashSet<TreePath>,
    /// How many of the patches that are still to be judged change a file.
    left: HashMap<TreePath, usize>,
    /// What each patch touches, for [`series::soften`].
    touched: Vec<(usize, Vec<item::Key>)>,
    changes: usize,
    /// What comes or goes in one place, by the index of its file.
    alone: Vec<(usize, Lonely)>,
}

impl<'a> Check<'a> {
    fn new(patches: &[(String, SourcePatch)], surroundings: &'a Surroundings<'a>) -> Self {
        let mut left: HashMap<TreePath, usize> = HashMap::new();
        for file in patches.iter().flat_map(|(_, patch)| &patch.files) {
            *left.entry(file.path.clone()).or_default() += 1;
        }
        let series = left.iter().filter(|(_, number)| **number > 1).map(|(path, _)| path.clone());
        let series = series.collect();
        Self {
            surroundings,
            texts: HashMap::new(),
            series,
            left,
            touched: Vec::new(),
            changes: 0,
            alone: Vec::new(),
        }
    }

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
        if is_left_out(role) || role == FileRole::Undecided {
            return report;
        }
        let mut judged = self.judge(file, &mut report);
        if self.is_series(&file.path) && !report.whole_file_read {
            self.touched.push((index, std::mem::take(&mut judged.touched)));
        }
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
        if file.path.as_str() == words::FULL_OF_RUNTIME_CONSTANTS
            && let Some(function) = report.functions.first()
        {
            let subject = "most functions of the file hold the place and size of its table";
            let rule = Rule::RuntimeConstant;
            report.findings.push(Finding::new(rule, Level::Unsure, function.patch_line, subject));
        }
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

    /// Whether several patches change the file.
    fn is_series(&self, path: &TreePath) -> bool {
        self.series.contains(path)
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
        let left = self.left.get_mut(&file.path).map_or(0, |left| {
            *left -= 1;
            *left
        });
        match self.view(file, report) {
            // The build compares what was before the first patch with what the last one leaves.
            Some(view) if self.is_series(&file.path) => {
                let mut alone = Judged::new(known);
                alone.judge(&view);
                if let (0, Some(Some(tracked))) = (left, self.texts.get(&file.path)) {
                    judged.judge(&tracked.view());
                }
                judged.functions = alone.functions;
            }
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
        match file.kind {
            ChangeKind::Added => {
                let tracked = Tracked::added(file);
                let view = tracked.view();
                self.texts.insert(file.path.clone(), Some(tracked));
                return Some(view);
            }
            ChangeKind::Removed => {
                self.texts.remove(&file.path);
                return Some(View::of_file(all_lines(file), Side::of_file(std::iter::empty())));
            }
            _ => {}
        }
        let path = match &file.kind {
            ChangeKind::Renamed { from } | ChangeKind::Copied { from } => from,
            _ => &file.path,
        };
        // What a patch before has added is known without a tree.
        if !self.texts.contains_key(path) {
            let read = self.surroundings.tree?.read(path);
            self.texts.insert(path.clone(), read.map(|text| Tracked::new(&text)));
        }
        let Some(mut tracked) = self.texts.remove(path).flatten() else {
            self.texts.insert(path.clone(), None);
            let subject = format!("there is no file {path} that can be read in the source");
            let finding =
                Finding::new(Rule::DoesNotApply, Level::Refused, file.patch_line, subject);
            report.findings.push(finding);
            return None;
        };
        let applied = tracked.apply(file);
        self.texts.insert(file.path.clone(), Some(tracked));
        match applied {
            Ok(view) => {
                report.whole_file_read = true;
                Some(view)
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
                // Not by path: what is renamed is refused by its old one.
                let lines = files.iter().enumerate().map(|(index, file)| (file.patch_line, index));
                let index: HashMap<usize, usize> = lines.collect();
                for refusal in &refusals {
                    let file = index.get(&refusal.patch_line).map(|index| &mut files[*index]);
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
        if report.files.iter().all(|file| is_left_out(file.role)) {
            return;
        }
        let judged = report.files.iter_mut().filter(|file| !is_left_out(file.role));
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

/// The reports of one patch's files by their paths; it names each once.
fn by_path(files: &[FileReport]) -> HashMap<String, usize> {
    files.iter().enumerate().map(|(index, file)| (file.path.clone(), index)).collect()
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

use std::fmt;

use elivepatch_model::FailureClass;

use crate::{
    ChangeKind, FilePatch, NewObject, PatchError, SourcePatch, TreePath, makefile,
    makefile::FileSet, place, place::Place,
};

/// What of a patch is to be built: text changes to `.c` files that may be in the kernel, new files,
/// and the lines of Makefiles that name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchPlan {
    /// The changes to apply, in the order of the patch; at least one is a change of code. A renamed
    /// `.c` file is changed under its old name: what runs was compiled from that.
    pub files: Vec<FilePatch>,
    /// What is left out because it never is in the target's kernel.
    pub dropped: Vec<DroppedFile>,
    /// What the patch takes away, or moves, and a running kernel keeps.
    pub kept: Vec<DroppedFile>,
    /// The objects that the patch adds.
    pub new_objects: Vec<NewObject>,
    /// What cannot be live-patched if the target is built with it, and is left out if not.
    pub undecided: Vec<Refusal>,
}

/// A file that is left out of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedFile {
    /// The file.
    pub path: TreePath,
    /// The line of the patch, from 1, where its change begins.
    pub patch_line: usize,
    /// Why it makes no difference to the kernel; completes "FILE …".
    pub reason: &'static str,
}

/// A file whose change cannot be live-patched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub path: TreePath,
    /// The line of the patch, from 1, where its change begins.
    pub patch_line: usize,
    /// The stable class.
    pub class: FailureClass,
    /// Why; completes "FILE …".
    pub reason: &'static str,
    /// What the author can do.
    pub hint: &'static str,
}

/// What becomes of one file of a patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePart {
    /// It is built, or part of what is built.
    Built,
    /// It is left out, and never is in this kernel; the reason completes "FILE …".
    LeftOut(&'static str),
    /// It is left out, and the running kernel keeps its code; the reason completes "FILE …".
    Kept(&'static str),
    /// No build could livepatch it.
    Refused(Refusal),
    /// It is refused if the target is built with it, and left out if not.
    Undecided(Refusal),
}

impl SourcePatch {
    /// What becomes of each file, in the patch's order, by its path and by the rest of the patch.
    pub fn parts(&self) -> Vec<FilePart> {
        let file_set = self.file_set();
        let parts: Vec<FilePart> = self.files.iter().map(|file| part_of(file, &file_set)).collect();
        // With nothing else, there is nothing to build whichever way the base decides.
        let refuse = |part| match part {
            FilePart::Undecided(refusal) => FilePart::Refused(refusal),
            other => other,
        };
        match self.has_code(&file_set) {
            true => parts,
            false => parts.into_iter().map(refuse).collect(),
        }
    }

    /// Whether something is to be built, whatever becomes of files that only the base knows of.
    fn has_code(&self, file_set: &FileSet<'_>) -> bool {
        self.files.iter().any(|file| match makefile::new_objects(file, file_set) {
            Some(objects) => !objects.is_empty(),
            None => {
                matches!(judge(file), Judged::Code | Judged::Kept { change: Some(_), .. })
            }
        })
    }

    /// Works out by path what is to be built, and refuses what no build could livepatch.
    ///
    /// # Errors
    /// [`PatchError::Refused`] with *every* refused file, and [`PatchError::NoCode`] when nothing
    /// is left to build.
    pub fn plan(&self) -> Result<PatchPlan, PatchError> {
        let file_set = self.file_set();
        let mut plan = PatchPlan {
            files: Vec::new(),
            dropped: Vec::new(),
            kept: Vec::new(),
            new_objects: Vec::new(),
            undecided: Vec::new(),
        };
        let mut refusals = Vec::new();
        let has_code = self.has_code(&file_set);
        let mut objects_away = Vec::new();
        for file in &self.files {
            let patch_line = file.patch_line;
            let left = |reason| DroppedFile { path: file.path.clone(), patch_line, reason };
            if let Some(objects) = makefile::new_objects(file, &file_set) {
                // One that only takes objects away has nothing to build with.
                match objects.is_empty() {
                    true => objects_away.push(left(TAKES_OBJECTS_AWAY)),
                    false => plan.files.push(file.clone()),
                }
                plan.new_objects.extend(objects);
                continue;
            }
            match judge(file) {
                Judged::Code | Judged::New => plan.files.push(file.clone()),
                Judged::Kept { path: kept, reason, change } => {
                    plan.kept.push(DroppedFile { path: kept, ..left(reason) });
                    plan.files.extend(change);
                }
                Judged::NotInKernel(reason) => plan.dropped.push(left(reason)),
                Judged::Refused { class, reason, hint, if_built } => {
                    let path = file.path.clone();
                    let refusal = Refusal { path, patch_line, class, reason, hint };
                    match if_built && has_code {
                        true => plan.undecided.push(refusal),
                        false => refusals.push(refusal),
                    }
                }
            }
        }
        if !refusals.is_empty() {
            return Err(PatchError::Refused(refusals));
        }
        if !has_code {
            let refusals: Vec<Refusal> = plan.files.iter().map(nothing_compiles).collect();
            if !refusals.is_empty() {
                return Err(PatchError::Refused(refusals));
            }
            let kept: Vec<Refusal> = plan.kept.iter().chain(&objects_away).map(only_kept).collect();
            if !kept.is_empty() {
                return Err(PatchError::Refused(kept));
            }
            return Err(PatchError::NoCode(plan.dropped));
        }
        Ok(plan)
    }
}
/// Of a Makefile.
const TAKES_OBJECTS_AWAY: &str = "only takes objects away, which a running kernel keeps";

fn part_of(file: &FilePatch, file_set: &FileSet<'_>) -> FilePart {
    match makefile::new_objects(file, file_set) {
        Some(objects) if objects.is_empty() => {
            return FilePart::Kept(TAKES_OBJECTS_AWAY);
        }
        Some(_) => return FilePart::Built,
        None => {}
    }
    match judge(file) {
        Judged::Code | Judged::New | Judged::Kept { change: Some(_), .. } => FilePart::Built,
        Judged::Kept { reason, change: None, .. } => FilePart::Kept(reason),
        Judged::NotInKernel(reason) => FilePart::LeftOut(reason),
        Judged::Refused { class, reason, hint, if_built } => {
            let (path, patch_line) = (file.path.clone(), file.patch_line);
            let refusal = Refusal { path, patch_line, class, reason, hint };
            match if_built {
                true => FilePart::Undecided(refusal),
                false => FilePart::Refused(refusal),
            }
        }
    }
}

/// What becomes of the change to one file.
enum Judged {
    /// A change of code that may be in the kernel.
    Code,
    /// A new file, for the changed ones and the new objects.
    New,
    /// The file is taken away or moved, and stays as it is; `change` is what happens to its text.
    Kept { path: TreePath, reason: &'static str, change: Option<FilePatch> },
    /// See [`Place::NotInKernel`].
    NotInKernel(&'static str),
    /// See [`Place::Refused`] and [`Place::RefusedIfBuilt`].
    Refused { class: FailureClass, reason: &'static str, hint: &'static str, if_built: bool },
}

impl From<Place> for Judged {
    fn from(place: Place) -> Self {
        match place {
            Place::Code => Self::Code,
            Place::NotInKernel(reason) => Self::NotInKernel(reason),
            Place::Refused { class, reason, hint } => {
                Self::Refused { class, reason, hint, if_built: false }
            }
            Place::RefusedIfBuilt { class, reason, hint } => {
                Self::Refused { class, reason, hint, if_built: true }
            }
        }
    }
}

/// Judges one file by its path first, then by what happens to it as a whole.
fn judge(file: &FilePatch) -> Judged {
    let place = place::of(&file.path);
    // A file that moves out of the documentation is no documentation any more, and the other way.
    let from = match &file.kind {
        ChangeKind::Renamed { from } => place::of(from),
        _ => place,
    };
    if let (Place::NotInKernel(_), Place::NotInKernel(_)) = (place, from) {
        return place.into();
    }
    match &file.kind {
        ChangeKind::Modified => place.into(),
        ChangeKind::ModeChanged => Judged::NotInKernel("only changes its mode"),
        ChangeKind::Added if is_new_source(file, place) => Judged::New,
        ChangeKind::Removed if place == Place::Code => Judged::Kept {
            path: file.path.clone(),
            reason: "is taken away by the patch, and its code stays in a running kernel",
            change: None,
        },
        // A header must be found under its new name.
        ChangeKind::Renamed { from: old }
            if place == Place::Code
                && from == Place::Code
                && [&file.path, old].iter().all(|path| path.extension() == "c") =>
        {
            let same = FilePatch { path: old.clone(), kind: ChangeKind::Modified, ..file.clone() };
            Judged::Kept {
                path: old.clone(),
                reason: "gets another name by the patch, and a running kernel keeps what was \
                         compiled from it",
                change: (!file.hunks.is_empty()).then_some(same),
            }
        }
        // What cannot be patched where it is cannot be new, or go away, there either.
        _ if matches!(place, Place::Refused { .. } | Place::RefusedIfBuilt { .. }) => {
            match place.into() {
                Judged::Refused { class, reason, hint, .. } => {
                    Judged::Refused { class, reason, hint, if_built: false }
                }
                other => other,
            }
        }
        ChangeKind::Added => file_set("is new, and neither C code nor a header"),
        ChangeKind::Removed => file_set("is removed"),
        ChangeKind::Copied { .. } => file_set("is a copy of another file"),
        ChangeKind::Renamed { .. } => file_set("is renamed"),
    }
}

fn is_new_source(file: &FilePatch, place: Place) -> bool {
    ["c", "h"].contains(&file.path.extension()) && place == Place::Code
}

fn file_set(reason: &'static str) -> Judged {
    Judged::Refused {
        class: FailureClass::PatchFileSet,
        reason,
        hint: "make the change inside files that exist in the target's source",
        if_built: false,
    }
}

/// A fix that only takes code away fixes nothing in a kernel that has it.
fn only_kept(file: &DroppedFile) -> Refusal {
    Refusal {
        path: file.path.clone(),
        patch_line: file.patch_line,
        class: FailureClass::PatchFileSet,
        reason: file.reason,
        hint: "what the fix takes away goes on running: make its functions fail instead, by a \
               return at their beginning",
    }
}

fn nothing_compiles(file: &FilePatch) -> Refusal {
    Refusal {
        path: file.path.clone(),
        patch_line: file.patch_line,
        class: FailureClass::PatchFileSet,
        reason: "is new, and nothing in the patch compiles or includes it",
        hint: "name it in a Makefile (NAME-y += FILE.o), or change code that includes it",
    }
}

impl SourcePatch {
    fn file_set(&self) -> FileSet<'_> {
        let mut set = FileSet::default();
        for file in &self.files {
            let path = &file.path;
            let _ = match &file.kind {
                ChangeKind::Added if is_new_source(file, place::of(path)) => set.added.insert(path),
                ChangeKind::Removed => set.gone.insert(path),
                ChangeKind::Renamed { from } => set.gone.insert(from) && set.renamed.insert(path),
                _ => false,
            };
        }
        set
    }
}

impl fmt::Display for DroppedFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} (line {} of the patch)", self.path, self.reason, self.patch_line)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {} (line {} of the patch)", self.path, self.reason, self.patch_line)
    }
}

use crate::{ChangeKind, FilePatch, PatchError, TreePath};

use super::{Parser, is_binary_notice, name, name::Name, unprefixed, unreadable};

/// The mode of a symbolic link in git.
const SYMBOLIC_LINK: &[u8] = b"120000";
/// The mode of a submodule in git.
const SUBMODULE: &[u8] = b"160000";

/// What git's extended headers say of one file.
#[derive(Default)]
struct Extended {
    added: bool,
    removed: bool,
    mode_changed: bool,
    rename_from: Option<Name>,
    rename_to: Option<Name>,
    copy_from: Option<Name>,
    copy_to: Option<Name>,
}

impl Parser<'_> {
    /// Reads one file of a git diff, from its `diff --git` line. `None` when the headers say that
    /// nothing changes.
    pub(super) fn git_entry(&mut self) -> Result<Option<FilePatch>, PatchError> {
        let patch_line = self.line_number();
        let command = self.peek().unwrap_or_default();
        if command.ends_with(b"\r") {
            return self.error(crate::error::CARRIAGE_RETURN);
        }
        self.at += 1;
        let extended = self.extended_headers()?;
        if self.peek().is_some_and(is_binary_notice) {
            return Err(PatchError::Binary { line: self.line_number() });
        }
        if !self.at_file_header() {
            let Some(kind) = extended.kind()? else { return Ok(None) };
            let path = match extended.target() {
                Some(name) => unprefixed(name)?,
                None => same_path(command, patch_line)?,
            };
            return Ok(Some(FilePatch { path, kind, patch_line, hunks: Vec::new() }));
        }
        let (old, new, hunks) = self.header_and_hunks()?;
        let mut file = self.file_from_names(patch_line, &old, &new, hunks)?;
        if let Some(target) = extended.target()
            && unprefixed(target)? != file.path
        {
            return Err(unreadable(
                target.line,
                format!("\"{}\" and \"{}\" are different paths", target.text, file.path),
            ));
        }
        match extended.kind()? {
            // Where git says less than the header below it, the header counts.
            None | Some(ChangeKind::ModeChanged) => {}
            Some(kind) => file.kind = kind,
        }
        Ok(Some(file))
    }

    fn extended_headers(&mut self) -> Result<Extended, PatchError> {
        let mut extended = Extended::default();
        while let Some(text) = self.peek() {
            let line = self.line_number();
            let name = |rest| Name::parse_whole(rest, line).map(Some);
            if let Some(mode) = text.strip_prefix(b"new file mode ") {
                self.check_mode(mode)?;
                extended.added = true;
            } else if let Some(mode) = text.strip_prefix(b"deleted file mode ") {
                self.check_mode(mode)?;
                extended.removed = true;
            } else if let Some(mode) =
                text.strip_prefix(b"old mode ").or_else(|| text.strip_prefix(b"new mode "))
            {
                self.check_mode(mode)?;
                extended.mode_changed = true;
            } else if let Some(rest) = text.strip_prefix(b"index ") {
                // `index 1234567..89abcde 100644`
                let mode = rest.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
                self.check_mode(mode)?;
            } else if let Some(rest) = text.strip_prefix(b"rename from ") {
                extended.rename_from = name(rest)?;
            } else if let Some(rest) = text.strip_prefix(b"rename to ") {
                extended.rename_to = name(rest)?;
            } else if let Some(rest) = text.strip_prefix(b"copy from ") {
                extended.copy_from = name(rest)?;
            } else if let Some(rest) = text.strip_prefix(b"copy to ") {
                extended.copy_to = name(rest)?;
            } else if !text.starts_with(b"similarity index ")
                && !text.starts_with(b"dissimilarity index ")
            {
                break;
            }
            self.at += 1;
        }
        Ok(extended)
    }

    fn check_mode(&self, mode: &[u8]) -> Result<(), PatchError> {
        match mode.trim_ascii_end() {
            SYMBOLIC_LINK => Err(PatchError::SymbolicLink { line: self.line_number() }),
            SUBMODULE => self.error("a submodule; a kernel source tree has none"),
            _ => Ok(()),
        }
    }
}

impl Extended {
    /// What happens to the file as a whole; `None` when the headers do not say.
    fn kind(&self) -> Result<Option<ChangeKind>, PatchError> {
        Ok(match self {
            Self { rename_from: Some(from), .. } => {
                Some(ChangeKind::Renamed { from: unprefixed(from)? })
            }
            Self { copy_from: Some(from), .. } => {
                Some(ChangeKind::Copied { from: unprefixed(from)? })
            }
            Self { added: true, .. } => Some(ChangeKind::Added),
            Self { removed: true, .. } => Some(ChangeKind::Removed),
            Self { mode_changed: true, .. } => Some(ChangeKind::ModeChanged),
            _ => None,
        })
    }

    /// The new path of a renamed or copied file.
    fn target(&self) -> Option<&Name> {
        self.rename_to.as_ref().or(self.copy_to.as_ref())
    }
}

/// The path of `diff --git a/PATH b/PATH`, which is the only place that names a file whose text
/// does not change. The two are the same path, so that blanks in it do no harm.
fn same_path(command: &[u8], line: usize) -> Result<TreePath, PatchError> {
    let ambiguous = || unreadable(line, "cannot tell which file this header is about");
    let names = command.strip_prefix(b"diff --git ").unwrap_or(command);
    let (old, new) = if names.starts_with(b"\"") {
        let (old, rest) = name::unquote(names).ok_or_else(ambiguous)?;
        let rest = rest.strip_prefix(b" ").ok_or_else(ambiguous)?;
        let (new, _) = name::unquote(rest).ok_or_else(ambiguous)?;
        (old, new)
    } else {
        let middle = names.len() / 2;
        if names.get(middle) != Some(&b' ') {
            return Err(ambiguous());
        }
        (names[..middle].to_vec(), names[middle + 1..].to_vec())
    };
    let stripped = |bytes| -> Result<_, PatchError> {
        let text = String::from_utf8(bytes).map_err(|_| ambiguous())?;
        Name { text, line }.stripped()?.ok_or_else(ambiguous)
    };
    let (old, new) = (stripped(old)?, stripped(new)?);
    if old != new {
        return Err(ambiguous());
    }
    name::tree_path(&new, line)
}

use crate::{PatchError, TreePath, TreePathError};

use super::unreadable;

/// How much of a bad path is shown, in characters.
const SHOWN_CHARACTERS: usize = 100;

/// A file name as a header of the patch has it, unquoted, with its prefix.
pub(super) struct Name {
    pub(super) text: String,
    /// The line of the patch that holds it, from 1.
    pub(super) line: usize,
}

impl Name {
    /// Reads what follows `--- ` or `+++ `: a name, perhaps in git's quotes, and perhaps followed by
    /// a timestamp.
    pub(super) fn parse(text: &[u8], line: usize) -> Result<Self, PatchError> {
        if text.ends_with(b"\r") {
            return Err(unreadable(line, crate::error::CARRIAGE_RETURN));
        }
        if text.starts_with(b"\"") {
            return Self::quoted(text, line);
        }
        // As GNU patch does: a name with blanks is followed by a tab, any other ends at a blank.
        let tab = text.iter().position(|byte| *byte == b'\t');
        let end = tab.or_else(|| text.iter().position(|byte| *byte == b' '));
        Self::from_bytes(text[..end.unwrap_or(text.len())].to_vec(), line)
    }

    /// Reads a whole line's rest, as in `rename from fs/a b.c`.
    pub(super) fn parse_whole(text: &[u8], line: usize) -> Result<Self, PatchError> {
        if text.ends_with(b"\r") || text.starts_with(b"\"") {
            return Self::parse(text, line);
        }
        Self::from_bytes(text.to_vec(), line)
    }

    fn quoted(text: &[u8], line: usize) -> Result<Self, PatchError> {
        let Some((name, rest)) = unquote(text) else {
            return Err(unreadable(
                line,
                "a quoted file name that does not end or has a bad escape",
            ));
        };
        if !(rest.is_empty() || rest.starts_with(b"\t") || rest.starts_with(b" ")) {
            return Err(unreadable(line, "text follows the quoted file name"));
        }
        Self::from_bytes(name, line)
    }

    fn from_bytes(bytes: Vec<u8>, line: usize) -> Result<Self, PatchError> {
        match String::from_utf8(bytes) {
            Ok(text) if text.is_empty() => Err(unreadable(line, "the file name is missing")),
            Ok(text) => Ok(Self { text, line }),
            Err(_) => Err(unreadable(line, "the file name is not UTF-8")),
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.text == "/dev/null"
    }

    /// The name without its first component (strip level 1); `None` for `/dev/null`.
    pub(super) fn stripped(&self) -> Result<Option<String>, PatchError> {
        if self.is_null() {
            return Ok(None);
        }
        // Also the side whose name is not used must be harmless: a header that names an outside
        // file is either an attack or a patch made in the wrong directory.
        if self.text.starts_with('/') {
            return Err(bad_path(&self.text, self.line, TreePathError::Absolute));
        }
        if self.text.split('/').any(|component| component == "..") {
            return Err(bad_path(&self.text, self.line, TreePathError::LeavesTree));
        }
        match self.text.split_once('/') {
            Some((_, path)) => Ok(Some(path.to_owned())),
            None => Err(unreadable(
                self.line,
                format!(
                    "\"{}\" has no leading directory to strip (a/DIR/FILE is expected)",
                    shown(&self.text)
                ),
            )),
        }
    }
}

/// Checks a path; `line` is the line of the patch that names it.
pub(super) fn tree_path(path: &str, line: usize) -> Result<TreePath, PatchError> {
    TreePath::new(path).map_err(|problem| bad_path(path, line, problem))
}

fn bad_path(path: &str, line: usize, problem: TreePathError) -> PatchError {
    let path = shown(path);
    if problem.is_outside_tree() {
        PatchError::OutsideTree { line, path, problem }
    } else {
        unreadable(line, format!("the path \"{path}\" {problem}"))
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect()
}

/// Reads a name in git's C-style quotes at the beginning of `text`; gives what follows it, too.
pub(super) fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (escape, after) = rest.split_first()?;
                rest = after;
                name.push(match escape {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'"' | b'\\' => *escape,
                    b'0'..=b'3' => {
                        let (digits, after) = rest.split_first_chunk::<2>()?;
                        rest = after;
                        if digits.iter().any(|digit| !(b'0'..=b'7').contains(digit)) {
                            return None;
                        }
                        (escape - b'0') * 64 + (digits[0] - b'0') * 8 + (digits[1] - b'0')
                    }
                    _ => return None,
                });
            }
            plain => name.push(*plain),
        }
    }
}

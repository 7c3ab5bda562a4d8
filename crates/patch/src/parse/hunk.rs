use crate::{Hunk, HunkLine, LineKind, LineRange, PatchError};

use super::{Parser, unreadable};

/// The highest line number in a hunk header. The longest file of Linux 7.3, a generated header, has
/// under 300,000 lines.
const LAST_LINE: usize = 10_000_000;

impl Parser<'_> {
    /// Reads the hunks of one file; the first `@@` line is next.
    pub(super) fn hunks(&mut self) -> Result<Vec<Hunk>, PatchError> {
        let mut hunks: Vec<Hunk> = Vec::new();
        while let Some(line) = self.peek() {
            if !line.starts_with(b"@@ -") {
                self.check_end_of_hunk(line, hunks.last())?;
                break;
            }
            let patch_line = self.line_number();
            let hunk = self.hunk(line)?;
            if hunks.last().is_some_and(|last| hunk.first_guess() < end_of_old(last)) {
                return Err(unreadable(patch_line, "the hunk overlaps the one before it"));
            }
            hunks.push(hunk);
        }
        Ok(hunks)
    }

    fn hunk(&mut self, header: &[u8]) -> Result<Hunk, PatchError> {
        let patch_line = self.line_number();
        let Some((old, new, heading)) = ranges(header) else {
            return self.error("not a hunk header of the form \"@@ -LINE,COUNT +LINE,COUNT @@\"");
        };
        self.at += 1;
        let (mut old_left, mut new_left) = (old.length, new.length);
        let mut lines = Vec::new();
        while old_left > 0 || new_left > 0 {
            let line = self.body_line(patch_line, &old, &new)?;
            let takes_old = usize::from(line.kind != LineKind::Added);
            let takes_new = usize::from(line.kind != LineKind::Removed);
            match (old_left.checked_sub(takes_old), new_left.checked_sub(takes_new)) {
                (Some(old), Some(new)) => (old_left, new_left) = (old, new),
                _ => return Err(too_long(line.patch_line, patch_line, &old, &new)),
            }
            // "\ No newline at end of file" is about the line before it.
            let last_of_its_side = (line.kind == LineKind::Added || old_left == 0)
                && (line.kind == LineKind::Removed || new_left == 0);
            let line = self.newline_marker(line, last_of_its_side)?;
            lines.push(line);
        }
        if lines.iter().all(|line| line.kind == LineKind::Context) {
            return Err(unreadable(patch_line, "the hunk neither adds nor removes a line"));
        }
        // GNU patch would put it at the line that the header names, whatever is there.
        let anchored = lines.iter().any(|line| line.kind != LineKind::Added);
        if !anchored && old.start != 0 {
            return Err(unreadable(
                patch_line,
                "the hunk only adds lines and shows none around them, so that nothing says whether \
                 its place is right",
            ));
        }
        Ok(Hunk { old, new, patch_line, heading: heading.trim_ascii().to_vec(), lines })
    }

    fn body_line(
        &mut self,
        header: usize,
        old: &LineRange,
        new: &LineRange,
    ) -> Result<HunkLine, PatchError> {
        let patch_line = self.line_number();
        let (kind, content) = match self.peek().map(|line| (line.split_first(), line)) {
            Some((Some((b' ', content)), _)) => (LineKind::Context, content),
            Some((Some((b'-', content)), _)) => (LineKind::Removed, content),
            Some((Some((b'+', content)), _)) => (LineKind::Added, content),
            // Mail programs strip the blank of an empty context line.
            Some((None, _)) => (LineKind::Context, &[][..]),
            _ => {
                return self.error(format!(
                    "the hunk of line {header} ends too early: its header says {} lines before and {} after",
                    old.length, new.length
                ));
            }
        };
        if content.contains(&0) {
            return Err(PatchError::Binary { line: patch_line });
        }
        self.at += 1;
        Ok(HunkLine { kind, content: content.to_vec(), lacks_newline: false, patch_line })
    }

    fn newline_marker(&mut self, line: HunkLine, allowed: bool) -> Result<HunkLine, PatchError> {
        if !self.peek().is_some_and(|next| next.starts_with(b"\\ ")) {
            return Ok(line);
        }
        if !allowed {
            return self.error("a missing newline in the middle of a hunk");
        }
        self.at += 1;
        Ok(HunkLine { lacks_newline: true, ..line })
    }

    /// After a hunk's last line there is another hunk, another file or text, but no line that
    /// belongs to a hunk: then the header's counts are wrong, and part of the fix would be lost.
    fn check_end_of_hunk(&self, line: &[u8], hunk: Option<&Hunk>) -> Result<(), PatchError> {
        let signature = matches!(line.trim_ascii_end(), b"--");
        let body = matches!(line.first(), Some(b' ' | b'+' | b'-' | b'\\'));
        match hunk {
            Some(hunk) if body && !signature && !self.at_file_header() => {
                Err(too_long(self.line_number(), hunk.patch_line, &hunk.old, &hunk.new))
            }
            _ => Ok(()),
        }
    }
}

fn too_long(line: usize, header: usize, old: &LineRange, new: &LineRange) -> PatchError {
    unreadable(
        line,
        format!(
            "the hunk of line {header} has more lines than its header says ({} before, {} after)",
            old.length, new.length
        ),
    )
}

/// The first line after the hunk's old lines, where the next hunk may begin.
fn end_of_old(hunk: &Hunk) -> usize {
    hunk.first_guess() + hunk.old.length
}

/// Reads `@@ -1,2 +3,4 @@ anything`.
fn ranges(header: &[u8]) -> Option<(LineRange, LineRange, &[u8])> {
    let rest = header.strip_prefix(b"@@ -")?;
    let (old, rest) = range(rest)?;
    let (new, rest) = range(rest.strip_prefix(b" +")?)?;
    let heading = rest.strip_prefix(b" @@")?;
    Some((old, new, heading))
}

fn range(text: &[u8]) -> Option<(LineRange, &[u8])> {
    let (start, rest) = number(text)?;
    let (length, rest) = match rest.strip_prefix(b",") {
        Some(rest) => number(rest)?,
        None => (1, rest),
    };
    // Line 0 exists only as "before the first line".
    (start > 0 || length == 0).then_some((LineRange { start, length }, rest))
}

fn number(text: &[u8]) -> Option<(usize, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let value = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (value <= LAST_LINE).then_some((value, rest))
}

//! Reads a file of a source tree as a patch leaves it, to judge whole functions.
//!
//! This decides nothing: the build applies patches with GNU patch. Where the two could differ (a
//! hunk that fits in several places) both take the place that is nearest to the hunk's header.

use crate::{FilePatch, Hunk, LineKind};

use super::side::{Line, Side};

/// How many lines are compared at most while the places of the hunks are looked for: a hostile
/// patch could have every hunk searched for through the whole file.
const COMPARISONS: usize = 20_000_000;

/// The file before and after the patch.
pub(crate) struct WholeFile {
    pub before: Side,
    pub after: Side,
    /// The text after the patch, for the next patch.
    pub text: Vec<u8>,
}

/// Applies the hunks. `Err` holds the first hunk that has no place, by its line of the patch.
pub(crate) fn apply(file: &FilePatch, text: &[u8]) -> Result<WholeFile, usize> {
    let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    lines.pop_if(|last| last.is_empty());
    let mut before: Vec<(&[u8], Line)> = Vec::with_capacity(lines.len());
    let mut after = Vec::with_capacity(lines.len());
    let unchanged = Line { changed: false, patch_line: 0 };
    let mut at = 0;
    let mut drift = 0isize;
    let mut budget = COMPARISONS;
    for hunk in &file.hunks {
        let guess = (hunk.first_guess() - 1).saturating_add_signed(drift);
        let place = find(&lines, hunk, at, guess, &mut budget).ok_or(hunk.patch_line)?;
        drift = place.wrapping_sub(hunk.first_guess() - 1) as isize;
        before.extend(lines[at..place].iter().map(|line| (*line, unchanged)));
        after.extend(lines[at..place].iter().map(|line| (*line, unchanged)));
        for line in &hunk.lines {
            let changed = line.kind != LineKind::Context;
            let shown = (line.content.as_slice(), Line { changed, patch_line: line.patch_line });
            if line.kind != LineKind::Added {
                before.push(shown);
            }
            if line.kind != LineKind::Removed {
                after.push(shown);
            }
        }
        at = place + hunk.old.length;
    }
    before.extend(lines[at..].iter().map(|line| (*line, unchanged)));
    after.extend(lines[at..].iter().map(|line| (*line, unchanged)));
    let mut text = Vec::new();
    for (line, _) in &after {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    Ok(WholeFile {
        before: Side::of_file(before.into_iter()),
        after: Side::of_file(after.into_iter()),
        text,
    })
}

/// The line index, nearest to `guess` and not before `from`, where the hunk's old lines stand.
fn find(
    lines: &[&[u8]],
    hunk: &Hunk,
    from: usize,
    guess: usize,
    budget: &mut usize,
) -> Option<usize> {
    let wanted: Vec<&[u8]> = hunk
        .lines
        .iter()
        .filter(|line| line.kind != LineKind::Added)
        .map(|line| line.content.as_slice())
        .collect();
    let last = lines.len().checked_sub(wanted.len())?;
    let mut fits = |at: usize| {
        let window = &lines[at..at + wanted.len()];
        window.iter().zip(&wanted).all(|(line, wanted)| {
            *budget = budget.saturating_sub(1);
            *budget > 0 && line == wanted
        })
    };
    let guess = guess.clamp(from.min(last), last);
    if from > last {
        return None;
    }
    for distance in 0..=lines.len() {
        let up = guess + distance;
        if up <= last && fits(up) {
            return Some(up);
        }
        match guess.checked_sub(distance) {
            Some(down) if down >= from && distance > 0 && fits(down) => return Some(down),
            None if up > last => return None,
            _ => {}
        }
    }
    None
}

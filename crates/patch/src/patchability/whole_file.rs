//! Reads a file of a source tree as a patch leaves it, to judge whole functions.
//!
//! This decides nothing: the build applies patches with GNU patch. Where the two could differ (a
//! hunk that fits in several places) both take the place that is nearest to the hunk's header.

use crate::{FilePatch, Hunk, LineKind};

use super::{
    side::{Line, Side},
    view::View,
};

/// How many lines are compared at most while the places of the hunks are looked for: a hostile
/// patch could have every hunk searched for through the whole file.
const COMPARISONS: usize = 20_000_000;

/// A file, as it was before the first patch and as the last one left it.
#[derive(Default)]
pub(crate) struct Tracked {
    original: Vec<(Vec<u8>, Line)>,
    current: Vec<Current>,
}

/// A line of a file as it is now.
struct Current {
    content: Vec<u8>,
    /// Which line of the original it is; `None` when a patch added it.
    origin: Option<usize>,
    line: Line,
}

const UNCHANGED: Line = Line { changed: false, patch_line: 0 };

impl Tracked {
    /// A file of the source.
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        lines.pop_if(|last| last.is_empty());
        let original = lines.iter().map(|line| (line.to_vec(), UNCHANGED)).collect();
        let current = lines.iter().enumerate().map(|(index, line)| Current {
            content: line.to_vec(),
            origin: Some(index),
            line: UNCHANGED,
        });
        Self { original, current: current.collect() }
    }

    /// A file that a patch adds.
    pub(crate) fn added(file: &FilePatch) -> Self {
        let lines = file.hunks.iter().flat_map(|hunk| &hunk.lines);
        let current = lines.map(|line| Current {
            content: line.content.clone(),
            origin: None,
            line: Line { changed: true, patch_line: line.patch_line },
        });
        Self { original: Vec::new(), current: current.collect() }
    }

    /// All that the patches did to it so far. What an earlier one than the last did has no line.
    pub(crate) fn view(&self) -> View {
        let original = self.original.iter().map(|(content, line)| (content.as_slice(), *line));
        let current = self.current.iter().map(|now| (now.content.as_slice(), now.line));
        View::of_file(Side::of_file(original), Side::of_file(current))
    }

    /// Applies the hunks, and gives what they alone do. `Err` holds the first hunk that has no place,
    /// by its line of the patch; the file is then as it was.
    pub(crate) fn apply(&mut self, file: &FilePatch) -> Result<View, usize> {
        let places = self.places(file)?;
        // Only one patch can be pointed into.
        self.original.iter_mut().for_each(|(_, line)| line.patch_line = 0);
        self.current.iter_mut().for_each(|now| now.line.patch_line = 0);
        let mut before: Vec<(Vec<u8>, Line)> = Vec::with_capacity(self.current.len());
        let mut after: Vec<(Vec<u8>, Line)> = Vec::with_capacity(self.current.len());
        let mut now: Vec<Current> = Vec::with_capacity(self.current.len());
        let mut old = std::mem::take(&mut self.current).into_iter();
        let mut at = 0;
        let ends = std::iter::once((usize::MAX, None));
        for (place, hunk) in places.into_iter().zip(file.hunks.iter().map(Some)).chain(ends) {
            for line in old.by_ref().take(place - at) {
                before.push((line.content.clone(), UNCHANGED));
                after.push((line.content.clone(), UNCHANGED));
                now.push(line);
            }
            let Some(hunk) = hunk else { break };
            at = place + hunk.old.length;
            for line in &hunk.lines {
                let changed = line.kind != LineKind::Context;
                let shown = Line { changed, patch_line: line.patch_line };
                let kept = if line.kind == LineKind::Added { None } else { old.next() };
                if let Some(kept) = &kept {
                    before.push((kept.content.clone(), shown));
                    let original = kept.origin.and_then(|index| self.original.get_mut(index));
                    if let (LineKind::Removed, Some((_, original))) = (line.kind, original) {
                        *original = shown;
                    }
                }
                if line.kind == LineKind::Removed {
                    continue;
                }
                after.push((line.content.clone(), shown));
                let added = || Current { content: line.content.clone(), origin: None, line: shown };
                let mut line = kept.unwrap_or_else(added);
                line.line.patch_line = shown.patch_line;
                now.push(line);
            }
        }
        self.current = now;
        let side = |lines: &[(Vec<u8>, Line)]| {
            Side::of_file(lines.iter().map(|(content, line)| (content.as_slice(), *line)))
        };
        Ok(View::of_file(side(&before), side(&after)))
    }

    /// Where each hunk begins, as a line index.
    fn places(&self, file: &FilePatch) -> Result<Vec<usize>, usize> {
        let lines: Vec<&[u8]> = self.current.iter().map(|now| now.content.as_slice()).collect();
        let (mut at, mut drift) = (0, 0isize);
        let mut budget = COMPARISONS;
        let mut places = Vec::with_capacity(file.hunks.len());
        for hunk in &file.hunks {
            let guess = (hunk.first_guess() - 1).saturating_add_signed(drift);
            let place = find(&lines, hunk, at, guess, &mut budget).ok_or(hunk.patch_line)?;
            drift = place.wrapping_sub(hunk.first_guess() - 1) as isize;
            at = place + hunk.old.length;
            places.push(place);
        }
        Ok(places)
    }
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

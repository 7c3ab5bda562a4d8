use crate::{FilePatch, Hunk, LineKind};

/// A hunk with the place where it was applied.
struct PlacedHunk<'a> {
    hunk: &'a Hunk,
    /// Its first line in the patched file, from 1.
    new_start: i64,
    /// How many lines the hunks before it have added.
    growth_before: i64,
}

impl FilePatch {
    /// Maps a line of the patched file, as a compiler names it, to the line of the patch that added
    /// it or shows it as context. `None` outside all hunks.
    ///
    /// `offsets` holds each hunk's offset as GNU patch reports it ([`crate::ApplyReport::offsets`]);
    /// a missing one counts as 0. The new line numbers of the hunk headers are not used: GNU patch
    /// does not use them either, and hand-edited patches have them wrong.
    ///
    /// When another patch has changed the same file later, map the line back through that one with
    /// [`FilePatch::old_line_of`] first.
    pub fn patch_line_of(&self, new_line: usize, offsets: &[i64]) -> Option<usize> {
        let new_line = i64::try_from(new_line).ok()?;
        self.placed(offsets).find_map(|placed| {
            let index = usize::try_from(new_line - placed.new_start).ok()?;
            let in_new = |line: &&crate::HunkLine| line.kind != LineKind::Removed;
            placed.hunk.lines.iter().filter(in_new).nth(index).map(|line| line.patch_line)
        })
    }

    /// Maps a line of the patched file to the same line of the file before this patch. `None` for a
    /// line that the patch added. `offsets` as for [`FilePatch::patch_line_of`].
    pub fn old_line_of(&self, new_line: usize, offsets: &[i64]) -> Option<usize> {
        let new_line = i64::try_from(new_line).ok()?;
        let mut growth = 0;
        for placed in self.placed(offsets) {
            if new_line < placed.new_start {
                break;
            }
            let mut new = placed.new_start;
            let mut old = placed.new_start - placed.growth_before;
            for line in &placed.hunk.lines {
                if new == new_line && line.kind != LineKind::Removed {
                    let old = (line.kind == LineKind::Context).then_some(old)?;
                    return usize::try_from(old).ok();
                }
                new += i64::from(line.kind != LineKind::Removed);
                old += i64::from(line.kind != LineKind::Added);
            }
            growth = placed.growth_before + placed.hunk.growth();
        }
        usize::try_from(new_line - growth).ok()
    }

    /// For each of the `new_lines` lines of the patched file the same line of the file before this
    /// patch, from 1; `None` for a line that the patch added. As [`FilePatch::old_line_of`], for
    /// the whole file at once: its time grows with file plus patch, not with their product.
    pub fn old_lines(&self, new_lines: usize, offsets: &[i64]) -> Vec<Option<usize>> {
        let mut old_lines = Vec::with_capacity(new_lines);
        let mut growth = 0;
        let unchanged = |index: usize, growth: i64| usize::try_from(index as i64 + 1 - growth).ok();
        for placed in self.placed(offsets) {
            while old_lines.len() < new_lines && (old_lines.len() as i64) + 1 < placed.new_start {
                old_lines.push(unchanged(old_lines.len(), growth));
            }
            let mut old = placed.new_start - placed.growth_before;
            for line in &placed.hunk.lines {
                if line.kind != LineKind::Removed && old_lines.len() < new_lines {
                    let is_kept = line.kind == LineKind::Context;
                    old_lines
                        .push(is_kept.then_some(old).and_then(|old| usize::try_from(old).ok()));
                }
                old += i64::from(line.kind != LineKind::Added);
            }
            growth = placed.growth_before + placed.hunk.growth();
        }
        while old_lines.len() < new_lines {
            old_lines.push(unchanged(old_lines.len(), growth));
        }
        old_lines
    }

    /// Whether each run of changed lines is as long after the change as before: no line outside the
    /// changed ones gets another number.
    pub fn keeps_line_numbers(&self) -> bool {
        self.hunks.iter().all(|hunk| {
            let mut difference = 0_i64;
            for line in &hunk.lines {
                match line.kind {
                    LineKind::Context if difference != 0 => return false,
                    LineKind::Context => {}
                    LineKind::Removed => difference -= 1,
                    LineKind::Added => difference += 1,
                }
            }
            difference == 0
        })
    }

    fn placed(&self, offsets: &[i64]) -> impl Iterator<Item = PlacedHunk<'_>> {
        let mut growth_before = 0;
        let offsets = offsets.iter().copied().chain(std::iter::repeat(0));
        self.hunks.iter().zip(offsets).map(move |(hunk, offset)| {
            let old_start = (hunk.first_guess() as i64).saturating_add(offset);
            let new_start = old_start.saturating_add(growth_before);
            let placed = PlacedHunk { hunk, new_start, growth_before };
            growth_before += hunk.growth();
            placed
        })
    }
}

//! Both sides of a change next to each other: each touched item with its counterpart.

use super::{
    item::{Item, ItemKind},
    outline,
    side::{Side, When},
};
use crate::{Hunk, LineKind};

/// Both sides of a change: one hunk, or a whole file.
#[derive(Debug)]
pub(crate) struct View {
    pub before: Side,
    pub after: Side,
    pub items_before: Vec<Item>,
    pub items_after: Vec<Item>,
    /// Whether the sides are whole files.
    pub is_whole: bool,
    /// Whether it is a hunk without a line that stays.
    pub shows_no_context: bool,
}

/// A touched item: as it was and as it becomes; at least one of them is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub before: Option<&'a Item>,
    pub after: Option<&'a Item>,
}

impl View {
    /// What a hunk shows.
    pub(crate) fn of_hunk(hunk: &Hunk, container: &ItemKind) -> Self {
        let before = Side::of_hunk(hunk, When::Before);
        let after = Side::of_hunk(hunk, When::After);
        let shows_no_context = hunk.lines.iter().all(|line| line.kind != LineKind::Context);
        let items_before = outline::of_hunk(&before, container.clone());
        let items_after = outline::of_hunk(&after, container.clone());
        Self { before, after, items_before, items_after, is_whole: false, shows_no_context }
    }

    /// A whole file.
    pub(crate) fn of_file(before: Side, after: Side) -> Self {
        let items_before = outline::of_file(&before);
        let items_after = outline::of_file(&after);
        Self { before, after, items_before, items_after, is_whole: true, shows_no_context: false }
    }

    /// The touched items that differ in more than comments and blanks.
    pub(crate) fn pairs(&self) -> Vec<Pair<'_>> {
        let counterparts = self.counterparts();
        let mut pairs = Vec::new();
        let mut has_partner = vec![false; self.items_after.len()];
        for (item, partner) in self.items_before.iter().zip(&counterparts) {
            if let Some(partner) = partner {
                has_partner[*partner] = true;
            }
            let after = partner.map(|index| &self.items_after[index]);
            pairs.push(Pair { before: Some(item), after });
        }
        let lonely = self.items_after.iter().zip(has_partner).filter(|(_, has)| !has);
        pairs.extend(lonely.map(|(item, _)| Pair { before: None, after: Some(item) }));
        pairs.retain(|pair| self.is_touched(pair) && !self.is_same(pair));
        pairs
    }

    /// For each item before: the index of the one after with the same key and the same rank among
    /// those. Items of a name may occur several times, under `#ifdef`.
    fn counterparts(&self) -> Vec<Option<usize>> {
        let mut places: std::collections::HashMap<_, Vec<usize>> = Default::default();
        for (index, item) in self.items_after.iter().enumerate().rev() {
            places.entry(item.key()).or_default().push(index);
        }
        let before = self.items_before.iter();
        before.map(|item| places.get_mut(&item.key()).and_then(Vec::pop)).collect()
    }

    fn is_touched(&self, pair: &Pair<'_>) -> bool {
        let touched = |side: &Side, item: Option<&Item>| {
            item.is_some_and(|item| side.changed_patch_line(item.tokens.clone()).is_some())
        };
        touched(&self.before, pair.before) || touched(&self.after, pair.after)
    }

    fn is_same(&self, pair: &Pair<'_>) -> bool {
        match (pair.before, pair.after) {
            (Some(before), Some(after)) => {
                self.before.essence(before.tokens.clone())
                    == self.after.essence(after.tokens.clone())
            }
            _ => false,
        }
    }

    /// The line of the patch where the pair's change begins; 0 when no hunk shows it.
    pub(crate) fn patch_line(&self, pair: &Pair<'_>) -> usize {
        let sides = [(&self.before, pair.before), (&self.after, pair.after)];
        let changed = |side: &Side, item: Option<&Item>| {
            item.and_then(|item| side.changed_patch_line(item.tokens.clone()))
        };
        let shown = |side: &Side, item: Option<&Item>| {
            item.and_then(|item| side.shown_patch_line(item.tokens.clone()))
        };
        let first = sides.iter().filter_map(|(side, item)| changed(side, *item)).min();
        first
            .or_else(|| sides.iter().filter_map(|(side, item)| shown(side, *item)).min())
            .unwrap_or(0)
    }
}

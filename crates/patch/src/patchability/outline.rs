//! Splits source into its items, whether all of it is there or only what a hunk shows.
//!
//! Kernel style is trusted where it helps: a `}` at the margin ends whatever is open, and a word at
//! the margin that is no label begins something at file scope. Both keep one misread macro from
//! swallowing the rest of a file.

use std::ops::Range;

use super::{
    item::{self, Item, ItemKind},
    lexer::TokenKind,
    side::Side,
};

/// The most nested `#if`s that are followed; deeper ones are read as if they were not there.
const CONDITIONALS: usize = 64;

/// Splits a whole file.
pub(crate) fn of_file(side: &Side) -> Vec<Item> {
    let mut items = Vec::new();
    file_scope(side, 0, &mut items);
    items
}

/// Splits what a hunk shows; `container` is what its heading says it begins in.
pub(crate) fn of_hunk(side: &Side, container: ItemKind) -> Vec<Item> {
    let mut items = Vec::new();
    let first = (0..side.tokens.len()).find(|at| {
        let token = side.tokens[*at];
        token.at_margin && token.kind != TokenKind::Directive && !is_label(side, *at)
    });
    // A function's `}` stands alone: this ends data or a type, whatever the heading says.
    let is_no_function = first.is_some_and(|at| {
        side.is(at, b'}') && side.tokens.get(at + 1).is_some_and(|token| !token.at_margin)
    });
    let container = match is_function(&container) && is_no_function {
        true => ItemKind::Unknown,
        false => container,
    };
    let mut head = 0..0;
    let end = match first {
        None => side.tokens.len(),
        Some(at) if side.is(at, b'}') => end_of_container(side, at, &container),
        Some(at) if side.is(at, b'{') => {
            // What stands before its `{` is the rest of its declaration.
            head = if is_function(&container) { 0..at } else { head };
            end_of_body(side, at)
        }
        Some(at) => at,
    };
    cut_item(side, end, first, container, &mut items);
    if let Some(item) = items.first_mut().filter(|item| item.is_cut) {
        item.head = head;
    }
    file_scope(side, end, &mut items);
    items
}

/// The item whose beginning the hunk does not show, and the preprocessor lines in it.
fn cut_item(
    side: &Side,
    end: usize,
    first: Option<usize>,
    container: ItemKind,
    items: &mut Vec<Item>,
) {
    let code = (0..end).any(|at| side.tokens[at].kind != TokenKind::Directive);
    if !code {
        (0..end).for_each(|at| items.push(directive(side, at)));
        return;
    }
    // A word at the margin comes next: then the end of what came before is shown, and it ended
    // without a `}`. It is no function, whatever the heading says.
    let ended_otherwise = first.is_some_and(|at| !side.is(at, b'}') && !side.is(at, b'{'));
    let kind = match container {
        function if is_function(&function) && ended_otherwise => ItemKind::Unknown,
        other => other,
    };
    items.push(Item { kind, tokens: 0..end, head: 0..0, is_cut: true });
}

fn is_function(container: &ItemKind) -> bool {
    matches!(
        container,
        ItemKind::Function(_) | ItemKind::UnnamedFunction | ItemKind::CutFunction(_)
    )
}

/// Behind the `}` at `at`: data and types go on to their `;`.
fn end_of_container(side: &Side, at: usize, container: &ItemKind) -> usize {
    let next = at + 1;
    let goes_on = side.is(next, b';')
        || (!is_function(container) && side.tokens.get(next).is_some_and(|token| !token.at_margin));
    if !goes_on {
        return next;
    }
    (next..side.tokens.len())
        .find(|at| side.is(*at, b';'))
        .map_or(side.tokens.len(), |semicolon| semicolon + 1)
}

/// Behind the `}` at the margin that ends the body at `at`.
fn end_of_body(side: &Side, at: usize) -> usize {
    (at + 1..side.tokens.len())
        .find(|at| side.is(*at, b'}') && side.tokens[*at].at_margin)
        .map_or(side.tokens.len(), |close| close + 1)
}

fn is_label(side: &Side, at: usize) -> bool {
    side.is_name(at) && side.is(at + 1, b':')
}

fn file_scope(side: &Side, start: usize, items: &mut Vec<Item>) {
    let mut at = start;
    while at < side.tokens.len() {
        if side.tokens[at].kind == TokenKind::Directive {
            items.push(directive(side, at));
            at += 1;
            continue;
        }
        let (tokens, body) = one_item(side, at);
        at = tokens.end.max(at + 1);
        let (kind, head) = item::classify(side, tokens.clone(), body);
        items.push(Item { kind, tokens, head, is_cut: false });
    }
}

fn directive(side: &Side, at: usize) -> Item {
    let text = String::from_utf8_lossy(side.text_at(at));
    let text = text.trim_start_matches('#').trim_start();
    let word_end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(word_end);
    let rest = rest.trim();
    let subject = match word {
        "define" | "undef" => {
            let name = |c: char| !c.is_alphanumeric() && c != '_';
            rest.split(name).next().unwrap_or_default().to_owned()
        }
        "include" => rest.chars().take(200).collect(),
        _ => String::new(),
    };
    let kind = ItemKind::Directive { word: word.to_owned(), subject };
    Item { kind, tokens: at..at + 1, head: at..at + 1, is_cut: false }
}

/// Depths of parentheses and braces.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Depth {
    parentheses: usize,
    braces: usize,
}

/// Finds the end of the item that begins at `start`, and where its body begins.
fn one_item(side: &Side, start: usize) -> (Range<usize>, Option<usize>) {
    let mut depth = Depth::default();
    let mut conditionals: Vec<Depth> = Vec::new();
    let mut body = None;
    let mut is_function = false;
    for at in start..side.tokens.len() {
        let token = side.tokens[at];
        let is_outside = depth == Depth::default();
        if at > start && is_outside && ends_without_semicolon(side, start, at) {
            return (start..at, body);
        }
        // Lost: nothing within braces begins so.
        if at > start && token.at_margin && !is_outside && begins_anew(side.text(&token)) {
            return (start..at, body);
        }
        match token.kind {
            TokenKind::Directive => follow(side.text(&token), &mut depth, &mut conditionals),
            TokenKind::Punctuation(b'(') => depth.parentheses += 1,
            TokenKind::Punctuation(b')') => {
                depth.parentheses = depth.parentheses.saturating_sub(1);
            }
            TokenKind::Punctuation(b'{') => {
                if is_outside && body.is_none() {
                    body = Some(at);
                    let (kind, _) = item::classify(side, start..at + 1, body);
                    is_function = matches!(kind, ItemKind::Function(_));
                }
                depth.braces += 1;
            }
            TokenKind::Punctuation(b'}') => {
                depth.braces = depth.braces.saturating_sub(1);
                if token.at_margin {
                    depth = Depth::default();
                }
                let closes = depth == Depth::default();
                if closes && (is_function || body.is_none()) {
                    return (start..at + 1, body);
                }
            }
            TokenKind::Punctuation(b';') if is_outside => return (start..at + 1, body),
            _ => {}
        }
    }
    (start..side.tokens.len(), body)
}

/// `MACRO(…)` without `;` before something that begins at the margin, or a preprocessor line.
fn ends_without_semicolon(side: &Side, start: usize, at: usize) -> bool {
    let token = side.tokens[at];
    let begins = token.kind == TokenKind::Directive
        || (token.at_margin && token.kind == TokenKind::Identifier);
    let macro_call = side.is(at - 1, b')')
        && side.is(start + 1, b'(')
        && side.is_name(start)
        && !side.text_at(start).starts_with(b"__");
    begins && macro_call
}

fn begins_anew(text: &[u8]) -> bool {
    matches!(text, b"static" | b"module_init" | b"module_exit")
        || text.starts_with(b"EXPORT_SYMBOL")
}

/// The branches of an `#if` may each open a brace that is closed once: all begin at one depth.
fn follow(directive: &[u8], depth: &mut Depth, conditionals: &mut Vec<Depth>) {
    let text = directive.strip_prefix(b"#").unwrap_or(directive).trim_ascii_start();
    if text.starts_with(b"if") {
        if conditionals.len() < CONDITIONALS {
            conditionals.push(*depth);
        }
    } else if text.starts_with(b"el") {
        if let Some(before) = conditionals.last() {
            *depth = *before;
        }
    } else if text.starts_with(b"endif") {
        conditionals.pop();
    }
}

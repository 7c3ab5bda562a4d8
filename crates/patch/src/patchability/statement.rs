//! Where statements begin and end, as far as tokens tell.

use super::{lexer::TokenKind, side::Side};

/// How many tokens are looked at on the way to a statement's beginning or end: no statement of real
/// code is longer, and in a hostile patch all may be one. What is not found stays a doubt.
const TOKENS: usize = 512;

/// What comes behind a token in its statement.
pub(crate) struct Ahead {
    pub ending: Ending,
    /// Whether a parenthesis closes that opened before it.
    pub closes_parentheses: bool,
    /// Whether `"constraint" (` occurs, as only inline assembly has it.
    pub has_operand: bool,
}

/// What ends a statement.
pub(crate) enum Ending {
    Semicolon,
    /// The `{` of a block.
    Block,
    /// A `}` that closes what opened before.
    Brace,
    NotShown,
}

/// Looks from token `at` to the end of its statement, and not beyond `end`.
pub(crate) fn ahead(side: &Side, at: usize, end: usize) -> Ahead {
    let mut ahead =
        Ahead { ending: Ending::NotShown, closes_parentheses: false, has_operand: false };
    let mut depth = 0usize;
    for at in at..end.min(at + TOKENS) {
        let closes = |depth: &mut usize| depth.checked_sub(1).map(|less| *depth = less).is_none();
        match side.tokens[at].kind {
            TokenKind::Literal if side.is(at + 1, b'(') => ahead.has_operand = true,
            TokenKind::Punctuation(b'(' | b'[') => depth += 1,
            TokenKind::Punctuation(b')' | b']') => ahead.closes_parentheses |= closes(&mut depth),
            TokenKind::Punctuation(b'{') => {
                let is_block = at > 0
                    && (side.is(at - 1, b')') || matches!(side.text_at(at - 1), b"else" | b"do"));
                if depth == 0 && is_block {
                    ahead.ending = Ending::Block;
                    return ahead;
                }
                depth += 1;
            }
            TokenKind::Punctuation(b'}') if closes(&mut depth) => {
                ahead.ending = Ending::Brace;
                return ahead;
            }
            TokenKind::Punctuation(b';') if depth == 0 => {
                ahead.ending = Ending::Semicolon;
                return ahead;
            }
            _ => {}
        }
    }
    ahead
}

/// The `}` behind token `at` that closes what opened before it.
pub(crate) fn closing_brace(side: &Side, at: usize, end: usize) -> Option<usize> {
    let mut depth = 0usize;
    for at in at..end.min(at + TOKENS) {
        if side.is(at, b'{') {
            depth += 1;
        } else if side.is(at, b'}') {
            if depth == 0 {
                return Some(at);
            }
            depth -= 1;
        }
    }
    None
}

/// Whether the `{` of the `}` at `close` is shown, not before `begin`.
pub(crate) fn opens_within(side: &Side, close: usize, begin: usize) -> bool {
    let mut depth = 0usize;
    (begin.max(close.saturating_sub(TOKENS))..=close).rev().any(|at| {
        if side.is(at, b'}') {
            depth += 1;
        } else if side.is(at, b'{') {
            depth -= 1;
        }
        depth == 0
    })
}

/// Whether the beginning of the statement of token `at` is shown, not before `begin`.
pub(crate) fn begins_within(side: &Side, at: usize, begin: usize) -> bool {
    let mut depth = 0usize;
    let lowest = begin.max(at.saturating_sub(TOKENS));
    let mut index = at;
    while index > lowest {
        index -= 1;
        match side.tokens[index].kind {
            TokenKind::Punctuation(b')' | b']') => depth += 1,
            TokenKind::Punctuation(b'(' | b'[') => depth = depth.saturating_sub(1),
            TokenKind::Punctuation(b'}') => {
                if depth == 0 && !is_of_a_list(side, index) {
                    return true;
                }
                depth += 1;
            }
            TokenKind::Punctuation(b'{') if depth > 0 => depth -= 1,
            TokenKind::Punctuation(b'{') => match before_brace(side, index, lowest) {
                BeforeBrace::Block => return true,
                BeforeBrace::List(next) => index = next,
            },
            TokenKind::Punctuation(b';') if depth == 0 => return true,
            TokenKind::Punctuation(b':') if depth == 0 && ends_label(side, index) => return true,
            _ => {}
        }
    }
    false
}

/// Whether a `}` ends an element of a list, and no block.
fn is_of_a_list(side: &Side, close: usize) -> bool {
    [b',', b')', b']', b'}'].iter().any(|byte| side.is(close + 1, *byte))
}

enum BeforeBrace {
    Block,
    /// A list in braces; the search goes on there.
    List(usize),
}

fn before_brace(side: &Side, open: usize, lowest: usize) -> BeforeBrace {
    if side.tokens[open].at_margin {
        return BeforeBrace::Block;
    }
    let Some(before) = open.checked_sub(1).filter(|before| *before >= lowest) else {
        return BeforeBrace::List(open);
    };
    if side.is(before, b'=') {
        return match begins_declaration(side, before, lowest) {
            true => BeforeBrace::Block,
            false => BeforeBrace::List(before),
        };
    }
    if [b',', b'{', b'('].iter().any(|byte| side.is(before, *byte)) {
        return BeforeBrace::List(open);
    }
    if !side.is(before, b')') {
        return BeforeBrace::Block;
    }
    // `if (…) {` and `f(…) {` are blocks, `&(struct s) {` is a list.
    let mut depth = 0usize;
    for at in (lowest..=before).rev() {
        if side.is(at, b')') {
            depth += 1;
        } else if side.is(at, b'(') {
            depth -= 1;
            if depth == 0 {
                let is_named = at > lowest && side.is_name(at - 1);
                return if is_named { BeforeBrace::Block } else { BeforeBrace::List(at) };
            }
        }
    }
    BeforeBrace::List(lowest)
}

/// Whether `type name` stands before the `=` on its line, as where a variable of the stack begins.
fn begins_declaration(side: &Side, assignment: usize, lowest: usize) -> bool {
    let line = side.tokens[assignment].first_line;
    let of_line = (lowest..assignment).rev().take_while(|at| side.tokens[*at].first_line == line);
    let is_name = |at: &usize| side.is_name(*at) || side.is(*at, b'*');
    of_line.clone().filter(is_name).count() >= 2 && !of_line.clone().any(|at| side.is(at, b'.'))
}

/// Whether a `:` ends a label, and is no part of `? :` or of assembly.
fn ends_label(side: &Side, colon: usize) -> bool {
    let line = side.tokens[colon].first_line;
    let is_last = side.tokens.get(colon + 1).is_none_or(|next| next.first_line > line);
    let of_line = (0..colon).rev().take_while(|at| side.tokens[*at].first_line == line);
    is_last && of_line.clone().next().is_some() && !of_line.clone().any(|at| side.is(at, b'?'))
}

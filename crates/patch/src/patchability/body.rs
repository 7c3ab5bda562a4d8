//! What is looked for within functions.

use std::ops::Range;

use super::{item, lexer::TokenKind, side::Side};

/// A static variable within a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticLocal {
    pub name: String,
    pub is_constant: bool,
    /// Its whole declaration, for a comparison.
    pub essence: Vec<Vec<u8>>,
    pub tokens: Range<usize>,
}

/// Words that may stand before `static` in a declaration.
const DECLARES: [&[u8]; 10] = [
    b"const",
    b"volatile",
    b"unsigned",
    b"signed",
    b"char",
    b"short",
    b"int",
    b"long",
    b"bool",
    b"__maybe_unused",
];

/// The static variables that are declared within these tokens.
pub(crate) fn static_locals(side: &Side, tokens: Range<usize>) -> Vec<StaticLocal> {
    let mut found = Vec::new();
    let mut at = tokens.start;
    while at < tokens.end {
        let begins = at == tokens.start || begins_statement(side, at - 1);
        // `const static int x;` is the same.
        let word = |at: &usize| *at < tokens.end && DECLARES.contains(&side.text_at(*at));
        let of_static = || (at..tokens.end).take_while(word).last().map_or(at, |last| last + 1);
        let is_static = |at: usize| {
            at < tokens.end && side.text_at(at) == b"static" && !side.tokens[at].at_margin
        };
        if !(begins && is_static(of_static())) {
            at += 1;
            continue;
        }
        let end = end_of_statement(side, at, tokens.end);
        found.extend(static_local(side, at..end));
        at = end.max(at + 1);
    }
    found
}

fn begins_statement(side: &Side, before: usize) -> bool {
    [b'{', b'}', b';', b':', b')'].iter().any(|byte| side.is(before, *byte))
        || side.tokens.get(before).is_some_and(|token| token.kind == TokenKind::Directive)
}

fn end_of_statement(side: &Side, start: usize, end: usize) -> usize {
    let mut braces = 0usize;
    for at in start..end {
        match side.tokens[at].kind {
            TokenKind::Punctuation(b'{') => braces += 1,
            TokenKind::Punctuation(b'}') => braces = braces.saturating_sub(1),
            TokenKind::Punctuation(b';') if braces == 0 => return at + 1,
            _ => {}
        }
    }
    end
}

fn static_local(side: &Side, tokens: Range<usize>) -> Option<StaticLocal> {
    let stop = tokens.clone().find(|at| {
        side.is(*at, b'=') || side.is(*at, b';') || side.is(*at, b'[') || side.is(*at, b'(')
    });
    let stop = stop.unwrap_or(tokens.end);
    // `static DEFINE_MUTEX(name);`
    let name_at = match side.is(stop, b'(') {
        true => stop + 1,
        false => (tokens.start + 1..stop)
            .rev()
            .find(|at| side.is_name(*at) && !side.text_at(*at).starts_with(b"__"))?,
    };
    Some(StaticLocal {
        name: side.name(name_at),
        is_constant: item::is_constant(side, tokens.start..name_at),
        essence: side.essence(tokens.clone()),
        tokens,
    })
}

/// The first changed name within `tokens` that `wanted` accepts.
pub(crate) fn changed_word(
    side: &Side,
    tokens: Range<usize>,
    wanted: impl Fn(&str) -> bool,
) -> Option<usize> {
    tokens.into_iter().find(|at| {
        side.is_name(*at)
            && side.is_changed(&side.tokens[*at])
            && std::str::from_utf8(side.text_at(*at)).is_ok_and(&wanted)
    })
}

/// Whether the name occurs within `tokens`.
pub(crate) fn mentions(side: &Side, tokens: Range<usize>, name: &str) -> bool {
    tokens.into_iter().any(|at| side.is_name(at) && side.text_at(at) == name.as_bytes())
}

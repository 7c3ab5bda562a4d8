//! What is looked for within functions.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
};

use super::{header::closing, item, lexer::TokenKind, side::Side, words};

/// A static variable within a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StaticLocal {
    pub name: String,
    pub is_constant: bool,
    /// Its whole declaration, for a comparison.
    pub essence: Vec<Vec<u8>>,
    pub tokens: Range<usize>,
}

/// Words that say how a member may be used, and not where it lies.
const QUALIFIERS: [&[u8]; 8] =
    [b"const", b"volatile", b"__rcu", b"__user", b"__iomem", b"__percpu", b"__force", b"__private"];

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

fn closing_brace(side: &Side, start: usize, end: usize) -> Option<usize> {
    let mut depth = 1usize;
    (start..end).find(|at| {
        if side.is(*at, b'{') {
            depth += 1;
        } else if side.is(*at, b'}') {
            depth -= 1;
        }
        depth == 0
    })
}

/// The first inline assembly of which a line changes: its word, and that line of the patch.
pub(crate) fn changed_assembly(side: &Side, tokens: Range<usize>) -> Option<(usize, usize)> {
    let mut at = tokens.start;
    while at < tokens.end {
        let is_assembly =
            side.is_name(at) && std::str::from_utf8(side.text_at(at)).is_ok_and(words::is_assembly);
        // `asm volatile goto (`
        let open = (at + 1..tokens.end.min(at + 4)).find(|at| side.is(*at, b'('));
        let Some(open) = open.filter(|_| is_assembly) else {
            at += 1;
            continue;
        };
        let close = closing(side, open, tokens.end);
        if let Some(line) = side.changed_patch_line(at..close.min(tokens.end - 1) + 1) {
            return Some((at, line));
        }
        at = close + 1;
    }
    None
}

/// The types that are declared within these tokens: keyword, name, and which of that name.
pub(crate) fn local_types(
    side: &Side,
    tokens: Range<usize>,
) -> BTreeMap<(String, String, usize), Vec<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut ranks: BTreeMap<(String, String), usize> = BTreeMap::new();
    let mut at = tokens.start;
    while at < tokens.end {
        let is_enum = side.text_at(at) == b"enum";
        let is_type = is_enum || matches!(side.text_at(at), b"struct" | b"union");
        let named = side.is_name(at + 1);
        let open = if named { at + 2 } else { at + 1 };
        // One without a name is compared as a part of what is of that type.
        if !is_type || !side.is(open, b'{') || !(named || is_enum) || open >= tokens.end {
            at += 1;
            continue;
        }
        let close = closing_brace(side, open + 1, tokens.end).unwrap_or(tokens.end);
        let name = if named { side.name(at + 1) } else { String::new() };
        let rank = ranks.entry((side.name(at), name.clone())).or_default();
        found.insert((side.name(at), name, *rank), side.essence(open..close));
        *rank += 1;
        at = close.max(at + 1);
    }
    found
}

/// Whether two types differ only in words that change no layout.
pub(crate) fn same_but_qualifiers(one: &[Vec<u8>], other: &[Vec<u8>]) -> bool {
    let is_layout = |word: &&Vec<u8>| !QUALIFIERS.contains(&word.as_slice());
    one.iter().filter(is_layout).eq(other.iter().filter(is_layout))
}

/// How a function uses a variable.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Uses {
    /// How often it is named, its declaration included.
    pub mentions: usize,
    /// Whether it is counted up or down, or its address is taken.
    pub is_updated: bool,
}

/// How all names are used within `tokens`, but those of members.
pub(crate) fn uses(side: &Side, tokens: Range<usize>) -> HashMap<&[u8], Uses> {
    let mut uses: HashMap<&[u8], Uses> = HashMap::new();
    for at in tokens.clone() {
        if side.tokens[at].kind == TokenKind::Directive {
            for word in side.text_at(at).split(|byte| !is_name_byte(*byte)) {
                uses.entry(word).or_default().mentions += 1;
            }
        }
        let before = |back: usize, byte| at >= tokens.start + back && side.is(at - back, byte);
        let is_member = before(1, b'.') || (before(1, b'>') && before(2, b'-'));
        if !side.is_name(at) || is_member {
            continue;
        }
        let twice = |byte| side.is(at + 1, byte) && side.is(at + 2, byte);
        let is_counted = [b'+', b'-'].into_iter().any(|byte| {
            twice(byte)
                || (side.is(at + 1, byte) && side.is(at + 2, b'='))
                || (before(1, byte) && before(2, byte))
        });
        let is_address = before(1, b'&') && !before(2, b'&');
        let of_name = uses.entry(side.text_at(at)).or_default();
        of_name.mentions += 1;
        of_name.is_updated |= is_counted || is_address;
    }
    uses
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether the name occurs within `tokens`.
pub(crate) fn mentions(side: &Side, tokens: Range<usize>, name: &str) -> bool {
    tokens.into_iter().any(|at| side.is_name(at) && side.text_at(at) == name.as_bytes())
}

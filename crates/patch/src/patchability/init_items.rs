//! The `__init` parts of a file, for [`crate::init_changes`].

use std::{collections::BTreeSet, ops::Range};

use super::{
    item::{self, Item, ItemKind},
    lexer::{self, Beginning, TokenKind},
    outline::of_file,
    side::Side,
};

/// A function or variable that is gone after boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InitItem {
    pub name: String,
    /// From 0.
    pub lines: Range<usize>,
    /// Whether nothing else stands on its first and last line.
    pub has_own_lines: bool,
    /// Its declaration, its preprocessor lines and the whole of it, without comments and blanks.
    pub head: Vec<Vec<u8>>,
    pub directives: Vec<Vec<u8>>,
    pub essence: Vec<Vec<u8>>,
}

/// The `__init` functions and the data marked so. Not `__exit`: that code runs after new code did.
pub(crate) fn init_items(text: &[u8]) -> Vec<InitItem> {
    let side = whole(text);
    let items = of_file(&side);
    let lines_of = |item: &Item| {
        let tokens = side.tokens.get(item.tokens.clone()).unwrap_or_default();
        Some((tokens.first()?.first_line, tokens.last()?.last_line))
    };
    let mut found = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let name = match &item.kind {
            ItemKind::Function(header) if header.has("__init") => &header.name,
            ItemKind::Variable(variable) if is_init_data(variable) => &variable.name,
            _ => continue,
        };
        let Some((first, last)) = lines_of(item) else { continue };
        let before = index.checked_sub(1).and_then(|index| lines_of(&items[index]));
        let after = items.get(index + 1).and_then(lines_of);
        let of_kind = |at: &usize| side.tokens[*at].kind == TokenKind::Directive;
        let directives = item.tokens.clone().filter(of_kind);
        found.push(InitItem {
            name: name.clone(),
            lines: first..last + 1,
            has_own_lines: before.is_none_or(|(_, end)| end < first)
                && after.is_none_or(|(begin, _)| last < begin),
            head: side.essence(item.head.clone()),
            directives: directives.flat_map(|at| side.essence(at..at + 1)).collect(),
            essence: side.essence(item.tokens.clone()),
        });
    }
    found
}

/// The items of a file that hold one of `lines`, from 0, each with its lines, and with its name when
/// it is a function.
pub(crate) fn touched_items(
    text: &[u8],
    lines: &BTreeSet<usize>,
) -> Vec<(Option<String>, Range<usize>)> {
    let side = whole(text);
    let items = of_file(&side).into_iter().filter_map(|item| {
        let tokens = side.tokens.get(item.tokens.clone())?;
        let range = tokens.first()?.first_line..tokens.last()?.last_line + 1;
        let name = match item.kind {
            ItemKind::Function(header) => Some(header.name),
            _ => None,
        };
        lines.range(range.clone()).next().map(|_| (name, range))
    });
    items.collect()
}

/// A token of a piece of text, with the text itself.
pub(crate) enum Shown {
    Number(String),
    /// A string or character constant.
    Literal(String),
    Other(String),
}

/// All tokens of a piece of text, those within preprocessor lines too.
pub(crate) fn tokens_shown(text: &[u8]) -> Vec<Shown> {
    let side = whole(text);
    let mut found = Vec::new();
    for token in &side.tokens {
        let text = side.text(token);
        match token.kind {
            TokenKind::Directive => {
                let line = text.strip_prefix(b"#").unwrap_or(text);
                let parts = lexer::tokens(line, Beginning::Code);
                found
                    .extend(parts.iter().map(|part| shown(part.kind, &line[part.start..part.end])));
            }
            kind => found.push(shown(kind, text)),
        }
    }
    found
}

fn shown(kind: TokenKind, text: &[u8]) -> Shown {
    let text = String::from_utf8_lossy(text).into_owned();
    match kind {
        TokenKind::Number => Shown::Number(text),
        TokenKind::Literal => Shown::Literal(text),
        _ => Shown::Other(text),
    }
}

/// All names in a piece of text.
pub(crate) fn names(text: &[u8]) -> BTreeSet<String> {
    let side = whole(text);
    let mut names = BTreeSet::new();
    for (at, token) in side.tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Identifier => drop(names.insert(side.name(at))),
            TokenKind::Directive => names.extend(directive_names(side.text(token))),
            _ => {}
        }
    }
    names
}

fn directive_names(line: &[u8]) -> impl Iterator<Item = String> + '_ {
    line.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .filter(|word| word.first().is_some_and(|byte| !byte.is_ascii_digit()))
        .map(|word| String::from_utf8_lossy(word).into_owned())
}

fn whole(text: &[u8]) -> Side {
    let line = super::side::Line { changed: false, patch_line: 0 };
    Side::of_file(text.split(|byte| *byte == b'\n').map(|content| (content, line)))
}

fn is_init_data(variable: &item::Variable) -> bool {
    variable.words.iter().any(|word| word == "__initdata" || word == "__initconst")
}

//! What stands at file scope: functions, data, types, macros.

use std::ops::Range;

use super::{
    header::FunctionHeader,
    lexer::TokenKind,
    side::Side,
    words::{self, MacroMeaning},
};

/// One thing at file scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub kind: ItemKind,
    /// Its tokens, as far as they are shown.
    pub tokens: Range<usize>,
    /// The tokens before `{` or `=`; all of them when there is none.
    pub head: Range<usize>,
    /// Whether its beginning is not shown.
    pub is_cut: bool,
}

/// By what an item is found again: its kind, and its name.
pub(crate) type Key = (u8, String);

/// What an item is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ItemKind {
    /// A function with its body.
    Function(FunctionHeader),
    /// The inside of a function whose name is not known.
    UnnamedFunction,
    /// The inside of a function whose name is known only up to a point.
    CutFunction(String),
    /// `struct`, `union` or `enum` with its members; the name is empty when it has none.
    Type { keyword: String, name: String, declarator: Option<String> },
    /// `typedef`.
    Typedef(String),
    /// A variable with or without initialiser.
    Variable(Variable),
    /// A declaration of something that is defined elsewhere.
    Declaration(String),
    /// `MACRO(argument, …)`: the first argument, the variable that it defines, if it defines one, and
    /// of a bitmap the number of bits.
    Macro { name: String, argument: String, variable: Option<String>, bits: Option<u64> },
    /// A preprocessor line: its first word, and what it defines or includes.
    Directive { word: String, subject: String },
    /// `asm(…)` outside functions.
    Assembly,
    /// Only `;`.
    Nothing,
    /// Something else, or something of which too little is shown.
    Unknown,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub name: String,
    /// Whether its memory is read-only.
    pub is_constant: bool,
    pub is_initialised: bool,
    pub is_array: bool,
    /// The words of its declaration.
    pub words: Vec<String>,
}

impl Item {
    /// The name of the variable that it defines.
    pub(crate) fn variable_name(&self) -> Option<&str> {
        match &self.kind {
            ItemKind::Variable(variable) => Some(&variable.name),
            ItemKind::Macro { variable, .. } => variable.as_deref(),
            ItemKind::Type { declarator, .. } => declarator.as_deref(),
            _ => None,
        }
    }

    /// By what an item of one side is found again on the other.
    pub(crate) fn key(&self) -> Key {
        if let Some(name) = self.variable_name() {
            return (5, name.to_owned());
        }
        match &self.kind {
            ItemKind::Function(header) => (0, header.name.clone()),
            ItemKind::UnnamedFunction => (1, String::new()),
            ItemKind::CutFunction(name) => (2, name.clone()),
            ItemKind::Type { keyword, name, .. } => (3, format!("{keyword} {name}")),
            ItemKind::Typedef(name) => (4, name.clone()),
            ItemKind::Variable(variable) => (5, variable.name.clone()),
            ItemKind::Declaration(name) => (6, name.clone()),
            ItemKind::Macro { name, argument, .. } => (7, format!("{name}({argument})")),
            ItemKind::Directive { word, subject } => (8, format!("{word} {subject}")),
            ItemKind::Assembly => (9, String::new()),
            ItemKind::Nothing => (10, String::new()),
            ItemKind::Unknown => (11, String::new()),
        }
    }
}

/// Says what a complete item is. `body` is where its first `{` at depth 0 stands, when it has one.
pub(crate) fn classify(
    side: &Side,
    tokens: Range<usize>,
    body: Option<usize>,
) -> (ItemKind, Range<usize>) {
    let assignment = assignment(side, tokens.clone());
    let head_end = [body, assignment].into_iter().flatten().min().unwrap_or(tokens.end);
    let head = tokens.start..head_end;
    (kind(side, &tokens, &head, body, assignment.is_some()), head)
}

fn kind(
    side: &Side,
    tokens: &Range<usize>,
    head: &Range<usize>,
    body: Option<usize>,
    is_assigned: bool,
) -> ItemKind {
    let first = side.text_at(tokens.start);
    if side.is(tokens.start, b';') {
        return ItemKind::Nothing;
    }
    if matches!(first, b"asm" | b"__asm__") {
        return ItemKind::Assembly;
    }
    if first == b"typedef" {
        return ItemKind::Typedef(last_name(side, tokens.clone()));
    }
    if let (Some(_), false) = (body, is_assigned)
        && let Some(header) = FunctionHeader::read(side, head.clone())
    {
        return ItemKind::Function(header);
    }
    let keyword = (head.clone().take(4))
        .find(|at| matches!(side.text_at(*at), b"struct" | b"union" | b"enum"));
    if let (Some(keyword), Some(body)) = (keyword, body)
        && !is_assigned
    {
        let name =
            (keyword + 1..body).rev().find(|at| side.is_name(*at) && !is_attribute(side, *at));
        let name = name.map(|at| side.name(at)).unwrap_or_default();
        let declarator = declarator(side, body, tokens.end).map(|at| side.name(at));
        return ItemKind::Type { keyword: side.name(keyword), name, declarator };
    }
    // `static struct { … } name = { … };`
    if let (Some(_), Some(body)) = (keyword, body.filter(|body| *body == head.end))
        && let Some(name_at) = declarator(side, body, tokens.end)
    {
        let words = head.clone().chain(name_at..name_at + 1).filter(|at| side.is_name(*at));
        return ItemKind::Variable(Variable {
            name: side.name(name_at),
            is_constant: is_constant(side, head.clone()),
            is_initialised: true,
            is_array: side.is(name_at + 1, b'['),
            words: words.map(|at| side.name(at)).collect(),
        });
    }
    let pointer = side.is(tokens.start + 1, b'(') && side.is(tokens.start + 2, b'*');
    if side.is_name(tokens.start) && side.is(tokens.start + 1, b'(') && !pointer {
        return macro_call(side, tokens.start, tokens.end);
    }
    // `static DEFINE_MUTEX(lock);`
    if first == b"static" && side.is_name(tokens.start + 1) && side.is(tokens.start + 2, b'(') {
        return macro_call(side, tokens.start + 1, tokens.end);
    }
    // `static __cacheline_aligned DEFINE_SPINLOCK(lock);`
    let name_at = head.clone().take_while(|at| side.is_name(*at)).last();
    if let Some(name_at) = name_at.filter(|at| side.is(at + 1, b'('))
        && words::type_of_macro(&side.name(name_at)).is_some()
    {
        return macro_call(side, name_at, tokens.end);
    }
    if body.is_none()
        && !is_assigned
        && let Some(header) = declared_function(side, head)
    {
        // Without its `;` it is the beginning of a function whose body the hunk does not show.
        return match side.is(tokens.end - 1, b';') {
            true => ItemKind::Declaration(header.name),
            false => ItemKind::Function(header),
        };
    }
    let words: Vec<String> =
        head.clone().filter(|at| side.is_name(*at)).map(|at| side.name(at)).collect();
    if first == b"extern" && !is_assigned {
        return ItemKind::Declaration(words.last().cloned().unwrap_or_default());
    }
    if let [keyword, name] = words.as_slice()
        && matches!(keyword.as_str(), "struct" | "union" | "enum")
        && !is_assigned
    {
        return ItemKind::Declaration(name.clone());
    }
    if words.len() < 2 || (body.is_some() && !is_assigned) {
        return ItemKind::Unknown;
    }
    variable(side, head, words, is_assigned)
}

/// `MACRO(…)`, whose name is the token `name_at`.
fn macro_call(side: &Side, name_at: usize, end: usize) -> ItemKind {
    let name = side.name(name_at);
    let argument = side.name(name_at + 2);
    let mut depth = 0usize;
    let second = (name_at + 1..end).find(|at| {
        if side.is(*at, b'(') {
            depth += 1;
        } else if side.is(*at, b')') {
            depth = depth.saturating_sub(1);
        }
        depth == 1 && side.is(*at, b',')
    });
    let second = second.map(|comma| side.name(comma + 1));
    let variable = match words::of_macro(&name) {
        MacroMeaning::SectionData if name.starts_with("DECLARE") => None,
        MacroMeaning::SectionData if name.contains("PER_CPU") => second.clone(),
        MacroMeaning::Data | MacroMeaning::SectionData => Some(argument.clone()),
        _ => None,
    };
    let bits = second.and_then(|second| second.parse().ok());
    ItemKind::Macro { name, argument, variable, bits }
}

/// The name behind the `}` of the type whose `{` is at `body`.
fn declarator(side: &Side, body: usize, end: usize) -> Option<usize> {
    let mut depth = 0usize;
    let close = (body..end).find(|at| {
        if side.is(*at, b'{') {
            depth += 1;
        } else if side.is(*at, b'}') {
            depth -= 1;
        }
        depth == 0
    })?;
    let is_plain = |at: &usize| {
        side.is_name(*at) && !is_attribute(side, *at) && !side.text_at(*at).starts_with(b"__")
    };
    let stops = |at: &usize| side.is(*at, b'=') || side.is(*at, b';') || side.is(*at, b'(');
    (close + 1..end).take_while(|at| !stops(at)).find(is_plain)
}

fn variable(
    side: &Side,
    head: &Range<usize>,
    words: Vec<String>,
    is_initialised: bool,
) -> ItemKind {
    let bracket = head.clone().find(|at| side.is(*at, b'[')).unwrap_or(head.end);
    // `int (*hook)(void)`: the name is the first one within parentheses.
    let pointer = head.clone().find(|at| side.is(*at, b'(') && side.is(at + 1, b'*'));
    let name = match pointer {
        Some(open) => (open..head.end).find(|at| side.is_name(*at)),
        None => (head.start..bracket)
            .rev()
            .find(|at| side.is_name(*at) && !is_attribute(side, *at) && !side.is(at + 1, b'(')),
    };
    let Some(name_at) = name else { return ItemKind::Unknown };
    ItemKind::Variable(Variable {
        name: side.name(name_at),
        is_constant: is_constant(side, head.start..name_at),
        is_initialised,
        is_array: bracket < head.end,
        words,
    })
}

/// Whether what is declared is read-only itself, and not only what it points to.
pub(crate) fn is_constant(side: &Side, declaration: Range<usize>) -> bool {
    let star = declaration.clone().rev().find(|at| side.is(*at, b'*'));
    let from = star.unwrap_or(declaration.start);
    (from..declaration.end).any(|at| side.text_at(at) == b"const")
}

/// The name of a function that is declared and not defined.
fn declared_function(side: &Side, head: &Range<usize>) -> Option<FunctionHeader> {
    let end = if side.is(head.end.wrapping_sub(1), b';') { head.end - 1 } else { head.end };
    let header = FunctionHeader::read(side, head.start..end)?;
    (header.begins_before_name && header.macro_name.is_none()).then_some(header)
}

/// `=` outside parentheses and braces.
fn assignment(side: &Side, tokens: Range<usize>) -> Option<usize> {
    let mut depth = 0usize;
    for at in tokens {
        match side.tokens.get(at).map(|token| token.kind) {
            Some(TokenKind::Punctuation(b'(' | b'{' | b'[')) => depth += 1,
            Some(TokenKind::Punctuation(b')' | b'}' | b']')) => depth = depth.saturating_sub(1),
            Some(TokenKind::Punctuation(b'=')) if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

fn last_name(side: &Side, tokens: Range<usize>) -> String {
    tokens.rev().find(|at| side.is_name(*at)).map(|at| side.name(at)).unwrap_or_default()
}

/// `__read_mostly`, `__packed`, … : between a type and its name, or behind it.
fn is_attribute(side: &Side, at: usize) -> bool {
    let text = side.text_at(at);
    let known: [&[u8]; 3] =
        [b"____cacheline_aligned", b"____cacheline_aligned_in_smp", b"asmlinkage"];
    let section: [&[u8]; 12] = [
        b"__read_mostly",
        b"__ro_after_init",
        b"__initdata",
        b"__initconst",
        b"__packed",
        b"__aligned",
        b"__used",
        b"__maybe_unused",
        b"__refdata",
        b"__attribute__",
        b"__section",
        b"__cacheline_aligned",
    ];
    known.contains(&text) || section.contains(&text) || text.starts_with(b"__cacheline")
}

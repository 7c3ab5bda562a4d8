//! What a declaration's first tokens say: is it a function, and with which storage and attributes?

use std::ops::Range;

use super::{lexer::TokenKind, side::Side, words};

/// A function's declaration, as far as it can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionHeader {
    /// Its name; of `SYSCALL_DEFINE3(read, …)` that whole beginning.
    pub name: String,
    /// The macro that declares it, such as `SYSCALL_DEFINE3`.
    pub macro_name: Option<String>,
    /// The words before the name and the attributes behind the parameters.
    pub words: Vec<String>,
    /// The tokens before the name that say what it returns.
    pub result: Vec<String>,
    /// The tokens within the parentheses.
    pub parameters: Range<usize>,
    /// Whether something stands before the name: without it, `static`, `__init` and the like may
    /// stand on a line that is not shown.
    pub begins_before_name: bool,
}

/// Attributes that are written like a call.
const CALL_ATTRIBUTES: [&str; 17] = [
    "__attribute__",
    "__acquires",
    "__releases",
    "__must_hold",
    "__cond_acquires",
    "__cond_lock",
    "__aligned",
    "__section",
    "__printf",
    "__scanf",
    "__alloc_size",
    "__no_sanitize",
    "__malloc",
    "__assume_aligned",
    "__acquires_shared",
    "__releases_shared",
    "__must_hold_shared",
];

impl FunctionHeader {
    /// Whether the words have this one.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.words.iter().any(|other| other == word)
    }

    /// Reads the tokens before a function's `{`. `None` when they are not a function's.
    pub(crate) fn read(side: &Side, tokens: Range<usize>) -> Option<Self> {
        let mut words = Vec::new();
        let mut found: Option<(usize, Range<usize>)> = None;
        let mut at = tokens.start;
        while at < tokens.end {
            if side.is(at, b'=') {
                return None;
            }
            if side.is(at, b'(') {
                let close = closing(side, at, tokens.end);
                let named = at > tokens.start && side.is_name(at - 1);
                let attribute = named && CALL_ATTRIBUTES.contains(&side.name(at - 1).as_str());
                if attribute && side.text_at(at - 1) == b"__attribute__" {
                    words.extend((at..close).filter_map(|at| plain_attribute(side.text_at(at))));
                }
                if named && !attribute && found.is_none() {
                    words.pop();
                    found = Some((at - 1, at + 1..close));
                }
                at = close + 1;
                continue;
            }
            if side.is_name(at) {
                words.push(side.name(at));
            } else if found.is_some() && !is_directive(side, at) {
                // Behind the parameters there are attributes only.
                return None;
            }
            at += 1;
        }
        let (name_at, parameters) = found?;
        if matches!(side.text_at(tokens.start), b"struct" | b"union" | b"enum" | b"typedef")
            && name_at <= tokens.start + 1
        {
            return None;
        }
        let own = side.name(name_at);
        let is_macro =
            own.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
                && own.chars().any(|c| c.is_ascii_uppercase());
        let (name, macro_name) = match is_macro {
            true => (format!("{own}({})", side.name(parameters.start)), Some(own)),
            false => (own, None),
        };
        let begins_before_name = name_at > tokens.start || macro_name.is_some();
        let result = result(side, tokens.start..name_at);
        Some(Self { name, macro_name, words, result, parameters, begins_before_name })
    }
}

/// The kernel's word for what `__attribute__((…))` holds.
fn plain_attribute(text: &[u8]) -> Option<String> {
    let word = match text {
        b"section" | b"__section__" => "__section",
        b"no_instrument_function" | b"__no_instrument_function__" => "__no_instrument_function__",
        b"naked" | b"__naked__" => "__naked",
        b"always_inline" | b"__always_inline__" => "__always_inline",
        _ => return None,
    };
    Some(word.to_owned())
}

/// Words before a function's name that do not say what it returns.
const NO_RESULT: [&str; 20] = [
    "static",
    "STATIC",
    "extern",
    "noinline",
    "asmlinkage",
    "__visible",
    "__weak",
    "__used",
    "__maybe_unused",
    "__must_check",
    "__pure",
    "__attribute_const__",
    "__cold",
    "__hot",
    "__printf",
    "__malloc",
    "__deprecated",
    "__noreturn",
    "__bpf_kfunc",
    "__flatten",
];

fn result(side: &Side, tokens: Range<usize>) -> Vec<String> {
    let mut result = Vec::new();
    let mut at = tokens.start;
    while at < tokens.end {
        let text = side.name(at);
        let is_attribute = NO_RESULT.contains(&text.as_str())
            || CALL_ATTRIBUTES.contains(&text.as_str())
            || words::of_function(&text).is_some();
        if is_attribute {
            let has_arguments = side.is(at + 1, b'(');
            at = if has_arguments { closing(side, at + 1, tokens.end) + 1 } else { at + 1 };
            continue;
        }
        if !is_directive(side, at) {
            result.push(text);
        }
        at += 1;
    }
    result
}

/// The parameters, each as the text of its tokens.
pub(crate) fn parameters(side: &Side, tokens: Range<usize>) -> Vec<Vec<Vec<u8>>> {
    let mut parameters = vec![Vec::new()];
    let mut depth = 0usize;
    for at in tokens {
        match side.tokens.get(at).map(|token| token.kind) {
            Some(TokenKind::Punctuation(b'(' | b'[')) => depth += 1,
            Some(TokenKind::Punctuation(b')' | b']')) => depth = depth.saturating_sub(1),
            Some(TokenKind::Punctuation(b',')) if depth == 0 => {
                parameters.push(Vec::new());
                continue;
            }
            _ => {}
        }
        parameters.last_mut().expect("there is one").push(side.text_at(at).to_vec());
    }
    parameters
}

/// The `)` of the `(` at `open`, or `end`.
pub(crate) fn closing(side: &Side, open: usize, end: usize) -> usize {
    let mut depth = 0usize;
    for at in open..end {
        if side.is(at, b'(') {
            depth += 1;
        } else if side.is(at, b')') {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    end
}

fn is_directive(side: &Side, at: usize) -> bool {
    side.tokens.get(at).is_some_and(|token| token.kind == TokenKind::Directive)
}

//! Functions of which only the middle is shown: what looks like a line of one may be a line of a
//! table, a type or inline assembly that begins before it.

use std::ops::Range;

use super::{Change, Judged};
use crate::patchability::{
    header::FunctionHeader,
    item::Item,
    lexer::TokenKind,
    rule::{Level, Rule},
    side::Side,
    statement::{self, Ahead, Ending},
};

/// Words that begin a statement, and no initialiser.
const CONTROL: [&[u8]; 11] = [
    b"if", b"else", b"for", b"while", b"do", b"switch", b"case", b"default", b"return", b"goto",
    b"break",
];

/// What the middle of a function may be.
enum Doubt {
    Initialiser,
    Members,
    Assembly,
}

impl Judged {
    /// Judges what only a cut function leaves open.
    pub(super) fn cut_function(&mut self, change: &Change<'_>, header: &FunctionHeader) {
        let sides =
            [(&change.view.before, change.pair.before), (&change.view.after, change.pair.after)];
        let cut = sides.into_iter().filter_map(|(side, item)| Some((side, item?)));
        let cut: Vec<(&Side, &Item)> = cut.filter(|(_, item)| item.is_cut).collect();
        let (name, line) = (&header.name, change.patch_line);
        if cut.is_empty() {
            return;
        }
        if change.view.shows_no_context {
            let subject = format!("nothing around the change shows that it is in {name}()");
            self.find(Rule::FunctionUnknown, Level::Unsure, line, subject);
        }
        if let [(before, old), (after, new)] = cut.as_slice()
            && before.essence(old.head.clone()) != after.essence(new.head.clone())
            && !(header.has("static") || header.has("STATIC"))
        {
            let subject =
                format!("{name}() is declared differently; its exports are not shown here");
            self.find(Rule::ExportedSignature, Level::Unsure, line, subject);
        }
        let Some((doubt, line)) = cut.iter().find_map(|(side, item)| doubt(side, item)) else {
            return;
        };
        let (rule, subject) = match doubt {
            Doubt::Initialiser => (
                Rule::ChangedData,
                format!("inside an initialiser whose beginning is not shown, in {name}() perhaps"),
            ),
            Doubt::Members => (
                Rule::FunctionUnknown,
                format!("variables of {name}(), or members of a type that begins before"),
            ),
            Doubt::Assembly => (
                Rule::InlineAssembly,
                format!("operands of assembly whose beginning is not shown, in {name}()"),
            ),
        };
        self.find(rule, Level::Unsure, line, subject);
    }
}

/// The first changed line that may be no code, with its line of the patch.
fn doubt(side: &Side, item: &Item) -> Option<(Doubt, usize)> {
    let tokens = item.tokens.start.max(item.head.end)..item.tokens.end;
    let line = |at: usize| side.changed_patch_line(at..at + 1).unwrap_or(0);
    let mut last_line = None;
    for at in tokens.clone() {
        let token = side.tokens[at];
        let is_first = last_line != Some(token.first_line);
        last_line = Some(token.last_line);
        if is_first && token.kind != TokenKind::Directive && side.is_changed(&token) {
            let doubt = doubt_of_line(side, at, &tokens);
            if let Some(doubt) = doubt {
                return Some((doubt, line(at)));
            }
        }
    }
    let changed = tokens.clone().find(|at| side.is_changed(&side.tokens[*at]))?;
    shows_only_declarations(side, tokens).then(|| (Doubt::Members, line(changed)))
}

fn doubt_of_line(side: &Side, at: usize, tokens: &Range<usize>) -> Option<Doubt> {
    if statement::begins_within(side, at, tokens.start) {
        let close = statement::closing_brace(side, at, tokens.end)?;
        let is_open = !statement::opens_within(side, close, tokens.start);
        return (is_open && ends_no_block(side, close)).then_some(Doubt::Members);
    }
    let first = side.text_at(at);
    if CONTROL.contains(&first) || (side.is_name(at) && side.is(at + 1, b':')) {
        return None;
    }
    let Ahead { ending, closes_parentheses, has_operand } = statement::ahead(side, at, tokens.end);
    if has_operand {
        return Some(Doubt::Assembly);
    }
    let kind = side.tokens[at].kind;
    let is_shaped = matches!(kind, TokenKind::Literal | TokenKind::Number)
        || [b'.', b'[', b'{'].iter().any(|byte| side.is(at, *byte));
    let is_code = match ending {
        Ending::Semicolon => closes_parentheses || !is_shaped,
        // After `)` this may as well be the end of a list of parameters.
        Ending::Block => !is_shaped && !closes_parentheses,
        // What follows the last line of a block.
        Ending::Brace if side.is(at, b'}') => true,
        Ending::Brace | Ending::NotShown => false,
    };
    (!is_code).then_some(Doubt::Initialiser)
}

/// Whether the `}` at `close`, whose `{` is not shown, ends something else than a block.
fn ends_no_block(side: &Side, close: usize) -> bool {
    let Some(next) = side.tokens.get(close + 1) else { return false };
    next.first_line == side.tokens[close].last_line
        && !next.at_margin
        && !matches!(side.text(next), b"else" | b"while" | b"}")
}

/// Whether there is nothing but `type name;`: a function's variables, or a type's members.
fn shows_only_declarations(side: &Side, tokens: Range<usize>) -> bool {
    let (mut names, mut statements) = (0, 0);
    for at in tokens {
        match side.tokens[at].kind {
            TokenKind::Identifier if CONTROL.contains(&side.text_at(at)) => return false,
            TokenKind::Identifier => names += 1,
            TokenKind::Number => {}
            TokenKind::Punctuation(b';') if names < 2 => return false,
            TokenKind::Punctuation(b';') => (names, statements) = (0, statements + 1),
            TokenKind::Punctuation(b'*' | b',' | b'[' | b']' | b':') => {}
            _ => return false,
        }
    }
    statements > 0
}

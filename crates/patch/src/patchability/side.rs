//! One side of a change (before or after it): a whole file, or the piece that a hunk shows.

use std::ops::Range;

use crate::{Hunk, LineKind};

use super::lexer::{self, Beginning, Token, TokenKind};

/// A line of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// Whether the patch removes it (before) or adds it (after).
    pub changed: bool,
    /// The line of the patch that shows it; 0 when no hunk does.
    pub patch_line: usize,
}

/// Source text with its tokens.
#[derive(Debug, Default)]
pub(crate) struct Side {
    text: Vec<u8>,
    lines: Vec<Line>,
    pub tokens: Vec<Token>,
}

/// Which of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

impl Side {
    /// What a hunk shows of one side.
    pub(crate) fn of_hunk(hunk: &Hunk, when: When) -> Self {
        let unwanted = match when {
            When::Before => LineKind::Added,
            When::After => LineKind::Removed,
        };
        let shown = hunk.lines.iter().filter(|line| line.kind != unwanted).map(|line| {
            let changed = line.kind != LineKind::Context;
            (line.content.as_slice(), Line { changed, patch_line: line.patch_line })
        });
        let mut side = Self::from_lines(shown);
        side.tokens = lexer::tokens(&side.text, side.beginning());
        side
    }

    /// A whole file.
    pub(crate) fn of_file<'a>(lines: impl Iterator<Item = (&'a [u8], Line)>) -> Self {
        let mut side = Self::from_lines(lines);
        side.tokens = lexer::tokens(&side.text, Beginning::Code);
        side
    }

    fn from_lines<'a>(lines: impl Iterator<Item = (&'a [u8], Line)>) -> Self {
        let mut side = Self::default();
        for (content, line) in lines {
            side.text.extend_from_slice(content);
            side.text.push(b'\n');
            side.lines.push(line);
        }
        side
    }

    /// The text of a token.
    pub(crate) fn text(&self, token: &Token) -> &[u8] {
        self.text.get(token.start..token.end).unwrap_or_default()
    }

    /// The text of token `index`, empty when there is none.
    pub(crate) fn text_at(&self, index: usize) -> &[u8] {
        self.tokens.get(index).map_or(&[], |token| self.text(token))
    }

    /// Whether token `index` is this punctuation.
    pub(crate) fn is(&self, index: usize, byte: u8) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == TokenKind::Punctuation(byte))
    }

    /// Whether token `index` is a name.
    pub(crate) fn is_name(&self, index: usize) -> bool {
        self.tokens.get(index).is_some_and(|token| token.kind == TokenKind::Identifier)
    }

    /// A name as text; what is not UTF-8 in it is replaced.
    pub(crate) fn name(&self, index: usize) -> String {
        String::from_utf8_lossy(self.text_at(index)).into_owned()
    }

    /// Whether the patch changes a line of the token.
    pub(crate) fn is_changed(&self, token: &Token) -> bool {
        let lines = self.lines.get(token.first_line..=token.last_line);
        lines.is_some_and(|lines| lines.iter().any(|line| line.changed))
    }

    /// The line of the patch of the first changed line of these tokens.
    pub(crate) fn changed_patch_line(&self, tokens: Range<usize>) -> Option<usize> {
        self.lines_of(tokens).find(|line| line.changed).map(|line| line.patch_line)
    }

    /// The line of the patch of the first line of these tokens that a hunk shows.
    pub(crate) fn shown_patch_line(&self, tokens: Range<usize>) -> Option<usize> {
        self.lines_of(tokens).find(|line| line.patch_line > 0).map(|line| line.patch_line)
    }

    fn lines_of(&self, tokens: Range<usize>) -> impl Iterator<Item = &Line> {
        let tokens = self.tokens.get(tokens).unwrap_or_default();
        let lines = tokens.iter().flat_map(|token| token.first_line..=token.last_line);
        lines.filter_map(|line| self.lines.get(line))
    }

    /// The text of tokens for a comparison: comments and blanks do not count.
    pub(crate) fn essence(&self, tokens: Range<usize>) -> Vec<Vec<u8>> {
        let tokens = self.tokens.get(tokens).unwrap_or_default();
        tokens.iter().map(|token| self.token_essence(token)).collect()
    }

    fn token_essence(&self, token: &Token) -> Vec<u8> {
        if token.kind != TokenKind::Directive {
            return self.text(token).to_vec();
        }
        // Within a preprocessor line the blanks around tokens may matter only in nonsense.
        let line = self.text(token);
        let line = line.strip_prefix(b"#").unwrap_or(line);
        let mut essence = b"#".to_vec();
        for part in lexer::tokens(line, Beginning::Code) {
            essence.extend_from_slice(&line[part.start..part.end]);
            essence.push(b' ');
        }
        essence
    }

    /// In what a hunk's text begins. A hunk may begin within a comment or within a macro.
    fn beginning(&self) -> Beginning {
        let mut lines = self.text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        let first = lines.clone().next().unwrap_or_default();
        // `*p = 1;` has no blank behind its star.
        let star =
            |line: &[u8]| line == b"*" || line.starts_with(b"* ") || line.starts_with(b"*\t");
        let begins_inside = match (position(&self.text, b"*/"), position(&self.text, b"/*")) {
            (Some(end), Some(begin)) => end < begin,
            (Some(_), None) => true,
            (None, _) => star(first),
        };
        if begins_inside {
            return Beginning::Comment;
        }
        let directive = first.starts_with(b"#");
        match lines.next() {
            Some(line) if line.ends_with(b"\\") && !directive => Beginning::Directive,
            _ => Beginning::Code,
        }
    }
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

//! A light C lexer for kernel source, whole files as well as the piece that a hunk shows.
//!
//! It knows comments, texts, preprocessor lines and where a line begins, and nothing of types or
//! macros. Input is hostile: one pass, no recursion, and whatever is unfinished ends with the line
//! (texts) or with the input (comments).

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A name or keyword.
    Identifier,
    /// A number.
    Number,
    /// A string or character constant.
    Literal,
    /// One character of punctuation.
    Punctuation(u8),
    /// A whole preprocessor line with its continuation lines.
    Directive,
}

/// One token. Offsets are bytes of the text, lines count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
    pub first_line: usize,
    pub last_line: usize,
    /// Whether it stands at the very beginning of its line.
    pub at_margin: bool,
}

/// In what a piece of source begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beginning {
    Code,
    Comment,
    /// The continuation of a preprocessor line.
    Directive,
}

/// Splits `text` into tokens; comments and blanks are dropped.
pub(crate) fn tokens(text: &[u8], beginning: Beginning) -> Vec<Token> {
    let mut lexer = Lexer { text, at: 0, line: 0, line_start: 0, fresh_line: true };
    let mut tokens = Vec::new();
    match beginning {
        Beginning::Code => {}
        Beginning::Comment => lexer.skip_comment(),
        Beginning::Directive => tokens.push(lexer.directive()),
    }
    while let Some(token) = lexer.next() {
        tokens.push(token);
    }
    tokens
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
    line_start: usize,
    /// Whether only blanks and comments came on this line: then `#` begins a directive.
    fresh_line: bool,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn newline(&mut self) {
        self.at += 1;
        self.line += 1;
        self.line_start = self.at;
        self.fresh_line = true;
    }

    fn next(&mut self) -> Option<Token> {
        loop {
            let byte = self.peek(0)?;
            match (byte, self.peek(1)) {
                (b'\n', _) => self.newline(),
                (b'\\', Some(b'\n')) => {
                    self.at += 1;
                    self.newline();
                }
                (b'/', Some(b'*')) => {
                    self.at += 2;
                    self.skip_comment();
                }
                (b'/', Some(b'/')) => self.skip_to_end_of_line(),
                (b'#', _) if self.fresh_line => return Some(self.directive()),
                _ if byte.is_ascii_whitespace() => self.at += 1,
                _ => return Some(self.token(byte)),
            }
        }
    }

    fn token(&mut self, byte: u8) -> Token {
        self.fresh_line = false;
        let (start, first_line) = (self.at, self.line);
        let at_margin = start == self.line_start;
        let kind = match byte {
            b'"' | b'\'' => {
                self.literal(byte);
                TokenKind::Literal
            }
            b'0'..=b'9' => {
                self.take_while(|b| is_name_byte(b) || b == b'.');
                TokenKind::Number
            }
            _ if is_name_byte(byte) => {
                self.take_while(is_name_byte);
                TokenKind::Identifier
            }
            _ => {
                self.at += 1;
                TokenKind::Punctuation(byte)
            }
        };
        Token { kind, start, end: self.at, first_line, last_line: self.line, at_margin }
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// Skips a text up to its closing quote, or to the end of the line when there is none.
    fn literal(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => return,
                b'\\' if self.peek(1) == Some(b'\n') => {
                    self.at += 1;
                    self.newline();
                    self.fresh_line = false;
                }
                b'\\' => self.at = (self.at + 2).min(self.text.len()),
                _ => {
                    self.at += 1;
                    if byte == quote {
                        return;
                    }
                }
            }
        }
    }

    /// Skips to behind the end of a comment whose beginning is behind us.
    fn skip_comment(&mut self) {
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'*', Some(b'/')) => {
                    self.at += 2;
                    return;
                }
                (b'\n', _) => self.newline(),
                _ => self.at += 1,
            }
        }
    }

    fn skip_to_end_of_line(&mut self) {
        self.take_while(|byte| byte != b'\n');
    }

    /// Reads to the end of a preprocessor line, over continuations and comments.
    fn directive(&mut self) -> Token {
        let (start, first_line) = (self.at, self.line);
        let at_margin = start == self.line_start;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'\n', _) => break,
                (b'\\', Some(b'\n')) => {
                    self.at += 1;
                    self.newline();
                }
                (b'\\', Some(_)) => self.at += 2,
                (b'/', Some(b'*')) => {
                    self.at += 2;
                    self.skip_comment();
                }
                (b'/', Some(b'/')) => self.skip_to_end_of_line(),
                (b'"', _) => self.literal(b'"'),
                _ => self.at += 1,
            }
        }
        self.fresh_line = false;
        let (end, last_line) = (self.at, self.line);
        Token { kind: TokenKind::Directive, start, end, first_line, last_line, at_margin }
    }
}

/// Bytes above ASCII count as letters: they occur in comments and texts only, or in nonsense.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source.as_bytes(), Beginning::Code)
            .iter()
            .map(|token| &source[token.start..token.end])
            .collect()
    }

    #[test]
    fn comments_and_texts_do_not_end_each_other() {
        assert_eq!(texts("a /* \" */ b // ' {\nc"), ["a", "b", "c"]);
        assert_eq!(
            texts("f(\"/* \\\" {\", '\"');"),
            ["f", "(", "\"/* \\\" {\"", ",", "'\"'", ")", ";"]
        );
        assert_eq!(texts("x = 'unclosed\ny"), ["x", "=", "'unclosed", "y"]);
    }

    #[test]
    fn preprocessor_line_is_one_token_with_its_continuations() {
        let source = "#define F(x) \\\n\tdo { x; } while (0) /* a\n b */\nint y;\n  # if 0\n";
        let found = texts(source);
        assert!(found[0].starts_with("#define") && found[0].ends_with("b */"), "{found:?}");
        assert_eq!(found[1..], ["int", "y", ";", "# if 0"]);
    }

    #[test]
    fn piece_may_begin_in_a_comment_or_in_a_macro() {
        let comment = tokens(b" * it's\n */\nint x;", Beginning::Comment);
        assert_eq!(comment.len(), 3);
        assert_eq!(comment[0].first_line, 2);
        let define = tokens(b"\tx; \\\n\ty\nint z;", Beginning::Directive);
        assert_eq!((define[0].kind, define[0].last_line), (TokenKind::Directive, 1));
        assert_eq!(define.len(), 4);
    }

    proptest! {
        #[test]
        fn any_bytes_give_ascending_tokens_within_the_text(
            text in "([a-z#\"'/*\\\\{}()\n\t ;=0-9]|[^a-z]){0,200}",
        ) {
            for beginning in [Beginning::Code, Beginning::Comment, Beginning::Directive] {
                let mut end = 0;
                for token in tokens(text.as_bytes(), beginning) {
                    prop_assert!(token.start >= end && token.end >= token.start);
                    prop_assert!(token.end <= text.len() && token.first_line <= token.last_line);
                    end = token.end;
                }
            }
        }
    }
}

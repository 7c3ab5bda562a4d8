//! A look at C text line by line: where a preprocessor directive may be put, and where conditional
//! blocks begin and end. It reads no C: only comments, literals, parentheses and directives.

/// A line of a C file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Its bytes with the newline, when it has one.
    pub text: &'a [u8],
    /// Whether a directive may be inserted before it: it is not the rest of a comment, a literal, a
    /// directive or a continued line, and not within parentheses, which may be those of a macro's
    /// arguments or of an asm statement.
    pub may_follow_directive: bool,
    /// The directive that begins on it.
    pub directive: Option<Directive>,
    /// How deep in braces its beginning is.
    pub braces: usize,
}

/// A preprocessor directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Directive {
    /// `#if`, `#ifdef`, `#ifndef`.
    If,
    /// `#else`, `#elif` and the like.
    Else,
    /// `#endif`.
    Endif,
    /// `#line` or `# NUMBER`.
    Line,
    /// Any other.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    BlockComment,
    LineComment,
    /// In a literal that this quote ends.
    Literal(u8),
}

/// Depths of parentheses and braces.
#[derive(Debug, Clone, Copy, Default)]
struct Depth {
    parentheses: usize,
    braces: usize,
}

/// Looks at all lines of `text`. The last one is without a newline when the text ends so; there is
/// no empty line after the last newline.
pub(super) fn lines(text: &[u8]) -> Vec<Line<'_>> {
    let mut scanner = Scanner::default();
    text.split_inclusive(|byte| *byte == b'\n').map(|line| scanner.line(line)).collect()
}

struct Scanner {
    state: State,
    /// Whether the line before ended with a backslash.
    continued: bool,
    in_directive: bool,
    depth: Depth,
    /// The depth at the beginning of each open `#if`: its branches begin with the same.
    conditionals: Vec<Depth>,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            state: State::Code,
            continued: false,
            in_directive: false,
            depth: Depth::default(),
            conditionals: Vec::new(),
        }
    }
}

impl Scanner {
    fn line<'a>(&mut self, text: &'a [u8]) -> Line<'a> {
        let begins_fresh = !self.continued && !self.in_directive && self.state == State::Code;
        if begins_fresh && text.starts_with(b"}") {
            // The end of a function, whatever macros and conditionals did to the count.
            self.depth = Depth { parentheses: 0, braces: 1 };
        }
        let may_follow_directive = begins_fresh && self.depth.parentheses == 0;
        let braces = self.depth.braces;
        let directive = begins_fresh.then(|| directive_of(text)).flatten();
        if let Some(directive) = directive {
            self.in_directive = true;
            self.branch(directive);
        }
        self.rest(text);
        Line { text, may_follow_directive, directive, braces }
    }

    fn branch(&mut self, directive: Directive) {
        match directive {
            Directive::If => self.conditionals.push(self.depth),
            Directive::Else => self.depth = self.conditionals.last().copied().unwrap_or(self.depth),
            Directive::Endif => drop(self.conditionals.pop()),
            Directive::Line | Directive::Other => {}
        }
    }

    fn rest(&mut self, text: &[u8]) {
        let body = text.strip_suffix(b"\n").unwrap_or(text);
        let body = body.strip_suffix(b"\r").unwrap_or(body);
        // The compiler takes a backslash before blanks for one at the end.
        self.continued = body.trim_ascii_end().last() == Some(&b'\\');
        let mut bytes = body.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match (self.state, byte) {
                (State::BlockComment, b'*') if bytes.peek() == Some(&b'/') => {
                    bytes.next();
                    self.state = State::Code;
                }
                (State::Literal(_), b'\\') => drop(bytes.next()),
                (State::Literal(quote), byte) if byte == quote => self.state = State::Code,
                (State::Code, b'/') if bytes.peek() == Some(&b'*') => {
                    bytes.next();
                    self.state = State::BlockComment;
                }
                (State::Code, b'/') if bytes.peek() == Some(&b'/') => {
                    self.state = State::LineComment;
                }
                (State::Code, b'"' | b'\'') => self.state = State::Literal(byte),
                (State::Code, _) if !self.in_directive => self.bracket(byte),
                _ => {}
            }
        }
        if !self.continued {
            // A literal that is not closed on its line is none: an apostrophe in #error.
            if self.state != State::BlockComment {
                self.state = State::Code;
                self.in_directive = false;
            }
        }
    }

    fn bracket(&mut self, byte: u8) {
        let Depth { parentheses, braces } = &mut self.depth;
        match byte {
            b'(' => *parentheses += 1,
            b')' => *parentheses = parentheses.saturating_sub(1),
            b'{' => *braces += 1,
            b'}' => *braces = braces.saturating_sub(1),
            _ => {}
        }
    }
}

fn directive_of(text: &[u8]) -> Option<Directive> {
    let rest = text.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
    Some(match &rest[..end] {
        b"if" | b"ifdef" | b"ifndef" => Directive::If,
        b"else" | b"elif" | b"elifdef" | b"elifndef" => Directive::Else,
        b"endif" => Directive::Endif,
        b"line" => Directive::Line,
        number if !number.is_empty() && number.iter().all(u8::is_ascii_digit) => Directive::Line,
        _ => Directive::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines before which no directive may be, by their text.
    fn closed(text: &str) -> Vec<&str> {
        let text = text.as_bytes();
        let closed = lines(text).into_iter().filter(|line| !line.may_follow_directive);
        closed.map(|line| std::str::from_utf8(line.text).expect("text").trim()).collect()
    }

    #[test]
    fn places_where_a_directive_would_break_the_code_are_known() {
        let text = "#define TWO(x) \\\n\t((x) + \\\n\t 2) // ( \\\n still a comment (\n\
            /* a ' comment\n * with ( and \" in it\n */ int a; /* ( */\n\
            char *s = \"a string \\\n  that goes on (\";\n\
            char c = '\\'', d = '(';\n\
            int f(int a,\n      int b)\n{\n\
            \tasm volatile(\"nop\"\n\t\t: : \"r\" (a)\n\t\t: \"memory\");\n\
            \tWARN(a,\n\t     \"no\");\n\
            \tif (a)\n\t\treturn 1;\n}\n";
        let expected = [
            "((x) + \\",
            "2) // ( \\",
            "still a comment (",
            "* with ( and \" in it",
            "*/ int a; /* ( */",
            "that goes on (\";",
            "int b)",
            ": : \"r\" (a)",
            ": \"memory\");",
            "\"no\");",
        ];
        assert_eq!(closed(text), expected);
    }

    #[test]
    fn branches_of_a_conditional_count_their_parentheses_once() {
        let text = "#ifdef A\n\tif (one(a,\n#elif B\n\tif (two(b,\n#else /* it's\n more */\n\
            \tif (three(c,\n#endif\n\t\td))\n\te();\n#error don't\nint f;\n";
        assert_eq!(closed(text), ["#elif B", "#else /* it's", "more */", "#endif", "d))"]);
    }

    #[test]
    fn end_of_a_function_ends_what_was_miscounted() {
        let text = "void f(void)\n{\n\tBEGIN(\n\tx;\n}\nint g;\n";
        assert_eq!(closed(text), ["x;"]);
        assert_eq!(lines(text.as_bytes()).last().expect("a line").braces, 0);
    }

    #[test]
    fn directives_are_told_apart() {
        let text = "# if X\n#\telse\n#endif\n#line 7\n# 12 \"a.c\"\n#include <a.h>\n#\nint a;\n";
        let found: Vec<_> = lines(text.as_bytes()).into_iter().map(|line| line.directive).collect();
        use Directive::*;
        let directives = [If, Else, Endif, Line, Line, Other, Other];
        let expected: Vec<_> = directives.into_iter().map(Some).chain([None]).collect();
        assert_eq!(found, expected);
    }
}

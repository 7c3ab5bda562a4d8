//! Texts of errors and of others, as they may be shown.

use std::error::Error;

/// An error with its causes, in one line.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(&format!(": {error}"));
        next = error.source();
    }
    text
}

/// Makes a text from elsewhere safe for a terminal: control characters, which could move the
/// cursor or change the title, are shown escaped, and so are those that change the direction in which it is
/// read (Unicode's `Bidi_Control`) or end a line: they can make it look like another one. Tabs stay.
pub fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            safe.extend(character.escape_debug());
        } else if is_misleading(character) {
            safe.extend(character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    safe
}

fn is_misleading(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// The same for a text of several lines.
pub fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_their_error() {
        let cause = "x".parse::<u32>().expect_err("no number");
        let error = std::io::Error::other(cause);
        assert_eq!(with_causes(&error), "invalid digit found in string");
        #[derive(Debug, thiserror::Error)]
        #[error("it cannot be read")]
        struct Outer(#[source] std::io::Error);
        assert_eq!(with_causes(&Outer(error)), "it cannot be read: invalid digit found in string");
    }

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\r"), "a\\u{1b}[2Jb\tc\\r");
        assert_eq!(printable("fix\u{202e}hctap.\u{2069}é"), "fix\\u{202e}hctap.\\u{2069}é");
        assert_eq!(printable_lines("one\ntwo\u{7}\n"), "one\ntwo\\u{7}");
        assert_eq!(printable_lines("a\u{1b}[2J\u{7}b\n\tc é"), "a\\u{1b}[2J\\u{7}b\n\tc é");
    }
}

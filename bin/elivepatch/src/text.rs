//! Small pieces of text for people.

use std::time::Duration;

pub use elivepatch_model::{printable, printable_lines};

/// `12.3 s`, or `2 min 05 s` from a minute on.
pub fn duration(seconds: f64) -> String {
    // What is not a number counts as 0, too: it comes from elsewhere.
    let seconds = seconds.max(0.0);
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).as_secs();
    format!("{} min {:02} s", seconds / 60, seconds % 60)
}

/// Breaks a line at its spaces so that none is longer than `width` characters; all but the first are moved in
/// by `indent`, which is less. Words that are too long are cut.
pub fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line: Vec<char> = text.trim_end().chars().collect();
    while line.len() > width {
        // A break within the indent would leave a line with nothing on it.
        let space = line[..=width].iter().rposition(|c| *c == ' ').filter(|place| *place > indent);
        let rest = line.split_off(space.unwrap_or(width));
        lines.push(String::from_iter(&line).trim_end().to_owned());
        let rest = rest.into_iter().skip_while(|c| *c == ' ');
        line = std::iter::repeat_n(' ', indent).chain(rest).collect();
    }
    lines.push(String::from_iter(line));
    lines
}

/// A word for a shell: as it is when it is harmless, else in single quotes.
pub fn shell_word(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(12.34), "12.3 s");
        assert_eq!(duration(125.0), "2 min 05 s");
        assert_eq!(duration(f64::NAN), "0.0 s");
        assert_eq!(duration(-1.0), "0.0 s");
    }

    #[test]
    fn lines_are_broken_at_spaces_and_long_words_are_cut() {
        assert_eq!(wrapped("one two three", 8, 2), ["one two", "  three"]);
        assert_eq!(wrapped("abcdefghij", 4, 1), ["abcd", " efg", " hij"]);
        assert_eq!(wrapped("  ab cdef", 6, 2), ["  ab", "  cdef"]);
        assert_eq!(wrapped("", 4, 1), [""]);
    }

    #[test]
    fn words_for_a_shell_are_quoted_when_needed() {
        assert_eq!(shell_word("http://127.0.0.1:8420"), "http://127.0.0.1:8420");
        assert_eq!(shell_word("my file's"), "'my file'\\''s'");
        assert_eq!(shell_word("http://[::1]:1"), "'http://[::1]:1'");
    }
}

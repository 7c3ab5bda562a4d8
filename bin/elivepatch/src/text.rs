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
    fn words_for_a_shell_are_quoted_when_needed() {
        assert_eq!(shell_word("http://127.0.0.1:8420"), "http://127.0.0.1:8420");
        assert_eq!(shell_word("my file's"), "'my file'\\''s'");
        assert_eq!(shell_word("http://[::1]:1"), "'http://[::1]:1'");
    }
}

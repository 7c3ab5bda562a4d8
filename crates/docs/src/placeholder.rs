//! What stands in the documentation for something of the reader's own, with something that the programs take there.

use crate::command::Invocation;

/// A placeholder, and what a test puts in its place. It is a whole word, or what begins and ends at a character that is
/// no letter, digit or underscore.
const PLACEHOLDERS: [(&str, &str); 23] = [
    ("THIS-SERVER", "patches.example"),
    ("SERVER", "patches.example"),
    ("RELEASE", "6.1.0-50-cloud-amd64"),
    ("$(uname -r)", "6.1.0-50-cloud-amd64"),
    ("VERSION", "6.1.176"),
    ("BUILD", "17"),
    ("LIVEPATCH", "livepatch_fix_1a2b3c4d"),
    ("MODULE", "livepatch_fix_1a2b3c4d"),
    ("MANIFEST", "livepatch_fix_1a2b3c4d.ko.manifest.json"),
    ("ADAPTATION", "line-numbers"),
    ("KIND", "line-numbers"),
    ("VERDICT", "candidate"),
    ("NAME", "web-1"),
    ("HOST", "web-1"),
    ("TAG", "web"),
    ("ADDRESS", "192.0.2.1"),
    ("PORT", "8420"),
    ("NUMBER", "4"),
    ("N", "4"),
    ("ID", "5f1b0c9d2e3a"),
    ("CVE", "CVE-2026-63824"),
    ("CVE-…", "CVE-2026-63824"),
    ("5d2f…", "5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f5d2f"),
];

impl Invocation {
    /// The command line with something of a reader's own in the place of placeholders.
    pub fn words(&self) -> Vec<String> {
        let arguments = self.arguments.iter().map(|argument| filled_in(argument));
        [self.program.clone()].into_iter().chain(arguments).collect()
    }
}

fn filled_in(argument: &str) -> String {
    PLACEHOLDERS
        .iter()
        .fold(argument.to_owned(), |text, (name, value)| replace_word(&text, name, value))
}

/// Replaces a placeholder where it is not a part of a longer word.
fn replace_word(text: &str, name: &str, value: &str) -> String {
    let goes_on = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || "_-…".contains(character))
    };
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(name) {
        let (before, behind) = (&rest[..at], &rest[at + name.len()..]);
        let last = before.chars().next_back().or(done.chars().next_back());
        let is_part = goes_on(last) || goes_on(behind.chars().next());
        done.push_str(before);
        done.push_str(if is_part { name } else { value });
        rest = behind;
    }
    done + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_whole_words() {
        assert_eq!(filled_in("https://SERVER:8420"), "https://patches.example:8420");
        assert_eq!(filled_in("MODULE.ko"), "livepatch_fix_1a2b3c4d.ko");
        assert_eq!(filled_in("CVE-2026-1"), "CVE-2026-1");
        assert_eq!(filled_in("CVE-…"), "CVE-2026-63824");
        assert_eq!(filled_in("CVE"), "CVE-2026-63824");
        assert_eq!(filled_in("NAMES"), "NAMES");
    }
}

//! What can be told of a patch by its text alone.

use crate::{CommitHash, FixSourceError};

/// Checks that a text changes something, and is no other commit's than the one that was asked for. Only
/// git writes `From COMMIT …`: a text without it is believed.
///
/// # Errors
/// When it does not, or is.
pub fn check(text: &[u8], commit: Option<&CommitHash>) -> Result<(), FixSourceError> {
    let mut changes = false;
    for line in text.split(|byte| *byte == b'\n') {
        // A line of a hunk begins with a blank, "+" or "-": neither is taken for it.
        changes |= line.starts_with(b"+++ ") || line.starts_with(b"diff --git ");
        if let (Some(commit), Some(other)) = (commit, author_line(line))
            && other != *commit
        {
            return Err(FixSourceError::OtherCommit(other));
        }
    }
    if changes { Ok(()) } else { Err(FixSourceError::NoChange) }
}

/// The commit of a line `From COMMIT Mon Sep 17 00:00:00 2001`.
fn author_line(line: &[u8]) -> Option<CommitHash> {
    let rest = line.strip_prefix(b"From ")?;
    let (hash, after) = rest.split_at_checked(40)?;
    let is_alone = after.first().is_none_or(|byte| byte.is_ascii_whitespace());
    is_alone.then(|| std::str::from_utf8(hash).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
    const B: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

    fn check(text: &str) -> Result<(), FixSourceError> {
        super::check(text.as_bytes(), Some(&A.parse().expect("a commit")))
    }

    #[test]
    fn other_commit_is_seen_and_a_text_that_names_none_is_believed() {
        let change = "--- a/mm/mmap.c\n+++ b/mm/mmap.c\n@@ -1 +1 @@\n-a\n+b\n";
        check(change).expect("it names none");
        check(&format!("From {A} Mon Sep 17 00:00:00 2001\n{change}")).expect("it is that one");
        check(&format!("From {B}s side\nFrom me\ncommit {B} upstream.\n{change}")).expect("prose");
        let second = format!("From {A} Mon Sep 17\n{change}From {B} Mon Sep 17\n{change}");
        for text in [format!("From {B} Mon Sep 17 00:00:00 2001\n{change}"), second] {
            let error = check(&text).expect_err("another one's");
            assert!(error.to_string().contains(B), "{error}");
        }
    }

    #[test]
    fn text_without_a_change_is_no_patch() {
        for text in
            ["", "<html>not here</html>", &format!("From {A} Mon Sep 17\nSubject: x\n---\n")]
        {
            assert!(matches!(check(text), Err(FixSourceError::NoChange)), "{text}");
        }
    }
}

//! `.dyad` files: which commit brought a flaw into which version, and which one took it out.

use serde::{Deserialize, Serialize};

use crate::LinuxVersion;

/// The most lines that are read: the longest file has 30.
const MOST_LINES: usize = 10_000;

/// A commit in a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The first version that holds it.
    pub version: LinuxVersion,
    /// Its hash, 40 hexadecimal digits.
    pub hash: String,
}

/// A line: a flaw that came in and, as far as that is so, went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dyad {
    /// What brought it; `None`: not known, it was always there.
    pub introduced: Option<Commit>,
    /// What took it out; `None`: it is not fixed there.
    pub fixed: Option<Commit>,
}

/// Why a `.dyad` file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DyadError {
    /// A line does not have its form.
    #[error("line {0} is not VERSION:COMMIT:VERSION:COMMIT")]
    Line(usize),
    /// There are more lines than any record has.
    #[error("it has more than {MOST_LINES} lines")]
    TooLong,
}

/// Reads the file's text. `0:0` on the left is an introducer that is not known, on the right a branch
/// without a fix.
///
/// # Errors
/// When a line has another form.
pub fn parse_dyads(text: &str) -> Result<Vec<Dyad>, DyadError> {
    let mut dyads = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if number >= MOST_LINES {
            return Err(DyadError::TooLong);
        }
        let error = || DyadError::Line(number + 1);
        let parts: Vec<&str> = line.split(':').collect();
        let [introduced, introducer, fixed, fix] = parts[..] else { return Err(error()) };
        dyads.push(Dyad {
            introduced: commit(introduced, introducer).ok_or_else(error)?,
            fixed: commit(fixed, fix).ok_or_else(error)?,
        });
    }
    Ok(dyads)
}

/// A half of a line; the outer `None`: it has another form.
fn commit(version: &str, hash: &str) -> Option<Option<Commit>> {
    if (version, hash) == ("0", "0") {
        return Some(None);
    }
    let version = version.parse().ok()?;
    let is_hash = hash.len() == 40 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| Some(Commit { version, hash: hash.to_ascii_lowercase() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "00d60fd3b93219ea854220f0fd264b86398cbc53";
    const B: &str = "0f3058d7d26f81df9b68a18ddbe164bdc3c5eff3";

    #[test]
    fn lines_are_read_and_comments_passed_over() {
        let text = format!(
            "# dyad version: 1.2.0\n# \tgetting pairs\n4.20:{A}:6.1.177:{B}\n\
            0:0:6.2:{B}\n2.6.12:{A}:0:0\n"
        );
        let dyads = parse_dyads(&text).expect("dyads");
        let [first, second, third] = &dyads[..] else { panic!("{dyads:?}") };
        let fixed = first.fixed.as_ref().expect("it is fixed");
        assert_eq!((fixed.version.to_string().as_str(), fixed.hash.as_str()), ("6.1.177", B));
        assert_eq!(second.introduced, None);
        assert_eq!(third.fixed, None);
    }

    #[test]
    fn release_candidates_are_versions() {
        let dyads = parse_dyads(&format!("7.2-rc5:{A}:7.2-rc6:{B}\n")).expect("dyads");
        let fixed = dyads[0].fixed.as_ref().expect("it is fixed");
        assert_eq!(fixed.version.to_string(), "7.2-rc6");
    }

    #[test]
    fn other_forms_are_refused_with_the_line() {
        for line in [
            "4.20:x:6.1.177:y".to_owned(),
            format!("4.20:{A}:6.1.177"),
            A.to_owned(),
            format!("4.20:{A}:6.1.177:{B}:1"),
            format!("0:{A}:0:0"),
            format!("4.20:{}:0:0", &A[..12]),
        ] {
            let error = parse_dyads(&format!("# x\n{line}\n")).expect_err(&line);
            assert_eq!(error, DyadError::Line(2), "{line}");
        }
        let long = format!("4.20:{A}:0:0\n").repeat(MOST_LINES + 1);
        assert_eq!(parse_dyads(&long), Err(DyadError::TooLong));
    }
}

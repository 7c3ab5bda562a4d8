//! `#line` directives around changes, so that the lines that a patch leaves alone keep their
//! numbers: code that uses `__LINE__` (`WARN`, `BUG`, `might_sleep`) below an inserted line would
//! otherwise count as changed.

use super::c_text::{self, Directive};

/// A text with directives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    /// The text; the patched one itself when no directive was needed.
    pub text: Vec<u8>,
    /// How many directives were put in.
    pub directives: usize,
    /// The first line, by its number before the change, from which on no line of the file could be
    /// given its number: there was no place for a directive.
    pub lost_from: Option<usize>,
}

/// Puts directives into `patched`. `old_lines` holds for each of its lines the number that it had
/// before the changes, `None` for one that was added. An added line gets the number after that of
/// the line before it. `None` when the text has such directives of its own, which say what its
/// numbers mean: they are not touched.
pub(super) fn keep(patched: &[u8], old_lines: &[Option<usize>]) -> Option<Numbered> {
    let lines = c_text::lines(patched);
    if lines.iter().any(|line| line.directive == Some(Directive::Line)) {
        return None;
    }
    let mut numbered = Numbered { text: Vec::new(), directives: 0, lost_from: None };
    // The number that the compiler gives to the line, unless that depends on which branch of a
    // conditional it has taken.
    let mut counted = Some(1);
    // For each conditional that is open: whether a directive is in it.
    let mut conditionals: Vec<bool> = Vec::new();
    for (line, old) in lines.iter().zip(old_lines) {
        match *old {
            None => {}
            Some(old) if counted == Some(old) => numbered.lost_from = None,
            Some(old) if line.may_follow_directive => {
                numbered.text.extend_from_slice(format!("#line {old}\n").as_bytes());
                numbered.directives += 1;
                numbered.lost_from = None;
                counted = Some(old);
                conditionals.fill(true);
            }
            Some(old) => drop(numbered.lost_from.get_or_insert(old)),
        }
        numbered.text.extend_from_slice(line.text);
        counted = counted.map(|number| number + 1);
        // A directive in a branch that is not taken is passed over like the rest of it.
        let has_directive = match line.directive {
            Some(Directive::If) => {
                conditionals.push(false);
                false
            }
            Some(Directive::Else) => conditionals.last().copied().unwrap_or_default(),
            Some(Directive::Endif) => conditionals.pop().unwrap_or_default(),
            _ => false,
        };
        if has_directive {
            counted = None;
        }
    }
    Some(numbered)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Makes the two sides of a change of a text whose lines begin with `+`, `-` or a blank.
    fn sides(change: &str) -> (String, String, Vec<Option<usize>>) {
        let (mut original, mut patched, mut old_lines) = (String::new(), String::new(), Vec::new());
        let mut old = 0;
        for line in change.lines() {
            let (mark, text) = line.split_at(1);
            old += usize::from(mark != "+");
            if mark != "+" {
                original += &format!("{text}\n");
            }
            if mark != "-" {
                patched += &format!("{text}\n");
                old_lines.push((mark == " ").then_some(old));
            }
        }
        (original, patched, old_lines)
    }

    /// What the compiler's preprocessor makes of `__LINE__` after each word `at`.
    fn numbers(text: &str) -> Vec<String> {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("a.c");
        std::fs::write(&file, text).expect("own directory");
        let output = Command::new("cc").args(["-E", "-P"]).arg(&file).output().expect("a compiler");
        assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
        let output = String::from_utf8(output.stdout).expect("text");
        let words: Vec<&str> = output.split_whitespace().collect();
        words.windows(2).filter(|pair| pair[0] == "at").map(|pair| pair[1].to_owned()).collect()
    }

    /// Looks whether the lines that the change leaves alone keep their numbers: lines with `at`.
    fn keeps_numbers(change: &str) -> Numbered {
        let (original, patched, old_lines) = sides(change);
        let numbered = keep(patched.as_bytes(), &old_lines).expect("no directives of its own");
        let text = std::str::from_utf8(&numbered.text).expect("text");
        assert_eq!(numbers(text), numbers(&original), "{text}");
        numbered
    }

    #[test]
    fn lines_around_insertions_and_removals_keep_their_numbers() {
        let numbered = keeps_numbers(
            " at __LINE__\n+one\n+two\n at __LINE__\n-three\n-four\n-five\n at __LINE__\n at __LINE__\n",
        );
        let text = String::from_utf8(numbered.text).expect("text");
        assert_eq!(
            text,
            "at __LINE__\none\ntwo\n#line 2\nat __LINE__\n#line 6\nat __LINE__\nat __LINE__\n"
        );
        assert_eq!((numbered.directives, numbered.lost_from), (2, None));
    }

    #[test]
    fn change_that_moves_no_line_needs_no_directive() {
        let numbered = keeps_numbers(" at __LINE__\n-a\n-b\n+c\n+d\n at __LINE__\n");
        assert_eq!(numbered.directives, 0);
    }

    #[test]
    fn directive_waits_for_the_end_of_what_it_would_break() {
        for change in [
            " #define M(a) a \\\n+\tmore \\\n \tlast\n at __LINE__\n",
            " /* a comment\n+ * that grows\n  * and ends */\n at __LINE__\n",
            " M(one,\n+  two,\n   three);\n at __LINE__\n",
            " asm(\"nop\"\n+ \"nop\"\n  );\n at __LINE__\n",
            " char *s = \"text \\\n+more \\\n end\";\n at __LINE__\n",
        ] {
            let numbered = keeps_numbers(change);
            assert_eq!((numbered.directives, numbered.lost_from), (1, None), "{change}");
        }
    }

    #[test]
    fn branches_that_are_not_taken_mislead_nobody() {
        for condition in ["0", "1"] {
            for (first, second) in [("+new", ""), ("", "+new"), ("+new", "+new"), ("-old", "+new")]
            {
                let change = format!(
                    " at __LINE__\n #if {condition}\n{first}\n at __LINE__\n #else\n at __LINE__\n\
                     {second}\n at __LINE__\n #endif\n at __LINE__\n"
                );
                keeps_numbers(&change.replace("\n\n", "\n"));
            }
            keeps_numbers(&format!(
                " #if {condition}\n #if 1\n+new\n at __LINE__\n #endif\n at __LINE__\n #endif\n at __LINE__\n"
            ));
            // The branch begins in the middle of a call.
            keeps_numbers(&format!(
                " #if {condition}\n call(a,\n+ b,\n #else\n call(c,\n #endif\n d);\n at __LINE__\n"
            ));
        }
    }

    #[test]
    fn file_without_a_place_for_a_directive_says_where_numbers_are_lost() {
        let (_, patched, old_lines) = sides(" call(\n+ a,\n  b,\n  c\n");
        let numbered = keep(patched.as_bytes(), &old_lines).expect("no directives of its own");
        assert_eq!((numbered.directives, numbered.lost_from), (0, Some(2)));
        assert_eq!(numbered.text, patched.as_bytes());
    }

    #[test]
    fn generated_file_with_its_own_directives_is_left_alone() {
        let (_, patched, old_lines) = sides(" #line 20 \"a.y\"\n+a\n b\n");
        assert_eq!(keep(patched.as_bytes(), &old_lines), None);
    }
}

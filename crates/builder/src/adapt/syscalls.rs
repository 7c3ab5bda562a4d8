//! Changed system calls. `SYSCALL_DEFINEn` puts a call's body into an `inline` function, which in
//! the kernel means `notrace`: where the compiler keeps it as a function of its own, it has no call
//! to `__fentry__`, and cannot be replaced. kpatch's `KPATCH_SYSCALL_DEFINEn` gives the body a new
//! name, so that the function around it, which can be replaced, changes instead.

use std::collections::BTreeSet;

use super::c_text::{self, Line};

/// The rewritten text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// The text, one line longer for each system call.
    pub text: Vec<u8>,
    /// The numbers of its lines, as [`super::line_numbers::keep`] takes them.
    pub old_lines: Vec<Option<usize>>,
    /// The names of the rewritten system calls.
    pub calls: Vec<String>,
}

/// Whether the text defines system calls at all.
pub(super) fn are_in(text: &[u8]) -> bool {
    text.windows(DEFINE.len()).any(|window| window == DEFINE)
}

const DEFINE: &[u8] = b"SYSCALL_DEFINE";

/// What comes before each definition: within a conditional, an include further up may not count.
const INCLUDE: &[u8] = b"#include \"kpatch-syscall.h\"\n";

/// The prefixes of the functions that hold bodies of system calls and may have no call to
/// `__fentry__`.
const BODIES: [&str; 2] = ["__do_sys_", "__se_sys_"];

/// The names of the system calls whose bodies these functions are; `None` when one is something else.
pub(crate) fn calls_of(functions: &[String]) -> Option<BTreeSet<String>> {
    let call = |function: &String| {
        // The compiler adds .constprop.0 and the like.
        let name = function.split('.').next().unwrap_or(function);
        BODIES.iter().find_map(|prefix| name.strip_prefix(prefix)).map(str::to_owned)
    };
    functions.iter().map(call).collect::<Option<BTreeSet<_>>>().filter(|calls| !calls.is_empty())
}

/// The names of the system calls that the text defines and that can be rewritten.
pub(super) fn defined_in(text: &[u8]) -> BTreeSet<String> {
    c_text::lines(text).iter().filter_map(name_of).collect()
}

/// Rewrites system calls. `is_wanted` is asked for each by its name and by whether changed lines are
/// in it (`old_lines`, as [`super::line_numbers::keep`] takes them). `None` when none is. `numbers`
/// are what the lines are to be counted by.
///
/// kpatch has no macro for compat calls, and those without arguments need none.
pub(super) fn rewrite(
    text: &[u8],
    old_lines: &[Option<usize>],
    numbers: &[Option<usize>],
    mut is_wanted: impl FnMut(&str, bool) -> bool,
) -> Option<Rewritten> {
    let lines = c_text::lines(text);
    let mut rewritten = Rewritten { text: Vec::new(), old_lines: Vec::new(), calls: Vec::new() };
    for (index, line) in lines.iter().enumerate() {
        let name = name_of(line).filter(|name| {
            let end = index + length_of(&lines[index..]);
            is_wanted(name, is_touched(&old_lines[index..end.min(old_lines.len())]))
        });
        if let Some(name) = name {
            rewritten.text.extend_from_slice(INCLUDE);
            rewritten.old_lines.push(None);
            rewritten.text.extend_from_slice(b"KPATCH_");
            rewritten.calls.push(name);
        }
        rewritten.text.extend_from_slice(line.text);
        rewritten.old_lines.push(numbers.get(index).copied().flatten());
    }
    (!rewritten.calls.is_empty()).then_some(rewritten)
}

/// The name of the system call whose definition begins on the line.
fn name_of(line: &Line) -> Option<String> {
    if !line.may_follow_directive || line.braces > 0 {
        return None;
    }
    let rest = line.text.strip_prefix(DEFINE)?;
    let (count, rest) = rest.split_first()?;
    if !(b'1'..=b'6').contains(count) {
        return None;
    }
    let rest = rest.trim_ascii_start().strip_prefix(b"(")?.trim_ascii_start();
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')?;
    let name = std::str::from_utf8(&rest[..end]).ok()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// How many of the lines the definition has that begins on the first of them.
fn length_of(lines: &[Line]) -> usize {
    let mut has_body = false;
    for (index, line) in lines.iter().enumerate() {
        if has_body && line.braces == 0 {
            return index;
        }
        has_body |= line.text.contains(&b'{');
    }
    lines.len()
}

/// Whether a line was added or taken away among these.
fn is_touched(old_lines: &[Option<usize>]) -> bool {
    old_lines.contains(&None)
        || old_lines.windows(2).any(|pair| pair[1] != pair[0].map(|old| old + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "SYSCALL_DEFINE1(first, int, a)\n{\n\tif (a) {\n\t\treturn 1;\n\t}\n\treturn 0;\n}\n\
        /*\nSYSCALL_DEFINE1(comment, int, a)\n*/\n\
        SYSCALL_DEFINE2(second, int, a,\n\t\tlong, b)\n{\n\treturn b;\n}\n\
        SYSCALL_DEFINE0(none)\n{\n\treturn 0;\n}\n\
        COMPAT_SYSCALL_DEFINE1(compat, int, a)\n{\n\treturn 0;\n}\n";

    /// The calls that are rewritten when the lines with these texts were added.
    fn calls(added: &[&str]) -> Vec<String> {
        let old_lines: Vec<Option<usize>> = (1..)
            .zip(TEXT.lines())
            .map(|(number, line)| (!added.contains(&line.trim())).then_some(number))
            .collect();
        let rewritten = rewrite(TEXT.as_bytes(), &old_lines, &old_lines, |_, touched| touched);
        rewritten.map(|rewritten| rewritten.calls).unwrap_or_default()
    }

    #[test]
    fn only_calls_with_changed_lines_are_rewritten() {
        assert_eq!(calls(&["return 1;"]), ["first"]);
        assert_eq!(calls(&["return b;"]), ["second"]);
        assert_eq!(calls(&["long, b)", "if (a) {"]), ["first", "second"]);
        assert_eq!(calls(&[]), [""; 0]);
        assert_eq!(calls(&["SYSCALL_DEFINE1(comment, int, a)", "*/"]), [""; 0]);
    }

    #[test]
    fn removed_line_is_a_change() {
        let text = "SYSCALL_DEFINE1(first, int, a)\n{\n\treturn 0;\n}\nint b;\n";
        let removed = [Some(1), Some(2), Some(4), Some(5), Some(6)];
        let rewritten =
            rewrite(text.as_bytes(), &removed, &removed, |_, touched| touched).expect("a change");
        assert_eq!(
            String::from_utf8(rewritten.text).expect("text"),
            "#include \"kpatch-syscall.h\"\nKPATCH_SYSCALL_DEFINE1(first, int, a)\n{\n\treturn 0;\n}\nint b;\n"
        );
        let expected = [None, Some(1), Some(2), Some(4), Some(5), Some(6)];
        assert_eq!(rewritten.old_lines, expected);
        let below = [Some(1), Some(2), Some(3), Some(4), Some(9)];
        assert_eq!(rewrite(text.as_bytes(), &below, &below, |_, touched| touched), None);
    }

    #[test]
    fn each_call_is_asked_for_with_whether_it_changes() {
        let old_lines: Vec<Option<usize>> = (1..)
            .zip(TEXT.lines())
            .map(|(number, line)| (line != "\treturn b;").then_some(number))
            .collect();
        let mut asked = Vec::new();
        let rewritten = rewrite(TEXT.as_bytes(), &old_lines, &old_lines, |name, touched| {
            asked.push((name.to_owned(), touched));
            // One whose own lines are as they were, because of what the compiler takes into it.
            name == "first"
        });
        assert_eq!(rewritten.expect("one").calls, ["first"]);
        assert_eq!(asked, [("first".to_owned(), false), ("second".to_owned(), true)]);
        assert_eq!(
            defined_in(TEXT.as_bytes()).into_iter().collect::<Vec<_>>(),
            ["first", "second"]
        );
    }

    #[test]
    fn calls_are_told_from_the_functions_that_hold_their_bodies() {
        let calls = |names: &[&str]| {
            calls_of(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
                .map(|calls| calls.into_iter().collect::<Vec<_>>())
        };
        let both = vec!["brk".to_owned(), "getcwd".to_owned()];
        assert_eq!(calls(&["__do_sys_getcwd.isra.0", "__se_sys_brk"]), Some(both));
        // Rewriting the call would not help with the other one.
        assert_eq!(calls(&["__do_sys_getcwd", "irq_enter"]), None);
        assert_eq!(calls(&["__do_compat_sys_open"]), None);
        assert_eq!(calls(&[]), None);
    }
}

//! What of one change can tie it to another: the names that it uses, and the numbers and texts that
//! stand in it. `kmalloc(64)` that becomes `kmalloc(128)` in one place and `len > 64` that becomes
//! `len > 128` in another belong together, though no name on these lines says so.

use std::{collections::BTreeSet, ops::Range};

use crate::patchability::init_items::{Shown, names, tokens_shown, touched_items};

/// An item at file scope (a function, a variable, a type, a macro) that changed lines are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchedItem {
    /// The function's name; `None` for all else.
    pub function: Option<String>,
    /// Its lines, from 0.
    pub lines: Range<usize>,
}

/// The items of a file that hold one of `lines`, counted from 0.
pub fn items_with_lines(text: &[u8], lines: &BTreeSet<usize>) -> Vec<TouchedItem> {
    touched_items(text, lines)
        .into_iter()
        .map(|(function, lines)| TouchedItem { function, lines })
        .collect()
}

/// The names in a piece of C text that can tie one change to another: all but keywords and what
/// stands in nearly every function.
pub fn linking_names(text: &[u8]) -> BTreeSet<String> {
    names(text).into_iter().filter(|name| !COMMON.contains(&name.as_str())).collect()
}

/// The names in a piece of C text that make memory: what changes there changes how much of it there is,
/// or of which kind, and code that relies on that need share no word with it.
pub fn names_that_make_memory(text: &[u8]) -> BTreeSet<String> {
    const PARTS: [&str; 4] = ["alloc", "_pages", "kmem_cache_create", "mempool_create"];
    names(text).into_iter().filter(|name| PARTS.iter().any(|part| name.contains(part))).collect()
}

/// The numbers and texts in a piece of C text that can tie one change to another: all but 0, 1, and
/// the characters that end a text or a line. Numbers are given in decimals, however they are written.
pub fn linking_literals(text: &[u8]) -> BTreeSet<String> {
    let literals = tokens_shown(text).into_iter().filter_map(|token| match token {
        Shown::Number(number) => {
            Some(decimal(&number)).filter(|number| number != "0" && number != "1")
        }
        Shown::Literal(text) => Some(text).filter(|text| text != "'\\0'" && text != "'\\n'"),
        Shown::Other(_) => None,
    });
    literals.filter(|literal| literal != "\"\"").collect()
}

/// Whether a piece of C text holds anything but comments and blanks.
pub fn holds_code(text: &[u8]) -> bool {
    !tokens_shown(text).is_empty()
}

/// Whether `name` is used in the same statements before and after, numbers and texts apart.
pub fn is_used_alike(before: &[u8], after: &[u8], name: &str) -> bool {
    statements_with(before, name) == statements_with(after, name)
}

fn statements_with(text: &[u8], name: &str) -> Vec<Vec<String>> {
    let mut statements = Vec::new();
    let mut statement = Vec::new();
    for token in tokens_shown(text) {
        match token {
            Shown::Number(_) | Shown::Literal(_) => statement.push("LITERAL".to_owned()),
            Shown::Other(text) if matches!(text.as_str(), ";" | "{" | "}") => {
                statements.push(std::mem::take(&mut statement));
            }
            Shown::Other(text) => statement.push(text),
        }
    }
    statements.push(statement);
    statements.retain(|statement| statement.iter().any(|token| token == name));
    statements.sort();
    statements
}

fn decimal(number: &str) -> String {
    let lower = number.to_ascii_lowercase();
    let digits = lower.trim_end_matches(['u', 'l']);
    let (digits, radix) = match digits.strip_prefix("0x") {
        Some(digits) => (digits, 16),
        None => match digits.strip_prefix("0b") {
            Some(digits) => (digits, 2),
            None if digits.starts_with('0') => (digits, 8),
            None => (digits, 10),
        },
    };
    u128::from_str_radix(digits, radix).map_or(lower, |value| value.to_string())
}

/// Names that tie nothing to anything: keywords, the kernel's basic types and helpers, and what
/// functions call their own error and counter.
const COMMON: [&str; 93] = [
    "if",
    "else",
    "for",
    "while",
    "do",
    "switch",
    "case",
    "default",
    "break",
    "continue",
    "return",
    "goto",
    "sizeof",
    "static",
    "const",
    "volatile",
    "struct",
    "union",
    "enum",
    "void",
    "char",
    "short",
    "int",
    "long",
    "unsigned",
    "signed",
    "bool",
    "true",
    "false",
    "NULL",
    "u8",
    "u16",
    "u32",
    "u64",
    "s8",
    "s16",
    "s32",
    "s64",
    "size_t",
    "ssize_t",
    "err",
    "error",
    "ret",
    "rc",
    "i",
    "likely",
    "unlikely",
    "__init",
    "__initdata",
    "__initconst",
    "inline",
    "define",
    "include",
    "ifdef",
    "ifndef",
    "endif",
    "elif",
    "printk",
    "pr_emerg",
    "pr_alert",
    "pr_crit",
    "pr_err",
    "pr_warn",
    "pr_notice",
    "pr_info",
    "pr_debug",
    "kmalloc",
    "kzalloc",
    "kcalloc",
    "kfree",
    "memset",
    "memcpy",
    "GFP_KERNEL",
    "GFP_ATOMIC",
    "ARRAY_SIZE",
    "IS_ERR",
    "PTR_ERR",
    "ERR_PTR",
    "BUG_ON",
    "WARN_ON",
    "WARN_ON_ONCE",
    "THIS_MODULE",
    "EINVAL",
    "ENOMEM",
    "ENODEV",
    "EBUSY",
    "EIO",
    "EFAULT",
    "EPERM",
    "EAGAIN",
    "ENOENT",
    "EEXIST",
    "EOPNOTSUPP",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(found: BTreeSet<String>) -> Vec<String> {
        found.into_iter().collect()
    }

    #[test]
    fn names_without_meaning_tie_nothing() {
        let names = linking_names(b"\tret = alloc(limit, GFP_KERNEL); /* text */ \"other\"");
        assert_eq!(shown(names), ["alloc", "limit"]);
    }

    #[test]
    fn names_that_make_memory_are_told() {
        let text =
            b"p = __get_free_pages(GFP_KERNEL, 1); q = kzalloc(n); r = proc_create(x); /* alloc */";
        assert_eq!(shown(names_that_make_memory(text)), ["__get_free_pages", "kzalloc"]);
    }

    #[test]
    fn numbers_tie_by_their_value_and_texts_by_their_letters() {
        let literals = linking_literals(b"a(0x80UL, 1, 0, '\\n', 0400, \"key\"); /* 77 \"no\" */");
        assert_eq!(shown(literals), ["\"key\"", "128", "256"]);
        assert_eq!(shown(linking_literals(b"#define SIZE 128\n#define FLAG BIT(3)")), ["128", "3"]);
    }

    #[test]
    fn statement_that_hands_over_a_name_may_differ_in_numbers_only() {
        let before = b"{ file = create(\"a\", 0, show); note(); }";
        assert!(is_used_alike(
            before,
            b"{ note(); say(); file = create(\"a\", 0400, show); }",
            "show"
        ));
        assert!(!is_used_alike(before, b"{ file = create(\"a\", FLAG, show); }", "show"));
        assert!(!is_used_alike(before, b"{ }", "show"));
        assert!(is_used_alike(before, b"{ }", "other"));
    }

    #[test]
    fn item_is_found_by_any_of_its_lines() {
        let text = b"int a;\nint run(void)\n{\n\treturn a;\n}\n\n#define B 2\n";
        let found = |lines: &[usize]| items_with_lines(text, &lines.iter().copied().collect());
        let run = TouchedItem { function: Some("run".to_owned()), lines: 1..5 };
        assert_eq!(found(&[4, 5]), [run]);
        assert_eq!(found(&[3]).len(), 1);
        assert_eq!(
            found(&[0, 6]).iter().map(|item| item.lines.clone()).collect::<Vec<_>>(),
            [0..1, 6..7]
        );
        assert_eq!(found(&[5]), []);
    }
}

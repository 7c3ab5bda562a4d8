//! What of a file is `__init` code and data: it is gone when a kernel runs, so a change to it can act
//! at the next boot only. This finds candidates; the compiled objects decide.

use std::{collections::HashMap, ops::Range};

use crate::patchability::init_items::{InitItem, init_items};

/// A function or variable that is `__init` before and after a change, with its lines on both sides,
/// counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitChange {
    /// Its name.
    pub name: String,
    /// Its lines before the change.
    pub original: Range<usize>,
    /// Its lines after the change.
    pub patched: Range<usize>,
}

/// The lines of `__init` functions, `__initdata` and `__initconst` in a file, counted from 0.
pub fn init_lines(text: &[u8]) -> Vec<Range<usize>> {
    init_items(text).into_iter().map(|item| item.lines).collect()
}

/// The functions and variables whose bodies differ and that are `__init` on both sides. Not among
/// them: one that is declared in another way, that occurs twice, that shares a line with something
/// else, or in which a preprocessor line differs, which may act on what comes after it.
pub fn init_changes(original: &[u8], patched: &[u8]) -> Vec<InitChange> {
    let (original, patched) = (init_items(original), init_items(patched));
    let (of_original, of_patched) = (by_name(&original), by_name(&patched));
    let mut changes = Vec::new();
    for item in &patched {
        let name = item.name.as_str();
        let (Some([old]), Some([new])) =
            (of_original.get(name).map(Vec::as_slice), of_patched.get(name).map(Vec::as_slice))
        else {
            continue;
        };
        let is_alike = old.head == new.head && old.directives == new.directives;
        if is_alike && old.essence != new.essence && old.has_own_lines && new.has_own_lines {
            changes.push(InitChange {
                name: item.name.clone(),
                original: old.lines.clone(),
                patched: new.lines.clone(),
            });
        }
    }
    changes
}

fn by_name(items: &[InitItem]) -> HashMap<&str, Vec<&InitItem>> {
    let mut map: HashMap<&str, Vec<&InitItem>> = HashMap::new();
    for item in items {
        map.entry(&item.name).or_default().push(item);
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "static int limit;\n\nstatic int __init setup(void)\n{\n\tlimit = 1;\n\
        \treturn 0;\n}\nmodule_init(setup);\nstatic int __initdata order = 3;\n\
        static int run(void)\n{\n\treturn limit;\n}\n";

    fn names(original: &str, patched: &str) -> Vec<String> {
        let changes = init_changes(original.as_bytes(), patched.as_bytes());
        changes.into_iter().map(|change| change.name).collect()
    }

    #[test]
    fn only_bodies_of_init_functions_and_data_are_found() {
        assert_eq!(names(TEXT, &TEXT.replace("limit = 1;", "limit = 2;\n\tfoo();")), ["setup"]);
        assert_eq!(names(TEXT, &TEXT.replace("order = 3", "order = 4")), ["order"]);
        assert_eq!(names(TEXT, &TEXT.replace("return limit", "return 4")), [""; 0]);
        assert_eq!(names(TEXT, &TEXT.replace("limit = 1;", "limit = 1; /* one */")), [""; 0]);
        let changes = init_changes(
            TEXT.as_bytes(),
            TEXT.replace("limit = 1;", "limit = 2;\n\tfoo();").as_bytes(),
        );
        assert_eq!((changes[0].original.clone(), changes[0].patched.clone()), (2..7, 2..8));
    }

    #[test]
    fn change_that_reaches_beyond_the_body_is_none_of_these() {
        for patched in [
            TEXT.replace("__init setup", "setup"),
            TEXT.replace("setup(void)", "setup(int level)"),
            TEXT.replace("\tlimit = 1;", "#define A 1\n\tlimit = A;"),
            TEXT.replace("\tlimit = 1;", "#undef limit\n\tlimit = 1;"),
        ] {
            assert_eq!(names(TEXT, &patched), [""; 0], "{patched}");
        }
        let twice = TEXT.replace("static int run(", "static int __init setup(");
        assert_eq!(names(&twice, &twice.replace("limit = 1", "limit = 2")), [""; 0]);
    }
}

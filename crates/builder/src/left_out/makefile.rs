//! What a Kbuild Makefile lists: which objects and directories, in which list, and on which options that depends.
//!
//! It is read, not run: what stands in calls and in variables of other files is passed over. A Makefile comes
//! out of a source tree that may be anybody's, so nothing here trusts it.

use std::collections::{BTreeSet, HashMap};

/// The most words of lists that are taken from a Makefile; the largest of a kernel has some 1,500.
const MOST_WORDS: usize = 20_000;

/// The deepest nesting of conditions that is followed.
const DEEPEST: usize = 64;

/// What has to be so for a line of a list to count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// An option is set.
    Set(String),
    /// An option is not set.
    Unset(String),
    /// Something that cannot be told here.
    Unknown,
}

impl Need {
    fn opposite(&self) -> Self {
        match self {
            Self::Set(option) => Self::Unset(option.clone()),
            Self::Unset(option) => Self::Set(option.clone()),
            Self::Unknown => Self::Unknown,
        }
    }
}

/// A word in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    /// The list without its ending: `obj` of `obj-$(CONFIG_X)`, `foo` of `foo-objs`.
    pub list: String,
    /// What it depends on: first the list's own option, then the conditions around the line, the inner before the
    /// outer.
    pub needs: Vec<Need>,
}

/// The lists of a Makefile, by their words: objects, directories with a slash behind them, and `$(foo)` for what
/// another list takes over from the list `foo`.
#[derive(Debug, Default)]
pub(super) struct Makefile {
    words: HashMap<String, Vec<Listed>>,
}

impl Makefile {
    /// Where a word stands.
    pub(super) fn listed(&self, word: &str) -> &[Listed] {
        self.words.get(word).map_or(&[], Vec::as_slice)
    }

    /// Adds the lists of a text.
    pub(super) fn read(&mut self, text: &str, architecture: &str) {
        let text = text.replace("\\\n", " ").replace("$(SRCARCH)", architecture);
        let mut around: Vec<Need> = Vec::new();
        let mut count = 0;
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if follow_condition(line, &mut around) {
                continue;
            }
            let Some((name, value)) = assignment(line) else { continue };
            let (list, own) = list_and_need(name);
            let needs: Vec<Need> = own.into_iter().chain(around.iter().rev().cloned()).collect();
            for word in words(value) {
                count += 1;
                if count > MOST_WORDS {
                    return;
                }
                let listed = Listed { list: list.to_owned(), needs: needs.clone() };
                self.words.entry(word).or_default().push(listed);
            }
        }
    }
}

/// Follows a line that begins, turns or ends a condition; gives whether it was one.
fn follow_condition(line: &str, around: &mut Vec<Need>) -> bool {
    let (keyword, rest) = match line.find([' ', '\t', '(']) {
        Some(end) => line.split_at(end),
        None => (line, ""),
    };
    let need = match keyword {
        "ifdef" => defined(rest),
        "ifndef" => defined(rest).opposite(),
        "ifeq" => equal(rest),
        "ifneq" => equal(rest).opposite(),
        "else" => {
            let before = around.pop().unwrap_or(Need::Unknown);
            let rest = rest.trim();
            if rest.is_empty() {
                around.push(before.opposite());
            } else {
                follow_condition(rest, around);
            }
            return true;
        }
        "endif" => {
            around.pop();
            return true;
        }
        _ => return false,
    };
    if around.len() < DEEPEST {
        around.push(need);
    }
    true
}

fn defined(name: &str) -> Need {
    match only_option(name) {
        Some(option) if option == name.trim() => Need::Set(option),
        _ => Need::Unknown,
    }
}

/// `($(CONFIG_X),y)` and `($(CONFIG_X),m)`; `($(CONFIG_X),)` says that it is not set.
fn equal(text: &str) -> Need {
    let inner = text.trim().strip_prefix('(').and_then(|text| text.strip_suffix(')'));
    let Some((left, right)) = inner.and_then(|inner| inner.rsplit_once(',')) else {
        return Need::Unknown;
    };
    let Some(option) = only_option(left) else { return Need::Unknown };
    match right.trim() {
        "y" | "m" => Need::Set(option),
        "" | "n" => Need::Unset(option),
        _ => Need::Unknown,
    }
}

/// The one option that a text names; `None` when it names none, or several.
fn only_option(text: &str) -> Option<String> {
    let is_part = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let options: BTreeSet<&str> = text
        .split(|character| !is_part(character))
        .filter(|word| word.strip_prefix("CONFIG_").is_some_and(|name| !name.is_empty()))
        .collect();
    let mut options = options.into_iter();
    let option = options.next()?;
    options.next().is_none().then(|| option.to_owned())
}

/// The two sides of a line that gives a variable a value.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth = depth.saturating_sub(1),
            b'=' if depth == 0 => {
                let name = line[..at].trim_end_matches(['+', ':', '?', '!']).trim();
                return (!name.is_empty()).then(|| (name, &line[at + 1..]));
            }
            // What follows a colon alone is what a rule needs.
            b':' if depth == 0 && !line[at..].trim_start_matches(':').starts_with('=') => {
                return None;
            }
            _ => {}
        }
    }
    None
}

/// The list that a variable is of, and what its ending depends on.
fn list_and_need(name: &str) -> (&str, Option<Need>) {
    if let Some((list, ending)) = name.split_once("-$") {
        return (list, Some(only_option(ending).map_or(Need::Unknown, Need::Set)));
    }
    (without_ending(name), None)
}

fn without_ending(name: &str) -> &str {
    ["-y", "-m", "-objs"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// The words of a value that name objects, directories or other lists.
fn words(value: &str) -> impl Iterator<Item = String> {
    value.split_ascii_whitespace().filter_map(|word| {
        if let Some(other) = word.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')')) {
            let is_name = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
            return other.chars().all(is_name).then(|| format!("$({})", without_ending(other)));
        }
        let is_plain = !word.contains(['$', '(', ')', '%', ',']);
        (is_plain && (word.ends_with(".o") || word.ends_with('/'))).then(|| word.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Makefile {
        let mut makefile = Makefile::default();
        makefile.read(text, "x86");
        makefile
    }

    /// Where a word stands, as `LIST NEED…`.
    fn places(text: &str, word: &str) -> Vec<String> {
        let shown = |need: &Need| match need {
            Need::Set(option) => format!(" {option}"),
            Need::Unset(option) => format!(" !{option}"),
            Need::Unknown => " ?".to_owned(),
        };
        let makefile = read(text);
        let listed = makefile.listed(word).iter();
        listed
            .map(|one| one.list.clone() + &one.needs.iter().map(shown).collect::<String>())
            .collect()
    }

    #[test]
    fn lists_are_known_by_their_names_and_endings() {
        for (line, place) in [
            ("obj-$(CONFIG_X) += a.o", "obj CONFIG_X"),
            ("obj-y\t+= \\\n  b.o \\\n  a.o # c.o", "obj"),
            ("obj-$(subst m,y,$(CONFIG_X)) := a.o", "obj CONFIG_X"),
            ("obj-$(CONFIG_X:m=y) = a.o", "obj CONFIG_X"),
            ("foo-$(CONFIG_A)$(CONFIG_B) = a.o", "foo ?"),
            ("foo-objs := a.o", "foo"),
            ("foo-bar-y += a.o", "foo-bar"),
            ("FILES = a.o", "FILES"),
        ] {
            assert_eq!(places(line, "a.o"), [place], "{line}");
        }
        assert_eq!(places("i915-y += $(gem-y) $(call x,y)", "$(gem)"), ["i915"]);
        assert_eq!(places("core-y += arch/$(SRCARCH)/", "arch/x86/"), ["core"]);
        for line in ["a.o: b.c", "$(obj)/a.o: x = y", "\tcc -o a.o", "obj-y += $(src)/a.o c.o#a.o"]
        {
            assert!(places(line, "a.o").is_empty(), "{line}");
        }
    }

    #[test]
    fn conditions_around_a_line_count() {
        let text = "ifdef CONFIG_A\n\
                    ifeq ($(CONFIG_B),y)\nobj-y += 1.o\nelse\nobj-y += 2.o\nendif\n\
                    obj-y += 3.o\nendif\n\
                    ifneq ($(CONFIG_C),)\n obj-y += 4.o\nelse ifeq ($(BITS),64)\nobj-y += 5.o\nendif\n\
                    ifndef CONFIG_D\nobj-$(CONFIG_E) += 6.o\nendif\nobj-y += 7.o\n";
        for (word, place) in [
            ("1.o", "obj CONFIG_B CONFIG_A"),
            ("2.o", "obj !CONFIG_B CONFIG_A"),
            ("3.o", "obj CONFIG_A"),
            ("4.o", "obj CONFIG_C"),
            ("5.o", "obj ?"),
            ("6.o", "obj CONFIG_E !CONFIG_D"),
            ("7.o", "obj"),
        ] {
            assert_eq!(places(text, word), [place], "{word}");
        }
    }

    #[test]
    fn odd_conditions_and_floods_of_words_have_an_end() {
        assert_eq!(places("endif\nelse\nelse\nobj-y += a.o", "a.o"), ["obj ?"]);
        assert_eq!(places(&("else ".repeat(100) + "endif\nobj-y += a.o"), "a.o"), ["obj"]);
        assert_eq!(places(&("ifdef CONFIG_A\n".repeat(9000) + "obj-y += a.o"), "a.o").len(), 1);
        let flood = format!("obj-y += {}\nobj-y += z.o\n", "a.o ".repeat(MOST_WORDS + 1));
        assert_eq!(read(&flood).listed("a.o").len(), MOST_WORDS);
        assert!(places(&flood, "z.o").is_empty());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(ifdef|else|endif|ifeq|[-a-z$(){}#,=+:. \\\\\t\n]|CONFIG_A){0,60}") {
            let _ = read(&text);
        }
    }
}

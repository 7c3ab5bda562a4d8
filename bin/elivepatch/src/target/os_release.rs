//! Reads `/etc/os-release` (os-release(5)): assignments as in a shell script, without its expansion.

use elivepatch_model::{Distribution, limits::FACT_BYTES};

/// The distribution that the text names; `None` when it names none.
///
/// The file is anybody's: what is no assignment, no plain text or too long is left out.
pub fn read(text: &str) -> Option<Distribution> {
    let find = |name: &str| {
        let is_fact = |value: &String| {
            (1..=FACT_BYTES).contains(&value.len()) && !value.chars().any(char::is_control)
        };
        value_of(text, name).filter(is_fact)
    };
    let is_id = |id: &String| {
        id.bytes().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte)
        })
    };
    let id = find("ID").filter(is_id)?;
    Some(Distribution { id, version: find("VERSION_ID"), name: find("PRETTY_NAME") })
}

/// Whether the text is that of a distribution, or of one that is made of it (`ID_LIKE`).
pub fn is_of_kind(text: &str, id: &str) -> bool {
    let kinds = value_of(text, "ID_LIKE").unwrap_or_default();
    value_of(text, "ID").as_deref() == Some(id) || kinds.split_whitespace().any(|kind| kind == id)
}

/// What is assigned to a name. As in a shell, the last assignment holds.
fn value_of(text: &str, name: &str) -> Option<String> {
    let mut values = text.lines().rev().filter_map(|line| {
        let (found, value) = line.trim().split_once('=')?;
        (found == name).then(|| unquote(value)).flatten()
    });
    values.next()
}

/// The value of an assignment: a word, or a text in single or double quotes; within the latter a
/// backslash stands before what a shell would expand. Expansions themselves are not made.
fn unquote(value: &str) -> Option<String> {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.strip_suffix('\'').filter(|text| !text.contains('\'')).map(str::to_owned);
    }
    let Some(inner) = value.strip_prefix('"') else {
        let is_plain = !value.contains(|c: char| c.is_whitespace() || "\"'\\$`;&|<>()".contains(c));
        return is_plain.then(|| value.to_owned());
    };
    let mut text = String::new();
    let mut characters = inner.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(text),
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\' | '$' | '`') => text.push(escaped),
                other => text.extend(['\\', other]),
            },
            '$' | '`' => return None,
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        let Distribution { id, version, name } = read(text)?;
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
        Some(format!("{id}, {}, {}", or_none(version), or_none(name)))
    }

    #[test]
    fn real_files_are_read() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\n\
            VERSION_ID=\"12\"\nID=debian\nHOME_URL=\"https://www.debian.org/\"\n";
        assert_eq!(shown(debian).as_deref(), Some("debian, 12, Debian GNU/Linux 12 (bookworm)"));
        let gentoo = "NAME=Gentoo\nID=gentoo\nPRETTY_NAME='Gentoo Linux'\n# VERSION_ID=1\n";
        assert_eq!(shown(gentoo).as_deref(), Some("gentoo, none, Gentoo Linux"));
        let escaped = "ID=x\nID=y\nPRETTY_NAME=\"a \\\"b\\\" \\$c\"\n";
        assert_eq!(shown(escaped).as_deref(), Some("y, none, a \"b\" $c"));
    }

    #[test]
    fn distribution_is_of_its_own_kind_and_of_those_that_it_is_made_of() {
        for (text, expected) in [
            ("ID=gentoo\n", true),
            ("ID=calculate\nID_LIKE=gentoo\n", true),
            ("ID=x\nID_LIKE=\"y gentoo\"\n", true),
            ("ID=debian\n", false),
            ("ID=x\nID_LIKE=gentoolike\n", false),
            ("NAME=gentoo\n", false),
        ] {
            assert_eq!(is_of_kind(text, "gentoo"), expected, "{text}");
        }
    }

    #[test]
    fn what_a_shell_would_run_or_a_terminal_obey_is_left_out() {
        for (text, expected) in [
            ("ID=$(reboot)\n", None),
            ("ID=\"`reboot`\"\n", None),
            ("ID=../../etc\n", None),
            ("ID=\"open\n", None),
            ("NAME=Debian\n", None),
            ("ID=debian\nPRETTY_NAME=\"a\u{1b}[2J\"\n", Some("debian, none, none")),
            ("ID=debian\nVERSION_ID=1; reboot\n", Some("debian, none, none")),
        ] {
            assert_eq!(shown(text).as_deref(), expected, "{text}");
        }
        assert_eq!(shown(&format!("ID={}\n", "a".repeat(FACT_BYTES + 1))), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_not(text in "(ID=|\"|'|\\\\|\n|[a-z$` ]){0,60}") {
            if let Some(found) = read(&text) {
                prop_assert!(!found.id.is_empty() && found.id.len() <= FACT_BYTES);
            }
        }
    }
}

use std::collections::BTreeSet;

/// What an `#include` line asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Include {
    /// `#include "name"`.
    Quoted(String),
    /// `#include <name>`.
    Angled(String),
}

/// The `#include` lines of a C or assembly file, whatever conditions they stand under. A macro that
/// stands for the name of a header (`#define GENL_MAGIC_INCLUDE_FILE <linux/drbd_genl.h>`) counts as
/// an include of it: another file may say `#include GENL_MAGIC_INCLUDE_FILE`.
pub(super) fn include_lines(text: &[u8]) -> Vec<Include> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| read_line(line).or_else(|| read_define(line)))
        .collect()
}

/// The last parts of the names that a text includes, and whether a macro names one of them.
pub(crate) fn included_names(text: &[u8]) -> (BTreeSet<String>, bool) {
    let names = include_lines(text).into_iter().map(|include| {
        let (Include::Quoted(name) | Include::Angled(name)) = include;
        name.rsplit('/').next().map_or_else(String::new, str::to_owned)
    });
    (names.collect(), computes_an_include(text))
}

/// Whether the file includes one whose name a macro computes.
pub(super) fn computes_an_include(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'\n').any(|line| {
        let name = after_include(line).and_then(<[u8]>::first);
        name.is_some_and(|first| first.is_ascii_alphabetic() || *first == b'_')
    })
}

fn read_define(line: &[u8]) -> Option<Include> {
    let line = line.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    let line = line.strip_prefix(b"define")?.trim_ascii_start();
    let end = line.iter().position(u8::is_ascii_whitespace)?;
    let include = read_name(line[end..].trim_ascii_start())?;
    let (Include::Quoted(name) | Include::Angled(name)) = &include;
    name.ends_with(".h").then_some(include)
}

fn read_line(line: &[u8]) -> Option<Include> {
    read_name(after_include(line)?)
}

fn after_include(line: &[u8]) -> Option<&[u8]> {
    let line = line.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    let rest = line.strip_prefix(b"include")?;
    Some(rest.strip_prefix(b"_next").unwrap_or(rest).trim_ascii_start())
}

fn read_name(text: &[u8]) -> Option<Include> {
    let (open, name) = text.split_first()?;
    let close = match open {
        b'"' => b'"',
        b'<' => b'>',
        _ => return None,
    };
    let end = name.iter().position(|byte| *byte == close)?;
    let name = str::from_utf8(&name[..end]).ok().filter(|name| !name.is_empty())?.to_owned();
    Some(if close == b'"' { Include::Quoted(name) } else { Include::Angled(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn include_lines_are_found_in_every_form() {
        let text =
            b"#include <linux/fs.h>\n  #  include\t\"a b.h\" /* why */\n#include_next <x.h>\n\
            #ifdef A\n#include \"../y.c\"\n#endif\n#include MACRO\n#includes <no.h>\n\
            // #include <no.h>\n#include <no.h\n#include \"\"\n#include \xff\n";
        let quoted = |name: &str| Include::Quoted(name.to_owned());
        let angled = |name: &str| Include::Angled(name.to_owned());
        assert_eq!(
            include_lines(text),
            [angled("linux/fs.h"), quoted("a b.h"), angled("x.h"), quoted("../y.c")]
        );
        assert!(computes_an_include(text));
        assert!(!computes_an_include(b"#include <linux/fs.h>\n#include \"a.h\"\nint a;\n"));
    }

    #[test]
    fn macro_that_names_a_header_counts_as_an_include() {
        let text = b"# define FILE <linux/drbd_genl.h>\n#define OTHER \"a.h\"\n\
            #define NAME \"driver\"\n#define LESS(a, b) a <b.h\n#define EMPTY\n#define X y.h\n";
        let expected =
            [Include::Angled("linux/drbd_genl.h".to_owned()), Include::Quoted("a.h".to_owned())];
        assert_eq!(include_lines(text), expected);
    }
}

/// What an `#include` line asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Include {
    /// `#include "name"`.
    Quoted(String),
    /// `#include <name>`.
    Angled(String),
}

/// The `#include` lines of a C or assembly file, whatever conditions they stand under. A name that
/// a macro computes is not among them.
pub(super) fn include_lines(text: &[u8]) -> Vec<Include> {
    text.split(|byte| *byte == b'\n').filter_map(read_line).collect()
}

fn read_line(line: &[u8]) -> Option<Include> {
    let line = line.trim_ascii_start().strip_prefix(b"#")?.trim_ascii_start();
    let rest = line.strip_prefix(b"include")?;
    let rest = rest.strip_prefix(b"_next").unwrap_or(rest).trim_ascii_start();
    let (open, name) = rest.split_first()?;
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
    }
}

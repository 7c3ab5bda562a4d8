//! What the text behind a hunk's second `@@` says about where the hunk begins.

use super::{
    header::{FunctionHeader, closing},
    item::{self, ItemKind, Variable},
    side::{Line, Side},
};

/// What a hunk begins in, as far as its heading tells.
///
/// `git diff` and `diff -p` show the last line before the hunk that begins with a letter, cut to 80
/// and 40 bytes. That is mostly a function's first line; it may also be a label, a line of data, or
/// the line of a function that has ended before the hunk.
pub(crate) fn container(heading: &[u8]) -> ItemKind {
    let line = Line { changed: false, patch_line: 0 };
    let side = Side::of_file(std::iter::once((heading, line)));
    let mut end = side.tokens.len();
    if end == 0 {
        return ItemKind::Unknown;
    }
    if side.is(end - 1, b';') || side.is(0, b'#') {
        return ItemKind::Unknown;
    }
    if side.is(end - 1, b':') {
        return ItemKind::UnnamedFunction;
    }
    let brace = side.is(end - 1, b'{');
    if brace {
        end -= 1;
    }
    let assigned = (0..end).find(|at| side.is(*at, b'='));
    if let Some(assignment) = assigned {
        return data(&side, assignment);
    }
    // `static u8 table[sizeof(`: the `[` says that it is data, wherever the line is cut.
    let open = (0..end).find(|at| side.is(*at, b'('));
    if let Some(bracket) = (0..open.unwrap_or(end)).find(|at| side.is(*at, b'[')) {
        return data(&side, bracket);
    }
    if let Some(open) = open {
        let close = closing(&side, open, end);
        return FunctionHeader::read(&side, 0..end.min(close + 1).max(open + 1))
            .map_or(ItemKind::Unknown, ItemKind::Function);
    }
    let keyword = (0..end).find(|at| matches!(side.text_at(*at), b"struct" | b"union" | b"enum"));
    if let (Some(keyword), true) = (keyword, brace || end <= 2) {
        let name = if keyword + 1 < end { side.name(keyword + 1) } else { String::new() };
        return ItemKind::Type { keyword: side.name(keyword), name, declarator: None };
    }
    if brace || end < 2 {
        return ItemKind::Unknown;
    }
    ItemKind::CutFunction(side.name(end - 1))
}

fn data(side: &Side, assignment: usize) -> ItemKind {
    let bracket = (0..assignment).find(|at| side.is(*at, b'[')).unwrap_or(assignment);
    // With the name alone, `const` may stand on the line before.
    let Some(name_at) = (1..bracket).rev().find(|at| side.is_name(*at)) else {
        return ItemKind::Unknown;
    };
    ItemKind::Variable(Variable {
        name: side.name(name_at),
        is_constant: item::is_constant(side, 0..name_at),
        is_initialised: true,
        is_array: bracket < assignment,
        words: (0..assignment).filter(|at| side.is_name(*at)).map(|at| side.name(at)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(heading: &str) -> String {
        match container(heading.as_bytes()) {
            ItemKind::Function(header) => format!("function {}", header.name),
            ItemKind::CutFunction(name) => format!("cut {name}"),
            ItemKind::Type { keyword, name, .. } => format!("type {keyword} {name}"),
            ItemKind::Variable(v) => format!("data {} {}", v.name, v.is_constant),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn heading_tells_what_the_hunk_begins_in() {
        for (heading, expected) in [
            ("static int __init foo(struct a *b, int c)", "function foo"),
            ("static int foo(struct a *b,", "function foo"),
            ("xfs_iunlock(", "function xfs_iunlock"),
            ("SYSCALL_DEFINE3(read, unsigned int, fd,", "function SYSCALL_DEFINE3(read)"),
            ("static void gfx_v8_0_ring_emit_fence_com", "cut gfx_v8_0_ring_emit_fence_com"),
            ("struct sock {", "type struct sock"),
            ("static const struct file_operations f = {", "data f true"),
            ("static const char *names[] = {", "data names false"),
            ("static struct ctl_table ipv4_net_table[]", "data ipv4_net_table false"),
            ("static unsigned char tbl[sizeof(struct f", "data tbl false"),
            ("static const u8 tbl[][sizeof(", "data tbl true"),
            ("br_cfm_cc_config_policy[IFLA_BRIDGE_CFM_", "Unknown"),
            ("names[] = {", "Unknown"),
            ("out_unlock:", "UnnamedFunction"),
            ("", "Unknown"),
            ("EXPORT_SYMBOL(foo);", "Unknown"),
        ] {
            assert_eq!(name(heading), expected, "{heading}");
        }
    }
}

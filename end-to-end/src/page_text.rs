//! What is done with the text of a page: what is run of it, what goes into a config, and whether it is what was printed.

use elivepatch_docs::Block;

/// The script with the shell becoming its last command, so that this goes on as the shell.
pub(crate) fn last_stays(script: &str) -> String {
    let mut lines: Vec<&str> = script.trim_end().lines().collect();
    let last = lines.pop().expect("a command");
    let before = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    format!("{before}exec {last}\n")
}

/// A config with further keys: those of a section that it has go there, all else to its end.
pub(crate) fn merged(there: &str, more: &str) -> String {
    let mut text = there.to_owned();
    let mut begin = 0;
    let headers: Vec<usize> = more
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .filter(|at| more[*at..].starts_with('['))
        .collect();
    for end in headers.into_iter().chain([more.len()]) {
        let part = &more[begin..end];
        begin = end;
        let Some((header, keys)) = part.split_once('\n') else { continue };
        let line = format!("\n{header}\n");
        if text.contains(&line) && !header.starts_with("[[") {
            text = text.replacen(&line, &format!("{line}{keys}"), 1);
        } else {
            text.push_str(part);
        }
    }
    text
}

/// Whether each line that a page shows was printed, in this order. `…` stands for anything.
pub(crate) fn assert_shows(block: &Block, shown: &str, printed: &str) {
    let mut lines = printed.lines();
    for line in shown.lines().filter(|line| !line.trim().is_empty()) {
        let is_there = lines.any(|printed| fits(line, printed));
        assert!(is_there, "{block}: {line:?} was not printed, or not in this order:\n{printed}");
    }
}

fn fits(shown: &str, printed: &str) -> bool {
    let parts: Vec<&str> = shown.split('…').collect();
    let [first, middle @ .., last] = parts.as_slice() else { return shown == printed };
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_lines_fit_what_differs_in_between() {
        assert!(fits("…passed on …", "| trial | passed on 6.1 in 3 s |"));
        assert!(fits("a", "a") && !fits("a", "ab"));
        assert!(fits("a…c…e", "a b c d e") && !fits("a…c…e", "a b c d") && !fits("…x…", "abc"));
    }

    #[test]
    fn keys_go_to_the_section_that_is_there() {
        let there = "x = 1\n\n[feed]\n#source = 1\n\n[hosts]\n";
        let more = "[feed]\nsource = 2\n\n[[fixes]]\nkind = 3\n";
        let expected =
            "x = 1\n\n[feed]\nsource = 2\n\n#source = 1\n\n[hosts]\n[[fixes]]\nkind = 3\n";
        assert_eq!(merged(there, more), expected);
    }

    #[test]
    fn last_command_becomes_the_shell() {
        assert_eq!(last_stays("a\nb # c\n"), "a\nexec b # c\n");
    }
}

//! Links and the anchors that they lead to, as GitHub and mdbook make them; and what is written as code.

use crate::Page;

/// The targets of all links and images of a page, each with its line.
pub fn links(page: &Page) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in page.prose().lines().enumerate() {
        let text = without_code(line);
        let mut rest = text.as_str();
        while let Some((_, behind)) = rest.split_once("](") {
            let Some((target, after)) = behind.split_once(')') else { break };
            found.push((number + 1, target.to_owned()));
            rest = after;
        }
    }
    found
}

/// The anchors of a page: one for each heading.
pub fn anchors(page: &Page) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in page.prose().lines() {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|character| match character {
                ' ' => Some('-'),
                '-' | '_' => Some(character),
                _ => character.is_alphanumeric().then_some(character),
            })
            .collect();
        let same = |other: &&String| **other == anchor || other.starts_with(&format!("{anchor}-"));
        let number = anchors.iter().filter(same).filter(|other| {
            let rest = other[anchor.len()..].trim_start_matches('-');
            rest.is_empty() || rest.bytes().all(|byte| byte.is_ascii_digit())
        });
        match number.count() {
            0 => anchors.push(anchor),
            number => anchors.push(format!("{anchor}-{number}")),
        }
    }
    anchors
}

/// What is in backticks within sentences and tables, each with its line.
pub fn codes(page: &Page) -> Vec<(usize, String)> {
    let prose = page.prose();
    let lines = prose.lines().enumerate();
    let in_line = lines.flat_map(|(number, line)| {
        let parts = line.split('`').enumerate().filter(|(part, _)| part % 2 == 1);
        parts.map(move |(_, code)| (number + 1, code.to_owned()))
    });
    in_line.collect()
}

/// The line without what is in backticks: nothing in there is a link.
fn without_code(line: &str) -> String {
    let mut inside = false;
    line.chars()
        .filter(|character| {
            inside ^= *character == '`';
            !inside && *character != '`'
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_of_code_only() {
        let text = "See [a](b.md#c) and `[x](y)`.\n\n```sh\n[d](e)\n```\n![f](g.png)\n";
        let found = links(&Page::of("p.md", text.to_owned()));
        assert_eq!(found, [(1, "b.md#c".to_owned()), (6, "g.png".to_owned())]);
    }

    #[test]
    fn anchors_are_those_of_headings() {
        let text = "# `/etc/a.toml`: what, and why?\n## CVE runs\n#no\n```sh\n# comment\n```\n## CVE runs\n";
        let found = anchors(&Page::of("p.md", text.to_owned()));
        assert_eq!(found, ["etcatoml-what-and-why", "cve-runs", "cve-runs-1"]);
    }
}

use crate::block::{Block, Mark};

/// Where one line belongs.
enum Part<'a> {
    Prose(&'a str),
    Open { indent: usize, language: &'a str },
    Inside(&'a str),
    Close,
}

/// Says of each line whether it is prose or belongs to a block.
///
/// # Panics
/// When a fence does not end.
fn parts<'a>(path: &str, text: &'a str) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    let mut opened: Option<(usize, &str)> = None;
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start();
        let fence = &content[..content.len() - content.trim_start_matches('`').len()];
        let part = match opened {
            Some((_, open)) if fence.len() >= open.len() && content.trim() == fence => {
                opened = None;
                Part::Close
            }
            Some(_) => Part::Inside(line),
            None if fence.len() >= 3 => {
                opened = Some((number + 1, fence));
                let indent = line.len() - content.len();
                Part::Open { indent, language: content[fence.len()..].trim() }
            }
            None => Part::Prose(line),
        };
        parts.push(part);
    }
    if let Some((line, _)) = opened {
        panic!("{path}:{line}: the block does not end");
    }
    parts
}

/// The fenced blocks with their marks.
pub fn blocks(path: &str, text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut mark = None;
    let mut indent = 0;
    for (number, part) in parts(path, text).into_iter().enumerate() {
        match part {
            Part::Prose(line) => match comment(line) {
                Some(text) => mark = Mark::read(text),
                None if line.trim().is_empty() => {}
                None => mark = None,
            },
            Part::Open { indent: by, language } => {
                indent = by;
                blocks.push(Block {
                    page: path.to_owned(),
                    line: number + 1,
                    language: language.to_owned(),
                    text: String::new(),
                    mark: mark.take(),
                });
            }
            Part::Inside(line) => {
                let block = blocks.last_mut().expect("a block was opened");
                let blank = line.len() - line.trim_start_matches(' ').len();
                block.text.push_str(&line[indent.min(blank)..]);
                block.text.push('\n');
            }
            Part::Close => {}
        }
    }
    blocks
}

/// The text without blocks and comments, as many lines as before.
pub fn prose(text: &str) -> String {
    let line = |part: Part<'_>| match part {
        Part::Prose(line) if comment(line).is_none() => format!("{line}\n"),
        _ => "\n".to_owned(),
    };
    parts("", text).into_iter().map(line).collect()
}

/// What is in a line that is an HTML comment.
fn comment(line: &str) -> Option<&str> {
    line.trim().strip_prefix("<!--")?.strip_suffix("-->")
}

#[cfg(test)]
mod tests {
    use crate::{Mark, Page, Place};

    #[test]
    fn marks_belong_to_the_block_behind_them() {
        let text = "Text\n\n<!-- run: server, stays -->\n```sh\na\n```\n\n```text\nb\n```\n\n1. In a list:\n\n   \
                    <!-- not run: no `dnf` here -->\n   ```sh\n   c \\\n       d\n   ```\n<!-- run: moon -->\n```sh\n```\n";
        let page = Page::of("p.md", text.to_owned());
        let marks: Vec<_> = page.blocks.iter().map(|block| block.mark.clone()).collect();
        let expected = [
            Some(Mark::Run { place: Place::Server, stays: true }),
            None,
            Some(Mark::NotRun("no `dnf` here".to_owned())),
            Some(Mark::Unknown("run: moon".to_owned())),
        ];
        assert_eq!(marks, expected);
        assert_eq!(page.blocks[2].text, "c \\\n    d\n");
        assert_eq!(page.blocks[2].to_string(), "p.md:15");
        assert_eq!(page.prose().lines().count(), text.lines().count());
        assert!(!page.prose().contains("run:") && page.prose().contains("In a list"));
    }

    #[test]
    fn commands_of_consoles_and_crontabs_are_what_is_typed_and_what_cron_runs() {
        let text = "```console\n# a b\nc\n$ d\n```\n```crontab\nMAILTO=root\n17 5 * * *  root  e  f\n```\n";
        let page = Page::of("p.md", text.to_owned());
        assert_eq!(page.blocks[0].script(), "a b\nd\n");
        assert_eq!(page.blocks[1].script(), "e f\n");
    }
}

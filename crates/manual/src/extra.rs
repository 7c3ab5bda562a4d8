//! What stands below the options in `--help`, taken apart.

/// A part of the text.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// What the exit codes say: the number, and what it means.
    ExitCodes { heading: &'a str, codes: Vec<(&'a str, String)> },
    /// Lines that stand below a heading and keep their form.
    Table { heading: &'a str, lines: Vec<&'a str> },
    /// A paragraph.
    Paragraph(String),
}

/// Takes the text apart. A line that ends with a colon and has indented lines below it is a heading.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let is_indented = |line: &&str| line.starts_with(' ');
        if line.ends_with(':') && lines.peek().is_some_and(is_indented) {
            let heading = line.trim_end_matches(':');
            let mut below = Vec::new();
            while let Some(line) = lines.next_if(is_indented) {
                below.push(line);
            }
            parts.push(match heading.starts_with("Exit codes") {
                true => Part::ExitCodes { heading, codes: codes(&below) },
                false => Part::Table { heading, lines: below },
            });
        } else {
            let mut paragraph = line.to_owned();
            while let Some(line) = lines.next_if(|line| !line.is_empty()) {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
            parts.push(Part::Paragraph(paragraph));
        }
    }
    parts
}

/// The rows of a table of exit codes; a line without a number goes on with the one above it.
fn codes<'a>(lines: &[&'a str]) -> Vec<(&'a str, String)> {
    let mut codes: Vec<(&str, String)> = Vec::new();
    for line in lines {
        let line = line.trim();
        let number = line.split(' ').next().unwrap_or_default();
        match codes.last_mut() {
            _ if number.parse::<u8>().is_ok() => {
                codes.push((number, line[number.len()..].trim_start().to_owned()));
            }
            Some((_, text)) => {
                text.push(' ');
                text.push_str(line);
            }
            None => {}
        }
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tables_and_paragraphs_are_told_apart() {
        let text = "Of cron,\nand of people.\n\nExit codes, for monitoring:\n  0    well\n  130  interrupted,\n       \
                    too\n\nVerdicts:\n  one  two\n\nThe end.";
        let codes = vec![("0", "well".to_owned()), ("130", "interrupted, too".to_owned())];
        assert_eq!(
            parts(text),
            [
                Part::Paragraph("Of cron, and of people.".to_owned()),
                Part::ExitCodes { heading: "Exit codes, for monitoring", codes },
                Part::Table { heading: "Verdicts", lines: vec!["  one  two"] },
                Part::Paragraph("The end.".to_owned()),
            ]
        );
    }
}

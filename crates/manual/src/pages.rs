use std::{io, path::Path};

use clap::Command;
use jiff::Timestamp;

use crate::page;

/// What is named, and what there is to say about it.
pub type Entry = (&'static str, &'static str);

/// What the pages of a program have beside its command line.
#[derive(Debug, Clone)]
pub struct Manual {
    /// The section of the manual: 1 for what everybody runs, 8 for what administrators do.
    pub section: &'static str,
    /// Variables that hold for all commands and that no option names.
    pub environment: &'static [Entry],
    /// The program's own page and that of each command.
    pub pages: Vec<Page>,
}

/// What the page of a command has beside its options.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// The words of the command: `base list`; empty for the program itself.
    pub command: &'static str,
    /// What it does, in paragraphs, after the one line that `--help` has; may be empty.
    pub description: &'static str,
    /// The files that it reads and writes.
    pub files: &'static [Entry],
    /// Whole command lines, and what they do.
    pub examples: &'static [Entry],
    /// Other pages, such as `elivepatch-check(1)`, beside that of the command above it.
    pub see_also: &'static [&'static str],
}

impl Manual {
    /// What there is for a command.
    ///
    /// # Panics
    /// When there is nothing: each command that is shown has a page.
    fn page(&self, command: &str) -> &Page {
        let found = self.pages.iter().find(|page| page.command == command);
        found.unwrap_or_else(|| panic!("the command “{command}” has no page"))
    }
}

/// The day that stands on the pages, such as `2026-11-26`: that of these seconds since 1970 in UTC, or today.
///
/// # Errors
/// When there is no such day.
pub fn day(seconds: Option<i64>) -> Result<String, jiff::Error> {
    let time = seconds.map_or_else(|| Ok(Timestamp::now()), Timestamp::from_second)?;
    Ok(time.strftime("%Y-%m-%d").to_string())
}

/// Writes a page for the program and for each of its commands that is not hidden, into the directory of their section
/// below this one (`man1`), with the [`day`] on it. The number of pages is returned.
///
/// # Errors
/// When a file or the directory cannot be written.
pub fn write_pages(
    command: Command,
    manual: &Manual,
    day: &str,
    directory: &Path,
) -> io::Result<usize> {
    let directory = directory.join(format!("man{}", manual.section));
    std::fs::create_dir_all(&directory)?;
    let root = built(command);
    let commands = all(&root);
    for (command, words) in &commands {
        let text = page::render(&root, command, manual, manual.page(words), day)?;
        std::fs::write(directory.join(file_name(command, manual)), text)?;
    }
    Ok(commands.len())
}

/// The names of the pages that [`write_pages`] makes, such as `elivepatch-build.1`, and the words of their commands.
pub fn page_names(command: Command, manual: &Manual) -> Vec<(String, String)> {
    let root = built(command);
    all(&root).into_iter().map(|(each, words)| (file_name(each, manual), words)).collect()
}

/// The command line with all that clap puts off until it is used.
fn built(command: Command) -> Command {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    command
}

fn file_name(command: &Command, manual: &Manual) -> String {
    format!("{}.{}", page::name(command), manual.section)
}

/// The program and its commands that are not hidden, each with the words that call it.
fn all(root: &Command) -> Vec<(&Command, String)> {
    fn add<'a>(command: &'a Command, words: String, found: &mut Vec<(&'a Command, String)>) {
        for each in command.get_subcommands().filter(|each| !each.is_hide_set()) {
            let words = format!("{words} {}", each.get_name());
            add(each, words.trim_start().to_owned(), found);
        }
        found.push((command, words));
    }
    let mut found = Vec::new();
    add(root, String::new(), &mut found);
    found
}

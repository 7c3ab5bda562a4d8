//! One manual page.

use std::io;

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Inline, Roff, bold, roman},
};

use crate::{
    extra::{self, Part},
    pages::{Entry, Manual, Page},
};

/// The name of a command's page: its words with hyphens.
pub fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Makes the page of a command. `root` is the program, whose exit codes hold where the command has none of its own.
pub fn render(
    root: &Command,
    command: &Command,
    manual: &Manual,
    page: &Page,
    date: &str,
) -> io::Result<String> {
    let man = Man::new(as_a_page(command))
        .title(name(command).to_uppercase())
        .section(manual.section)
        .date(date)
        .source(format!("{} {}", root.get_name(), root.get_version().unwrap_or_default()))
        .manual(format!("Manual of {}", root.get_name()));
    let mut text = Text::default();
    text.take(|out| man.render_title(out))?;
    text.take(|out| man.render_name_section(out))?;
    text.take(|out| man.render_synopsis_section(out))?;
    text.take(|out| man.render_description_section(out))?;
    text.paragraphs(page.description.split("\n\n").filter(|each| !each.is_empty()));
    if command.get_subcommands().any(|each| !each.is_hide_set()) {
        text.section("COMMANDS");
        for each in command.get_subcommands().filter(|each| !each.is_hide_set()) {
            let about = each.get_about().map(ToString::to_string).unwrap_or_default();
            text.entry(&format!("{}({})", name(each), manual.section), &about);
        }
    }
    text.take(|out| man.render_options_section(out))?;
    after_help(&mut text, root, command);
    environment(&mut text, command, manual);
    text.entries("FILES", page.files);
    text.entries("EXAMPLES", page.examples);
    see_also(&mut text, root, command, manual, page);
    Ok(text.0)
}

/// The command as clap_mangen is to see it: with the usage of `--help` for a synopsis, for it would name all options
/// without their values; with what the short help leaves out; and with the values of an option in one line.
fn as_a_page(command: &Command) -> Command {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim().to_owned();
    command.clone().override_usage(usage).mut_args(|argument| {
        let argument = argument.hide_short_help(false);
        let values = argument.get_possible_values();
        let shown: Vec<&str> = values
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| value.get_name())
            .collect();
        if shown.is_empty() || argument.is_hide_possible_values_set() {
            return argument;
        }
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        let help = format!("{help} [possible values: {}]", shown.join(", "));
        argument.help(help.clone()).long_help(help).hide_possible_values(true)
    })
}

/// What `--help` has below the options.
fn after_help(text: &mut Text, root: &Command, command: &Command) {
    let of = |command: &Command| {
        let help = command.get_after_long_help().or_else(|| command.get_after_help());
        help.map(ToString::to_string).unwrap_or_default()
    };
    let (own, general) = (of(command), of(root));
    let own = extra::parts(&own);
    let has_codes = own.iter().any(|part| matches!(part, Part::ExitCodes { .. }));
    let general = extra::parts(&general);
    let codes = if has_codes { &own } else { &general };
    for part in codes {
        if let Part::ExitCodes { heading, codes } = part {
            text.section("EXIT STATUS");
            if let Some((_, what)) = heading.split_once(", ") {
                text.paragraphs([format!("These are {what}.").as_str()]);
            }
            for (code, meaning) in codes {
                text.entry(code, meaning);
            }
        }
    }
    let mut has_notes = false;
    for part in &own {
        match part {
            Part::ExitCodes { .. } => {}
            // The page has examples of its own.
            Part::Table { heading, .. } if heading.starts_with("Examples") => {}
            Part::Table { heading, lines } => {
                text.section(&heading.to_uppercase());
                text.lines(lines);
            }
            Part::Paragraph(paragraph) => {
                if !has_notes {
                    text.section("NOTES");
                    has_notes = true;
                }
                text.paragraphs([paragraph.as_str()]);
            }
        }
    }
}

/// The variables that options name, and those that hold for all commands.
fn environment(text: &mut Text, command: &Command, manual: &Manual) {
    let of_options: Vec<(String, String)> = command
        .get_arguments()
        .filter_map(|argument| {
            let variable = argument.get_env()?.to_str()?.to_owned();
            Some((variable, format!("The same as --{}.", argument.get_long()?)))
        })
        .collect();
    if of_options.is_empty() && manual.environment.is_empty() {
        return;
    }
    text.section("ENVIRONMENT");
    for (variable, meaning) in &of_options {
        text.entry(variable, meaning);
    }
    for (variable, meaning) in manual.environment {
        text.entry(variable, meaning);
    }
}

/// The page of the command above this one, and those that the page names.
fn see_also(text: &mut Text, root: &Command, command: &Command, manual: &Manual, page: &Page) {
    let own = name(command);
    let mut others: Vec<String> = Vec::new();
    if own != root.get_name() {
        let above = page.command.rsplit_once(' ').map(|(above, _)| above.replace(' ', "-"));
        let above = above.map(|words| format!("{}-{words}", root.get_name()));
        let above = above.unwrap_or_else(|| root.get_name().to_owned());
        others.push(format!("{above}({})", manual.section));
    }
    others.extend(page.see_also.iter().map(|&other| other.to_owned()));
    if others.is_empty() {
        return;
    }
    text.section("SEE ALSO");
    let mut inlines: Vec<Inline> = Vec::new();
    for (at, other) in others.iter().enumerate() {
        let (name, section) = other.split_once('(').unwrap_or((other, ""));
        inlines.push(bold(name));
        let comma = if at + 1 < others.len() { ", " } else { "" };
        inlines.push(roman(format!("({section}{comma}")));
    }
    text.add(Roff::new().text(inlines));
}

/// The page as it grows.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Adds what is written; each piece begins with the definition of an apostrophe, which one is enough of.
    fn push(&mut self, piece: &str) {
        let definition = Roff::new().render();
        let piece = piece.strip_prefix(&definition).unwrap_or(piece);
        if self.0.is_empty() {
            self.0.push_str(&definition);
        }
        self.0.push_str(piece);
    }

    fn take(
        &mut self,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), io::Error>,
    ) -> io::Result<()> {
        let mut piece = Vec::new();
        write(&mut piece)?;
        self.push(&String::from_utf8(piece).map_err(io::Error::other)?);
        Ok(())
    }

    fn add(&mut self, roff: &Roff) {
        self.push(&roff.render());
    }

    fn section(&mut self, heading: &str) {
        self.add(Roff::new().control("SH", [heading]));
    }

    fn paragraphs<'a>(&mut self, paragraphs: impl IntoIterator<Item = &'a str>) {
        for (at, paragraph) in paragraphs.into_iter().enumerate() {
            let mut roff = Roff::new();
            // Below a heading it would be one too many.
            if at > 0 || !self.is_below_heading() {
                roff.control("PP", []);
            }
            self.add(roff.text([roman(paragraph.replace('\n', " "))]));
        }
    }

    fn is_below_heading(&self) -> bool {
        self.0.lines().last().is_some_and(|line| line.starts_with(".SH "))
    }

    fn entry(&mut self, name: &str, meaning: &str) {
        let mut roff = Roff::new();
        self.add(roff.control("TP", []).text([bold(name)]).text([roman(meaning)]));
    }

    fn entries(&mut self, heading: &str, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        self.section(heading);
        for (name, meaning) in entries {
            self.entry(name, meaning);
        }
    }

    /// Lines that keep their form.
    fn lines(&mut self, lines: &[&str]) {
        let mut roff = Roff::new();
        roff.control("nf", []);
        for line in lines {
            roff.text([roman(*line)]);
        }
        self.add(roff.control("fi", []));
    }
}
